"""`runs`: what ran, what nobody can know, and a person's decision about it."""

import click


@click.group("runs", invoke_without_command=True)
@click.pass_context
def runs_command(context: click.Context) -> None:
    """List runs; see and resolve uncertain calls."""
    if context.invoked_subcommand is None:
        context.invoke(list_)


@runs_command.command("list")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000), help="How many.")
@click.option("--json", "as_json", is_flag=True, help="One JSON array.")
def list_(limit: int = 20, as_json: bool = False) -> None:
    """The newest runs first."""
    import msgspec

    from mooring.cli.rooms import PROJECT, with_rooms
    from mooring.core import ids
    from mooring.core.clock import to_datetime
    from mooring.core.money import show_usd
    from mooring.server.runs import show_run

    runs = with_rooms(lambda rooms: rooms.journal.list_runs(PROJECT, limit=limit))
    if as_json:
        click.echo(msgspec.json.encode([show_run(run) for run in runs]))
        return
    if not runs:
        click.echo("No runs yet. Start one: mooring run app.py")
    for run in runs:
        at = to_datetime(run.created_at_us).strftime("%Y-%m-%d %H:%M:%S")
        click.echo(f"{ids.show('run', run.id)}  {run.state:10} {at}  {show_usd(run.settled_nanos):>15}  {run.name}")


@runs_command.command("uncertain")
@click.option("--json", "as_json", is_flag=True, help="One JSON array.")
def uncertain(as_json: bool) -> None:
    """Calls that were in flight when their process died: nobody can know whether they happened."""
    import msgspec

    from mooring.cli.rooms import PROJECT, with_rooms
    from mooring.core import ids
    from mooring.core.money import show_usd

    calls = with_rooms(lambda rooms: rooms.journal.uncertain(PROJECT))
    if as_json:
        rows = [
            {
                "call_id": ids.show("call", found.call.id),
                "run_id": ids.show("run", found.call.run_id) if found.call.run_id else None,
                "kind": found.call.kind,
                "name": found.call.name,
                "held_nanos": found.call.held_nanos,
                "attempt_ids": [ids.show("att", attempt.id) for attempt in found.attempts],
            }
            for found in calls
        ]
        click.echo(msgspec.json.encode(rows))
        return
    if not calls:
        click.echo("Nothing is uncertain.")
    for found in calls:
        call = found.call
        run = ids.show("run", call.run_id) if call.run_id else "no run"
        click.echo(f"{ids.show('call', call.id)}  {call.kind:9} {call.name:24} held {show_usd(call.held_nanos)}  {run}")
    if calls:
        click.echo("Decide with: mooring runs resolve CALL --as completed|failed|retry")


@runs_command.command("resolve")
@click.argument("call_id")
@click.option(
    "--as", "decision", required=True, type=click.Choice(["completed", "failed", "retry"]), help="The decision."
)
@click.option("--result", default=None, help="With completed: the tool's result, as the model will read it.")
@click.option("--by", default="cli", show_default=True, help="Who decides; kept in the journal.")
def resolve(call_id: str, decision: str, result: str | None, by: str) -> None:
    """Decide about an uncertain call: it happened, it did not, or do it again."""
    from typing import Literal, cast

    from mooring.cli.rooms import PROJECT, with_rooms
    from mooring.core import ids

    if result is not None and decision != "completed":
        raise click.UsageError("--result goes with --as completed.")
    chosen = cast("Literal['completed', 'failed', 'retry']", decision)
    with_rooms(
        lambda rooms: rooms.journal.resolve_uncertain(
            PROJECT,
            ids.read("call", call_id),
            decision=chosen,
            result=result.encode() if result is not None else None,
            by=by,
        )
    )
    click.echo(f"{call_id}: {decision}. A run that waited for it goes on.")


@runs_command.command("resume")
@click.argument("run_id")
def resume(run_id: str) -> None:
    """Queue a run (run_… or last) that was set aside; a worker takes it."""
    from mooring.cli.rooms import PROJECT, find_run, with_rooms
    from mooring.core import ids
    from mooring.journal.records import RunRecord
    from mooring.wiring import Server

    async def work(rooms: Server) -> RunRecord:
        run = await find_run(rooms, run_id)
        await rooms.journal.resume_run(PROJECT, run.id)
        return await rooms.journal.get_run(PROJECT, run.id)

    run = with_rooms(work)
    click.echo(f"{ids.show('run', run.id)} is {run.state}.")


@runs_command.command("cancel")
@click.argument("run_id")
def cancel(run_id: str) -> None:
    """Stop a run (run_… or last) for good. One that is over stays what it is."""
    from mooring.cli.rooms import PROJECT, find_run, with_rooms
    from mooring.core import ids
    from mooring.journal.records import RunRecord
    from mooring.wiring import Server

    async def work(rooms: Server) -> RunRecord:
        run = await find_run(rooms, run_id)
        await rooms.journal.cancel_run(PROJECT, run.id)
        return await rooms.journal.get_run(PROJECT, run.id)

    run = with_rooms(work)
    click.echo(f"{ids.show('run', run.id)} is {run.state}.")
