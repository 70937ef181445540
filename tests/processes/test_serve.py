"""Where serve listens, how it is found, and who may not come in."""

import asyncio
import contextlib
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.server.conftest import DEADLINES, site

from mooring.client.discovery import running_endpoint
from mooring.config import Config
from mooring.core.errors import ConfigError
from mooring.net import EgressPolicy, HttpClient, Request
from mooring.processes import serve
from mooring.processes.local import LocalModels
from mooring.storage import Home


def config(**server: object) -> Config:
    return Config.model_validate({"server": server})


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that another program has."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield other.getsockname()[1]


def bound(settings: Config, home: Home) -> int:
    with contextlib.closing(serve.bind(settings, home)) as listener:
        return int(listener.getsockname()[1])


def test_a_default_port_that_is_taken_moves_and_stays_moved(
    tmp_path: Path, taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "DEFAULT_PORT", taken)
    home = Home(tmp_path / "home")
    moved = bound(config(), home)
    assert moved != taken
    assert bound(config(), home) == moved
    with socket.create_server(("127.0.0.1", moved)):
        again = bound(config(), home)
    assert again not in (moved, taken)
    assert bound(config(), home) == again


@pytest.mark.parametrize("text", ["", "x", "0", "99999999", "-1"])
def test_a_remembered_port_that_is_none_is_forgotten(
    tmp_path: Path, taken: int, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "DEFAULT_PORT", taken)
    home = Home(tmp_path / "home")
    (home.path / "port").write_text(text)
    assert bound(config(), home) > 0


def test_a_configured_port_that_is_taken_fails(tmp_path: Path, taken: int) -> None:
    with pytest.raises(ConfigError, match=f"127.0.0.1:{taken} cannot be bound: .* Choose another"):
        serve.bind(config(port=taken), Home(tmp_path / "home"))


def test_two_serves_never_get_the_same_port(tmp_path: Path) -> None:
    with contextlib.closing(serve.bind(config(port=0), Home(tmp_path / "home"))) as first:
        with pytest.raises(ConfigError):
            serve.bind(config(port=first.getsockname()[1]), Home(tmp_path / "other"))


def test_a_host_that_is_none_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"No port could be bound on 192\.0\.2\.1\. Check \[server\] host"):
        serve.bind(config(host="192.0.2.1"), Home(tmp_path / "home"))  # TEST-NET-1: no machine has it


@pytest.mark.parametrize(
    ("host", "url", "is_loopback"),
    [
        ("127.0.0.1", "http://127.0.0.1:1", True),
        ("127.9.9.9", "http://127.9.9.9:1", True),
        ("localhost", "http://localhost:1", True),
        ("::1", "http://[::1]:1", True),
        ("0.0.0.0", "http://127.0.0.1:1", False),
        ("::", "http://[::1]:1", False),
        ("10.0.0.1", "http://10.0.0.1:1", False),
        ("mooring.internal", "http://mooring.internal:1", False),
        ("", "http://127.0.0.1:1", False),
    ],
)
def test_the_homes_own_processes_reach_it_wherever_it_listens(host: str, url: str, is_loopback: bool) -> None:
    assert serve.url_of(host, 1) == url
    assert serve.is_loopback(host) is is_loopback


def test_beyond_loopback_a_key_must_be_in_force(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with site(tmp_path, server={"host": "0.0.0.0"}) as s:  # only said; the test's own socket is on loopback
            await serve.refuse_open_door(s.rooms)
            [key] = await s.rooms.keys.list("default")
            await s.rooms.keys.revoke("default", key.id)
            with pytest.raises(ConfigError, match="mooring keys create"):
                await serve.refuse_open_door(s.rooms)

    asyncio.run(scenario())


def test_it_is_found_through_a_file_that_only_its_owner_reads(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with site(tmp_path) as s:
            found = serve.announce(s.rooms.home, s.rooms, s.url)
            assert stat.S_IMODE(found.stat().st_mode) == 0o600
            endpoint = running_endpoint(s.rooms.home.path)
            assert endpoint is not None
            assert (endpoint.url, endpoint.key, endpoint.is_service) == (s.url, s.service, True)

    asyncio.run(scenario())


def test_the_built_in_models_start_at_first_use_and_again_after_they_died(tmp_path: Path) -> None:
    async def scenario() -> None:
        local = LocalModels(tmp_path)
        async with HttpClient(egress=EgressPolicy(allow=("127.0.0.0/8",))) as http:
            try:
                local.arm()
                assert local._child is None
                pids = set()
                for _ in range(2):
                    request = Request(method="GET", url=f"{local.base_url}/models")
                    response = await http.send(request, deadlines=DEADLINES)
                    assert b"reader" in await response.read(100_000)
                    await response.aclose()
                    child = local._child
                    assert child is not None
                    pids.add(child.pid)
                    child.kill()
                    await asyncio.to_thread(child.wait)
                assert len(pids) == 2
            finally:
                local.close()

    asyncio.run(scenario())
