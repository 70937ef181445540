"""Any order of intents, results, deaths, late results, exports and leases: the journal agrees with a model of it."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from mooring.core.clock import ManualClock
from mooring.core.errors import BudgetExceeded, CallUncertain, LeaseLost
from mooring.core.ids import new_id, show
from mooring.journal import AttemptIntent, Journal, KeyTaken, MeteredUsage, NewCall, NewRun, RunRef
from mooring.storage import Blobs, Database

CAP = 300
RUN_CAP = 120
KEYS = ("a", "b")


@dataclass
class Attempt:
    """The model of one send; `metered` is what the provider counts, told only to this test."""

    intent: AttemptIntent
    call: "Call"
    process: int
    metered: int
    outcome: str = "intended"
    settled: int = 0
    held: int = 0


@dataclass
class Call:
    new: NewCall
    process: int
    state: str = "running"
    attempts: list[Attempt] = field(default_factory=list)


class Model(RuleBasedStateMachine):
    """Rules are what rooms and fate do; invariants are J2, J3 and J4, and the fencing of runs."""

    make: Callable[[], Journal]
    words: Any

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.project = "p" + new_id().hex()
        self.journals = [self.make(), self.make()]
        self.calls: list[Call] = []
        self.holders: dict[str, Call] = {}
        self.run: Any = None
        self.owner = 0
        self.stale: list[Any] = []
        self.written = 0

    def teardown(self) -> None:
        self.loop.close()

    def wait(self, scene: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(scene)

    @property
    def attempts(self) -> list[Attempt]:
        return [attempt for call in self.calls for attempt in call.attempts]

    def pick(self, index: int, *outcomes: str) -> Attempt | None:
        found = [attempt for attempt in self.attempts if attempt.outcome in outcomes]
        return found[index % len(found)] if found else None

    # rules -----------------------------------------------------------------------------------------------------------

    @initialize()
    def open_project(self) -> None:
        journal = self.journals[0]
        self.wait(journal.put_budget(self.project, scope="project", subject="", window="total", cap_nanos=CAP))
        self.budgets = self.wait(journal.applying(self.project)).ids

    @rule(
        process=st.integers(0, 1),
        key=st.sampled_from((None, *KEYS)),
        held=st.integers(0, 90),
        share=st.integers(0, 100),
    )
    def begin(self, process: int, key: str | None, held: int, share: int) -> None:
        fields: dict[str, Any] = {"project_id": self.project, "request_body": b"{}"}
        run = None
        if self.run is not None:
            run = RunRef(run_id=self.run.id, epoch=self.run.epoch, step="s")
        if key is not None:
            fields["key"] = key
        call = Call(self.words.call(run=run, **fields), process)
        self.send(call, number=1, held=held, share=share)

    @rule(index=st.integers(0, 99), held=st.integers(0, 90), share=st.integers(0, 100))
    def try_again(self, index: int, held: int, share: int) -> None:
        running = [one for one in self.calls if one.state == "running" and self.has_lease(one.new.run)]
        if running:
            call = running[index % len(running)]
            self.send(call, number=len(call.attempts) + 1, held=held, share=share)

    def has_lease(self, run: RunRef | None) -> bool:
        return run is None or (self.run is not None and run.epoch == self.run.epoch)

    def send(self, call: Call, *, number: int, held: int, share: int) -> None:
        intent = self.words.intent(call.new, number=number, held_nanos=held, budget_ids=self.budgets)
        attempt = Attempt(intent, call, call.process, held * share // 100, held=held)
        try:
            self.wait(self.journals[call.process].begin_attempt(intent, call=call.new if number == 1 else None))
        except KeyTaken as taken:
            holder = self.holders[call.new.key or ""].new.id
            assert (number, holder) == (1, taken.call_id)  # noqa: PT017 - whether it is raised is the model's matter
        except BudgetExceeded:
            assert held > 0
            assert self.used() + held > CAP or self.used(call.new.run) + held > RUN_CAP
        else:
            assert self.used() + held <= CAP or not held
            assert call.new.key is None or number > 1 or call.new.key not in self.holders
            call.attempts.append(attempt)
            if number == 1:
                self.calls.append(call)
                if call.new.key is not None:
                    self.holders[call.new.key] = call

    def used(self, run: RunRef | None = None) -> int:
        return sum(
            one.settled + one.held
            for one in self.attempts
            if run is None or (one.call.new.run is not None and one.call.new.run.run_id == run.run_id)
        )

    @rule(
        index=st.integers(0, 99),
        outcome=st.sampled_from(("completed", "failed", "blocked", "uncertain")),
        is_known=st.booleans(),
        closes=st.booleans(),
    )
    def finish(self, index: int, outcome: str, is_known: bool, closes: bool) -> None:
        attempt = self.pick(index, "intended", "uncertain")
        if attempt is None:
            return
        journal = self.journals[index % 2]
        closes = closes and outcome != "uncertain"
        answer = self.words.answer(b"body", state=outcome) if closes else None
        cost = attempt.metered if is_known else None
        self.wait(journal.finish_attempt(self.words.result(attempt.intent, cost, outcome=outcome), answer))
        attempt.outcome = outcome
        if cost is not None:
            self.settle(attempt)
        if closes:
            self.close(attempt.call, outcome)
        elif outcome == "uncertain":
            self.doubt(attempt.call)

    @rule(index=st.integers(0, 99))
    def finish_twice(self, index: int) -> None:
        attempt = self.pick(index, "completed", "failed", "blocked")
        if attempt is not None:
            result = self.words.result(attempt.intent, attempt.metered, outcome="completed")
            self.wait(self.journals[0].finish_attempt(result, self.words.answer(b"another")))
            self.settle(attempt)

    def settle(self, attempt: Attempt) -> None:
        attempt.settled, attempt.held = attempt.metered, 0

    def close(self, call: Call, state: str) -> None:
        if call.state not in {"running", "uncertain"}:
            return
        call.state = state
        is_paid = any(one.settled or one not in self.settled_ones() for one in call.attempts)
        if state == "failed" and not is_paid and self.holders.get(call.new.key or "") is call:
            del self.holders[call.new.key or ""]

    def settled_ones(self) -> list[Attempt]:
        stored = {
            one.id: one.settlement
            for call in {attempt.call.new.id for attempt in self.attempts}
            for one in self.wait(self.journals[0].attempts(self.project, call))
        }
        return [one for one in self.attempts if stored[one.intent.id] == "settled"]

    def doubt(self, call: Call) -> None:
        if call.state == "running" and not any(one.outcome == "intended" for one in call.attempts):
            call.state = "uncertain"

    @rule(process=st.integers(0, 1))
    def kill(self, process: int) -> None:
        other = self.journals[1 - process]
        self.wait(other.bury(self.journals[process].process_id))
        lost = [one for one in self.attempts if one.process == process and one.outcome == "intended"]
        for attempt in lost:
            attempt.outcome = "uncertain"
        for attempt in lost:
            self.doubt(attempt.call)
        for call in self.calls:
            is_idle = not any(one.outcome == "intended" for one in call.attempts)
            if call.process == process and call.state == "running" and is_idle:
                self.close(call, "failed")
        if self.run is not None and self.owner == process:
            self.lose_run()
        for one in (*self.calls, *self.attempts):  # the dead one's number goes to its successor
            if one.process == process:
                one.process = -1
        self.journals[process] = self.make()
        for call in self.calls:
            if call.process == -1 and call.state == "running":
                call.process = process

    @rule()
    def reconcile(self) -> None:
        over = [one for one in self.attempts if one.outcome != "intended"]
        export = {show("att", one.intent.id): MeteredUsage(cost_nanos=one.metered) for one in over}
        report = self.wait(self.journals[0].reconcile(self.project, export))
        assert not report.missing
        assert not report.unknown
        assert not report.differing
        for attempt in over:
            self.settle(attempt)

    # runs ------------------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.run is None)
    @rule(process=st.integers(0, 1))
    def claim(self, process: int) -> None:
        handler = self.project
        if not self.stale:
            run = NewRun(
                id=new_id(), project_id=self.project, handler=handler, name="a", input=b"", max_cost_nanos=RUN_CAP
            )
            self.wait(self.journals[0].create_run(run))
        self.run = self.wait(self.journals[process].claim_run([handler], lease_seconds=1e6))
        assert self.run is not None
        self.owner = process

    def lose_run(self) -> None:
        self.stale.append(self.run)
        self.run = None

    @precondition(lambda self: self.run is not None)
    @rule()
    def append(self) -> None:
        self.written += 1
        assert self.wait(self.journals[self.owner].append(self.run.id, self.run.epoch, "k", b"x")) == self.written

    @precondition(lambda self: self.stale)
    @rule()
    def write_with_a_lost_lease(self) -> None:
        old = self.stale[-1]
        call = self.words.call(project_id=self.project, run=RunRef(run_id=old.id, epoch=old.epoch, step="s"))
        for write in (
            self.journals[0].append(old.id, old.epoch, "k", b"x"),
            self.journals[0].begin_attempt(self.words.intent(call), call=call),
        ):
            try:
                self.wait(write)
            except LeaseLost:
                continue
            raise AssertionError("a lost lease wrote")

    # invariants ------------------------------------------------------------------------------------------------------

    @invariant()
    def j3_the_cap_holds_and_the_meter_lies_between(self) -> None:
        for budget in self.wait(self.journals[0].budgets(self.project)):
            assert budget.settled_nanos == sum(one.settled for one in self.attempts)
            assert budget.held_nanos == sum(one.held for one in self.attempts)
            assert budget.settled_nanos + budget.held_nanos <= CAP
            metered = sum(one.metered for one in self.attempts)
            assert budget.settled_nanos <= metered <= budget.settled_nanos + budget.held_nanos

    @invariant()
    def every_call_is_as_the_model_says_and_j2_a_key_is_paid_once(self) -> None:
        stored = {one.id: one for one in self.wait(self.journals[0].list_calls(self.project, limit=1_000))}
        assert {call.new.id: call.state for call in self.calls} == {one.id: one.state for one in stored.values()}
        for call in self.calls:
            sums = (sum(one.settled for one in call.attempts), sum(one.held for one in call.attempts))
            assert (stored[call.new.id].settled_nanos, stored[call.new.id].held_nanos) == sums
        for key in KEYS:
            assert sum(one.key == key and one.state == "completed" for one in stored.values()) <= 1
            holder = self.holders.get(key)
            try:
                found = self.wait(self.journals[1].find_key(self.project, key, b"bound"))
            except CallUncertain:
                assert holder is not None
                assert holder.state == "uncertain"
            else:
                assert (found.id if found else None) == (holder.new.id if holder else None)

    @invariant()
    def j4_what_is_uncertain_is_listed(self) -> None:
        listed = {one.call.id for one in self.wait(self.journals[0].uncertain(self.project))}
        assert listed == {call.new.id for call in self.calls if call.state == "uncertain"}

    @invariant()
    def events_are_gapless(self) -> None:
        run = self.run or (self.stale[-1] if self.stale else None)
        if run is not None:
            events = self.wait(self.journals[0].events(self.project, run.id))
            assert [event.seq for event in events] == list(range(1, self.written + 1))
            record = self.wait(self.journals[0].get_run(self.project, run.id))
            mine = [one for one in self.attempts if one.call.new.run is not None]
            assert record.settled_nanos == sum(one.settled for one in mine)
            assert record.held_nanos == sum(one.held for one in mine)
            assert record.settled_nanos + record.held_nanos <= RUN_CAP


def test_the_journal_agrees_with_its_model(database: Database, tmp_path: Path, words: Any) -> None:
    blobs, clock = Blobs(tmp_path / "blobs"), ManualClock()

    class Machine(Model):
        @staticmethod
        def make() -> Journal:
            return Journal(database, blobs, process_id=new_id(), clock=clock, new_id=new_id)

    Machine.words = words
    is_quick = database.dialect == "sqlite"
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=40 if is_quick else 10,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
        ),
    )
