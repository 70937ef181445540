"""The console script as a process: signals, closed pipes and terminals, exit codes, and what a shell is offered."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.client.conftest import Server, json_answer

from mooring.cli.exits import MEANINGS, Exit, exit_of
from mooring.core import errors
from mooring.core.errors import MooringError

from .conftest import Cli

SCRIPT = """\
import signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
print("ready", flush=True)
sys.exit(int(sys.stdin.readline()))
"""


@pytest.fixture
def server() -> Iterator[Server]:
    served = Server()
    yield served
    served.close()


def start(folder: Path, *arguments: str) -> "subprocess.Popen[str]":
    """In a session of its own, as a terminal would have it."""
    return subprocess.Popen(
        [sys.executable, "-m", "mooring", *arguments],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def script(folder: Path) -> "subprocess.Popen[str]":
    (folder / "script.py").write_text(SCRIPT)
    process = start(folder, "run", "script.py")
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_ctrl_c_ends_a_run_with_130_and_no_traceback(folder: Path) -> None:
    process = script(folder)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (Exit.INTERRUPTED, "")


def test_a_closed_terminal_does_not_end_a_run(folder: Path) -> None:
    process = script(folder)
    os.killpg(process.pid, signal.SIGHUP)
    process.communicate("7\n", timeout=120)
    assert process.returncode == 7


@pytest.mark.parametrize("arguments", [["--help"], ["config", "schema"], ["config", "schema", "--json"]])
def test_a_reader_that_has_read_enough_is_no_error(folder: Path, arguments: list[str]) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    done = subprocess.run(
        [sys.executable, "-m", "mooring", *arguments],
        cwd=folder,
        stdout=write_end,
        stderr=subprocess.PIPE,
        check=False,
        timeout=120,
    )
    os.close(write_end)
    assert (done.returncode, done.stderr) == (Exit.UNREAD, b"")


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.ConfigError, 2),
        (errors.InvalidRequest, 2),
        (errors.Unavailable, 3),
        (errors.BudgetExceeded, 4),
        (errors.RateLimited, 4),
        (errors.Blocked, 4),
        (errors.NotAuthenticated, 4),
        (errors.PermissionDenied, 4),
        (errors.CallUncertain, 4),
        (errors.StorageFull, 4),
        (errors.NotFound, 5),
        (errors.UpstreamTimeout, 1),
        (errors.MooringError, 1),
    ],
)
def test_each_error_has_its_exit_code(kind: type[MooringError], code: int) -> None:
    assert exit_of(kind("It is so.")) == code
    assert set(MEANINGS) == set(Exit)


def offered(cli: Cli, monkeypatch: pytest.MonkeyPatch, words: str) -> list[str]:
    """What bash is told to offer for the last of the words."""
    monkeypatch.setenv("_MOORING_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - (not words.endswith(" "))))
    monkeypatch.setattr(sys, "orig_argv", ["mooring"], raising=False)
    out = cli().out
    monkeypatch.delenv("_MOORING_COMPLETE")
    return [line.partition(",")[2] for line in out.splitlines()]


def test_verbs_and_options_are_completed(cli: Cli, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert offered(cli, monkeypatch, "mooring ru") == ["run", "runs"]
    assert offered(cli, monkeypatch, "mooring runs unc") == ["uncertain"]
    assert offered(cli, monkeypatch, "mooring runs list --li") == ["--limit"]
    assert not (folder / ".mooring").exists()


def test_runs_and_models_are_those_of_the_server_that_runs(
    cli: Cli, folder: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / ".mooring" / "run").mkdir(parents=True)
    facts = {"url": server.url, "service_key": "mrs_x", "pid": os.getpid()}
    (folder / ".mooring" / "run" / "serve-1.json").write_text(json.dumps(facts))
    server.answers = [json_answer({"data": [{"id": "run_1", "agent": "support", "state": "completed"}]})]
    assert offered(cli, monkeypatch, "mooring replay ") == ["last", "run_1"]
    server.answers = [json_answer({"data": [{"id": "local/reader"}, {"id": "openai/gpt-5-mini"}]})]
    assert offered(cli, monkeypatch, "mooring ask Why --model open") == ["openai/gpt-5-mini"]


def test_without_a_server_models_come_from_the_file_and_nothing_is_started(
    cli: Cli, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "mooring.toml").write_text('[gateway.models.fast]\ntargets = ["local/reader"]\n')
    assert offered(cli, monkeypatch, "mooring replay ") == ["last"]
    assert offered(cli, monkeypatch, "mooring ask Why --model ") == ["fast", "local/minilm", "local/reader"]
    assert not (folder / ".mooring").exists()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_script(cli: Cli, shell: str) -> None:
    result = cli("completion", shell)
    assert result.code == 0
    assert f"_MOORING_COMPLETE={shell}_complete" in result.out
