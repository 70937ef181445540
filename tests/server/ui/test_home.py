"""Home: the same mistake is one thing, however often it was made; and what a day cost is read from its hours."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from mooring.core.ids import new_id
from mooring.journal.records import AttemptIntent, AttemptResult, CallAnswer, NewCall
from mooring.server.ui.alike import alike, shape

from .conftest import Browser, Open
from .test_pages import a_run, a_tool, its_process_dies


async def a_chat(one: Browser, *, cost: int = 0, error: str | None = None, **more: Any) -> None:
    call = NewCall(new_id(), "default", "chat", "fast", new_id(), **more)
    intent = AttemptIntent(new_id(), call.id, "default", 1, "sim/echo", b"h")
    await one.rooms.journal.begin_attempt(intent, call=call)
    state = "failed" if error else "completed"
    result = AttemptResult(intent.id, state, cost, error_code="upstream_error" if error else None, error_message=error)
    await one.rooms.journal.finish_attempt(result, CallAnswer(state, error_code="upstream_error" if error else None))


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("Order 81 is late by 3.5 days.", "Order 4711 is late by 2 days.", True),
        ("run_01m87vx18fe00b6pt3g2gbsx32 is gone.", "run_01m87w0qy2e0080w1q7z37rmcm is gone.", True),
        ("No file 'a.txt'.", 'No file "b c.txt".', True),
        ("trace 01a20fc05ef170009f6a3e62cdbcc10c", "trace 451e0a371e260715c95fd189ddd6951d", True),
        ("It broke.", "It burst.", False),
    ],
)
def test_what_differs_between_two_tellings_of_one_mistake_is_passed_over(one: str, other: str, is_same: bool) -> None:
    assert (shape(one) == shape(other)) == is_same


def test_the_newest_stands_for_all_of_its_kind_with_the_first_and_the_last_time() -> None:
    found = alike([("a 1", 5), ("b", 9), ("a 2", 7), ("a 3", 3)], key=lambda row: (row[0],), at_us=lambda row: row[1])
    assert [(*one.newest, one.times, one.first_us, one.last_us) for one in found] == [
        ("b", 9, 1, 9, 9),
        ("a 2", 7, 3, 3, 7),
    ]


def test_runs_that_fail_in_the_same_way_are_one_line_with_their_number_and_a_link_to_them(browser: Open) -> None:
    async def scene() -> None:
        async with browser() as one:
            for number in range(7):
                run = await a_run(one, "nightly")
                error = f"Order {number} is not there." if number else "It broke."
                await one.rooms.journal.finish_run(
                    run.id, run.epoch, "failed", error_code="failed" if number else "broken", error_message=error
                )
            await one.sign_in()
            page, twin = await one.get("/ui/home"), (await one.get("/ui/home.json")).json
            failed = [item for item in twin["attention"] if item["kind"] == "failed"]
            assert [(item["count"], item["detail"]) for item in failed] == [
                (6, "Order 6 is not there."),
                (1, "It broke."),
            ]
            assert failed[0]["first_at_us"] < failed[0]["at_us"]
            assert "nightly failed 6 times Order 6 is not there." in page.words
            listed = (await one.get(failed[0]["href"].replace("?", ".json?"))).json["runs"]
            assert len(listed) == 6
            assert failed[1]["href"].startswith("/ui/runs/run_")

    asyncio.run(scene())


def test_uncertain_calls_of_one_name_are_together_and_lead_to_each(browser: Open) -> None:
    async def scene() -> None:
        async with browser() as one:
            async with browser() as dying:
                for _ in range(3):
                    await a_tool(dying, await a_run(dying))
                await its_process_dies(dying)
            await one.sign_in()
            (item,) = [
                item for item in (await one.get("/ui/home.json")).json["attention"] if item["kind"] == "uncertain"
            ]
            assert (item["count"], item["command"]) == (3, "mooring runs uncertain")
            assert len((await one.get(item["href"].replace("?", ".json?"))).json["calls"]) == 3

    asyncio.run(scene())


def test_files_that_cannot_be_read_for_the_same_reason_are_one_line(browser: Open, tmp_path: Path) -> None:
    async def scene() -> None:
        async with browser() as one:
            for number in range(3):
                (tmp_path / f"scan{number}.txt").write_bytes(b"\xff\xfe\xfd")
            await one.rooms.rag.ingest("default", "papers", tmp_path)
            await one.sign_in()
            assert "and 2 more are not read" in (await one.get("/ui/home")).words

    asyncio.run(scene())


def test_failures_of_a_target_are_counted_by_what_they_say(browser: Open) -> None:
    async def scene() -> None:
        async with browser() as one:
            for number in range(4):
                await a_chat(one, error=f"It answered 503 after {number} ms.")
            await one.sign_in()
            (failure,) = (await one.get("/ui/models.json")).json["failures"]
            assert (failure["count"], failure["target"]) == (4, "sim/echo")
            assert "4 times" in (await one.get("/ui/models")).words

    asyncio.run(scene())


def test_what_today_cost_is_the_sum_of_what_ended_and_what_is_held_now(browser_on_either: Open) -> None:
    async def scene() -> None:
        async with browser_on_either() as one:
            await a_chat(one, cost=7, user="u_1")
            await a_chat(one, cost=5, user="u_2")
            await a_chat(one, cost=1, user="u_2")
            await one.sign_in()
            twin = (await one.get("/ui/home.json")).json
            assert twin["total"] == {"settled_nanos": 13, "held_nanos": 0, "attempts": 3}
            assert [(row["user"], row["settled_nanos"]) for row in twin["users"]] == [("u_1", 7), ("u_2", 6)]
            bill = await one.rooms.journal.bill("default")
            assert bill.settled_nanos == twin["total"]["settled_nanos"]

    asyncio.run(scene())


def test_calls_are_summed_up_by_user_session_tag_and_model(browser_on_either: Open) -> None:
    async def scene() -> None:
        async with browser_on_either() as one:
            await a_chat(one, cost=7, user="u_1", session="s_1", tags=("web", "beta"))
            await a_chat(one, cost=5, user="u_2", tags=("web",))
            await a_chat(one, error="It broke.", user="u_2")
            await one.sign_in()

            async def groups(query: str) -> list[tuple[Any, ...]]:
                rows = (await one.get("/ui/calls.json" + query)).json["groups"]["rows"]
                return [(row["value"], row["number"], row["failed"], row["settled_nanos"]) for row in rows]

            assert await groups("?by=user") == [("u_1", 1, 0, 7), ("u_2", 2, 1, 5)]
            assert await groups("?by=tag") == [("web", 2, 0, 12), ("beta", 1, 0, 7), (None, 1, 1, 0)]
            assert await groups("?by=session") == [("s_1", 1, 0, 7), (None, 2, 1, 5)]
            assert await groups("?by=model&user=u_2") == [("fast", 2, 1, 5)]
            page = await one.get("/ui/calls?by=user&tag=web")
            assert 'href="/ui/calls?tag=web&amp;user=u_1"' in page.text
            assert (await one.get("/ui/calls?by=colour")).status == 400

    asyncio.run(scene())


def test_runs_are_summed_up_by_user_tag_and_agent(browser_on_either: Open) -> None:
    async def scene() -> None:
        async with browser_on_either() as one:
            for name in ("mailer", "clerk", "clerk"):
                run = await a_run(one, name)
                await one.rooms.journal.finish_run(run.id, run.epoch, "failed" if name == "mailer" else "completed")
            await one.sign_in()
            rows = (await one.get("/ui/runs.json?by=agent")).json["groups"]["rows"]
            assert [(row["value"], row["number"], row["failed"]) for row in rows] == [("clerk", 2, 0), ("mailer", 1, 1)]
            assert "User Runs Failed Settled Held Last u_7 3 1" in (await one.get("/ui/runs?by=user")).words
            assert (await one.get("/ui/runs?by=user&text=letter")).status == 400

    asyncio.run(scene())
