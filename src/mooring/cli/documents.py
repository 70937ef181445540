"""`ask` and `documents`: from a folder to a cited answer."""

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mooring.rag import IngestReport, Outcome
    from mooring.rag.ingest import Progress

COLLECTION = click.option("--collection", default="default", show_default=True, help="Which documents.")


@click.command("ask")
@click.argument("question")
@COLLECTION
@click.option("--docs", type=click.Path(exists=True, path_type=Path), default=None, help="Read this folder first.")
@click.option("--model", default=None, help="Which model answers; without one, [rag] model.")
@click.option("--json", "as_json", is_flag=True, help="The answer with citations and hits as JSON.")
def ask_command(question: str, collection: str, docs: Path | None, model: str | None, as_json: bool) -> None:
    """Ask a QUESTION about documents; the answer cites file, section and characters. Exit 1 if they do not say."""
    import msgspec

    from mooring.client import Client
    from mooring.server.collections import show_answer

    if docs is not None:
        add(collection, docs)
    with Client() as client:
        answer = client.ask(question, collection=collection, model=model)
    if as_json:
        click.echo(msgspec.json.encode(show_answer(answer)))
    else:
        click.echo(answer.text)
        for citation in answer.citations:
            section = f" § {citation.section}" if citation.section else ""
            click.echo(f"  [{citation.number}] {citation.path}{section}, characters {citation.start}-{citation.end}")
    sys.exit(0 if answer.is_answered else 1)


@click.group("documents")
def documents_command() -> None:
    """Read folders of documents; list and remove what was read."""


@documents_command.command("add")
@click.argument("folder", type=click.Path(exists=True, path_type=Path))
@COLLECTION
@click.option("--json", "as_json", is_flag=True, help="The report as JSON.")
def add_command(folder: Path, collection: str, as_json: bool) -> None:
    """Read a FOLDER (or file) of text, Markdown, HTML and PDF. A second time costs nothing; what is gone disappears."""
    import msgspec

    report = add(collection, folder)
    if as_json:
        click.echo(msgspec.json.encode(report))


def add(collection: str, folder: Path) -> "IngestReport":
    from mooring.cli.rooms import PROJECT, with_rooms
    from mooring.wiring import Server

    with _progress() as show:

        async def work(rooms: Server) -> "IngestReport":
            rooms.database.require_space()
            return await rooms.rag.ingest(PROJECT, collection, folder, progress=show)

        report = with_rooms(work)
    click.echo(
        f"{collection}: {report.added} added, {report.changed} changed, {report.unchanged} unchanged, "
        f"{report.removed} removed, {len(report.unreadable)} unreadable; "
        f"{report.chunks} passages, {report.embedded} embedded",
        err=True,
    )
    if report.unembedded_reason:
        click.echo(f"Passages without vectors are found by their words only: {report.unembedded_reason}", err=True)
    return report


@contextlib.contextmanager
def _progress() -> "Iterator[Progress]":
    """On a terminal a bar over files, then one over passages; what is new or odd is a line, there and elsewhere."""
    from mooring.rag import Outcome

    if not sys.stderr.isatty():

        async def tell(outcome: Outcome) -> None:
            for line in _lines(outcome):
                click.echo(line, err=True)

        yield tell
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description:10}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, TextColumn("{task.fields[path]}"), console=Console(stderr=True), transient=True) as bars:
        tasks = {name: bars.add_task(name, total=None, visible=False, path="") for name in ("reading", "embedding")}

        async def draw(outcome: Outcome) -> None:
            if outcome.total:
                task = tasks["embedding" if outcome.state == "embedded" else "reading"]
                bars.update(task, total=outcome.total, completed=outcome.done, path=outcome.path[-40:], visible=True)
            for line in _lines(outcome):
                bars.console.print(line, markup=False, highlight=False)

        yield draw


def _lines(outcome: "Outcome") -> "Iterator[str]":
    """What a person is told of a file: nothing of those that are as they were."""
    if outcome.state not in ("unchanged", "embedded"):
        yield f"  {outcome.state:10} {outcome.path}" + (f": {outcome.reason}" if outcome.reason else "")
        for note in outcome.notes:
            yield f"  {'':10} {outcome.path}: {note}"


@documents_command.command("list")
@COLLECTION
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def list_command(collection: str, as_json: bool) -> None:
    """Every file that was met; the unreadable ones with their reasons."""
    from mooring.cli.rooms import PROJECT, with_rooms

    found = with_rooms(lambda rooms: rooms.rag.documents(PROJECT, collection))
    if as_json:
        import msgspec

        from mooring.server.collections import show_document

        click.echo(msgspec.json.encode([show_document(document) for document in found]))
        return
    if not found:
        click.echo(f"No documents in {collection}. Add some: mooring documents add FOLDER")
    for document in found:
        state = f"unreadable: {document.reason}" if document.reason else f"{document.chunk_count} passages"
        if document.embedded_count < document.chunk_count:
            state += f", {document.embedded_count} embedded"
        notes = "".join(f"; {note}" for note in document.notes)
        click.echo(f"{document.path:50} {document.size_bytes:9} bytes  {state}{notes}")


@documents_command.command("remove")
@click.argument("name")
@COLLECTION
def remove_command(name: str, collection: str) -> None:
    """Forget the documents of NAME: a path as `list` shows it, or a folder that was added. The files stay."""
    from mooring.cli.rooms import PROJECT, with_rooms
    from mooring.core.errors import NotFound
    from mooring.wiring import Server

    folder = str(Path(name).absolute())

    async def work(rooms: Server) -> int:
        removed = await rooms.rag.remove(PROJECT, collection, name)
        return removed or await rooms.rag.remove(PROJECT, collection, folder)

    removed = with_rooms(work)
    if not removed:
        raise NotFound(f"'{collection}' has no document '{name}'.", hint="List them: mooring documents list")
    click.echo(f"{removed} removed from {collection}.")
