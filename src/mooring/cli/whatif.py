"""`cost whatif`: what the recorded calls would have cost at another model's price."""

import click

from .output import Column, examples, json_option, note, print_json, print_table


@click.command(
    "whatif",
    epilog=examples(
        "mooring cost whatif openai/gpt-5-mini groq/llama-4-scout --since 7d",
        "mooring cost whatif --input-usd 0.10 --output-usd 0.40 --json",
    ),
)
@click.argument("models", metavar="[MODEL]…", nargs=-1)
@click.option("--project", default="default", show_default=True, help="Which project.")
@click.option("--since", default="7d", show_default=True, help="Only what was sent since: 24h, 7d, or a date.")
@click.option("--user", help="Only of this user.")
@click.option("--target", help="Only what this target answered, as provider/model.")
@click.option("--input-usd", help="A price of your own: dollars per million input tokens.")
@click.option("--output-usd", help="Dollars per million output tokens.")
@click.option("--cached-input-usd", help="Dollars per million cached input tokens.")
@json_option("since_us", "alternatives", "settled_nanos", "would_be_nanos", "left_out", "lines")
def whatif(
    models: tuple[str, ...],
    project: str,
    since: str,
    user: str | None,
    target: str | None,
    input_usd: str | None,
    output_usd: str | None,
    cached_input_usd: str | None,
    as_json: bool,
) -> None:
    """What the recorded chat calls would have cost at the price of each MODEL, or at one that you name."""
    from pydantic import ValidationError

    from mooring import config
    from mooring.cli.rooms import with_journal
    from mooring.core.clock import SystemClock
    from mooring.core.money import show_usd
    from mooring.gateway import whatif as pricing
    from mooring.tracing import asking

    if (input_usd is None) != (output_usd is None):
        raise click.UsageError("--input-usd and --output-usd go together.")
    if not models and input_usd is None:
        raise click.UsageError("Name a MODEL, such as openai/gpt-5-mini, or --input-usd and --output-usd.")
    now_us = SystemClock().now_us()
    since_us = asking.time_of(since, now_us, param="since")
    sheets = pricing.sheets_of(config.load().gateway, models, now_us)
    if input_usd is not None and output_usd is not None:
        try:
            sheets["your price"] = pricing.sheet_by_hand(input_usd, output_usd, cached_input_usd)
        except ValidationError:
            raise click.BadParameter("a price is a number of dollars, such as 0.25.") from None
    recorded, left_out = with_journal(lambda journal: journal.recorded_usage(project, since_us=since_us, user=user))
    found = pricing.lines([row for row in recorded if target in (None, row.target)], sheets)
    settled = sum(line.settled_nanos for line in found)
    totals = {name: pricing.total_of(found, name) for name in sheets}
    if as_json:
        shown = {"since_us": since_us, "alternatives": list(sheets), "settled_nanos": settled, "would_be_nanos": totals}
        print_json({**shown, "left_out": left_out, "lines": [line._asdict() for line in found]})
        return
    if not found:
        click.echo("No chat call was settled since then.")
        return

    def usd(nanos: int | None) -> str:
        return "unknown" if nanos is None else show_usd(nanos)

    print_table(
        (
            Column("target", is_flexible=True),
            *(Column(title, is_number=True) for title in ("attempts", "input", "output", "settled", *sheets)),
        ),
        [
            (
                line.target,
                str(line.attempts),
                str(line.usage.input_tokens),
                str(line.usage.output_tokens),
                show_usd(line.settled_nanos),
                *(usd(line.would_be_nanos[name]) for name in sheets),
            )
            for line in found
        ],
    )
    for name, total in totals.items():
        click.echo(_said(name, settled, total))
    if left_out:
        note(f"{left_out} attempts are left out: nobody knows yet what they metered. See: mooring cost reconcile")
    note("The tokens are those that were metered; another model's tokenizer and cache count the same text differently.")


def _said(name: str, settled: int, total: int | None) -> str:
    """`openai/gpt-5-mini: $0.012000000 instead of $0.040000000, 70 % less`."""
    from mooring.core.money import show_usd

    if total is None:
        return f"{name}: unknown; set its price: [gateway.providers.NAME.prices], or --input-usd and --output-usd."
    said = f"{name}: {show_usd(total)} instead of {show_usd(settled)}"
    if not settled or total == settled:
        return f"{said}."
    share = abs(total - settled) / settled
    return f"{said}, {share:.0%} {'less' if total < settled else 'more'}."
