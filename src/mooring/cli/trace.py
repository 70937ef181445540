"""`trace`: what a run or a call did, step by step, and whether its parts reconcile."""

import sys

import click


@click.command("trace")
@click.argument("subject", default="last")
@click.option("--verify", is_flag=True, help="Check that the parts add up; exit 1 if they do not.")
@click.option("--json", "as_json", is_flag=True, help="The trace as JSON.")
def trace_command(subject: str, verify: bool, as_json: bool) -> None:
    """Show SUBJECT: a run_…, a call_…, or `last`."""
    import msgspec

    from mooring.cli.rooms import PROJECT, find_run, with_rooms
    from mooring.core import ids
    from mooring.tracing import render
    from mooring.tracing.tracing import Trace, Traces
    from mooring.tracing.verify import verify as check
    from mooring.wiring import Server

    async def work(rooms: Server) -> Trace:
        traces = Traces(rooms.journal)
        if subject.startswith("call_"):
            return await traces.trace(PROJECT, call_id=ids.read("call", subject))
        return await traces.trace(PROJECT, run_id=(await find_run(rooms, subject)).id)

    trace = with_rooms(work)
    if as_json:
        click.echo(msgspec.json.encode(render.to_json(trace)))
    else:
        render.to_terminal(trace)
    if verify:
        findings = check(trace)
        for finding in findings:
            click.echo(f"does not reconcile: {finding}", err=True)
        if findings:
            sys.exit(1)
        click.echo("verified: every part adds up to its whole", err=as_json)
