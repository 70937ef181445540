"""`trace`: what a run or a call did, step by step, whether its parts reconcile, and which traces there are."""

import sys
from typing import TYPE_CHECKING

import click

from .completion import RUN_ID
from .output import Column, Listing, examples, json_option, note, print_json, print_table
from .progress import bar

if TYPE_CHECKING:
    from mooring.tracing.tracing import Trace
    from mooring.tracing.traffic import Report
    from mooring.tracing.verify import Finding

COLUMNS = (
    Column("trace"),
    Column("state"),
    Column("started (UTC)"),
    Column("calls", is_number=True),
    Column("cost", is_number=True),
    Column("what", is_flexible=True),
)


class TraceVerbs(Listing):
    """`mooring trace run_…` is `mooring trace show run_…`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and not args[0].startswith("-") and args[0] not in self.commands:
            args = [self.default, *args]
        return super().parse_args(ctx, args)


@click.group(
    "trace",
    cls=TraceVerbs,
    default="show",
    epilog=examples(
        "mooring trace",
        "mooring trace last --verify",
        "mooring trace call_01m… --json",
        "mooring trace list --user u_42",
    ),
)
def trace_command() -> None:
    """Show what a run or a call did, and what it cost.

    `mooring trace ID` is short for `mooring trace show ID`.
    """


@trace_command.command("show", epilog=examples("mooring trace last --verify", "mooring trace call_01m… --json"))
@click.argument("subject", default="last", type=RUN_ID)
@click.option("--verify", is_flag=True, help="Check that the parts add up; exit 1 if they do not.")
@click.option("--traffic", "has_traffic", is_flag=True, help="Bytes by hop, and what was sent again.")
@click.option("--all", "is_whole", is_flag=True, help="Every call of a long trace.")
@json_option("project", "trace_id", "run", "steps", "events", "foreign", "total")
def show(subject: str, verify: bool, has_traffic: bool, is_whole: bool, as_json: bool) -> None:
    """Show SUBJECT: a run_…, a call_…, a trace id, or `last`."""
    from mooring.cli.rooms import PROJECT, with_traces
    from mooring.core.errors import NotFound
    from mooring.tracing import data, render, traffic
    from mooring.tracing.tracing import Trace, Traces
    from mooring.tracing.verify import verify as check

    async def work(traces: Traces) -> Trace:
        if subject != "last":
            return await traces.named(PROJECT, subject)
        last = await traces.last(PROJECT)
        if last is None:
            raise NotFound("There is no run yet.", hint="Start one: mooring run app.py")
        return last

    trace = with_traces(work)
    moved = traffic_of(trace) if has_traffic else None
    if as_json:
        print_json({**data.to_json(trace), **({"traffic": traffic.to_json(moved)} if moved else {})})
    else:
        render.to_terminal(trace, is_whole=is_whole)
        for line in traffic.to_text(moved) if moved else ():
            click.echo(line)
    if verify:
        findings = check(trace) + planes_of(trace)
        for finding in findings:
            click.echo(f"does not reconcile: {finding}", err=True)
        if findings:
            sys.exit(1)
        click.echo("verified: every part adds up to its whole", err=as_json)


def planes_of(trace: "Trace") -> "list[Finding]":
    """What differs between the journal and what follows it, once that has caught up."""
    from mooring.cli.rooms import with_rooms
    from mooring.tracing.planes import verify_planes
    from mooring.wiring import Server

    async def work(rooms: Server) -> "list[Finding]":
        await rooms.projector.catch_up()
        return await verify_planes(rooms.journal, rooms.spans, trace)

    return with_rooms(work, makes_home=False)


def traffic_of(trace: "Trace") -> "Report":
    """Bytes by hop; what the edge has counted is read first."""
    from mooring.cli.rooms import with_rooms
    from mooring.tracing.traffic import report
    from mooring.wiring import Server

    async def work(rooms: Server) -> "Report":
        await rooms.projector.catch_up()
        return await report(rooms.journal, rooms.spans, rooms.blobs, trace)

    return with_rooms(work, makes_home=False)


@trace_command.command("list", epilog=examples("mooring trace list --tag web --state failed --since 24h"))
@click.option("--user", help="Of this user.")
@click.option("--session", help="Of this session.")
@click.option("--tag", help="With this tag.")
@click.option("--model", help="That called this model, agent, tool or collection.")
@click.option("--state", help="With a call or run in this state: completed, failed, blocked, uncertain, …")
@click.option("--text", help="In which all these words were said, asked or answered.")
@click.option("--since", help="Not over before: 30m, 24h, 7d, or a date.")
@click.option("--before", help="The `next` of the page before.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000), help="How many.")
@json_option("data", "next")
def list_(limit: int, before: str | None, as_json: bool, **asked: str | None) -> None:
    """The newest traces first, of those that match."""
    from mooring.cli.rooms import PROJECT, with_rooms
    from mooring.core.money import show_usd
    from mooring.tracing import asking, data
    from mooring.tracing.spans import Page
    from mooring.wiring import Server

    try:
        place = bytes.fromhex(before or "") or None
    except ValueError:
        raise click.BadParameter(f"'{before}' is no place in a list.", param_hint="--before") from None

    async def work(rooms: Server) -> Page:
        which = asking.filter_of(asked, rooms.clock.now_us())
        await rooms.projector.catch_up()
        return await rooms.spans.page(PROJECT, which, limit=limit, before=place)

    page = with_rooms(work, makes_home=False)
    if as_json:
        shown = [data.summary_json(one) for one in page.traces]
        print_json({"data": shown, "next": page.next.hex() if page.next else None})
    elif not page.traces:
        click.echo("No trace matches." if any(asked.values()) else "No traces yet. Call a model: mooring ask …")
    else:
        print_table(
            COLUMNS,
            [
                (
                    data.name_of(one),
                    one.state,
                    data.moment(one.started_at_us),
                    f"{one.calls:,}",
                    show_usd(one.settled_nanos),
                    " ".join(filter(None, (one.kind, one.name, one.user, one.session, *map("#{}".format, one.tags)))),
                )
                for one in page.traces
            ],
        )
    if page.next and not as_json:
        note(f"More: add --before {page.next.hex()}")


@trace_command.command("rebuild", epilog=examples("mooring trace rebuild"))
@json_option("read")
def rebuild(as_json: bool) -> None:
    """Make the spans anew from the journal. What runs goes on running."""
    from mooring.cli.rooms import with_rooms

    with bar("Reading the journal", "calls and runs") as advance:
        read = with_rooms(lambda rooms: rooms.projector.rebuild(lambda done: advance(done, 0)), makes_home=False)
    if as_json:
        print_json({"read": read})
    else:
        click.echo(f"{read:,} calls and runs read; their spans are new.")
