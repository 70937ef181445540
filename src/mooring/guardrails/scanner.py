"""Hold-back for one string channel: what is decided goes out at once, what may still become a match waits."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from mooring.core.events import Event

from .check import Text, Verdict
from .panel import AnyCheck, Panel, applied
from .secret_shapes import replace

# Characters that an open piece may grow to before it is looked at less often than at every event.
LONG = 200


class Piece(NamedTuple):
    """Some text, and the event whose whole text it is, if nothing changed it."""

    text: str
    event: Event | None = None


class Channel:
    """All text checks of a stage over one channel, each reading what the one before lets out."""

    def __init__(self, checks: Sequence[AnyCheck], panel: Panel) -> None:
        self._scanners = [_Scanner(check, panel) for check in checks]

    def feed(self, pieces: list[Piece], *, is_last: bool = False) -> list[Piece]:
        """What may go out now. After `is_last` the channel is empty and a new text may begin."""
        for scanner in self._scanners:
            pieces = scanner.feed(pieces, is_last=is_last)
        return pieces


class _Scanner:
    """One check on one channel."""

    def __init__(self, check: AnyCheck, panel: Panel) -> None:
        self._check = check
        self._panel = panel
        self._is_incremental = check.streaming == "incremental"
        self._pending: list[Piece] = []
        self._length = 0
        self._look_again_at = 0

    def feed(self, pieces: list[Piece], *, is_last: bool) -> list[Piece]:
        if not self._pending and len(pieces) == 1 and self._is_incremental and self._check.is_clear(pieces[0].text):
            return pieces
        self._pending += pieces
        self._length += sum(len(piece.text) for piece in pieces)
        if not self._pending or (self._length < self._look_again_at and not is_last):
            return []
        text = "".join(piece.text for piece in self._pending)
        if not self._is_incremental:
            released = self._whole(text) if is_last else []
        elif self._check.is_clear(text):
            released, self._pending = self._pending, []
        else:
            released = self._incremental(text, is_last=is_last)
        self._length = sum(len(piece.text) for piece in self._pending)
        # What has been open for long is looked at again only once it has grown: cost stays linear in its length.
        is_long = self._is_incremental and self._length > LONG
        self._look_again_at = self._length + self._length // 8 if is_long else 0
        return released

    def _whole(self, text: str) -> list[Piece]:
        verdict = self._panel.judge(self._check, Text(text))
        self._panel.record(verdict)
        pieces, self._pending = self._pending, []
        return pieces if verdict.action == "allow" else [Piece(applied(verdict, text))]

    def _incremental(self, text: str, *, is_last: bool) -> list[Piece]:
        """Acts on the matches that begin where nothing is open any more, then lets go of all that is decided."""
        hold = len(text) if is_last else self._check.open_from(text)
        verdict = self._panel.judge(self._check, Text(text))
        done, cut = 0, 0
        for span in verdict.spans:
            if span.start >= hold:
                break
            done, cut = done + 1, span.end
            if cut > hold:
                hold = cut + self._check.open_from(text[cut:])
        self._record(verdict, done)
        changed = [Piece(replace(text[:cut], verdict.spans[:done]))] if done else []
        self._drop(cut)
        return changed + self._take(hold - cut)

    def _record(self, verdict: Verdict, done: int) -> None:
        if verdict.action == "rewrite":
            verdict = Verdict(action="error", check=verdict.check, reason="only segment and final checks may rewrite")
        if done or not verdict.spans:
            self._panel.record(msgspec.structs.replace(verdict, spans=verdict.spans[:done]) if done else verdict)

    def _drop(self, count: int) -> None:
        """Takes `count` characters off the front; an event that is cut in two is no longer itself."""
        while count and count >= len(self._pending[0].text):
            count -= len(self._pending.pop(0).text)
        if count:
            self._pending[0] = Piece(self._pending[0].text[count:])

    def _take(self, length: int) -> list[Piece]:
        """The pieces that end within the next `length` characters: a piece waits as a whole, and stays what it was."""
        count = 0
        for piece in self._pending:
            length -= len(piece.text)
            if length < 0:
                break
            count += 1
        taken, self._pending = self._pending[:count], self._pending[count:]
        return taken
