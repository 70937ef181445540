"""Intent and result, each in one transaction: the two moments on which the promises about money rest."""

from collections.abc import Callable
from hashlib import blake2b
from typing import TypeVar

from mooring.core.errors import BudgetExceeded, LeaseLost, NotFound, RateLimited
from mooring.core.money import Price, show_usd
from mooring.storage import Lock, Tx
from mooring.storage.session_lock import cut_off

from .base import CALL_CLOSED, Base, Open
from .contents import Request
from .errors import BudgetsChanged, KeyTaken
from .records import AttemptIntent, AttemptResult, CallAnswer, NewCall, Place
from .repository import attempts, calls, ledger, runs
from .repository.attempts import Reserved
from .repository.calls import Closed
from .repository.contents import Kept
from .waiting import QUEUE, call_channel
from .windows import HOUR_US, MOST_WINDOWS, NO_WINDOWS, Windows, reservations_of, windows_at

T = TypeVar("T")

_FREE = attempts.price_text(Price())


class Attempts(Base):
    """`begin_attempt` and `finish_attempt`, and the steps that tools share with them."""

    async def begin_attempt(self, intent: AttemptIntent, *, call: NewCall | None = None) -> None:
        """Write call (if given), reservation and intent in one transaction; the attempt may be sent once this returns.

        Raises:
            BudgetExceeded: a cap of a budget or of the run would be passed.
            BudgetsChanged: there is a budget that the intent does not know, or one that it names was removed.
            LeaseLost: the run has another owner.
            KeyTaken: another call has the key.
            RateLimited: as many calls as may run at once do, counted over all processes.
            StorageFull: the disk is full, and the call is new.
            Unavailable: others take this process for dead.
            With each of them nothing was written.
        """
        self._require_space(call)
        request = await self._pack_call(call) if call else None
        windows = await self._windows(intent)
        price = attempts.price_text(intent.price)
        at_us = self._now()

        def begin(tx: Tx) -> RateLimited | None:
            full = self._full(tx, call) if call is not None and call.places else None
            if full is not None:
                return full  # returned, for nothing is written yet, and the others of its batch need not run again
            if call is not None and request is not None:
                self._open_call(tx, call, request, at_us)
            elif self._session_lock is not None and not calls.is_open(tx, intent.project_id, intent.call_id):
                raise cut_off()  # it was closed when this process was buried, and may be somebody else's by now
            self._intend(tx, intent, windows=windows, price=price, at_us=at_us)
            return None

        full = await self._write_intent(intent, begin, places=call.places if call is not None else ())
        if full is not None:
            del self._open[intent.id]
            raise full

    async def finish_attempt(self, result: AttemptResult, answer: CallAnswer | None = None) -> None:
        """Write the result, settle it, and close the call if an answer is given: one transaction.

        A second result is ignored, but its cost is taken if none was known. A late one ends the uncertainty.
        """
        known = await self._recall(result.attempt_id)
        body = await self._pack_answer(known.project_id, known.call_id, answer.body) if answer else None
        at_us = self._now()

        def finish(tx: Tx) -> Closed | None:
            reserved = self._conclude(tx, result, at_us)
            if reserved is None:
                return None
            if answer is not None:
                return self._close(tx, reserved.call_id, answer, body, at_us)
            if result.outcome == "uncertain":
                calls.set_uncertain(tx, reserved.project_id, reserved.call_id)
                self._publish(tx, reserved.project_id, CALL_CLOSED, reserved.call_id)
            return None

        try:
            closed = await self._database.write_async(finish, locks=known.locks)
        finally:
            self._open.pop(result.attempt_id, None)
        self._tell(closed)

    # steps of the transactions ---------------------------------------------------------------------------------------

    async def _pack_call(self, call: NewCall) -> Request:
        """Elements become a chain where inputs grow step by step (runs, kept conversations); others keep their body."""
        body, elements = call.request_body, call.request_elements
        if self._trim is not None and call.key is None and call.run is None:  # nobody can come again for it
            body = self._trim(body)
            elements = tuple(map(self._trim, elements)) if body else ()
        return await self._contents.pack_request(call.project_id, body, elements)

    async def _pack_answer(self, project_id: str, call_id: bytes, body: bytes) -> Kept | None:
        """What is kept of an answer: of a call without key and run only what the policy leaves, from the start."""
        trim = self._trim
        if trim and body and not await self._database.read_async(lambda tx: calls.is_needed(tx, project_id, call_id)):
            body = trim(body)
        return await self._contents.pack(project_id, body)

    def _open_call(self, tx: Tx, call: NewCall, request: Request, at_us: int) -> None:
        if call.key is not None:
            other = calls.take_key(tx, call.project_id, call, at_us)
            if other is not None:
                raise KeyTaken(other)
        body, chain = request
        tip = chain[-1].id if chain else None
        calls.insert(tx, call.project_id, call, process_id=self.process_id, at_us=at_us, body=body, tip=tip)
        self._contents.write(tx, call.project_id, body)
        if chain:
            self._contents.write_chain(tx, call.project_id, chain)

    def _intend(
        self, tx: Tx, intent: AttemptIntent, *, windows: Windows, price: str, at_us: int, is_fenced: bool = False
    ) -> None:
        """Fence, reserve and write an intent; one that was fenced by its event and holds nothing needs no more."""
        run = intent.run if intent.held_nanos or not is_fenced else None
        if run is not None and not runs.hold(tx, intent.project_id, run.run_id, run.epoch, intent.held_nanos):
            raise self._refused_by_run(tx, intent)
        held, newest = intent.held_nanos, intent.newest_budget
        if held and windows.rows:
            for budget_id, start in windows.rows:
                if not ledger.reserve(tx, intent.project_id, budget_id, start, held_nanos=held, newest=newest):
                    raise self._refused_by_budget(tx, intent, budget_id, start)
        elif newest is not None and ledger.newest(tx, intent.project_id) != newest:
            raise BudgetsChanged
        is_written = attempts.insert(
            tx,
            intent.project_id,
            intent,
            price=price,
            process_id=self.process_id,
            reservations=windows.packed,
            at_us=at_us,
            if_alive=self._session_lock is not None,
        )
        if not is_written:
            raise cut_off()

    def _conclude(self, tx: Tx, result: AttemptResult, at_us: int) -> Reserved | None:
        """Write a result and settle it; None when the attempt has one already (a cost that was missing is taken)."""
        cost = result.cost_nanos
        reserved = attempts.finish(tx, result, at_us)
        if reserved is not None:
            if cost is not None:
                self._move(tx, reserved, cost)
            elif not reserved.reserved_nanos and reserved.price == _FREE:
                attempts.settle(tx, result.attempt_id, 0)
            return reserved
        reserved = attempts.finish_late(tx, result, at_us)
        known = reserved or attempts.reserved(tx, result.attempt_id)
        if known is None:
            raise no_attempt()
        if cost is not None:
            self._settle(tx, known, cost)
        elif reserved is not None and result.outcome != "uncertain":
            attempts.set_unknown(tx, result.attempt_id)
        return reserved

    def _settle(self, tx: Tx, reserved: Reserved, cost_nanos: int) -> bool:
        """Settle an attempt unless that has happened."""
        is_new = attempts.settle(tx, reserved.attempt_id, cost_nanos)
        if is_new:
            self._move(tx, reserved, cost_nanos)
            self._publish(tx, reserved.project_id, CALL_CLOSED, reserved.call_id)
        return is_new

    def _move(self, tx: Tx, reserved: Reserved, cost_nanos: int) -> None:
        """Move an amount from held to settled wherever the attempt reserved it."""
        if not reserved.reserved_nanos and not cost_nanos:
            return
        if reserved.run_id is not None:
            runs.settle(tx, reserved.run_id, reserved.reserved_nanos, cost_nanos)
        ledger.settle(tx, reservations_of(reserved.reservations), reserved.reserved_nanos, cost_nanos)

    def _close(self, tx: Tx, call_id: bytes, answer: CallAnswer, body: Kept | None, at_us: int) -> Closed | None:
        """Close a call; None when it has its answer already."""
        closed = calls.close(tx, call_id, answer, body=body, state="running", at_us=at_us)
        is_late = closed is None
        closed = closed or calls.close(tx, call_id, answer, body=body, state="uncertain", at_us=at_us)
        if closed is None:
            return None
        self._contents.write(tx, closed.project_id, body)
        is_repeatable = answer.state == "failed" and closed.kind != "tool"  # a tool that raised may have done half
        if closed.key is not None and is_repeatable and not attempts.is_paid(tx, closed.project_id, call_id):
            calls.free_key(tx, closed.project_id, closed.key, call_id)
        if is_late and closed.run_id is not None and runs.wake(tx, closed.project_id, closed.run_id):
            closed = closed._replace(is_waking=True)
        self._publish(tx, closed.project_id, CALL_CLOSED, call_id)
        return closed

    def _full(self, tx: Tx, call: NewCall) -> RateLimited | None:
        """The refusal, where one of the call's places is taken."""
        for place in call.places:
            running = calls.count_running(tx, call.project_id, place.per, place.subject, place.most)
            if running >= place.most:
                return too_many(place.whose, running, place.most)
        return None

    # refusals --------------------------------------------------------------------------------------------------------

    def _refused_by_run(self, tx: Tx, intent: AttemptIntent) -> Exception:
        assert intent.run is not None
        cap = runs.cap(tx, intent.project_id, intent.run.run_id, intent.run.epoch)
        if cap is None:
            return lease_lost()
        most, settled, held = cap
        return BudgetExceeded(
            f"The run may cost {show_usd(most)}: {show_usd(settled)} is settled, {show_usd(held)} held, and this call"
            f" may cost {show_usd(intent.held_nanos)}.",
            hint="Raise the run's cost limit, or ask for fewer output tokens.",
        )

    def _refused_by_budget(self, tx: Tx, intent: AttemptIntent, budget_id: bytes, start: int) -> Exception:
        if intent.newest_budget is not None and ledger.newest(tx, intent.project_id) != intent.newest_budget:
            return BudgetsChanged()
        for budget in ledger.of_project(tx, intent.project_id):
            if budget.id == budget_id:
                settled, held = ledger.window(tx, intent.project_id, budget_id, start)
                subject = f" '{budget.subject}'" if budget.subject else ""
                return BudgetExceeded(
                    f"The budget of {budget.scope}{subject} is {show_usd(budget.cap_nanos)} ({budget.period}):"
                    f" {show_usd(settled)} is settled, {show_usd(held)} held, and this call may cost"
                    f" {show_usd(intent.held_nanos)}.",
                    hint="Raise the budget, wait for its next window, or ask for fewer output tokens.",
                )
        return BudgetsChanged()  # it was removed a moment ago

    # what has to be known before a transaction -----------------------------------------------------------------------

    async def _windows(self, intent: AttemptIntent) -> Windows:
        """The windows in which an attempt reserves. The same for an hour: none is shorter, and all begin with one."""
        budget_ids = intent.budget_ids
        if not budget_ids:
            return NO_WINDOWS
        hour = self._now() // HOUR_US
        found = self._windows_now.get((budget_ids, hour))
        if found is not None:
            return found
        if not all(budget_id in self._periods for budget_id in budget_ids):
            rows = await self._database.read_async(lambda tx: ledger.of_project(tx, intent.project_id))
            self._periods.update((row.id, row.period) for row in rows)
        found = windows_at(self._periods, budget_ids, hour * HOUR_US)
        if len(self._windows_now) >= MOST_WINDOWS:
            self._windows_now.clear()
        if all(budget_id in self._periods for budget_id in budget_ids):
            self._windows_now[budget_ids, hour] = found
        return found

    async def _write_intent(
        self, intent: AttemptIntent, operation: Callable[[Tx], T], *, places: tuple[Place, ...] = ()
    ) -> T:
        """Write with the rows locked that reserving and settling change, and remember them.

        A process that may be taken for dead waits; the intent's own statement makes sure that nobody has buried it.
        """
        if self._may_be_dead:
            assert self._session_lock is not None
            await self._session_lock.regained()
        locks: tuple[Lock, ...] = ()
        counted: tuple[Lock, ...] = ()
        if self._needs_locks:
            locks = tuple(Lock("budgets", budget_id) for budget_id in intent.budget_ids)
            if intent.run is not None:
                locks = (*locks, Lock("runs", intent.run.run_id))
            counted = tuple(place_lock(intent.project_id, place) for place in places)
        # Known before: a caller who is cancelled may finish it.
        self._open[intent.id] = Open(intent.project_id, intent.call_id, locks)
        try:
            return await self._database.write_async(operation, locks=(*locks, *counted))
        except Exception as error:
            if isinstance(error, BudgetsChanged):
                self._budgets.pop(intent.project_id, None)
            del self._open[intent.id]
            raise

    async def _recall(self, attempt_id: bytes) -> Open:
        """What is known of an attempt; one of another process is looked up."""
        known = self._open.get(attempt_id)
        if known is None:
            reserved = await self._database.read_async(lambda tx: attempts.reserved(tx, attempt_id))
            if reserved is None:
                raise no_attempt()
            known = Open(reserved.project_id, reserved.call_id, locks_of(reserved))
        return known

    def _tell(self, closed: Closed | None) -> None:
        """Wake whoever joined the call; only a call with a key can be joined."""
        if closed is not None and closed.key is not None:
            self._wakeups.notify(call_channel(closed.id))
        if closed is not None and closed.is_waking:
            self._wakeups.notify(QUEUE)


def too_many(whose: str, running: int, most: int) -> RateLimited:
    """As many as may run at once do."""
    return RateLimited(
        f"{whose} has {running} requests running; the limit is {most}.",
        retry_after_seconds=1.0,
        hint="Wait for one to finish, or raise concurrent_requests under [gateway.limits].",
    )


def place_lock(project_id: str, place: Place) -> Lock:
    """What two processes that count the same calls wait for."""
    name = "\0".join((project_id, place.per, str(place.subject)))
    return Lock("place", blake2b(name.encode(), digest_size=8, person=b"place").digest())


def locks_of(reserved: Reserved) -> tuple[Lock, ...]:
    """The rows that settling this attempt changes."""
    budgets = tuple(Lock("budgets", budget_id) for budget_id, _ in reservations_of(reserved.reservations))
    return (*budgets, Lock("runs", reserved.run_id)) if reserved.run_id is not None else budgets


def lease_lost() -> LeaseLost:
    """The run has another owner, or none."""
    return LeaseLost("The run's lease was lost: another worker owns it, or it is over.", hint="Stop working on it.")


def no_attempt() -> NotFound:
    """A result without an intent."""
    return NotFound("There is no such attempt.", hint="Finish an attempt in the database that holds its intent.")
