"""`doctor`: each finding with what to do; it asks nobody beyond this machine unless told to."""

import asyncio
from pathlib import Path

import pytest
from tests.net import certificate
from tests.processes.copied import fill

from mooring.config import Config
from mooring.gateway.config import GatewayConfig, ProviderConfig
from mooring.processes.doctor import Line, examine
from mooring.sim import SimServer
from mooring.storage import Home
from mooring.wiring import build


@pytest.fixture(autouse=True)
def without_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.environ", {"PATH": "/usr/bin"})


async def look(home: Home, config: Config, *, reach: bool = False) -> list[Line]:
    async with build(config, home, kind="cli") as rooms:
        return await examine(rooms, reach=reach)


def of(lines: list[Line], subject: str) -> list[Line]:
    return [line for line in lines if line.subject == subject]


def test_a_new_home_is_well(tmp_path: Path) -> None:
    lines = asyncio.run(look(Home(tmp_path / "home"), Config()))
    assert [line for line in lines if line.status != "ok" and line.subject != "disk"] == []
    assert {"versions", "footprint", "disk", "secret", "journal", "clock", "hosts"} <= {line.subject for line in lines}


def test_what_waits_for_a_person_is_counted_and_what_a_dead_process_left_is_said(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    filled = fill(home, Config())
    asyncio.run(filled.journal.bury(filled.journal.process_id))
    filled.close()
    (home.run_dir / "x-worker-proc_1.lock").write_text('{"process_id":"proc_1","pid":1,"kind":"worker"}')
    lines = asyncio.run(look(home, Config()))
    assert [line.do for line in of(lines, "uncertain")] == ["mooring runs uncertain"]
    assert [line.text for line in of(lines, "held")] == [
        "1 attempts hold their maximum because their cost is not known"
    ]
    assert [line.text for line in of(lines, "processes")] == ["1 lock files of processes that are dead"]


def test_a_secret_that_others_may_read_and_a_clock_that_went_back_fail(tmp_path: Path) -> None:
    async def scene() -> list[Line]:
        async with build(Config(), home, kind="cli") as rooms:
            home.path.joinpath("secret.key").chmod(0o640)
            rooms.database.write(
                lambda tx: tx.execute("UPDATE attempts SET intended_at_us = intended_at_us + 3600000000")
            ).result()
            return await examine(rooms, reach=False)

    home = Home(tmp_path / "home")
    fill(home, Config()).close()
    lines = asyncio.run(scene())
    assert [line.do for line in of(lines, "permissions")] == [f"chmod 600 {home.path / 'secret.key'}"]
    [clock] = of(lines, "clock")
    assert clock.status == "fail"
    assert "the clock went back" in clock.text


def test_a_secret_that_is_not_the_one_of_the_database_fails(tmp_path: Path) -> None:
    async def scene() -> list[Line]:
        async with build(Config(), Home(tmp_path / "home"), kind="cli") as rooms:
            await rooms.keys.create("default", name="x")
        (tmp_path / "home" / "secret.key").unlink()
        return await look(Home(tmp_path / "home"), Config())

    [line] = of(asyncio.run(scene()), "secret")
    assert line.status == "fail"
    assert "mooring keys new-secret" in (line.do or "")


def test_targets_on_this_machine_are_asked_and_others_only_if_told_to(tmp_path: Path) -> None:
    async def scene() -> tuple[list[Line], list[Line]]:
        async with SimServer() as sim:
            providers = {
                "here": ProviderConfig(base_url=f"{sim.url}/v1"),
                "gone": ProviderConfig(base_url="http://127.0.0.1:9/v1"),
                "away": ProviderConfig(base_url="https://models.invalid/v1"),
            }
            config = Config(gateway=GatewayConfig(providers=providers, discover=False))
            home = Home(tmp_path / "home")
            return await look(home, config), await look(home, config, reach=True)

    near, far = asyncio.run(scene())
    assert sorted(line.text.split()[0] for line in of(near, "reach")) == ["gone:", "here", "targets"]
    assert {line.text.split()[0]: line.status for line in of(far, "reach")} == {
        "away:": "fail",
        "gone:": "fail",
        "here": "ok",
    }
    assert "models.invalid (away)" in [line.text for line in of(near, "hosts")]


def test_a_key_that_the_environment_lacks_fails_before_a_call_does(tmp_path: Path) -> None:
    providers = {"shop": ProviderConfig(base_url="https://models.invalid/v1", api_key="env:SHOP_KEY")}
    config = Config(gateway=GatewayConfig(providers=providers, discover=False))
    [line] = of(asyncio.run(look(Home(tmp_path / "home"), config)), "config")
    assert line.status == "fail"
    assert line.text.startswith("gateway.providers.shop: The environment variable SHOP_KEY is not set. Export SHOP_KEY")


def test_proxies_authorities_and_certificates_are_told_without_their_passwords(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate.make(tmp_path)
    own = str(tmp_path / "server.pem")
    monkeypatch.setattr("os.environ", {"HTTPS_PROXY": "http://me:hidden@proxy.test:3128", "NO_PROXY": "a.test"})
    provider = ProviderConfig(
        type="openai_compatible", base_url="https://inner.test/v1", client_certificate=own, ca_bundle=own
    )
    config = Config(gateway=GatewayConfig(providers={"inner": provider}, ca_bundle=own))
    lines = asyncio.run(look(Home(tmp_path / "home"), config))
    said = "https goes through http://proxy.test:3128 with a user and a password, but not a.test"
    assert [line.text for line in of(lines, "proxy")] == [said]
    assert [line.text for line in of(lines, "certificate")] == [f"inner is shown {own}"]
    assert len(of(lines, "authorities")) == 2
    assert "hidden" not in repr(lines)
