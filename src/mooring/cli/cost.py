"""`cost`: the bill, budgets, and what the provider's export says."""

from pathlib import Path
from typing import Any

import click

from .exits import Exit
from .output import Column, Listing, examples, json_option, many, note, print_json, print_table
from .savings import savings
from .whatif import whatif

PROJECT_OPTION = click.option("--project", default="default", show_default=True, help="Which project.")
BUDGET_FIELDS = (
    "id",
    "scope",
    "subject",
    "window",
    "cap_nanos",
    "settled_nanos",
    "held_nanos",
    "starts_at_us",
    "removed_at_us",
)


@click.group(
    "cost",
    cls=Listing,
    default="report",
    epilog=examples("mooring cost", "mooring cost budget 25 --window month", "mooring cost reconcile usage.csv"),
)
def cost_command() -> None:
    """The bill; budgets; reconcile with the provider's export."""


@cost_command.command(
    "report",
    epilog=examples("mooring cost report", "mooring cost --by user --since 7d", "mooring cost --session s_9 --json"),
)
@PROJECT_OPTION
@click.option(
    "--by",
    "group_by",
    type=click.Choice(["user", "model", "tag", "session", "key", "target", "day"]),
    help="Sums by this, dearest first; a call with two tags counts in both.",
)
@click.option("--since", help="Only what was sent since: 24h, 7d, or a date.")
@click.option("--user", help="Only of this user.")
@click.option("--session", help="Only of this session.")
@click.option("--tag", help="Only with this tag.")
@click.option("--model", help="Only of calls to this model or tool.")
@json_option("settled_nanos", "held_nanos", "lines")
def report(project: str, group_by: str | None, as_json: bool, **asked: str | None) -> None:
    """What was spent, by target; what may still be owed is held."""
    from mooring.cli.rooms import with_journal
    from mooring.core.money import show_usd

    if group_by is not None or any(asked.values()):
        report_by(project, group_by or "target", asked, as_json=as_json)
        return
    bill = with_journal(lambda journal: journal.bill(project))
    if as_json:
        print_json(bill)
        return
    if bill.lines:
        print_table(
            (
                Column("target", is_flexible=True),
                *(Column(title, is_number=True) for title in ("attempts", "input", "output", "settled", "held")),
            ),
            [
                (
                    line.target,
                    str(line.attempts),
                    str(line.usage.input_tokens),
                    str(line.usage.output_tokens),
                    show_usd(line.settled_nanos),
                    show_usd(line.held_nanos) if line.held_nanos else "",
                )
                for line in bill.lines
            ],
        )
    click.echo(f"settled {show_usd(bill.settled_nanos)}, held {show_usd(bill.held_nanos)}")


def report_by(project: str, group_by: str, asked: dict[str, str | None], *, as_json: bool) -> None:
    """The ledger's sums by user, model, tag, session, key, target or day."""
    from mooring.cli.rooms import with_journal
    from mooring.core.clock import SystemClock
    from mooring.core.money import show_usd
    from mooring.tracing import Traces, asking, data

    which = asking.filter_of(asked, SystemClock().now_us())

    groups = with_journal(lambda journal: Traces(journal).bill_by(project, asking.group_of(group_by), which))
    # Not the sum of the lines: a call with two tags is in two of them.
    whole = with_journal(lambda journal: Traces(journal).bill_by(project, "project", which))
    settled, held = sum(one.settled_nanos for one in whole), sum(one.held_nanos for one in whole)
    if as_json:
        lines = [data.group_json(one) for one in groups]
        print_json({"settled_nanos": settled, "held_nanos": held, "lines": lines})
    elif not groups:
        click.echo("Nothing was spent.")
    else:
        print_table(
            (
                Column(group_by, is_flexible=True),
                *(Column(title, is_number=True) for title in ("calls", "input", "output", "settled", "held")),
            ),
            [
                (
                    one.value or "(none)",
                    str(one.calls),
                    str(one.input_tokens),
                    str(one.output_tokens),
                    show_usd(one.settled_nanos),
                    show_usd(one.held_nanos) if one.held_nanos else "",
                )
                for one in groups
            ],
        )
        click.echo(f"settled {show_usd(settled)}, held {show_usd(held)}")


