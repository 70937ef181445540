"""Runs over HTTP: started, followed, followed again from where one was, cancelled."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mooring.core import ids
from mooring.net import Request, Response

from .conftest import DEADLINES, Site

Run = Callable[..., None]
Event = tuple[str, str, Any]


@pytest.fixture
def app(tmp_path: Path) -> Path:
    file = tmp_path / "app.py"
    file.write_text("from mooring import App\n\napp = App('a')\n")
    return file


async def start(site: Site, **headers: str) -> str:
    answer = await site.post("/v1/runs", {"agent": "a", "input": {"n": 1}}, headers=headers)
    assert answer.status == 202, answer.body
    return str(answer.json["id"])


async def work(site: Site, run: str, *, steps: int, ends: bool = True) -> None:
    """What a worker writes."""
    journal = site.rooms.journal
    record = await journal.claim_run(["agent"])
    assert record is not None
    assert ids.show("run", record.id) == run
    for number in range(steps):
        await journal.append(record.id, record.epoch, "step.finished", b'{"n":%d}' % number)
    if ends:
        await journal.finish_run(record.id, record.epoch, "completed", output=b'"done"')


def events_of(body: bytes) -> list[Event]:
    found = []
    for block in body.decode().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith(":") and line)
        if fields:
            found.append((fields.get("id", ""), fields["event"], json.loads(fields["data"])))
    return found


async def follow(site: Site, run: str, **headers: str) -> Response:
    named = {"authorization": f"Bearer {site.key}", "accept": "text/event-stream", **headers}
    sent = [(name.encode(), value.encode()) for name, value in named.items()]
    request = Request(method="GET", url=f"{site.url}/v1/runs/{run}/events", headers=sent)
    return await site.http.send(request, deadlines=DEADLINES)


async def first_event(response: Response) -> bytes:
    async for chunk in response.chunks():
        return chunk
    raise AssertionError("no event came")


def test_a_run_is_followed_live_to_its_end_and_again_from_the_last_event_seen(run: Run, app: Path) -> None:
    async def scenario(site: Site) -> None:
        started = await start(site)
        response = await follow(site, started)
        await work(site, started, steps=3)
        events = events_of(await response.read(1_000_000))
        assert [kind for _, kind, _ in events][-5:] == ["step.finished"] * 3 + ["run.finished", "end"]
        numbered = [number for number, _, _ in events if number]
        assert numbered == [str(number) for number in range(1, len(numbered) + 1)]
        for seen in (0, len(numbered) - 2, len(numbered)):
            again = await follow(site, started, **{"last-event-id": str(seen)})
            assert events_of(await again.read(1_000_000)) == events[seen:]
        page = (await site.get(f"/v1/runs/{started}/events?after={len(numbered) - 1}")).json["data"]
        assert [event["kind"] for event in page] == ["run.finished"]

    run(scenario, app=app)


def test_a_follower_is_let_go_when_the_server_must_end_and_goes_on_later(run: Run, app: Path) -> None:
    async def scenario(site: Site) -> None:
        started = await start(site)
        await work(site, started, steps=1, ends=False)
        response = await follow(site, started)
        assert await first_event(response)
        site.rooms.drain()
        rest = b"".join([chunk async for chunk in response.chunks()])
        assert b"event: end" not in rest

    run(scenario, app=app)


def test_a_follower_that_hangs_up_leaves_nothing_behind(run: Run, app: Path) -> None:
    async def scenario(site: Site) -> None:
        started = await start(site)
        await work(site, started, steps=1, ends=False)
        before = len(asyncio.all_tasks())
        response = await follow(site, started)
        assert await first_event(response)
        await response.aclose()
        async with asyncio.timeout(120):
            while len(asyncio.all_tasks()) > before:
                await site.get("/healthz")

    run(scenario, app=app)


def test_a_key_starts_one_run(run: Run, app: Path) -> None:
    async def scenario(site: Site) -> None:
        keyed = {"idempotency-key": "once"}
        first, second = await start(site, **keyed), await start(site, **keyed)
        assert first == second
        assert len((await site.get("/v1/runs")).json["data"]) == 1

    run(scenario, app=app)


def test_a_run_is_shown_with_its_input_output_and_cost(run: Run, app: Path) -> None:
    async def scenario(site: Site) -> None:
        started = await start(site)
        await work(site, started, steps=1)
        shown = (await site.get(f"/v1/runs/{started}")).json
        assert (shown["state"], shown["input"], shown["output"]) == ("completed", {"n": 1}, "done")
        assert shown["cost_usd"] == "$0.000000000"
        assert (await site.get(f"/v1/bill?run={started}")).json["settled_nanos"] == 0

    run(scenario, app=app)


def test_a_queued_run_is_cancelled_for_good(run: Run, app: Path) -> None:
    async def scenario(site: Site) -> None:
        started = await start(site)
        assert (await site.post(f"/v1/runs/{started}/cancel")).json["state"] == "cancelled"
        assert await site.rooms.journal.claim_run(["agent"]) is None
        assert (await site.post(f"/v1/runs/{started}/cancel")).json["state"] == "cancelled"

    run(scenario, app=app)


def test_a_server_without_an_app_starts_no_agent_and_says_how_to_load_one(run: Run) -> None:
    async def scenario(site: Site) -> None:
        answer = await site.post("/v1/runs", {"agent": "a", "input": 1})
        assert (answer.status, answer.error["param"]) == (400, "agent")
        assert "mooring up --app" in answer.error["message"]

    run(scenario)
