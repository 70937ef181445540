"""One call while it is being answered: the sums over its attempts, and what all of them need."""

from typing import Any

import msgspec

from mooring.core import ids
from mooring.core.errors import MooringError, NoTargetLeft
from mooring.core.messages import Message
from mooring.core.money import show_usd
from mooring.core.text import shorten
from mooring.guardrails.check import BlockedByCheck, Verdict
from mooring.journal.records import CallAnswer, NewCall

from .asked import Asked
from .rooms import Rooms


class Call(msgspec.Struct):
    """`is_open` once its row is written, `is_closed` once that has its answer; `failures` in the caller's words."""

    rooms: Rooms
    asked: Asked
    row: NewCall
    is_open: bool = False
    is_closed: bool = False
    number: int = 0
    settled_nanos: int = 0
    is_cost_known: bool = True
    verdicts: list[Verdict] = []
    failures: list[str] = []
    targets: set[str] = set()
    left_out: list[str] = []
    error: MooringError | None = None
    correction: tuple[Message, ...] = ()
    wire_code: str | None = None
    dropped: tuple[str, ...] = ()

    @property
    def shown_id(self) -> str:
        """The call's id under the prefix of the wire that names its answers."""
        return ids.show(self.asked.codec.id_prefix or "call", self.row.id)

    def failed(self, target: str, error: MooringError) -> None:
        """Notes what an attempt came to, in the words that the caller will read."""
        self.failures.append(f"{target}: {shorten(error.message, 300)}")
        self.error = error

    def add_cost(self, nanos: int | None) -> None:
        """One attempt's cost; None where it is not known."""
        if nanos is None:
            self.is_cost_known = False
        else:
            self.settled_nanos += nanos

    def final_error(self) -> MooringError:
        """What the caller gets when nothing is left: the only target's own error, or the list of all."""
        assert self.error is not None
        if (len(self.targets) == 1 and not self.left_out) or not self.error.is_retryable:
            return self.error
        self.wire_code = None
        reasons = "; ".join([*self.failures, *self.left_out])
        return NoTargetLeft(f"Model '{self.row.name}' has no target left: {reasons}")

    def error_body(self, error: MooringError) -> bytes:
        """An error in the caller's wire, without secrets."""
        message = self.rooms.guardrails.redactor(str(error))
        return self.asked.codec.encode_error(error, message=message, code=self.wire_code)

    def stream_error(self, error: MooringError) -> bytes:
        """The same as the last event of a broken stream."""
        message = self.rooms.guardrails.redactor(str(error))
        return self.asked.codec.encode_stream_error(error, message=message, code=self.wire_code)

    def attributes(self) -> dict[str, Any]:
        """Facts for the trace."""
        return {"guards": [verdict.facts() for verdict in self.verdicts]} if self.verdicts else {}

    def refusal(self, error: MooringError) -> CallAnswer:
        """An answer that is an error, as a body."""
        if isinstance(error, BlockedByCheck):
            self.verdicts.extend(error.verdicts)
        return CallAnswer(
            state="blocked" if error.code == "content_blocked" else "failed",
            status=error.status,
            body=self.error_body(error),
            error_code=self.wire_code or error.code,
            attributes=self.attributes(),
        )

    def headers(self, *, is_stream: bool = False) -> list[tuple[bytes, bytes]]:
        """The call's id, what was left out of it, and its cost where it is known, which a stream tells at its end."""
        headers = [(b"x-mooring-call", ids.show("call", self.row.id).encode())]
        if self.dropped:
            headers.append((b"x-mooring-dropped", ", ".join(self.dropped).encode("ascii", "replace")))
        if self.is_cost_known and not is_stream:
            headers.append((b"x-mooring-cost-usd", usd(self.settled_nanos)))
        return headers

    def comment(self) -> bytes:
        """What a stream says of its cost before its last event."""
        cost = usd(self.settled_nanos).decode() if self.is_cost_known else "unknown"
        return self.asked.codec.encode_comment(f"mooring call={ids.show('call', self.row.id)} cost_usd={cost}")


def usd(nanos: int) -> bytes:
    """Dollars with nine decimals, without the sign."""
    return show_usd(nanos).replace("$", "").encode()
