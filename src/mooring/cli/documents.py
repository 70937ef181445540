"""`ask` and `documents`: from a folder to a cited answer."""

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .completion import MODEL_NAME
from .exits import Exit
from .output import Column, Listing, examples, is_terminal, json_option, note, print_json, print_table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mooring.rag import IngestReport, Outcome
    from mooring.rag.ingest import Progress

COLLECTION = click.option("--collection", default="default", show_default=True, help="Which documents.")


DOCUMENT_FIELDS = ("id", "path", "source", "state", "reason", "size_bytes", "chunks", "embedded", "notes", "metadata")


@click.command(
    "ask",
    epilog=examples(
        'mooring ask "How long do refunds take?" --docs handbook/',
        'mooring ask "Who approves a refund?" --model openai/gpt-5-mini --json',
    ),
)
@click.argument("question")
@COLLECTION
@click.option("--docs", type=click.Path(exists=True, path_type=Path), default=None, help="Read this folder first.")
@click.option("--model", type=MODEL_NAME, default=None, help="Which model answers; without one, [rag] model.")
@click.option(
    "--filter", "chosen", metavar="JSON", default=None, help='Only documents with these metadata: {"team": "billing"}.'
)
@click.option("--user", default=None, help="For whom, as traces and budgets know them.")
@click.option("--session", default=None, help="To which conversation it belongs.")
@click.option("--tag", "tags", multiple=True, help="By what it is found again; several times for several.")
@json_option("text", "is_answered", "citations")
@click.pass_context
def ask_command(
    context: click.Context,
    question: str,
    collection: str,
    docs: Path | None,
    model: str | None,
    chosen: str | None,
    user: str | None,
    session: str | None,
    tags: tuple[str, ...],
    as_json: bool,
) -> None:
    """Ask a QUESTION about documents; the answer cites file, section and characters. Exit 1 if they do not say."""
    from mooring.client import Client
    from mooring.server.collections import show_answer

    where = _filter(chosen)
    if docs is not None:
        add(collection, docs)
    with Client() as client:
        answer = client.ask(
            question, collection=collection, model=model, filter=where, user=user, session=session, tags=tags
        )
    if as_json:
        print_json(show_answer(answer))
    else:
        click.echo(answer.text)
        for citation in answer.citations:
            section = f" § {citation.section}" if citation.section else ""
            page = f", page {citation.page}" if citation.page else ""
            place = f"{citation.path}{section}{page}, characters {citation.start}-{citation.end}"
            click.echo(f"  [{citation.number}] {place}")
    context.exit(Exit.DONE if answer.is_answered else Exit.FAILED)


def _filter(text: str | None) -> dict[str, object] | None:
    import msgspec

    try:
        return None if text is None else msgspec.json.decode(text, type=dict[str, object])
    except msgspec.DecodeError as error:
        raise click.BadParameter(
            f'{error}. Write --filter \'{{"team": "billing"}}\'.', param_hint="--filter"
        ) from error


@click.group(
    "documents",
    cls=Listing,
    epilog=examples("mooring documents add handbook/", "mooring documents --collection default"),
)
def documents_command() -> None:
    """Read folders of documents; list and remove what was read."""


@documents_command.command("add", epilog=examples("mooring documents add handbook/ --collection handbook"))
@click.argument("folder", type=click.Path(exists=True, path_type=Path))
@COLLECTION
@json_option("collection", "source", "added", "changed", "unchanged", "removed", "unreadable", "chunks", "embedded")
def add_command(folder: Path, collection: str, as_json: bool) -> None:
    """Read a FOLDER (or file) of text, Markdown, HTML and PDF. A second time costs nothing; what is gone disappears."""
    report = add(collection, folder)
    if as_json:
        print_json(report)


def add(collection: str, folder: Path) -> "IngestReport":
    import msgspec

    from mooring.cli.rooms import PROJECT, with_rooms
    from mooring.client.discovery import running_endpoint
    from mooring.processes.up import ensure_serve
    from mooring.storage import Home
    from mooring.wiring import Server

    with _progress() as show:

        async def work(rooms: Server) -> "IngestReport":
            rooms.database.require_space()
            return await rooms.rag.ingest(PROJECT, collection, folder, progress=show)

        report = with_rooms(work)
        home = Home.locate()
        if report.unembedded_reason and running_endpoint(home.path) is None:
            with ensure_serve(home):  # what is stored already is not read again: this adds the vectors
                again = with_rooms(work)
            report = msgspec.structs.replace(report, embedded=again.embedded, unembedded_reason=again.unembedded_reason)
    if not report.chunks:
        note(_nothing(folder, report))
    note(
        f"{collection}: {report.added} added, {report.changed} changed, {report.unchanged} unchanged, "
        f"{report.removed} removed, {len(report.unreadable)} unreadable; "
        f"{report.chunks} passages, {report.embedded} embedded"
    )
    if report.unembedded_reason:
        note(f"Passages without vectors are found by their words only: {report.unembedded_reason}")
    return report


