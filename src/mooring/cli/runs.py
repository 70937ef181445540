"""`runs`: what ran, what nobody can know, and a person's decision about it."""

from typing import TYPE_CHECKING

import click

from .completion import RUN_ID
from .output import Column, Listing, examples, json_option, many, note, print_json, print_table

if TYPE_CHECKING:
    from mooring.journal.records import RunRecord

RUN_FIELDS = ("id", "agent", "state", "input", "output", "error", "user", "session", "tags", "created_at_us")
COLUMNS = (
    Column("run"),
    Column("state"),
    Column("started (UTC)"),
    Column("cost", is_number=True),
    Column("agent", is_flexible=True),
)


@click.group(
    "runs",
    cls=Listing,
    epilog=examples(
        "mooring runs", "mooring runs --limit 5 --json", "mooring runs uncertain", "mooring runs cancel last"
    ),
)
def runs_command() -> None:
    """List runs; see and resolve uncertain calls."""


@runs_command.command(
    "list",
    epilog=examples("mooring runs list --limit 5", "mooring runs --user u_42 --since 24h", "mooring runs --json"),
)
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000), help="How many.")
@click.option("--user", help="Of this user.")
@click.option("--session", help="Of this session.")
@click.option("--tag", help="With this tag.")
@click.option("--agent", "model", help="Of this agent.")
@click.option("--state", help="In this state: queued, running, waiting, parked, completed, failed, cancelled.")
@click.option("--since", help="Made since: 24h, 7d, or a date.")
@json_option(*RUN_FIELDS, "settled_nanos", "held_nanos", is_list=True)
def list_(limit: int, as_json: bool, **asked: str | None) -> None:
    """The newest runs first, of those that match."""
    from mooring.cli.rooms import PROJECT, with_journal
    from mooring.core import ids
    from mooring.core.clock import SystemClock, to_datetime
    from mooring.core.money import show_usd
    from mooring.tracing import Traces, asking

    which = asking.filter_of(asked, SystemClock().now_us())
    runs = with_journal(lambda journal: Traces(journal).runs(PROJECT, which, limit=limit))
    if as_json:
        from mooring.server.runs import show_run

        print_json([show_run(run) for run in runs])
    elif not runs:
        click.echo("No run matches." if any(asked.values()) else "No runs yet. Start one: mooring run app.py")
    else:
        print_table(
            COLUMNS,
            [
                (
                    ids.show("run", run.id),
                    run.state,
                    f"{to_datetime(run.created_at_us):%Y-%m-%d %H:%M:%S}",
                    show_usd(run.settled_nanos),
                    run.name,
                )
                for run in runs
            ],
        )


