"""The page of a trace: one tree of whatever belongs together, whoever made it; and the list that leads to it."""

import asyncio
from pathlib import Path
from typing import Any

from mooring.core import ids
from mooring.core.ids import new_id
from mooring.journal.records import AttemptIntent, AttemptResult, CallAnswer, NewCall, RunRef
from mooring.rag import Origin
from mooring.server.ui import traces
from mooring.tracing.foreign import Foreign
from mooring.tracing.records import ForeignSpan

from .conftest import Browser, Open
from .test_pages import HOSTILE, a_run, a_tool

ROOT, CHILD = bytes.fromhex("b7ad6b7169203331"), bytes.fromhex("00f067aa0ba902b7")


async def a_call(one: Browser, trace_id: bytes, *, parent: bytes | None = None, **more: Any) -> NewCall:
    """A chat that failed at one target and was answered by another."""
    call = NewCall(new_id(), "default", "chat", "fast", trace_id, parent_span_id=parent, **more)
    first = AttemptIntent(new_id(), call.id, "default", 1, "sim/down", b"h")
    await one.rooms.journal.begin_attempt(first, call=call)
    failed = AttemptResult(
        first.id, "failed", 0, upstream_status=503, error_code="upstream_error", error_message="It is down."
    )
    await one.rooms.journal.finish_attempt(failed)
    second = AttemptIntent(new_id(), call.id, "default", 2, "sim/echo", b"h", reason="fallback")
    await one.rooms.journal.begin_attempt(second)
    verdict = {"check": "pii_mask", "action": "mask", "reason": HOSTILE, "kinds": ["email"], "counts": {"email": 2}}
    answer = CallAnswer("completed", body=b"{}", attributes={"guards": [verdict]})
    await one.rooms.journal.finish_attempt(AttemptResult(second.id, "completed", 0, bytes_up=90, bytes_down=9), answer)
    return call


async def others(one: Browser, trace_id: bytes, *spans: tuple[bytes, bytes | None, str, str]) -> None:
    now = one.rooms.clock.now_us()
    received = [
        ForeignSpan(trace_id, key, parent, "shop", name, "server", state, now - 5_000_000 + at, now + 1_000_000)
        for at, (key, parent, name, state) in enumerate(spans)
    ]
    await Foreign(one.rooms.spans).put("default", received, at_us=now)


def shape(twin: Any) -> list[tuple[int, str, str]]:
    return [(row["depth"], row["level"], row["name"]) for row in twin["waterfall"]["rows"]]


def test_calls_without_a_run_stand_under_the_spans_of_the_program_that_made_them(browser: Open) -> None:
    async def scene() -> None:
        async with browser() as one:
            trace_id = new_id()
            await others(one, trace_id, (ROOT, None, "GET /order", "ok"), (CHILD, ROOT, "ask", "error"))
            call = await a_call(one, trace_id, parent=CHILD, user="u_7")
            await others(one, trace_id, (ROOT, None, "GET /order", "ok"), (b"8 bytes!", call.id[8:], "inside", "ok"))
            await one.sign_in()
            path = f"/ui/traces/{trace_id.hex()}"
            page, twin = await one.get(path), (await one.get(path + ".json")).json
            assert shape(twin) == [
                (0, "other", "GET /order"),
                (1, "other", "ask"),
                (2, "call", "fast"),
                (3, "other", "inside"),
                (3, "attempt", "sim/down"),
                (3, "attempt", "sim/echo"),
            ]
            assert (twin["trace"]["name"], twin["trace"]["kind"], twin["trace"]["user"]) == (
                "GET /order",
                "shop",
                "u_7",
            )
            assert twin["totals"] | {"bytes_up": 90, "calls": 1, "attempts": 2, "foreign": 3} == twin["totals"]
            assert "attempt 1, sim/down upstream_error It is down." in page.words
            assert "status 503" in page.words
            assert "Every part adds up" in page.words

    asyncio.run(scene())


def test_a_call_of_a_run_leads_to_the_whole_run_with_each_call_within_its_step(browser: Open) -> None:
    async def scene() -> None:
        async with browser() as one:
            run = await a_run(one)
            tool, _ = await a_tool(one, run)
            for step in ("1.tool.0/search#1", "1.tool.0/search#1/embed#1", "2.model"):
                ref = RunRef(run.id, run.epoch, step)
                call = NewCall(new_id(), "default", "chat", step, run.id, run=ref, parent_span_id=CHILD)
                await one.rooms.journal.record_call(call, CallAnswer("completed"))
            await one.sign_in()
            twin = (await one.get(f"/ui/traces/{ids.show('call', tool.id)}.json")).json
            assert twin["trace"]["run_id"] == ids.show("run", run.id)
            assert shape(twin) == [
                (0, "run", "mailer"),
                (1, "call", "send_letter"),
                (2, "attempt", "tool/send_letter"),
                (2, "call", "1.tool.0/search#1"),
                (3, "call", "1.tool.0/search#1/embed#1"),
                (1, "call", "2.model"),
            ]
            page = await one.get(f"/ui/runs/{ids.show('run', run.id)}")
            assert f'href="/ui/traces/{ids.show("run", run.id)}"' in page.text
            page = await one.get(f"/ui/calls/{ids.show('call', tool.id)}")
            assert f'href="/ui/traces/{ids.show("run", run.id)}#{ids.show("call", tool.id)}"' in page.text

    asyncio.run(scene())


