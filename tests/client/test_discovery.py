"""How a client finds its server."""

import json
import os
from pathlib import Path

import pytest

from mooring.client import discovery
from mooring.client.discovery import Endpoint, find_endpoint, find_home
from mooring.core.errors import ConfigError, Unavailable


def put_serve(home: Path, name: str, *, pid: int, url: str) -> None:
    (home / "run").mkdir(parents=True, exist_ok=True)
    (home / "run" / f"serve-{name}.json").write_text(json.dumps({"url": url, "service_key": "key", "pid": pid}))


def test_the_environment_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOORING_URL", "http://example.test/")
    monkeypatch.setenv("MOORING_API_KEY", "k")
    assert find_endpoint() == Endpoint("http://example.test", "k")


def test_a_url_without_a_key_says_how_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOORING_URL", "http://example.test")
    with pytest.raises(ConfigError, match="mooring keys create"):
        find_endpoint()


def test_the_homes_running_serve_is_found_with_its_service_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOORING_HOME", str(tmp_path))
    put_serve(tmp_path, "a", pid=os.getpid(), url="http://127.0.0.1:1")
    assert find_endpoint() == Endpoint("http://127.0.0.1:1", "key", is_service=True)


def test_a_file_left_by_a_dead_serve_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOORING_HOME", str(tmp_path))
    put_serve(tmp_path, "dead", pid=2**22 - 1, url="http://127.0.0.1:1")
    with pytest.raises(Unavailable, match=r"Start one with `mooring up`"):
        find_endpoint()


def test_a_half_written_file_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOORING_HOME", str(tmp_path))
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "serve-x.json").write_text('{"url": "http')
    with pytest.raises(Unavailable, match="No Mooring server"):
        find_endpoint()


def test_the_home_is_found_upward_like_git(tmp_path: Path) -> None:
    (tmp_path / ".mooring").mkdir()
    (tmp_path / "a" / "b").mkdir(parents=True)
    assert find_home(tmp_path / "a" / "b") == (tmp_path / ".mooring").resolve()


def test_without_any_a_temporary_server_is_started_where_it_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOORING_HOME", str(tmp_path))
    monkeypatch.setattr(
        discovery, "start_temporary", lambda home: Endpoint(f"http://{home.name}", "k", is_service=True)
    )
    assert find_endpoint().url == f"http://{tmp_path.name}"