@runs_command.command("uncertain", epilog=examples("mooring runs uncertain"))
@json_option("call_id", "run_id", "kind", "name", "held_nanos", "attempt_ids", is_list=True)
def uncertain(as_json: bool) -> None:
    """Calls that were in flight when their process died: nobody can know whether they happened."""
    from mooring.cli.rooms import PROJECT, with_journal
    from mooring.core import ids
    from mooring.core.money import show_usd

    calls = with_journal(lambda journal: journal.uncertain(PROJECT))
    if as_json:
        print_json(
            [
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
        )
    elif not calls:
        click.echo("Nothing is uncertain.")
    else:
        print_table(
            (
                Column("call"),
                Column("kind"),
                Column("name", is_flexible=True),
                Column("held", is_number=True),
                Column("run"),
            ),
            [
                (
                    ids.show("call", found.call.id),
                    found.call.kind,
                    found.call.name,
                    show_usd(found.call.held_nanos),
                    ids.show("run", found.call.run_id) if found.call.run_id else "",
                )
                for found in calls
            ],
        )
        note("Decide with: mooring runs resolve CALL --as completed|failed|retry")


@runs_command.command(
    "resolve",
    epilog=examples(
        "mooring runs resolve call_01m… --as retry",
        "mooring runs resolve call_01m… --as completed --result 'refunded'",
    ),
)
@click.argument("call_id")
@click.option(
    "--as", "decision", required=True, type=click.Choice(["completed", "failed", "retry"]), help="The decision."
)
@click.option("--result", default=None, help="With completed: the tool's result, as the model will read it.")
@click.option("--by", default="cli", show_default=True, help="Who decides; kept in the journal.")
@json_option("call_id", "decision", "by")
def resolve(call_id: str, decision: str, result: str | None, by: str, as_json: bool) -> None:
    """Decide about an uncertain call: it happened, it did not, or do it again."""
    from typing import Literal, cast

    from mooring.cli.rooms import PROJECT, read_id, with_journal

    if result is not None and decision != "completed":
        raise click.UsageError("--result goes with --as completed.")
    call = read_id("call", call_id)
    chosen = cast("Literal['completed', 'failed', 'retry']", decision)
    with_journal(
        lambda journal: journal.resolve_uncertain(
            PROJECT, call, decision=chosen, result=result.encode() if result is not None else None, by=by
        )
    )
    if as_json:
        print_json({"call_id": call_id, "decision": decision, "by": by})
    else:
        click.echo(f"{call_id}: {decision}. A run that waited for it goes on.")


@runs_command.command("resume", epilog=examples("mooring runs resume last"))
@click.argument("run_id", type=RUN_ID)
@json_option(*RUN_FIELDS)
def resume(run_id: str, as_json: bool) -> None:
    """Queue a run (run_… or last) that was set aside; a worker takes it."""
    from mooring.cli.rooms import PROJECT, find_run, with_journal
    from mooring.journal.journal import Journal
    from mooring.journal.records import RunRecord

    async def work(journal: Journal) -> RunRecord:
        run = await find_run(journal, run_id)
        await journal.resume_run(PROJECT, run.id)
        return await journal.get_run(PROJECT, run.id)

    show_one(with_journal(work), as_json=as_json)


@runs_command.command("cancel", epilog=examples("mooring runs cancel last"))
@click.argument("run_id", type=RUN_ID)
@json_option(*RUN_FIELDS)
def cancel(run_id: str, as_json: bool) -> None:
    """Stop a run (run_… or last) for good. One that is over stays what it is."""
    from mooring.cli.rooms import PROJECT, find_run, with_journal
    from mooring.journal.journal import Journal
    from mooring.journal.records import RunRecord

    async def work(journal: Journal) -> RunRecord:
        run = await find_run(journal, run_id)
        await journal.cancel_run(PROJECT, run.id)
        return await journal.get_run(PROJECT, run.id)

    show_one(with_journal(work), as_json=as_json)


def show_one(run: "RunRecord", *, as_json: bool) -> None:
    """Where a run stands now."""
    from mooring.core import ids

    if as_json:
        from mooring.server.runs import show_run

        print_json(show_run(run))
    else:
        click.echo(f"{ids.show('run', run.id)} is {run.state}.")


@runs_command.command("forget", epilog=examples("mooring runs forget last", "mooring runs forget --user u_42 --vacuum"))
@click.argument("run_id", required=False, type=RUN_ID)
@click.option("--user", default=None, help="Everything of this user, whatever the run.")
@click.option("--project", default="default", show_default=True, help="Of which project.")
@click.option(
    "--vacuum", is_flag=True, help="Rewrite the database's file too: needs its size as free space; writers wait."
)
@json_option("payloads", "runs", "blobs")
def forget(run_id: str | None, user: str | None, project: str, vacuum: bool, as_json: bool) -> None:
    """Take out for good what was said: of a run (run_… or last), or of a user. What it cost stays."""
    from mooring.cli.rooms import find_run, with_rooms
    from mooring.journal.retention import Gone
    from mooring.wiring import Server

    if (run_id is None) == (user is None):
        raise click.UsageError("Name a run, or --user.")

    async def work(rooms: Server) -> Gone:
        if user is not None:
            gone = await rooms.journal.forget_user(project, user)
        else:
            assert run_id is not None
            gone = await rooms.journal.forget_run(project, (await find_run(rooms.journal, run_id)).id)
        await rooms.projector.catch_up()
        await rooms.spans.scrub(is_whole=vacuum)
        rooms.database.scrub(is_whole=vacuum)
        return gone

    gone = with_rooms(work)
    if as_json:
        print_json({"payloads": gone.payloads, "runs": gone.runs, "blobs": gone.blobs})
        return
    parts = [many(gone.payloads, "call"), many(gone.runs, "run"), many(gone.blobs, "blob")]
    click.echo(f"Forgotten: what was said in {parts[0]} and {parts[1]}, and {parts[2]}.")
    if not vacuum:
        note("Backups still hold it. Remains of earlier versions of rows leave the file with --vacuum.")
    else:
        note("Backups still hold it.")
