"""`demo`: the tour."""

from pathlib import Path

import click

from .output import examples, is_terminal, json_option, print_json


@click.command("demo", epilog=examples("mooring demo", "mooring demo --docs handbook/ --once"))
@click.option("--once", is_flag=True, help="End after the tour; exit 1 if a step did not hold.")
@click.option(
    "--docs", type=click.Path(exists=True, path_type=Path), default=None, help="Your folder instead of the sample."
)
@json_option("holds", "told")
def demo_command(once: bool, docs: Path | None, as_json: bool) -> None:
    """Start everything, tell what really happens, keep serving."""
    import contextlib
    import sys
    import time

    started_at = time.monotonic()
    from mooring.cli.documents import _progress
    from mooring.cli.keys import sign_in_link
    from mooring.cli.up import prepare_process
    from mooring.demo import demo
    from mooring.demo.tour import Tour
    from mooring.storage import Home

    if as_json and not once:
        raise click.UsageError("--json goes with --once: a tour that keeps serving has no end.")
    told: list[str] = []
    prepare_process()
    running = demo.start(Home.locate(), log=lambda line: click.echo(line, err=True))
    try:
        has_bar = docs is not None and is_terminal(sys.stderr)
        with running.up.supervisor.tended(), _progress() if has_bar else contextlib.nullcontext() as progress:
            folder, say = docs.resolve() if docs else None, told.append if as_json else click.echo
            Tour(running, say, docs=folder, progress=progress, started_at=started_at).walk()
        if as_json:
            print_json({"holds": True, "told": told})
        if once:
            return
        link = sign_in_link(running.config, running.home, running.up.endpoint.url, to="/ui/tour")
        click.echo(f"All of it as pages (the link signs you in, once): {link}")
        key = demo.client_key(running)
        click.echo("It keeps serving; Ctrl-C ends it. Try:")
        click.echo(
            f"  curl -s {running.up.endpoint.url}/v1/chat/completions -H 'Authorization: Bearer {key}' \\\n"
            """    -d '{"model": "sim/echo", "messages": [{"role": "user", "content": "Hello"}]}'"""
        )
        running.up.supervisor.run()
    finally:
        running.up.stop()