def test_guards_and_passages_are_told_with_their_scores_and_hostile_text_stays_text(
    browser: Open, tmp_path: Path
) -> None:
    async def scene() -> None:
        async with browser() as one:
            (tmp_path / "pier.md").write_text("# Pier 7\n\nThe key hangs behind the chart table.\n")
            await one.rooms.rag.ingest("default", "papers", tmp_path)
            trace_id = new_id()
            await one.rooms.rag.search("default", "papers", "Where is the key?", origin=Origin(trace_id=trace_id))
            await others(one, trace_id, (ROOT, ROOT, HOSTILE, "error"))
            await a_call(one, trace_id)
            await one.sign_in()
            path = f"/ui/traces/{trace_id.hex()}"
            page, twin = await one.get(path), (await one.get(path + ".json")).json
            (retrieval,) = twin["retrievals"]
            assert retrieval["scores"]
            assert retrieval["hits"][0]["href"].startswith("/ui/documents/doc_")
            assert "pii_mask mask fast email × 2" in page.words
            assert "<img" not in page.text
            (tmp_path / "pier.md").unlink()
            await one.rooms.rag.ingest("default", "papers", tmp_path)
            assert "pier.md not there any more" in (await one.get(path)).words

    asyncio.run(scene())


def test_a_trace_that_only_other_programs_know_has_its_page_and_none_has_none(browser: Open) -> None:
    async def scene() -> None:
        async with browser() as one:
            trace_id = new_id()
            await others(one, trace_id, (ROOT, None, "nightly", "ok"), (CHILD, b"unknown!", "orphan", "ok"))
            await one.sign_in()
            twin = (await one.get(f"/ui/traces/{trace_id.hex()}.json")).json
            assert shape(twin) == [(0, "other", "nightly"), (0, "other", "orphan")]
            assert (await one.get(f"/ui/traces/{trace_id.hex()}")).status == 200
            assert (await one.get(f"/ui/traces/{new_id().hex()}")).status == 404
            assert (await one.get("/ui/traces/nonsense")).status == 400

    asyncio.run(scene())


def test_a_long_trace_is_turned_over_and_its_sums_are_of_the_whole(browser: Open, monkeypatch: Any) -> None:
    monkeypatch.setattr(traces, "MOST_CALLS", 2)

    async def scene() -> None:
        async with browser() as one:
            trace_id = new_id()
            for _ in range(3):
                await a_call(one, trace_id)
            await one.sign_in()
            twin = (await one.get(f"/ui/traces/{trace_id.hex()}.json")).json
            assert sum(level == "call" for _, level, _ in shape(twin)) == 2
            assert twin["totals"]["calls"] == 3
            later = (await one.get(twin["older"].replace("?", ".json?"))).json
            assert (later["place"]["first"], later["older"]) == (3, None)
            assert later["totals"] == twin["totals"]

    asyncio.run(scene())


def test_traces_are_listed_and_found_by_user_session_tag_and_state(browser: Open) -> None:
    async def scene() -> None:
        async with browser() as one:
            mine, other = new_id(), new_id()
            await a_call(one, mine, user="u_1", session="s_1", tags=("web",))
            await a_call(one, other, user="u_2", session="s_2")
            await one.rooms.projector.catch_up()
            await one.sign_in()

            async def found(query: str) -> list[str]:
                return [row["id"] for row in (await one.get("/ui/traces.json" + query)).json["traces"]]

            assert await found("") == [other.hex(), mine.hex()]
            for query in ("?user=u_1", "?session=s_1", "?tag=web", "?user=u_1&state=completed&kind=chat&since=1h"):
                assert await found(query) == [mine.hex()], query
            assert "No trace matches" in (await one.get("/ui/traces?user=nobody")).words
            assert (await one.get("/ui/traces?since=yesterday")).status == 400
            assert f'href="/ui/traces/{mine.hex()}"' in (await one.get("/ui/traces")).text

    asyncio.run(scene())


def test_a_list_says_of_a_trace_what_its_page_says(browser: Open) -> None:
    async def scene() -> None:
        async with browser() as one:
            trace_id = new_id()
            await a_call(one, trace_id)
            lost = NewCall(new_id(), "default", "chat", "fast", trace_id)
            await one.rooms.journal.record_call(lost, CallAnswer("failed", error_code="upstream_error"))
            await one.rooms.projector.catch_up()
            await one.sign_in()
            (row,) = (await one.get("/ui/traces.json")).json["traces"]
            assert row["state"] == (await one.get(f"/ui/traces/{row['id']}.json")).json["trace"]["state"] == "failed"

    asyncio.run(scene())