def _nothing(folder: Path, report: "IngestReport") -> str:
    """Why there is nothing to ask: most often it is another folder that was meant."""
    if report.unreadable:
        return f"None of the {len(report.unreadable)} files of {folder} can be read; the reasons are above."
    return f"{folder} holds no files: is it the folder you mean?"


@contextlib.contextmanager
def _progress() -> "Iterator[Progress]":
    """On a terminal a bar over files, then one over passages; what is new or odd is a line, there and elsewhere."""
    from mooring.rag import Outcome

    lines = _Lines()
    if not is_terminal(sys.stderr):

        async def tell(outcome: Outcome) -> None:
            for line in lines.of(outcome):
                note(line)

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
            for line in lines.of(outcome):
                bars.console.print(line, markup=False, highlight=False)

        yield draw


class _Lines:
    """What a person is told of files: nothing of those that are as they were, and of one kind the first ones."""

    MOST = 20

    def __init__(self) -> None:
        self._told: set[tuple[str, str]] = set()
        self._counts: dict[str, int] = {}

    def of(self, outcome: "Outcome") -> "Iterator[str]":
        if outcome.state in ("unchanged", "embedded") or (outcome.state, outcome.path) in self._told:
            return
        self._told.add((outcome.state, outcome.path))
        count = self._counts[outcome.state] = self._counts.get(outcome.state, 0) + 1
        if count <= self.MOST:
            yield f"  {outcome.state:10} {outcome.path}" + (f": {outcome.reason}" if outcome.reason else "")
            for note in outcome.notes:
                yield f"  {'':10} {outcome.path}: {note}"
        elif count == self.MOST + 1:
            yield f"  {outcome.state:10} … and more: mooring documents list"


@documents_command.command("list", epilog=examples("mooring documents list", "mooring documents --json"))
@COLLECTION
@json_option(*DOCUMENT_FIELDS, is_list=True)
def list_command(collection: str, as_json: bool) -> None:
    """Every file that was met; the unreadable ones with their reasons."""
    from mooring.cli.rooms import PROJECT, with_rooms
    from mooring.server.collections import show_document

    found = with_rooms(lambda rooms: rooms.rag.documents(PROJECT, collection), makes_home=False)
    if as_json:
        print_json([show_document(document) for document in found])
    elif not found:
        click.echo(f"No documents in {collection}. Add some: mooring documents add FOLDER")
    else:
        numbers = (
            Column("bytes", is_number=True),
            Column("passages", is_number=True),
            Column("embedded", is_number=True),
        )
        print_table(
            (Column("path"), Column("state"), *numbers, Column("remarks", is_flexible=True)),
            [
                (
                    document.path,
                    "unreadable" if document.reason else "ready",
                    str(document.size_bytes),
                    str(document.chunk_count),
                    str(document.embedded_count),
                    "; ".join([*([document.reason] if document.reason else ()), *document.notes]),
                )
                for document in found
            ],
        )


@documents_command.command("remove", epilog=examples("mooring documents remove old/prices.md"))
@click.argument("name")
@COLLECTION
@json_option("collection", "name", "removed")
def remove_command(name: str, collection: str, as_json: bool) -> None:
    """Forget the documents of NAME: a path as `list` shows it, or a folder that was added. The files stay."""
    from mooring.cli.rooms import PROJECT, with_rooms
    from mooring.core.errors import NotFound
    from mooring.wiring import Server

    folder = str(Path(name).absolute())

    async def work(rooms: Server) -> int:
        removed = await rooms.rag.remove(PROJECT, collection, name)
        return removed or await rooms.rag.remove(PROJECT, collection, folder)

    removed = with_rooms(work, makes_home=False)
    if not removed:
        raise NotFound(f"'{collection}' has no document '{name}'.", hint="List them: mooring documents list")
    if as_json:
        print_json({"collection": collection, "name": name, "removed": removed})
    else:
        click.echo(f"{removed} removed from {collection}.")
