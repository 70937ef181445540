"""What is no conversation takes the straight line of chat: keys, budgets, guards, journal, and a bill to the nano."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mooring.core.ids import read as read_id

from .conftest import Scenario, Site, site
from .plain import SOUND, bill, form, metered, priced

Play = Callable[..., None]
SECRET = "sk-" + "a" * 20 + "T3BlbkFJ" + "b" * 20


@pytest.fixture
def play(tmp_path: Path) -> Play:
    """A scenario on a site whose prices are the double's."""

    def playing(scenario: Scenario, *, provider: dict[str, Any] | None = None, **sections: Any) -> None:
        async def whole() -> None:
            async with site(tmp_path / "double") as double:
                providers = priced(double.sim.url, **(provider or {}))
                gateway = {"providers": providers, **sections.pop("gateway", {})}
                async with site(tmp_path / "served", gateway=gateway, **sections) as made:
                    made.sim = double.sim
                    await scenario(made)

        asyncio.run(whole())

    return playing


RERANK = {"model": "sim/rerank", "query": "red apple", "documents": ["green pear", "a red apple", "blue sky"]}
FORM = {"model": "sim/whisper", "file": SOUND}
CASES: list[tuple[str, dict[str, Any], str, int]] = [
    ("/v1/rerank", RERANK, "rerank", 1),
    ("/v2/rerank", RERANK, "rerank", 1),
    ("/v1/moderations", {"model": "sim/moderation", "input": ["a", "violence"]}, "moderation", 2),
    ("/v1/images/generations", {"model": "sim/image", "prompt": "a boat", "n": 2}, "image", 2),
    ("/v1/images/edits", {"model": "sim/image", "prompt": "a boat", "image": SOUND}, "image", 1),
    ("/v1/audio/transcriptions", FORM, "transcription", 3),
    ("/v1/audio/speech", {"model": "sim/tts", "voice": "alloy", "input": "Ahoy, mate"}, "speech", 10),
]


async def ask(site: Site, path: str, given: dict[str, Any], **more: Any) -> Any:
    is_form = any(isinstance(value, bytes) for value in given.values())
    body, headers = form(given) if is_form else (given, {})
    return await site.post(path, body, headers={**headers, **more.pop("headers", {})}, **more)


@pytest.mark.parametrize(("path", "given", "kind", "units"), CASES, ids=[case[0] for case in CASES])
def test_each_is_a_call_with_its_units_and_the_bill_is_the_vendors(
    play: Play, path: str, given: dict[str, Any], kind: str, units: int
) -> None:
    async def scenario(site: Site) -> None:
        answer = await ask(site, path, given)
        assert answer.status == 200, answer.body
        call_id = read_id("call", answer.headers["x-mooring-call"])
        call = await site.rooms.journal.get_call("default", call_id)
        (attempt,) = await site.rooms.journal.attempts("default", call_id)
        assert (call.kind, call.state, call.name) == (kind, "completed", given["model"])
        assert (attempt.outcome, attempt.settlement) == ("completed", "settled")
        assert (attempt.usage.units if attempt.usage else 0) == units
        assert await bill(site) == (metered(site), 0)
        assert metered(site) > 0

    play(scenario)


@pytest.mark.parametrize(("path", "given", "kind", "units"), CASES, ids=[case[0] for case in CASES])
def test_a_key_is_paid_once_however_often_it_is_sent(
    play: Play, path: str, given: dict[str, Any], kind: str, units: int
) -> None:
    async def scenario(site: Site) -> None:
        is_form = any(isinstance(value, bytes) for value in given.values())
        bodies = []
        for boundary in ("first", "second"):  # an SDK draws a new one for each try
            body, headers = form(given, boundary) if is_form else (given, {})
            answer = await site.post(path, body, headers={**headers, "idempotency-key": "k"})
            assert answer.status == 200
            bodies.append(answer.body)
        assert bodies[0] == bodies[1]
        assert len(site.sim.meter.rows) == 1

    play(scenario)


