"""`trace`: what a run or a call did, step by step, and whether its parts reconcile."""

import sys

import click

from .completion import RUN_ID
from .output import examples, json_option, print_json


@click.command("trace", epilog=examples("mooring trace last --verify", "mooring trace call_01m… --json"))
@click.argument("subject", default="last", type=RUN_ID)
@click.option("--verify", is_flag=True, help="Check that the parts add up; exit 1 if they do not.")
@json_option("project", "trace_id", "run", "steps", "events", "total")
def trace_command(subject: str, verify: bool, as_json: bool) -> None:
    """Show SUBJECT: a run_…, a call_…, or `last`."""
    from mooring.cli.rooms import PROJECT, find_run, read_id, with_journal
    from mooring.journal.journal import Journal
    from mooring.tracing import render
    from mooring.tracing.tracing import Trace, Traces
    from mooring.tracing.verify import verify as check

    async def work(journal: Journal) -> Trace:
        traces = Traces(journal)
        if subject.startswith("call_"):
            return await traces.trace(PROJECT, call_id=read_id("call", subject))
        return await traces.trace(PROJECT, run_id=(await find_run(journal, subject)).id)

    trace = with_journal(work)
    if as_json:
        print_json(render.to_json(trace))
    else:
        render.to_terminal(trace)
    if verify:
        findings = check(trace)
        for finding in findings:
            click.echo(f"does not reconcile: {finding}", err=True)
        if findings:
            sys.exit(1)
        click.echo("verified: every part adds up to its whole", err=as_json)
