"""Money: caps hold, amounts move from held to settled, and what is unknown stays held until reconciled."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from mooring.core.clock import ManualClock
from mooring.core.errors import BudgetExceeded, NotFound
from mooring.core.ids import show
from mooring.core.usage import Usage
from mooring.journal import Journal, MeteredUsage
from mooring.journal.errors import BudgetsChanged
from mooring.journal.windows import starts_at_us

PROJECT = "default"


async def _state(journal: Journal) -> list[tuple[int, int]]:
    return [(budget.settled_nanos, budget.held_nanos) for budget in await journal.budgets(PROJECT)]


def test_an_intent_reserves_its_maximum_in_every_budget_and_its_result_settles_it(journal: Journal, words: Any) -> None:
    async def scene() -> None:
        await journal.put_budget(PROJECT, scope="project", subject="", window="day", cap_nanos=1_000)
        await journal.put_budget(PROJECT, scope="user", subject="u", window="total", cap_nanos=500)
        await journal.put_budget(PROJECT, scope="user", subject="v", window="total", cap_nanos=0)
        ids = (await journal.applying(PROJECT, user="u")).ids
        assert len(ids) == 2
        call = words.call(user="u")
        intent = words.intent(call, held_nanos=400, budget_ids=ids)
        await journal.begin_attempt(intent, call=call)
        assert await _state(journal) == [(0, 400), (0, 400), (0, 0)]
        await journal.finish_attempt(words.result(intent, 120), words.answer())
        assert await _state(journal) == [(120, 0), (120, 0), (0, 0)]

    asyncio.run(scene())


def test_a_removed_budget_settles_what_it_held_and_is_another_one_when_it_is_set_again(
    journal: Journal, words: Any
) -> None:
    async def scene() -> None:
        which: Any = {"scope": "user", "subject": "u", "window": "day"}
        first = await journal.put_budget(PROJECT, **which, cap_nanos=1_000)
        call = words.call(user="u")
        intent = words.intent(call, held_nanos=400, budget_ids=(await journal.applying(PROJECT, user="u")).ids)
        await journal.begin_attempt(intent, call=call)
        assert await journal.remove_budget(PROJECT, **which) == first
        assert await journal.budgets(PROJECT) == []
        assert (await journal.applying(PROJECT, user="u")).ids == ()
        await journal.finish_attempt(words.result(intent, 120), words.answer())
        (gone,) = await journal.removed_budgets(PROJECT)
        assert (gone.id, gone.settled_nanos, gone.held_nanos) == (first, 120, 0)
        assert gone.removed_at_us
        assert await journal.put_budget(PROJECT, **which, cap_nanos=500) != first
        assert await _state(journal) == [(0, 0)]
        with pytest.raises(BudgetsChanged):  # an intent of before
            await journal.begin_attempt(words.intent(call, held_nanos=1, budget_ids=(first,)), call=None)

    asyncio.run(scene())


def test_a_budget_that_is_not_there_cannot_be_removed(journal: Journal) -> None:
    with pytest.raises(NotFound) as caught:
        asyncio.run(journal.remove_budget(PROJECT, scope="user", subject="u", window="day"))
    assert str(caught.value) == "There is no budget of user u per day. See those that hold: mooring cost budgets"


def test_all_or_none_a_refused_reservation_leaves_no_trace(journal: Journal, words: Any) -> None:
    async def scene() -> None:
        await journal.put_budget(PROJECT, scope="project", subject="", window="day", cap_nanos=1_000)
        await journal.put_budget(PROJECT, scope="user", subject="u", window="month", cap_nanos=100)
        ids = (await journal.applying(PROJECT, user="u")).ids
        call = words.call(user="u", key="k")
        with pytest.raises(BudgetExceeded, match="The budget of user 'u' is") as caught:
            await journal.begin_attempt(words.intent(call, held_nanos=101, budget_ids=ids), call=call)
        assert "$0.000000100 (month)" in str(caught.value)
        assert await _state(journal) == [(0, 0), (0, 0)]
        assert await journal.list_calls(PROJECT) == []
        assert await journal.find_key(PROJECT, "k", b"bound") is None
        await journal.begin_attempt(words.intent(call, held_nanos=100, budget_ids=ids), call=call)

    asyncio.run(scene())


def test_an_amount_settles_in_the_window_where_it_was_reserved(
    journal: Journal, words: Any, clock: ManualClock
) -> None:
    async def scene() -> None:
        await journal.put_budget(PROJECT, scope="project", subject="", window="hour", cap_nanos=100)
        ids = (await journal.applying(PROJECT)).ids
        call = words.call()
        intent = words.intent(call, held_nanos=100, budget_ids=ids)
        await journal.begin_attempt(intent, call=call)
        clock.advance(3_600)
        assert await _state(journal) == [(0, 0)]
        later = words.intent(call, number=2, held_nanos=100, budget_ids=ids)
        await journal.begin_attempt(later)
        await journal.finish_attempt(words.result(intent, 60))
        assert await _state(journal) == [(0, 100)]

    asyncio.run(scene())


def test_an_unknown_cost_stays_held_and_listed_until_reconciled(journal: Journal, words: Any) -> None:
    async def scene() -> None:
        await journal.put_budget(PROJECT, scope="project", subject="", window="total", cap_nanos=1_000)
        ids = (await journal.applying(PROJECT)).ids
        intents = []
        for number, (cost, request_id) in enumerate([(None, "r0"), (None, None), (None, "r2"), (10, "r3")]):
            call = words.call()
            intent = words.intent(call, held_nanos=100, budget_ids=ids)
            await journal.begin_attempt(intent, call=call)
            await journal.finish_attempt(words.result(intent, cost, provider_request_id=request_id), words.answer())
            intents.append(intent)
            assert len(await journal.unsettled(PROJECT)) == min(number + 1, 3)
        assert await _state(journal) == [(10, 300)]
        report = await journal.reconcile(
            PROJECT,
            {
                "r0": MeteredUsage(cost_nanos=40),
                show("att", intents[1].id): MeteredUsage(usage=Usage(input_tokens=10, output_tokens=5)),
                "r3": MeteredUsage(cost_nanos=11),
                "stranger": MeteredUsage(cost_nanos=1),
            },
        )
        assert (report.settled, report.settled_nanos) == (2, 60)
        assert report.missing == (intents[2].id,)
        assert report.unknown == ("stranger",)
        assert [(one.settled_nanos, one.metered_nanos) for one in report.differing] == [(10, 11)]
        assert await _state(journal) == [(70, 100)]
        whole = await journal.reconcile(PROJECT, {}, is_complete_until_us=2_000_000_000_000_000)
        assert whole.settled == 1
        assert await _state(journal) == [(70, 0)]
        assert await journal.unsettled(PROJECT) == []
        bill = await journal.bill(PROJECT)
        assert (bill.settled_nanos, bill.held_nanos, bill.lines[0].attempts) == (70, 0, 4)
        assert bill.lines[0].usage.input_tokens == 10

    asyncio.run(scene())


def test_64_threads_on_one_budget_never_pass_its_cap(journal: Journal, words: Any) -> None:
    budget = asyncio.run(journal.put_budget(PROJECT, scope="project", subject="", window="total", cap_nanos=1_000))
    start = threading.Barrier(64)

    def spend(_: int) -> bool:
        async def scene() -> bool:
            call = words.call()
            intent = words.intent(call, held_nanos=100, budget_ids=(budget,))
            try:
                await journal.begin_attempt(intent, call=call)
            except BudgetExceeded:
                return False
            return True

        start.wait()
        return asyncio.run(scene())

    with ThreadPoolExecutor(64) as threads:
        assert sum(threads.map(spend, range(64))) == 10
    assert asyncio.run(_state(journal)) == [(0, 1_000)]


def test_windows_begin_where_the_calendar_says() -> None:
    moment = 1_790_000_000_000_000  # 2026-09-21T14:13:20Z, a Monday
    assert starts_at_us("hour", moment) == 1_789_999_200_000_000
    assert starts_at_us("day", moment) == 1_789_948_800_000_000
    assert starts_at_us("week", moment) == 1_789_948_800_000_000
    assert starts_at_us("week", moment - 86_400_000_000) == 1_789_344_000_000_000
    assert starts_at_us("month", moment) == 1_788_220_800_000_000
    assert starts_at_us("total", moment) == 0