@pytest.mark.parametrize(("path", "given", "kind", "units"), CASES[2:5] + CASES[6:], ids=lambda case: str(case)[:20])
def test_a_budget_that_could_be_passed_refuses_before_anything_is_sent(
    play: Play, path: str, given: dict[str, Any], kind: str, units: int
) -> None:
    async def scenario(site: Site) -> None:
        await site.rooms.journal.put_budget("default", scope="project", subject="", window="total", cap_nanos=10)
        answer = await ask(site, path, given)
        assert (answer.status, answer.error["code"]) == (402, "budget_exceeded")
        assert not site.sim.meter.rows

    play(scenario)


def test_seconds_that_nobody_can_know_are_refused_under_a_budget_and_bounded_by_the_operators_word(play: Play) -> None:
    async def scenario(site: Site) -> None:
        cap = 1_000_000_000_000
        await site.rooms.journal.put_budget("default", scope="project", subject="", window="total", cap_nanos=cap)
        answer = await ask(site, "/v1/audio/transcriptions", FORM)
        assert answer.status == 402
        assert "most_units" in answer.error["message"]

    async def bounded(site: Site) -> None:
        cap = 1_000_000_000_000
        await site.rooms.journal.put_budget("default", scope="project", subject="", window="total", cap_nanos=cap)
        assert (await ask(site, "/v1/audio/transcriptions", FORM)).status == 200
        assert await bill(site) == (metered(site), 0)

    play(scenario)
    play(bounded, provider={"prices": {"whisper": {"unit_usd": "0.000100000009", "most_units": 600}}})


def test_an_answer_that_does_not_tell_its_seconds_stays_held_and_listed(play: Play) -> None:
    async def scenario(site: Site) -> None:
        answer = await ask(site, "/v1/audio/transcriptions", {**FORM, "response_format": "text"})
        assert (answer.status, answer.headers["content-type"]) == (200, "text/plain; charset=utf-8")
        assert answer.body.startswith(b"It lasts 3 seconds.")
        assert "x-mooring-cost-usd" not in answer.headers
        assert len(await site.rooms.journal.unsettled("default")) == 1

    play(scenario)


@pytest.mark.parametrize(
    ("path", "given", "last"),
    [
        ("/v1/audio/transcriptions", {**FORM, "stream": "true"}, b"transcript.text.done"),
        (
            "/v1/images/generations",
            {"model": "sim/image", "prompt": "a", "stream": True},
            b"image_generation.completed",
        ),
    ],
)
def test_a_stream_of_events_flows_and_is_metered_by_its_last_one(
    play: Play, path: str, given: dict[str, Any], last: bytes
) -> None:
    async def scenario(site: Site) -> None:
        answer = await ask(site, path, given)
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert last in answer.body
        assert await bill(site) == (metered(site), 0)

    play(scenario)


def test_sound_comes_as_the_vendor_made_it(play: Play) -> None:
    async def scenario(site: Site) -> None:
        answer = await ask(site, "/v1/audio/speech", {"model": "sim/tts", "voice": "a", "input": "Ahoy" * 500})
        assert answer.headers["content-type"] == "audio/mpeg"
        assert answer.body == b"ID3" + bytes(ord(letter) % 251 for letter in "Ahoy" * 500) * 64
        call_id = read_id("call", answer.headers["x-mooring-call"])
        assert await site.rooms.journal.get_body("default", call_id) == answer.body

    play(scenario)


def test_a_sound_that_breaks_is_cut_and_never_looks_whole(play: Play) -> None:
    async def scenario(site: Site) -> None:
        site.sim.fault("close_mid_chunk", model="tts", after_events=3)
        with pytest.raises(Exception, match=r"broke|closed|disconnect|end"):
            await ask(site, "/v1/audio/speech", {"model": "sim/tts", "voice": "a", "input": "Ahoy" * 500})
        (call,) = await site.rooms.journal.list_calls("default")
        assert call.state == "failed"
        settled, held = await bill(site)
        assert settled <= metered(site) <= settled + held

    play(scenario)


