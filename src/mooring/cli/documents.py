"""`ask` and `documents`: from a folder to a cited answer."""

import sys
from pathlib import Path

import click

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
    """Add, list and remove documents."""


@documents_command.command("add")
@click.argument("folder", type=click.Path(exists=True, path_type=Path))
@COLLECTION
def add_command(folder: Path, collection: str) -> None:
    """Read a FOLDER (or file) of text and Markdown. A second time costs nothing; what is gone disappears."""
    add(collection, folder)


def add(collection: str, folder: Path) -> None:
    from mooring.cli.rooms import PROJECT, with_rooms
    from mooring.rag import IngestReport, Outcome
    from mooring.wiring import Server

    async def show(outcome: Outcome) -> None:
        if outcome.state != "unchanged":
            reason = f": {outcome.reason}" if outcome.reason else ""
            click.echo(f"  {outcome.state:10} {outcome.path}{reason}", err=True)

    async def work(rooms: Server) -> IngestReport:
        rooms.database.require_space()
        return await rooms.rag.ingest(PROJECT, collection, folder, progress=show)

    report = with_rooms(work)
    click.echo(
        f"{collection}: {report.added} added, {report.changed} changed, {report.unchanged} unchanged, "
        f"{report.removed} removed, {len(report.unreadable)} unreadable; {report.chunks} passages",
        err=True,
    )


@documents_command.command("list")
@COLLECTION
def list_command(collection: str) -> None:
    """Every file that was met; the unreadable ones with their reasons."""
    from mooring.cli.rooms import PROJECT, with_rooms

    found = with_rooms(lambda rooms: rooms.rag.documents(PROJECT, collection))
    if not found:
        click.echo(f"No documents in {collection}. Add some: mooring documents add FOLDER")
    for document in found:
        state = f"unreadable: {document.reason}" if document.reason else f"{document.chunk_count} passages"
        click.echo(f"{document.path:50} {document.size_bytes:9} bytes  {state}")


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
