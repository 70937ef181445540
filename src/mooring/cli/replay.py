"""`replay`: a recorded run again, offline."""

import click

from .completion import RUN_ID
from .exits import Exit
from .output import examples, json_option, print_json


@click.command("replay", epilog=examples("mooring replay last --verify", "mooring replay run_01m… --json"))
@click.argument("run_id", default="last", type=RUN_ID)
@click.option(
    "--verify", is_flag=True, help="Exit 1 unless every event came out the same and the run's end was reached."
)
@json_option("run_id", "is_identical", "is_whole", "events", "model_steps", "tool_steps")
@click.pass_context
def replay_command(context: click.Context, run_id: str, verify: bool, as_json: bool) -> None:
    """Run RUN_ID (or `last`) again from its journal: no model, no tool, no network."""
    from mooring.agents import AgentRunner, ReplayReport, replay
    from mooring.agents.replay import Restore
    from mooring.cli.rooms import PROJECT, find_run, is_configured, with_journal, with_rooms
    from mooring.client import AsyncClient
    from mooring.journal.journal import Journal

    async def work(journal: Journal, restore: Restore | None = None) -> ReplayReport:
        run = await find_run(journal, run_id)
        return await replay(journal, PROJECT, run.id, AgentRunner(journal, AsyncClient), restore=restore)

    if is_configured():  # guards may have put marks into the answers
        report = with_rooms(lambda rooms: work(rooms.journal, rooms.gateway.restored), makes_home=False)
    else:
        report = with_journal(work)
    if as_json:
        print_json(report)
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
        context.exit(Exit.FAILED)
