"""Mistakes at the command line: one line that says what to do, the right exit code, never a traceback."""

from pathlib import Path

import pytest

from .conftest import Cli

ID = "0" * 26


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["rnus"], 2, "Did you mean 'runs'?"),
        (["colour"], 2, "No such command 'colour'"),
        (["runs", "lst"], 2, "Did you mean 'list'?"),
        (["runs", "--bogus"], 2, "No such option"),
        (["runs", "list", "--limit", "0"], 2, "not in the range"),
        (["runs", "cancel", "foo"], 2, "'foo' is not an id of the form run_…. List them: mooring runs"),
        (["runs", "cancel", f"run_{ID}"], 5, "no such run"),
        (["runs", "cancel", "last"], 5, "There is no run yet. Start one: mooring run app.py"),
        (["runs", "resolve", "foo", "--as", "retry"], 2, "'foo' is not an id of the form call_…"),
        (["runs", "resolve", f"call_{ID}", "--as", "retry"], 5, "mooring runs uncertain"),
        (["runs", "resolve", f"call_{ID}"], 2, "--as"),
        (["runs", "resolve", f"call_{ID}", "--as", "maybe"], 2, "'maybe' is not one of"),
        (["runs", "resolve", f"call_{ID}", "--as", "failed", "--result", "1"], 2, "--as completed"),
        (["trace"], 5, "There is no run yet"),
        (["trace", "run_x"], 2, "is not an id"),
        (["trace", f"call_{ID}"], 5, "no such call"),
        (["replay"], 5, "There is no run yet"),
        (["replay", f"run_{ID}"], 5, "no such run"),
        (["cost", "budget", "many"], 2, "such as 25 or 0.50"),
        (["cost", "budget", "NaN"], 2, "such as 25 or 0.50"),
        (["cost", "budget", "Infinity"], 2, "such as 25 or 0.50"),
        (["cost", "budget", "1e99"], 2, "such as 25 or 0.50"),
        (["cost", "budget", "--", "-5"], 2, "such as 25 or 0.50"),
        (["cost", "budget", "5", "--scope", "user"], 2, "Which user? Name it with --subject."),
        (["cost", "budget", "5", "--subject", "u_1"], 2, "--subject is for a scope beside project"),
        (["cost", "reconcile", "none.csv"], 2, "'none.csv' does not exist"),
        (["keys", "revoke", "foo"], 2, "'foo' is not an id of the form key_…. List them: mooring keys list"),
        (["keys", "revoke", f"key_{ID}"], 5, "mooring keys list"),
        (["keys", "login"], 3, "Start one with `mooring up`"),
        (["keys", "create", "--expires-days", "0"], 2, "not in the range"),
        (["keys", "create", "--scope", "all"], 2, "'all' is not one of"),
        (["documents", "add", "nothing"], 2, "'nothing' does not exist"),
        (["documents", "list"], 5, "mooring documents add FOLDER"),
        (["documents", "remove", "a.md"], 5, "mooring documents add FOLDER"),
        (["ask"], 2, "QUESTION"),
        (["ask", "Why?", "--docs", "nothing"], 2, "'nothing' does not exist"),
        (["run"], 2, "Name a FILE with agents"),
        (["run", "--resume", "last"], 5, "There is no run yet"),
        (["run", "nothing.py"], 2, "'nothing.py' does not exist"),
        (["up", "--app", "nothing.py"], 2, "'nothing.py' does not exist"),
        (["config", "check", "--file", "nothing.toml"], 2, "'nothing.toml' does not exist"),
        (["config"], 2, "`mooring config` needs one of its verbs"),
        (["completion", "tcsh"], 2, "'tcsh' is not one of"),
        (["verify", "ledger", "--cap-usd", "much"], 2, "such as 25 or 0.50"),
    ],
)
def test_a_mistake_is_answered_in_a_line(cli: Cli, home: Path, arguments: list[str], code: int, says: str) -> None:
    result = cli(*arguments)
    assert result.code == code
    assert says in " ".join(result.err.split())
    assert result.out == ""


@pytest.mark.parametrize("arguments", [["runs"], ["rnus"], ["runs", "cancel", "foo"], ["runs", "list", "--limit", "x"]])
def test_a_mistake_is_a_document_for_a_program(cli: Cli, arguments: list[str]) -> None:
    plain = cli(*arguments)
    result = cli(*arguments, "--json")
    error = result.json["error"]
    assert list(result.json) == ["error"]
    assert list(error) == ["code", "message", "hint"]
    assert result.code == plain.code != 0
    assert result.err == plain.err
    assert result.err == f"mooring: {error['message']} {error['hint']}\n"


@pytest.mark.parametrize(
    "arguments", [["runs"], ["cost"], ["trace"], ["replay"], ["keys"], ["documents"], ["run", "--resume", "last"]]
)
def test_what_only_looks_makes_no_home_and_says_how_to_start(cli: Cli, folder: Path, arguments: list[str]) -> None:
    result = cli(*arguments)
    assert result.code == 5
    assert "Start one with `mooring up`" in result.err
    assert not (folder / ".mooring").exists()


@pytest.mark.parametrize("verb", ["keys", "runs", "cost", "config"])
def test_a_broken_configuration_is_told_by_every_verb(cli: Cli, folder: Path, verb: str) -> None:
    (folder / "mooring.toml").write_text("[server]\nprot = 1\n")
    result = cli(verb, "show" if verb == "config" else {"keys": "list", "runs": "list", "cost": "report"}[verb])
    assert result.code == 2
    assert "server.prot: unknown key. Did you mean 'port'?" in result.err


@pytest.mark.parametrize("text", ["x,y\n1,2\n", "request_id,cost_usd\na,nan\n", "request_id,cost_usd\na,much\n", ""])
def test_an_export_that_cannot_be_read_says_why(cli: Cli, home: Path, folder: Path, text: str) -> None:
    (folder / "export.csv").write_text(text)
    result = cli("cost", "reconcile", "export.csv")
    assert result.code == 2
    assert result.err.startswith("mooring: ")


def test_an_export_of_bytes_says_why(cli: Cli, folder: Path) -> None:
    (folder / "export.csv").write_bytes(bytes(range(256)))
    assert cli("cost", "reconcile", "export.csv").code == 2


def test_a_home_that_cannot_be_made_says_so(cli: Cli, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "file").write_text("")
    monkeypatch.setenv("MOORING_HOME", str(folder / "file" / "home"))
    result = cli("keys", "create")
    assert result.code == 2
    assert "Set MOORING_HOME to a folder that you own." in result.err


def test_a_secret_that_others_may_read_is_refused(cli: Cli, folder: Path) -> None:
    assert cli("keys", "create").code == 0
    (folder / ".mooring" / "secret.key").chmod(0o644)
    result = cli("keys", "list")
    assert result.code == 2
    assert "chmod 600" in result.err


def test_help_lists_every_verb_and_costs_no_home(cli: Cli, folder: Path) -> None:
    result = cli("--help")
    assert result.code == 0
    for verb in ("up", "ask", "documents", "runs", "replay", "trace", "cost", "keys", "config", "serve", "verify"):
        assert f"  {verb} " in result.out
    assert cli("--version").out.startswith("mooring, version ")
    bare = cli()
    assert bare.code == 0
    assert bare.out.startswith(result.out)
    assert "This folder has no home yet. Take the tour: mooring demo." in bare.out
    assert not (folder / ".mooring").exists()
    assert cli("keys", "create").code == 0
    assert f"The home of this folder is {folder / '.mooring'}" in cli().out
