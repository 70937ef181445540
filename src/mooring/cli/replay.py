"""`replay`: a recorded run again, offline."""

import sys

import click


@click.command("replay")
@click.argument("run_id", default="last")
@click.option(
    "--verify", is_flag=True, help="Exit 1 unless every event came out the same and the run's end was reached."
)
@click.option("--json", "as_json", is_flag=True, help="The report as JSON.")
def replay_command(run_id: str, verify: bool, as_json: bool) -> None:
    """Run RUN_ID (or `last`) again from its journal: no model, no tool, no network."""
    import msgspec

    from mooring.agents import AgentHandler, ReplayReport, replay
    from mooring.cli.rooms import PROJECT, find_run, with_rooms
    from mooring.client import AsyncClient
    from mooring.wiring import Server

    async def work(rooms: Server) -> ReplayReport:
        handler = AgentHandler(rooms.journal, AsyncClient)
        return await replay(rooms.journal, PROJECT, (await find_run(rooms, run_id)).id, handler)

    report = with_rooms(work)
    if as_json:
        click.echo(msgspec.json.encode(report))
    else:
        click.echo(
            f"{report.run_id}: {report.events} events compared, {report.model_steps} model steps and "
            f"{report.tool_steps} tool steps answered by the journal"
        )
        if report.divergence is not None:
            found = report.divergence
            click.echo(f"first {found.reason} step: {found.step}: {found.message}")
            if found.recorded or found.replayed:
                click.echo(f"  recorded: {found.recorded}\n  replayed: {found.replayed}")
        else:
            click.echo("identical" if report.is_whole else "identical so far; the run was not over")
    if verify and not (report.is_identical and report.is_whole):
        sys.exit(1)
