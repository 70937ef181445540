"""What every part of the journal stands on."""

from collections.abc import Callable, Collection
from typing import NamedTuple, TypeVar

from mooring.core.clock import Clock
from mooring.core.ids import NewId
from mooring.storage import Database, Lock, Tx, Wakeups
from mooring.storage.session_lock import SessionLock

from .contents import BlobStore, Contents
from .payloads import Policy, Redact, trimmer
from .records import NewCall
from .repository import outbox
from .repository.ledger import BudgetRow
from .repository.outbox import OutboxRow
from .waiting import within_this_process
from .windows import Period, Windows

T = TypeVar("T")

CALL_CLOSED = "call.closed"  # or what it cost, or what became of it, is known better than when it was closed
RUN_FINISHED = "run.finished"
TRACE_FORGOTTEN = "trace.forgotten"  # what other programs told of this trace goes, too
TOPICS = (
    CALL_CLOSED,
    RUN_FINISHED,
    TRACE_FORGOTTEN,
)  # of the traces: every process that writes the journal writes these


class Open(NamedTuple):
    """What this process remembers of an attempt in flight: whose it is, and the rows that settling it will change."""

    project_id: str
    call_id: bytes
    locks: tuple[Lock, ...]


class Applying(NamedTuple):
    """The budgets that apply to a call, and the newest of its project, whether or not that one applies."""

    ids: tuple[bytes, ...]
    newest: bytes


class Budgets(NamedTuple):
    """What this process remembers of a project's budgets, and which of them apply to whom."""

    rows: list[BudgetRow]
    applying: dict[tuple[object, ...], Applying]


class Base:
    """Database, content and time. `topics` are the outbox topics that somebody follows; others are not written.

    `payloads` says what is kept of a body that nobody needs to answer or to resume with, `redact` how it is redacted.
    """

    def __init__(
        self,
        database: Database,
        blobs: BlobStore,
        *,
        process_id: bytes,
        clock: Clock,
        new_id: NewId,
        wakeups: Wakeups | None = None,
        topics: Collection[str] = (),
        payloads: Policy = "full",
        redact: Redact | None = None,
    ) -> None:
        self.process_id = process_id
        self._database = database
        self._contents = Contents(blobs)
        self._clock = clock
        self._new_id = new_id
        self._wakeups = wakeups or within_this_process()
        self._topics = frozenset(topics)
        self._redact = redact
        self.payloads = payloads
        self._trim = trimmer(payloads, redact)
        self._needs_locks = database.dialect != "sqlite"
        self._periods: dict[bytes, Period] = {}
        self._budgets: dict[str, Budgets] = {}
        self._windows_now: dict[tuple[tuple[bytes, ...], int], Windows] = {}
        self._open: dict[bytes, Open] = {}
        self._session_lock: SessionLock | None = None  # on PostgreSQL, once the process is registered

    async def read(self, query: Callable[[Tx], T]) -> T:
        """For views of the journal in the rooms above: all statements of the query see one snapshot."""
        return await self._database.read_async(query)

    def _require_space(self, call: NewCall | None) -> None:
        """A call of a caller's own is new work; the steps of a run are in flight, and written without asking.

        Raises:
            StorageFull: the disk is full.
        """
        if call is not None and call.run is None:
            self._database.require_space()

    @property
    def _may_be_dead(self) -> bool:
        """Whether others may take this process for dead: on PostgreSQL, between a cut connection and the next one."""
        return self._session_lock is not None and not self._session_lock.is_held

    def _now(self) -> int:
        return self._clock.now_us()

    def _publish(self, tx: Tx, project_id: str, topic: str, subject_id: bytes) -> None:
        if topic in self._topics:
            outbox.add(tx, project_id, OutboxRow(self._new_id(), project_id, topic, subject_id, self._clock.now_us()))
