"""`mooring up`: one on a home, its children end with it and are started again by it, and SIGTERM drains."""

import asyncio
import json
import os
import signal
from pathlib import Path

import pytest
from tests.server.conftest import say

from mooring.config import Config, StorageSection
from mooring.core.errors import ConfigError, MooringError
from mooring.gateway.prints import Prints, SecretLost
from mooring.processes.up import start
from mooring.sim.faults import Fault
from mooring.storage import Database, Home, postgresql

from .conftest import Open, Yard, until


async def refused(yard: Yard, url: str, key: str) -> bool:
    """Whether the server takes no new calls: 503, or no connection."""
    try:
        return await yard.status("GET", f"{url}/v1/models", key) == 503
    except MooringError:
        return True


def test_sigterm_lets_a_running_stream_end_whole_and_takes_nothing_new(yard: Open) -> None:
    async def scenario() -> None:
        async with yard() as y:
            up, url = await y.up()
            key = await y.key()
            planted = y.sim.faults.add(Fault(kind="stall_mid_stream", model="writer"))
            body = json.dumps(say("Tell", "sim/writer", stream=True)).encode()
            response = await y.open("POST", f"{url}/v1/chat/completions", key, body)
            await planted.reached.wait()
            up.process.terminate()
            async with asyncio.timeout(120):
                while not await refused(y, url, key):
                    pass
            planted.free()
            assert (await response.read(1_000_000)).rstrip().endswith(b"data: [DONE]")
            await response.aclose()
            code, said = await up.ended()
            assert (code, said) == (0, "")
            assert not list(y.home.run_dir.glob("serve-*.json"))
            assert not y.living("serve")

    asyncio.run(scenario())


def test_kill_9_of_the_supervisor_ends_its_children(yard: Open) -> None:
    async def scenario() -> None:
        async with yard() as y:
            up, _ = await y.up(workers=2)
            assert (len(y.living("serve")), len(y.living("worker"))) == (1, 2)
            up.process.kill()
            await until(lambda: not y.living("serve") and not y.living("worker"))

    asyncio.run(scenario())


def test_a_killed_child_is_started_again_and_it_is_said(yard: Open) -> None:
    async def scenario() -> None:
        async with yard() as y:
            up, url = await y.up(workers=1)
            for kind, name in (("worker", "worker-1"), ("serve", "serve")):
                [pid] = y.living(kind)
                os.kill(pid, signal.SIGKILL)
                assert await up.line("starting it again") == f"{name} (pid {pid}) ended: signal 9; starting it again.\n"
                await until(lambda kind=kind, pid=pid: y.living(kind) - {pid})
            files = await until(lambda: list(y.home.run_dir.glob("serve-*.json")))
            assert url
            assert len(files) <= 2  # the killed one's file may lie there; its process is known to be gone

    asyncio.run(scenario())


def test_a_second_up_on_a_home_is_refused(yard: Open) -> None:
    async def scenario() -> None:
        async with yard() as y:
            await y.up()
            code, said = await (await y.start("up")).ended()
            assert code == 2
            assert said.startswith("mooring: Another `mooring up` runs on ")
            assert len(y.living("serve")) == 1

    asyncio.run(scenario())


def test_beyond_loopback_nothing_starts_without_a_key(yard: Open) -> None:
    async def scenario() -> None:
        async with yard() as y:
            code, said = await (await y.start("up", MOORING_SERVER__HOST="0.0.0.0")).ended()
            assert code == 2
            assert "Listening on 0.0.0.0 without any API key is refused. Run: mooring keys create" in said
            assert not y.living("serve")

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("import mooring\nimport not_installed\n", "No module named 'not_installed' ({app}, line 2)"),
        ("import mooring\n\ndef broken(:\n", "({app}, line 3)"),
        ("import mooring\napp = mooring.App('a')\n\ndef f():\n    raise ValueError('no')\n\nf()\n", "({app}, line 5)"),
        ("x = 1\n", "{app} declares no App."),
    ],
)
def test_an_app_that_does_not_load_is_told_with_file_and_line(yard: Open, text: str, says: str) -> None:
    async def scenario() -> None:
        async with yard() as y:
            app: Path = y.folder / "app.py"
            app.write_text(text)
            code, said = await (await y.start("up", "--app", "app.py", MOORING_WORKER__COUNT="1")).ended()
            assert code == 2
            assert says.format(app=app) in said
            assert said.endswith("mooring: worker-1 ended before it was ready. Its message is above.\n")
            assert "Traceback" not in said
            assert not y.living("serve")

    asyncio.run(scenario())


def test_a_wrong_configuration_is_told_once_before_anything_starts(yard: Open) -> None:
    async def scenario() -> None:
        async with yard() as y:
            code, said = await (await y.start("up", MOORING_SERVER__PROT="1")).ended()
            assert code == 2
            assert said.count("server.prot: unknown key. Did you mean 'port'?") == 1
            assert not (y.folder / "home").exists()

    asyncio.run(scenario())


def test_files_of_the_folder_do_not_take_the_place_of_modules(yard: Open) -> None:
    async def scenario() -> None:
        async with yard() as y:
            for name in ("http.py", "select.py", "openai.py", "mooring_test.py"):
                (y.folder / name).write_text("raise SystemExit('this is not what was meant')")
            up, url = await y.up(workers=1)
            assert await y.status("GET", f"{url}/readyz") == 200
            up.process.send_signal(signal.SIGINT)
            assert await up.ended() == (0, "")

    asyncio.run(scenario())


def test_ctrl_c_is_clean(yard: Open) -> None:
    async def scenario() -> None:
        async with yard() as y:
            up, _ = await y.up(workers=1)
            up.process.send_signal(signal.SIGINT)
            assert await up.ended() == (0, "")
            assert not y.living("serve") | y.living("worker")

    asyncio.run(scenario())


def test_a_home_whose_secret_was_lost_starts_nothing_and_says_why(tmp_path: Path) -> None:
    home, said = Home(tmp_path / "home"), list[str]()
    database = Database.open(home.database_url)
    asyncio.run(Prints(database, home.secrets).require())
    database.close()
    (home.path / "secret.key").unlink()
    with pytest.raises(SecretLost, match="mooring keys new-secret"):
        start(Config(), Home(home.path), log=said.append)
    assert said == []
    assert list(home.run_dir.glob("serve-*")) == []


def test_a_missing_driver_is_said_before_any_process_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgresql, "HAS_DRIVER", False)
    config = Config(storage=StorageSection(url="postgresql://somebody@127.0.0.1:1/nothing"))
    home, said = Home(tmp_path / "home"), list[str]()
    for _ in range(2):  # the home is free again
        with pytest.raises(ConfigError, match="pip install"):
            start(config, home, log=said.append)
    assert said == []