@pytest.mark.parametrize(
    ("path", "given"),
    [
        ("/v1/rerank", {**RERANK, "documents": ["harmless", f"my key is {SECRET}"]}),
        ("/v1/moderations", {"model": "sim/moderation", "input": f"my key is {SECRET}"}),
        ("/v1/images/generations", {"model": "sim/image", "prompt": f"draw {SECRET}"}),
        ("/v1/audio/speech", {"model": "sim/tts", "voice": "a", "input": f"say {SECRET}"}),
        ("/v1/audio/transcriptions", {**FORM, "prompt": f"hear {SECRET}"}),
    ],
)
def test_the_guards_read_whatever_is_text(play: Play, path: str, given: dict[str, Any]) -> None:
    async def scenario(site: Site) -> None:
        answer = await ask(site, path, given)
        assert answer.status == 200, answer.body
        assert SECRET.encode() not in site.sim.requests[-1].body
        call = await site.rooms.journal.get_call("default", read_id("call", answer.headers["x-mooring-call"]))
        body, _ = await site.rooms.journal.get_request("default", call.id)
        assert SECRET.encode() not in body
        assert await bill(site) == (metered(site), 0)

    play(scenario, guardrails={"checks": [{"type": "secrets_mask", "stages": ["input", "output"]}]})


def test_what_a_speaker_says_is_guarded_too(play: Play) -> None:
    async def scenario(site: Site) -> None:
        answer = await ask(site, "/v1/audio/transcriptions", {**FORM, "prompt": SECRET})
        assert SECRET not in answer.json["text"]

    play(scenario, guardrails={"checks": [{"type": "secrets_mask", "stages": ["output"]}]})


@pytest.mark.parametrize(
    ("path", "given", "param"),
    [
        ("/v1/rerank", {"model": "sim/rerank", "documents": ["a"]}, "query"),
        ("/v1/rerank", {"model": "sim/rerank", "query": "a", "documents": []}, "documents"),
        ("/v1/rerank", {**RERANK, "top_n": 0}, "top_n"),
        ("/v1/moderations", {"model": "sim/moderation"}, "input"),
        ("/v1/images/generations", {"model": "sim/image"}, "prompt"),
        ("/v1/images/generations", {"model": "sim/image", "prompt": "a", "n": 0}, "n"),
        ("/v1/images/edits", {"model": "sim/image", "prompt": "a", "other": b"x"}, "image"),
        ("/v1/audio/transcriptions", {"model": "sim/whisper", "other": b"x"}, "file"),
        ("/v1/audio/transcriptions", {"file": b"x"}, "model"),
        ("/v1/audio/speech", {"model": "sim/tts"}, "input"),
    ],
)
def test_what_is_missing_is_named_and_nothing_is_sent(play: Play, path: str, given: dict[str, Any], param: str) -> None:
    async def scenario(site: Site) -> None:
        answer = await ask(site, path, given)
        assert answer.status == 400
        if "rerank" in path:
            assert set(answer.json) == {"message", "code"}
        else:
            assert answer.error["param"] == param
        assert not site.sim.meter.rows

    play(scenario)


def test_a_form_that_is_none_is_refused(play: Play) -> None:
    async def scenario(site: Site) -> None:
        for body in (
            b"",
            b"--x\r\n",
            b"--x\r\n\r\n\r\nv\r\n--x--",
            b"--x\r\nContent-Disposition: form-data\r\n\r\nv\r\n--x--",
        ):
            headers = {"content-type": "multipart/form-data; boundary=x"}
            answer = await site.post("/v1/audio/transcriptions", body, headers=headers)
            assert answer.status == 400, body

    play(scenario)


def test_a_vendor_without_such_a_wire_is_refused_by_name(tmp_path: Path) -> None:
    async def whole() -> None:
        providers = {"ant": {"type": "anthropic", "base_url": "http://127.0.0.1:9/v1", "api_key": "file:/dev/null"}}
        async with site(tmp_path, gateway={"providers": providers}) as made:
            answer = await made.post("/v1/moderations", {"model": "ant/x", "input": "a"})
            assert (answer.status, answer.error["code"]) == (400, "not_offered")

    asyncio.run(whole())