@cost_command.command(
    "budget",
    epilog=examples(
        "mooring cost budget 25",
        "mooring cost budget 0.50 --scope user --subject u_42 --window day --json",
        "mooring cost budget none --scope user --subject u_42 --window day",
    ),
)
@click.argument("cap_usd")
@PROJECT_OPTION
@click.option(
    "--scope",
    default="project",
    show_default=True,
    type=click.Choice(["project", "key", "user", "model", "tag", "run"]),
    help="What the cap is for.",
)
@click.option("--subject", default="", help="Which key, user, model, tag or run; empty for the project.")
@click.option(
    "--window",
    default="month",
    show_default=True,
    type=click.Choice(["hour", "day", "week", "month", "total"]),
    help="How long until the cap is full again (UTC).",
)
@json_option("id", "scope", "subject", "window", "cap_nanos")
def budget(cap_usd: str, project: str, scope: str, subject: str, window: str, as_json: bool) -> None:
    """Set a cap of CAP_USD dollars, or remove it by `none`. It cannot be overshot: each call reserves its maximum."""
    from mooring.cli.rooms import with_rooms
    from mooring.core import ids
    from mooring.core.money import amount, show_usd

    try:
        cap = None if cap_usd == "none" else amount(cap_usd)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    if bool(subject) == (scope == "project"):
        raise click.UsageError(
            "--subject is for a scope beside project." if subject else f"Which {scope}? Name it with --subject."
        )
    which: dict[str, Any] = {"scope": scope, "subject": subject, "window": window}
    budget_id = with_rooms(
        lambda rooms: (
            rooms.journal.remove_budget(project, **which)
            if cap is None
            else rooms.journal.put_budget(project, **which, cap_nanos=cap)
        )
    )
    name = f"{scope} {subject}".strip()
    if as_json:
        print_json({"id": ids.show("bud", budget_id), **which, "cap_nanos": cap})
    elif cap is None:
        click.echo(f"{name} has no budget per {window} any more.")
    else:
        click.echo(f"{name} may spend {show_usd(cap)} per {window}.")


@cost_command.command("budgets", epilog=examples("mooring cost budgets"))
@PROJECT_OPTION
@click.option("--removed", "is_removed", is_flag=True, help="Those that were removed, the last ones first.")
@json_option(*BUDGET_FIELDS, is_list=True)
def budgets(project: str, is_removed: bool, as_json: bool) -> None:
    """The caps, and where each window stands."""
    from mooring.cli.rooms import with_journal
    from mooring.core import ids
    from mooring.core.money import show_usd

    found = with_journal(lambda journal: journal.removed_budgets(project) if is_removed else journal.budgets(project))
    if as_json:
        shown = [{name: getattr(row, name) for name in BUDGET_FIELDS} for row in found]
        print_json([{**fields, "id": ids.show("bud", fields["id"])} for fields in shown])
    elif not found:
        click.echo(
            "No budget was removed."
            if is_removed
            else "No budget is set. Set one: mooring cost budget 25 --window month"
        )
    else:
        titles = ("settled", "held", "cap")
        print_table(
            (
                Column("scope"),
                Column("subject", is_flexible=True),
                Column("window"),
                *(Column(title, is_number=True) for title in titles),
            ),
            [
                (
                    row.scope,
                    row.subject or "(all)",
                    row.window,
                    *map(show_usd, (row.settled_nanos, row.held_nanos, row.cap_nanos)),
                )
                for row in found
            ],
        )


@cost_command.command("reconcile", epilog=examples("mooring cost reconcile usage.csv --complete"))
@click.argument("export", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@PROJECT_OPTION
@click.option(
    "--complete",
    is_flag=True,
    help="The export names every request so far: what is held and not in it cost nothing, and is released.",
)
@json_option("rows", "settled", "settled_nanos", "differing", "missing", "unknown")
@click.pass_context
def reconcile(context: click.Context, export: Path, project: str, complete: bool, as_json: bool) -> None:
    """Settle what is held from the provider's EXPORT (CSV), and compare the rest. Exit 1 if amounts differ."""
    from mooring.cli.progress import bar
    from mooring.cli.rooms import with_journal
    from mooring.core import ids
    from mooring.core.money import show_usd
    from mooring.gateway.reconcile import parse_csv

    until_us = round(export.stat().st_mtime * 1e6)
    with bar("reconciling", "rows"):  # one transaction: it moves, and nobody can say how far it is
        usages = parse_csv(export.read_text(encoding="utf-8", errors="replace"))
        found = with_journal(
            lambda journal: journal.reconcile(project, usages, is_complete_until_us=until_us if complete else None)
        )
    differing = [
        {
            "attempt_id": ids.show("att", one.attempt_id),
            "settled_nanos": one.settled_nanos,
            "metered_nanos": one.metered_nanos,
        }
        for one in found.differing
    ]
    if as_json:
        print_json(
            {
                "rows": len(usages),
                "settled": found.settled,
                "settled_nanos": found.settled_nanos,
                "differing": differing,
                "missing": [ids.show("att", attempt_id) for attempt_id in found.missing],
                "unknown": found.unknown,
            }
        )
        context.exit(Exit.FAILED if differing else Exit.DONE)
    settled = f"{many(found.settled, 'held attempt')} settled at {show_usd(found.settled_nanos)}"
    click.echo(f"{many(len(usages), 'row')} read; {settled}.")
    for one in found.differing:
        shown = ids.show("att", one.attempt_id)
        click.echo(f"{shown}: settled {show_usd(one.settled_nanos)}, metered {show_usd(one.metered_nanos)}")
    if found.missing:
        click.echo(f"Held and not in the export: {many(len(found.missing), 'attempt')}, which may still be owed.")
    if found.unknown:
        click.echo(
            f"In the export and not in the journal: {many(len(found.unknown), 'row')}: {', '.join(found.unknown[:5])}"
        )
    if differing:
        note("Ask the provider about them: what was settled is what its answers said.")
    context.exit(Exit.FAILED if differing else Exit.DONE)


cost_command.add_command(whatif)
cost_command.add_command(savings)
