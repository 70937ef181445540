"""A full disk: new work is refused in the caller's wire, what is in flight is kept, and it is said."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from mooring.core.errors import StorageFull
from mooring.net import Request
from mooring.sim.faults import Fault
from mooring.storage import Tx, ballast

from .conftest import DEADLINES, Site, say

Run = Callable[..., None]
SPARE_PAGES = 40


def pages(tx: Tx) -> int:
    found = tx.one("PRAGMA page_count")
    assert found is not None
    return int(found[0])


async def fill(site: Site) -> None:
    """The database may not grow any more, and somebody has met that."""

    def limit(tx: Tx) -> None:
        tx.one(f"PRAGMA max_page_count = {pages(tx) + SPARE_PAGES}")

    def much(tx: Tx) -> None:
        tx.execute("CREATE TABLE filler (data BLOB)")
        tx.execute("INSERT INTO filler VALUES (zeroblob(10000000))")

    await site.rooms.database.write_async(limit)
    with pytest.raises(StorageFull):
        await site.rooms.database.write_async(much)


def test_a_home_keeps_room_for_what_is_in_flight(run: Run) -> None:
    async def scenario(site: Site) -> None:
        assert site.rooms.home.ballast_path.stat().st_size == ballast.BALLAST_BYTES
        await fill(site)
        assert not site.rooms.home.ballast_path.exists()

    run(scenario)


def test_new_calls_runs_and_searches_are_refused_and_readyz_says_so(run: Run, tmp_path: Path) -> None:
    app = tmp_path / "app.py"
    app.write_text("")

    async def scenario(site: Site) -> None:
        recorded = await site.say("Hi", headers={"idempotency-key": "one"})
        await fill(site)
        billed = len(site.sim.meter.rows)
        for answer in (
            await site.say("Hi"),
            await site.say("Hi", headers={"idempotency-key": "two"}),
            await site.post("/v1/chat/completions", say("Hi", stream=True)),
            await site.post("/v1/runs", {"agent": "a", "input": 1}),
            await site.post("/v1/documents", {"folder": str(tmp_path)}, key=site.service),
            await site.get("/readyz", key=""),
        ):
            assert (answer.status, answer.error["code"], answer.error["type"]) == (503, "storage_full", "server_error")
            assert "Free space" in answer.error["message"]
            assert answer.headers["retry-after"] == "5"
        assert len(site.sim.meter.rows) == billed
        assert (await site.get("/healthz", key="")).status == 200
        replayed = await site.say("Hi", headers={"idempotency-key": "one"})
        assert (replayed.status, replayed.body) == (200, recorded.body)

    run(scenario, app=app)


def test_a_stream_that_runs_when_the_disk_fills_ends_whole_and_is_billed(run: Run) -> None:
    async def scenario(site: Site) -> None:
        planted = site.sim.faults.add(Fault(kind="stall_mid_stream", model="writer"))
        headers = [(b"authorization", f"Bearer {site.key}".encode())]
        body = json.dumps(say("Tell", "sim/writer", stream=True)).encode()
        request = Request(method="POST", url=f"{site.url}/v1/chat/completions", headers=headers, body=body)
        response = await site.http.send(request, deadlines=DEADLINES)
        await planted.reached.wait()
        await fill(site)
        planted.free()
        assert (await response.read(1_000_000)).rstrip().endswith(b"data: [DONE]")
        call = (await site.get("/v1/calls")).json["data"][0]
        assert (call["state"], call["held_nanos"]) == ("completed", 0)
        assert call["settled_nanos"] > 0

    run(scenario)


def test_work_is_taken_again_once_there_is_room(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(site: Site) -> None:
        await fill(site)
        assert (await site.say("Hi")).status == 503
        monkeypatch.setattr(ballast, "RETRY_SECONDS", 0.0)
        await site.rooms.database.write_async(lambda tx: tx.one("PRAGMA max_page_count = 100000000"))
        site.rooms.database._ballast._next_try = 0.0  # type: ignore[union-attr]  # five seconds later
        assert (await site.say("Hi")).status == 200
        assert (await site.get("/readyz", key="")).status == 200

    run(scenario)