def test_top_n_is_kept_and_a_short_ranking_is_no_answer(play: Play) -> None:
    async def scenario(site: Site) -> None:
        answer = await ask(site, "/v2/rerank", {**RERANK, "top_n": 1})
        assert [one["index"] for one in answer.json["results"]] == [1]
        assert answer.json["meta"]["billed_units"] == {"search_units": 1}

    play(scenario)


def test_an_image_model_without_a_price_is_refused_and_flagged_by_policy(play: Play) -> None:
    async def scenario(site: Site) -> None:
        answer = await ask(site, "/v1/images/generations", {"model": "sim/image", "prompt": "a"})
        assert (answer.status, answer.error["code"]) == (400, "unknown_price")

    async def flagged(site: Site) -> None:
        answer = await ask(site, "/v1/images/generations", {"model": "sim/image", "prompt": "a"})
        assert answer.status == 200
        assert "x-mooring-cost-usd" not in answer.headers
        assert len(await site.rooms.journal.unsettled("default")) == 1

    nothing: dict[str, Any] = {"prices": {}}
    play(scenario, provider=nothing)
    play(flagged, provider=nothing, gateway={"unknown_price": "flag"})


def test_a_price_by_tokens_is_never_taken_for_images_that_tell_none(play: Play) -> None:
    async def scenario(site: Site) -> None:
        answer = await ask(site, "/v1/images/generations", {"model": "sim/image", "prompt": "a"})
        assert answer.status == 200
        assert "x-mooring-cost-usd" not in answer.headers
        assert len(await site.rooms.journal.unsettled("default")) == 1

    play(scenario, provider={"prices": {"*": {"input_usd": "1", "output_usd": "1"}}})


def test_the_price_of_an_image_may_depend_on_its_size_and_quality(play: Play) -> None:
    async def scenario(site: Site) -> None:
        given = {"model": "sim/image", "prompt": "a", "size": "1024x1792"}
        costs = []
        for more in ({}, {"quality": "hd"}, {"size": "other"}):
            answer = await ask(site, "/v1/images/generations", {**given, **more})
            costs.append(answer.headers["x-mooring-cost-usd"])
        assert costs == ["0.080000000", "0.120000000", "0.040000000"]

    sold = {"image": "0.04", "image-1024x1792": "0.08", "image-1024x1792-hd": "0.12"}
    prices = {name: {"unit_usd": usd} for name, usd in sold.items()}
    play(scenario, provider={"prices": prices})


def test_events_that_a_check_would_change_end_in_an_error_and_leak_nothing(play: Play) -> None:
    async def scenario(site: Site) -> None:
        answer = await ask(site, "/v1/audio/transcriptions", {**FORM, "prompt": SECRET, "stream": "true"})
        assert answer.status == 502
        assert SECRET.encode() not in answer.body
        assert await bill(site) == (metered(site), 0)

    play(scenario, guardrails={"checks": [{"type": "secrets_mask", "stages": ["output"]}]})


def test_a_client_that_hangs_up_pays_what_is_known_and_holds_the_rest(play: Play) -> None:
    async def scenario(site: Site) -> None:
        site.sim.fault("stall_mid_stream", model="tts", after_events=2, release="on")
        body = b'{"model":"sim/tts","voice":"a","input":"' + b"Ahoy" * 500 + b'"}'
        reader, writer = await asyncio.open_connection("127.0.0.1", int(site.url.rpartition(":")[2]))
        head = f"POST /v1/audio/speech HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {site.key}\r\n"
        writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        await reader.readuntil(b"ID3")
        writer.close()
        await writer.wait_closed()
        row = await site.sim.meter.wait(lambda row: row.disconnected)
        assert row.cost_nanos > 0
        calls = site.rooms.journal.list_calls
        while (await calls("default"))[0].state == "running":
            await asyncio.sleep(0)
        settled, held = await bill(site)
        assert settled <= metered(site) <= settled + held

    play(scenario)
