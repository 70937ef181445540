"""`cost savings`: what caches have saved."""

import click

from .output import Column, examples, json_option, note, print_json, print_table


@click.command("savings", epilog=examples("mooring cost savings", "mooring cost savings --since 24h --json"))
@click.option("--project", default="default", show_default=True, help="Which project.")
@click.option("--since", default="7d", show_default=True, help="Only what was sent since: 24h, 7d, or a date.")
@json_option("saved_nanos", "answers", "answers_saved_nanos", "answers_by_meaning", "vectors_nanos", "lines")
def savings(project: str, since: str, as_json: bool) -> None:
    """What the vendors' caches and answers given again have saved, by the prices that were paid."""
    from mooring.cli.rooms import with_journal
    from mooring.core.clock import SystemClock
    from mooring.core.money import show_usd
    from mooring.journal import savings as view
    from mooring.tracing import asking

    since_us = asking.time_of(since, SystemClock().now_us(), param="since")
    found = with_journal(lambda journal: journal.read(lambda tx: view.savings(tx, project, since_us)))
    if as_json:
        print_json(
            {"saved_nanos": found.saved_nanos, **found._asdict(), "lines": [one._asdict() for one in found.lines]}
        )
        return
    if found.lines:
        numbers = ("attempts", "read", "written", "saved")
        print_table(
            (Column("target", is_flexible=True), *(Column(title, is_number=True) for title in numbers)),
            [
                (
                    one.target,
                    str(one.attempts),
                    str(one.read_tokens),
                    str(one.written_tokens),
                    show_usd(one.saved_nanos),
                )
                for one in found.lines
            ],
        )
    click.echo(f"{found.answers} answers given again saved {show_usd(found.answers_saved_nanos)}.")
    if found.answers_by_meaning or found.vectors_nanos:
        click.echo(
            f"{found.answers_by_meaning} of them were to questions in other words; finding them cost"
            f" {show_usd(found.vectors_nanos)}."
        )
    click.echo(f"Saved {show_usd(found.saved_nanos)} in all.")
    if not found.saved_nanos:
        note("A model's cache_seconds and cache_marks save where requests repeat: see docs/how-to/cache-answers.md.")
