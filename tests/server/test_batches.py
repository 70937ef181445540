"""Files and batches: every line is a call that is paid once, whoever works it off, and however often."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mooring.client.discovery import Endpoint
from mooring.core.ids import read as read_id
from mooring.gateway import batch_work
from mooring.gateway.batch_lines import read_lines
from mooring.gateway.batch_work import BatchHandler, Send
from mooring.gateway.batches import BatchInput
from mooring.journal.records import NewRun, RunRecord
from mooring.wiring import batch_send

from .conftest import Scenario, Site, site
from .plain import bill, form, metered, priced

Play = Callable[..., None]


@pytest.fixture
def play(tmp_path: Path) -> Play:
    def playing(scenario: Scenario, **sections: Any) -> None:
        async def whole() -> None:
            async with site(tmp_path / "double") as double:
                gateway = {"providers": priced(double.sim.url), **sections.pop("gateway", {})}
                async with site(tmp_path / "served", gateway=gateway, **sections) as made:
                    made.sim = double.sim
                    await scenario(made)

        asyncio.run(whole())

    return playing


def line(name: str, text: str, *, model: str = "sim/echo", **more: Any) -> str:
    body = {"model": model, "messages": [{"role": "user", "content": text}]}
    return json.dumps({"custom_id": name, "method": "POST", "url": "/v1/chat/completions", "body": body, **more})


async def upload(site: Site, lines: list[str], **more: str) -> str:
    data, headers = form({"purpose": "batch", **more, "file": "\n".join(lines).encode()})
    answer = await site.post("/v1/files", data, headers=headers)
    assert answer.status == 200, answer.body
    found: str = answer.json["id"]
    return found


async def create(site: Site, lines: list[str], **headers: str) -> dict[str, Any]:
    body = {
        "input_file_id": await upload(site, lines), "endpoint": "/v1/chat/completions", "completion_window": "24h",
        "metadata": {"for": "tests"},
    }  # fmt: skip
    answer = await site.post("/v1/batches", body, headers=headers)
    assert answer.status == 200, answer.body
    found: dict[str, Any] = answer.json
    return found


def worker(site: Site, send: Send | None = None) -> BatchHandler:
    to_serve = batch_send(site.http, lambda: Endpoint(site.url, site.service))
    rooms = site.rooms
    return BatchHandler(rooms.journal, rooms.files, send or to_serve, clock=rooms.clock, lines_at_once=2)


async def work(site: Site, send: Send | None = None) -> None:
    """Claim the run that is due, and work it off."""
    record = await site.rooms.journal.claim_run(["batch"], lease_seconds=0.0)  # nobody need wait to take it over
    assert record is not None
    await worker(site, send).run(record)


async def shown(site: Site, batch: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = (await site.get(f"/v1/batches/{batch['id']}")).json
    return found


async def lines_of(site: Site, file_id: str) -> list[dict[str, Any]]:
    answer = await site.get(f"/v1/files/{file_id}/content")
    return [json.loads(one) for one in answer.body.splitlines()]


def test_a_file_is_kept_listed_read_and_deleted_within_its_project(play: Play) -> None:
    async def scenario(site: Site) -> None:
        first, second = await upload(site, ["one"]), await upload(site, ["two"])
        told = (await site.get(f"/v1/files/{first}")).json
        assert (told["bytes"], told["purpose"], told["filename"], told["status"]) == (
            3,
            "batch",
            "file.bin",
            "processed",
        )
        assert (await site.get(f"/v1/files/{first}/content")).body == b"one"
        page = (await site.get("/v1/files?limit=1")).json
        assert ([one["id"] for one in page["data"]], page["has_more"]) == ([second], True)
        rest = (await site.get(f"/v1/files?after={second}&purpose=batch")).json
        assert ([one["id"] for one in rest["data"]], rest["has_more"]) == ([first], False)
        assert (await site.get("/v1/files?purpose=vision")).json["data"] == []
        stranger = await site.rooms.keys.create("other", name="x", scopes=("call",))
        assert (await site.get(f"/v1/files/{first}", key=stranger)).status == 404
        assert (await site.get("/v1/files", key=stranger)).json["data"] == []
        assert (await site.send("DELETE", f"/v1/files/{first}")).json["deleted"] is True
        for path in (f"/v1/files/{first}", f"/v1/files/{first}/content", "/v1/files/file_x", "/v1/files/nonsense"):
            assert (await site.get(path)).status == 404
        assert [one["id"] for one in (await site.get("/v1/files")).json["data"]] == [second]

    play(scenario)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"purpose": "batch"}, "file"),
        ({"file": b"x"}, "purpose"),
        ({"purpose": "mischief", "file": b"x"}, "purpose"),
        ({"purpose": "batch", "file": b"x", "expires_after[seconds]": "60"}, "expires_after"),
    ],
)
def test_an_upload_that_lacks_something_says_what(play: Play, fields: dict[str, Any], param: str) -> None:
    async def scenario(site: Site) -> None:
        data, headers = form(fields)
        answer = await site.post("/v1/files", data, headers=headers)
        assert (answer.status, answer.error["param"]) == (400, param)

    play(scenario)


def test_lines_are_worked_off_and_their_answers_and_errors_lie_in_two_files(play: Play) -> None:
    async def scenario(site: Site) -> None:
        batch = await create(site, [line("a", "ahoy"), line("b", "x", model="nobody/x"), "", line("c", "again")])
        assert (batch["status"], batch["object"], batch["metadata"]) == ("validating", "batch", {"for": "tests"})
        await work(site)
        done = await shown(site, batch)
        assert done["status"] == "completed"
        assert done["request_counts"] == {"total": 3, "completed": 2, "failed": 1}
        assert done["completed_at"] >= done["created_at"]
        good = {one["custom_id"]: one for one in await lines_of(site, done["output_file_id"])}
        assert set(good) == {"a", "c"}
        assert good["a"]["response"]["status_code"] == 200
        assert good["a"]["response"]["body"]["choices"][0]["message"]["content"] == "ahoy"
        assert good["a"]["error"] is None
        (bad,) = await lines_of(site, done["error_file_id"])
        assert bad["custom_id"] == "b"
        assert await bill(site) == (metered(site), 0)
        call = await site.rooms.journal.get_call("default", read_id("call", good["a"]["id"]))
        assert call.run_id == read_id("batch", batch["id"])
        assert call.api_key_id is not None  # the cost is that of who asked for the batch

    play(scenario)


def test_whoever_takes_over_buys_nothing_again(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_work, "RENEW_SECONDS", 600.0)  # the first worker does not keep its lease

    async def scenario(site: Site) -> None:
        batch = await create(site, [line(str(number), f"line {number}") for number in range(12)])
        to_serve = batch_send(site.http, lambda: Endpoint(site.url, site.service))
        five = asyncio.Event()
        asked: list[str] = []

        async def send(run: RunRecord, step: str, key: str | None, path: str, body: bytes) -> Any:
            answer = await to_serve(run, step, key, path, body)
            asked.append(step)
            if len(asked) >= 5:
                five.set()
                await asyncio.Event().wait()  # dies here, with answers that it has told nobody
            return answer

        dying = asyncio.create_task(work(site, send))
        await five.wait()
        dying.cancel()
        await asyncio.gather(dying, return_exceptions=True)
        assert (await shown(site, batch))["status"] == "in_progress"
        await work(site)
        done = await shown(site, batch)
        assert done["request_counts"] == {"total": 12, "completed": 12, "failed": 0}
        assert len(await lines_of(site, done["output_file_id"])) == 12
        assert len(site.sim.meter.rows) == 12
        assert await bill(site) == (metered(site), 0)

    play(scenario)


def test_a_file_with_a_line_that_is_no_request_is_refused_whole(play: Play) -> None:
    async def scenario(site: Site) -> None:
        batch = await create(site, [line("a", "x"), "{", line("a", "y"), line("b", "z", url="/v1/embeddings")])
        await work(site)
        done = await shown(site, batch)
        assert done["status"] == "failed"
        assert [(one["line"], one["code"]) for one in done["errors"]["data"]] == [
            (2, "invalid_json_line"), (3, "duplicate_custom_id"), (4, "mismatched_endpoint"),
        ]  # fmt: skip
        assert not site.sim.meter.rows

    play(scenario)


def test_a_cancelled_batch_shows_what_had_come(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_work, "RENEW_SECONDS", 600.0)

    async def scenario(site: Site) -> None:
        batch = await create(site, [line(str(number), f"line {number}") for number in range(6)])
        to_serve = batch_send(site.http, lambda: Endpoint(site.url, site.service))
        asked: list[str] = []

        async def send(run: RunRecord, step: str, key: str | None, path: str, body: bytes) -> Any:
            if len(asked) == 3:
                await site.post(f"/v1/batches/{batch['id']}/cancel")
            asked.append(step)
            return await to_serve(run, step, key, path, body)

        await asyncio.gather(work(site, send), return_exceptions=True)
        done = await shown(site, batch)
        assert done["status"] == "cancelled"
        found = await lines_of(site, done["output_file_id"])
        assert 1 <= len(found) <= 3
        assert len(site.sim.meter.rows) == len(found)
        again = await shown(site, batch)
        assert again["output_file_id"] == done["output_file_id"]
        listed = (await site.get("/v1/batches")).json
        assert [one["id"] for one in listed["data"]] == [batch["id"]]

    play(scenario)


def test_what_was_not_asked_within_the_window_is_an_error_of_its_own(play: Play) -> None:
    async def scenario(site: Site) -> None:
        file_id = await upload(site, [line("a", "x"), line("b", "y")])
        wanted = BatchInput(file_id, "/v1/chat/completions", window_seconds=0)
        rooms = site.rooms
        run = await rooms.journal.create_run(
            NewRun(rooms.new_id(), "default", "batch", "x", json.dumps({
                "input_file_id": wanted.input_file_id, "endpoint": wanted.endpoint, "window_seconds": 0}).encode())
        )  # fmt: skip
        await work(site)
        done = await rooms.batches.show(await rooms.journal.get_run("default", run.id))
        assert done["status"] == "expired"
        errors = await lines_of(site, done["error_file_id"])
        assert [one["error"]["code"] for one in errors] == ["batch_expired"] * 2
        assert not site.sim.meter.rows

    play(scenario)


def test_a_batch_that_cannot_be_is_refused_and_a_key_makes_one(play: Play) -> None:
    async def scenario(site: Site) -> None:
        file_id = await upload(site, [line("a", "x")])
        for body, status in (
            ({"input_file_id": "file_x", "endpoint": "/v1/chat/completions"}, 404),
            ({"input_file_id": file_id, "endpoint": "/v1/nothing"}, 400),
            ({"input_file_id": file_id, "endpoint": "/v1/chat/completions", "completion_window": "1h"}, 400),
        ):
            assert (await site.post("/v1/batches", body)).status == status
        assert (await site.get("/v1/batches/batch_x")).status == 404
        body = {"input_file_id": file_id, "endpoint": "/v1/chat/completions"}
        twice = [(await site.post("/v1/batches", body, headers={"idempotency-key": "k"})).json["id"] for _ in range(2)]
        assert twice[0] == twice[1]

    play(scenario)


def test_a_budget_of_the_key_that_asked_holds_for_every_line(play: Play) -> None:
    async def scenario(site: Site) -> None:
        (key,) = [one for one in await site.rooms.keys.list("default") if one.name == "test"]
        await site.rooms.journal.put_budget("default", scope="key", subject=key.id, window="total", cap_nanos=1)
        batch = await create(site, [line("a", "x"), line("b", "y")])
        await work(site)
        done = await shown(site, batch)
        assert done["request_counts"] == {"total": 2, "completed": 0, "failed": 2}
        assert not site.sim.meter.rows

    play(scenario)


@pytest.mark.parametrize("data", [b"", b"\n\n", b"[]", b"null", b'{"custom_id":1}', b"\xff\xfe"])
def test_no_file_of_lines_is_taken_for_one(data: bytes) -> None:
    lines, faults = read_lines(data, "/v1/chat/completions")
    assert not lines
    assert faults
