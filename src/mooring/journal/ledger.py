"""The ledger: which budgets there are, what they hold, what is not settled yet, and how an export settles it."""

from collections.abc import Mapping, Sequence
from operator import add
from typing import Any, Literal, NamedTuple

import msgspec

from mooring.core.errors import NotFound
from mooring.core.ids import show
from mooring.core.usage import Usage
from mooring.storage import Lock, Tx

from .attempts import locks_of
from .base import Applying, Budgets
from .calls import Calls
from .records import AttemptRecord
from .repository import attempts, ledger
from .repository.ledger import BudgetRow
from .windows import Period, starts_at_us

Scope = Literal["project", "key", "user", "model", "tag", "run"]


class BudgetState(msgspec.Struct, frozen=True):
    """A budget and its current window."""

    id: bytes
    scope: Scope
    subject: str
    window: Period
    cap_nanos: int
    settled_nanos: int
    held_nanos: int
    starts_at_us: int
    removed_at_us: int | None = None


class RecordedUsage(NamedTuple):
    """Attempts at one target that metered the same tokens, and what all of them have cost."""

    target: str
    attempts: int
    settled_nanos: int
    usage: Usage


class MeteredUsage(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a provider's own export says of one request: the amount if it tells it, else the tokens."""

    cost_nanos: int | None = None
    usage: Usage | None = None


class Difference(msgspec.Struct, frozen=True):
    """An attempt whose settled amount is not what the provider metered."""

    attempt_id: bytes
    settled_nanos: int
    metered_nanos: int


class ReconcileReport(msgspec.Struct, frozen=True):
    """What `reconcile` did: attempts it settled, released and settled amounts, and what does not add up."""

    settled: int
    settled_nanos: int
    missing: tuple[bytes, ...]
    unknown: tuple[str, ...]
    differing: tuple[Difference, ...]


class BillLine(msgspec.Struct, frozen=True):
    """One target's part of a bill."""

    target: str
    attempts: int
    settled_nanos: int
    held_nanos: int
    usage: Usage

    def __add__(self, other: "BillLine") -> "BillLine":
        used, more = msgspec.structs.astuple(self.usage), msgspec.structs.astuple(other.usage)
        tokens: tuple[Any, ...] = (*map(add, used[:7], more[:7]), used[7] or more[7], used[8] + more[8])
        return BillLine(
            self.target,
            self.attempts + other.attempts,
            self.settled_nanos + other.settled_nanos,
            self.held_nanos + other.held_nanos,
            Usage(*tokens),
        )


class Bill(msgspec.Struct, frozen=True):
    """What was spent: settled, what may still be owed (held), and by target."""

    settled_nanos: int
    held_nanos: int
    lines: tuple[BillLine, ...]


MOST_WHOSE = 1024  # callers for whom it is remembered which budgets apply
_NO_BUDGETS = Applying((), b"")


class Ledger(Calls):
    """Budgets, the bill and reconciliation."""

    async def put_budget(self, project_id: str, *, scope: Scope, subject: str, window: Period, cap_nanos: int) -> bytes:
        """Create a budget or change its cap; its id. `subject` is empty for the project itself."""
        row = BudgetRow(self._new_id(), project_id, scope, subject, window, cap_nanos)
        at_us = self._now()
        budget_id = await self._database.write_async(lambda tx: ledger.put(tx, project_id, row, at_us))
        self._periods[budget_id] = window
        self._budgets.pop(project_id, None)
        return budget_id

    async def remove_budget(self, project_id: str, *, scope: Scope, subject: str, window: Period) -> bytes:
        """Let a budget hold no more, from the next call on in every process; its id. What it held and settled stays.

        Raises:
            NotFound: there is none.
        """
        at_us = self._now()
        removed = await self._database.write_async(
            lambda tx: ledger.remove(tx, project_id, scope, subject, window, at_us)
        )
        if removed is None:
            name = f"{scope} {subject}".strip()
            raise NotFound(
                f"There is no budget of {name} per {window}.", hint="See those that hold: mooring cost budgets"
            )
        self._budgets.pop(project_id, None)
        return removed

    async def removed_budgets(self, project_id: str, limit: int = 20) -> list[BudgetState]:
        """Budgets that hold no more, the last ones first, with the window in which each was removed."""

        def query(tx: Tx) -> list[BudgetState]:
            return [self._state(tx, row, row.removed_at_us or 0) for row in ledger.removed(tx, project_id, limit)]

        return await self._database.read_async(query)

    async def budgets(self, project_id: str) -> list[BudgetState]:
        """Every budget that holds, with its current window."""
        at_us = self._now()

        def query(tx: Tx) -> list[BudgetState]:
            return [self._state(tx, row, at_us) for row in ledger.of_project(tx, project_id)]

        return await self._database.read_async(query)

    def _state(self, tx: Tx, row: BudgetRow, at_us: int) -> BudgetState:
        period: Any = row.period
        scope: Any = row.scope
        start = starts_at_us(period, at_us)
        settled, held = ledger.window(tx, row.project_id, row.id, start)
        return BudgetState(row.id, scope, row.subject, period, row.cap_nanos, settled, held, start, row.removed_at_us)

    async def applying(
        self,
        project_id: str,
        *,
        key: str | None = None,
        user: str | None = None,
        model: str | None = None,
        tags: Sequence[str] = (),
        run: str | None = None,
    ) -> Applying:
        """The budgets that apply to a call. Remembered: the intent's transaction finds out if there is a newer one."""
        budgets = self._budgets.get(project_id)
        if budgets is None:
            rows = await self._database.read_async(lambda tx: ledger.of_project(tx, project_id))
            self._periods.update((row.id, row.period) for row in rows)
            budgets = self._budgets[project_id] = Budgets(rows, {})
        if not budgets.rows:
            return _NO_BUDGETS
        whose = (key, user, model, tuple(tags), run)
        found = budgets.applying.get(whose)
        if found is None:
            named = {("key", key), ("user", user), ("model", model), ("run", run), *(("tag", tag) for tag in tags)}
            ids = (row.id for row in budgets.rows if row.scope == "project" or (row.scope, row.subject) in named)
            found = Applying(tuple(ids), budgets.rows[-1].id)
            if len(budgets.applying) >= MOST_WHOSE:
                budgets.applying.clear()
            budgets.applying[whose] = found
        return found

    async def unsettled(self, project_id: str) -> list[AttemptRecord]:
        """Attempts whose cost is not known: their maximum stays held until reconciled."""
        return await self._database.read_async(lambda tx: attempts.unsettled(tx, project_id))

    async def reconcile(
        self, project_id: str, usages: Mapping[str, MeteredUsage], *, is_complete_until_us: int | None = None
    ) -> ReconcileReport:
        """Settle what is held with a provider's export: by its request id, or by the attempt id that was sent along.

        `is_complete_until_us`: the export names every request before that time, so what it does not name cost nothing.
        """
        locks = await self._database.read_async(lambda tx: self._reconcile_locks(tx, project_id))
        return await self._database.write_async(
            lambda tx: self._reconcile(tx, project_id, usages, is_complete_until_us or 0), locks=locks
        )

    def _reconcile_locks(self, tx: Tx, project_id: str) -> list[Lock]:
        found = (attempts.reserved(tx, attempt.id) for attempt in attempts.unsettled(tx, project_id))
        return [lock for reserved in found if reserved for lock in locks_of(reserved)] if self._needs_locks else []

    def _reconcile(
        self, tx: Tx, project_id: str, usages: Mapping[str, MeteredUsage], complete_until_us: int
    ) -> ReconcileReport:
        settled_nanos = settled = 0
        missing: list[bytes] = []
        for attempt in attempts.unsettled(tx, project_id):
            metered = _look_up(usages, attempt.provider_request_id, attempt.id)
            if metered is None and attempt.intended_at_us >= complete_until_us:
                missing.append(attempt.id)
                continue
            cost = _cost(attempt, metered) if metered else 0
            reserved = attempts.reserved(tx, attempt.id)
            if reserved is not None and self._settle(tx, reserved, cost):
                settled += 1
                settled_nanos += cost
                if metered is not None and metered.usage is not None:
                    attempts.set_usage(tx, attempt.id, metered.usage)
        unknown, differing = self._compare(tx, project_id, usages)
        return ReconcileReport(settled, settled_nanos, tuple(missing), unknown, differing)

    def _compare(
        self, tx: Tx, project_id: str, usages: Mapping[str, MeteredUsage]
    ) -> tuple[tuple[str, ...], tuple[Difference, ...]]:
        """What the export names and the journal does not, and where amounts differ."""
        names = set(usages)
        differing: list[Difference] = []
        for row in attempts.with_request_ids(tx, project_id):
            metered = _look_up(usages, row.provider_request_id, row.id)
            names.difference_update((row.provider_request_id or "", row.id.hex(), show("att", row.id)))
            if metered is None or row.settlement != "settled" or metered.cost_nanos is None:
                continue
            if metered.cost_nanos != row.settled_nanos:
                differing.append(Difference(row.id, row.settled_nanos, metered.cost_nanos))
        return tuple(sorted(names)), tuple(differing)

    async def recorded_usage(
        self, project_id: str, *, since_us: int = 0, user: str | None = None
    ) -> tuple[list[RecordedUsage], int]:
        """What chat calls metered since then; and how many attempts are left out, because nobody knows yet."""

        def query(tx: Tx) -> tuple[list[RecordedUsage], int]:
            rows = ledger.usages(tx, project_id, since_us, user)
            return [_recorded(row) for row in rows], ledger.without_usage(tx, project_id, since_us, user)

        return await self._database.read_async(query)

    async def bill(self, project_id: str, *, run_id: bytes | None = None, trace_id: bytes | None = None) -> Bill:
        """The bill of a project, a run or a trace."""
        rows = await self._database.read_async(lambda tx: ledger.bill(tx, project_id, run_id, trace_id))
        lines = tuple(bill_line(row) for row in rows)
        return Bill(sum(line.settled_nanos for line in lines), sum(line.held_nanos for line in lines), lines)


def _look_up(usages: Mapping[str, MeteredUsage], request_id: str | None, attempt_id: bytes) -> MeteredUsage | None:
    if request_id is not None and request_id in usages:
        return usages[request_id]
    return usages.get(show("att", attempt_id)) or usages.get(attempt_id.hex())


def _cost(attempt: AttemptRecord, metered: MeteredUsage) -> int:
    if metered.cost_nanos is not None:
        return metered.cost_nanos
    return attempt.price.cost_nanos(metered.usage) if metered.usage else 0


def _recorded(row: tuple[Any, ...]) -> RecordedUsage:
    tokens: tuple[Any, ...] = tuple(int(value or 0) for value in row[3:])
    return RecordedUsage(row[0], row[1], row[2], Usage(*tokens))


def bill_line(row: tuple[Any, ...]) -> BillLine:
    """A row of `repository.ledger.bill`."""
    amounts = [int(value or 0) for value in row[1:]]
    tokens: tuple[Any, ...] = (*amounts[3:10], bool(amounts[10]), amounts[11])
    usage = Usage(*tokens)
    return BillLine(row[0], amounts[0], amounts[1], amounts[2], usage)
