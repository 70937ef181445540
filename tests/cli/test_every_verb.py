"""What holds for every verb: `--json` is one document of the documented shape, and the help ends with an example."""

import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
from tests.docs.test_examples import misread

from mooring.cli.cli import OPERATORS, VERBS, mooring
from mooring.cli.output import JsonOption

from .conftest import Cli, queued_run, uncertain_call

# What these print is not theirs, or nothing: log lines, or the lines of a program that gets their arguments.
WITHOUT_JSON = {"serve", "worker", "local", "sim"}

# A command line for each verb, said in a folder where a run was recorded; a function makes what it needs first.
LINES: dict[str, Callable[[Path], list[str]]] = {
    "up": lambda folder: ["--app", "nothing.py"],  # tests/e2e starts one
    "demo": lambda folder: ["--docs", "nothing", "--once"],  # `make demo ONCE=1` walks it
    "ask": lambda folder: ["What is served at four?", "--docs", written(folder)],
    "documents add": lambda folder: [written(folder)],
    "documents list": lambda folder: [],
    "documents remove": lambda folder: ["tea.txt"],
    "run": lambda folder: ["--resume", "last"],
    "runs list": lambda folder: [],
    "runs uncertain": lambda folder: [uncertain_call()][1:],
    "runs resolve": lambda folder: [uncertain_call(), "--as", "failed"],
    "runs forget": lambda folder: ["last"],
    "runs resume": lambda folder: ["last"],
    "runs cancel": lambda folder: [queued_run()],
    "replay": lambda folder: ["last", "--verify"],
    "trace show": lambda folder: ["last", "--verify"],
    "trace list": lambda folder: ["--limit", "3"],
    "trace rebuild": lambda folder: [],
    "cost report": lambda folder: [],
    "cost budget": lambda folder: ["5"],
    "cost budgets": lambda folder: [],
    "cost savings": lambda folder: [],
    "cost whatif": lambda folder: ["openai/gpt-5-mini"],
    "cost reconcile": lambda folder: [export(folder)],
    "new": lambda folder: ["shop"],
    "keys create": lambda folder: [],
    "keys list": lambda folder: [],
    "keys new-secret": lambda folder: [],
    "keys revoke": lambda folder: ["key_" + "0" * 26],
    "keys login": lambda folder: [],
    "keys env": lambda folder: [],
    "config check": lambda folder: [],
    "config show": lambda folder: [],
    "config schema": lambda folder: [],
    "config routes explain": lambda folder: [request(folder)],
    "config routes train": lambda folder: ["unknown", request(folder)],
    "doctor": lambda folder: [],
    "backup": lambda folder: [str(folder / "copy.mooring")],
    "restore": lambda folder: ["copy.mooring", "--home", "other"],
    "verify crash": lambda folder: ["--runs", "0"],  # the batteries themselves run in `make verify` and tests/e2e
    "verify ledger": lambda folder: ["--cap-usd", "much"],
    "verify faults": lambda folder: ["--only", "no fault is called so"],
    "verify structured": lambda folder: ["--answers", "1"],
    "completion": lambda folder: ["bash"],
}


def written(folder: Path) -> str:
    (folder / "docs").mkdir(exist_ok=True)
    (folder / "docs" / "tea.txt").write_text("Tea is served at four.\n")
    return "docs"


def request(folder: Path) -> str:
    (folder / "request.json").write_text('{"model": "local/reader", "messages": [{"role": "user", "content": "Hi"}]}')
    return "request.json"


def export(folder: Path) -> str:
    (folder / "export.csv").write_text("request_id,cost_nanos\nreq_1,4000\n")
    return "export.csv"


def leaves() -> Iterator[tuple[str, click.Command]]:
    """Every verb that does something, by its words."""
    with click.Context(mooring, info_name="mooring") as context:
        for name in [*VERBS, *OPERATORS]:
            command = mooring.get_command(context, name)
            assert command is not None
            yield from below(name, command)


def below(path: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from below(f"{path} {name}", inner)
    else:
        yield path, command


ALL = dict(leaves())


def json_of(command: click.Command) -> JsonOption | None:
    return next((one for one in command.params if isinstance(one, JsonOption)), None)


def test_every_verb_has_json_or_a_reason_and_is_tried_here() -> None:
    assert {path for path, command in ALL.items() if json_of(command) is None} == WITHOUT_JSON
    assert LINES.keys() | WITHOUT_JSON == ALL.keys()
    assert len(VERBS) <= 15


@pytest.mark.parametrize("path", LINES)
def test_json_is_one_document_of_the_documented_shape(
    cli: Cli, recorded: str, folder: Path, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    option = json_of(ALL[path])
    assert option is not None
    if path == "restore":
        assert cli("backup", str(folder / "copy.mooring")).code == 0
    if path in ("documents list", "documents remove"):
        assert cli("documents", "add", written(folder)).code == 0
    result = cli(*path.split(), *LINES[path](folder), "--json")
    document = result.json
    if isinstance(document, dict) and "error" in document and list(document) == ["error"]:
        assert result.code != 0
        assert list(document["error"]) == ["code", "message", "hint"]
        assert document["error"]["message"] in result.err
        return
    assert isinstance(document, list) == option.is_list
    for one in document if option.is_list else [document]:
        assert set(option.fields) <= one.keys()


@pytest.mark.parametrize("path", ALL)
def test_the_help_ends_with_examples_that_can_be_typed(cli: Cli, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    result = cli(*path.split(), "--help")
    assert result.code == 0
    assert result.out.startswith(f"Usage: mooring {path}")
    monkeypatch.setattr(click.Path, "convert", lambda self, value, param, ctx: value)  # examples name no real files
    shown = result.out.rpartition("Examples:\n")[2].splitlines()
    lines = [line.strip().removeprefix("mooring ") for line in shown if line.strip().startswith("mooring ")]
    assert lines
    assert not [(line, fault) for line in lines if (fault := misread(words_of(line)))]


def words_of(line: str) -> list[str]:
    return shlex.split(line.partition(" > ")[0])
