"""Hold-back for one string channel: what is decided goes out at once, what may still become a match waits."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from mooring.core.events import Event

from .check import Span, Text, Verdict
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

    @property
    def is_empty(self) -> bool:
        """Whether all that was fed has been let go."""
        return not any(scanner.has_pending for scanner in self._scanners)


class _Scanner:
    """One check on one channel.

    `_behind` is what was let go last, for a check that looks behind; the first `_decided` characters of what is pending
    have been decided too, and wait only because a piece goes out as a whole.
    """

    def __init__(self, check: AnyCheck, panel: Panel) -> None:
        self._check = check
        self._panel = panel
        self._is_incremental = check.streaming == "incremental"
        self._pending: list[Piece] = []
        self._behind = ""
        self._decided = 0
        self._length = 0
        self._look_again_at = 0

    @property
    def has_pending(self) -> bool:
        """Whether something waits."""
        return bool(self._pending)

    def feed(self, pieces: list[Piece], *, is_last: bool) -> list[Piece]:
        if not self._pending and len(pieces) == 1 and self._is_incremental and self._check.is_clear(pieces[0].text):
            self._let_go(pieces[0].text, is_last=is_last)
            return pieces
        self._pending += pieces
        self._length += sum(len(piece.text) for piece in pieces)
        if not self._pending or (self._length < self._look_again_at and not is_last):
            if is_last:
                self._let_go("", is_last=True)
            return []
        text = "".join(piece.text for piece in self._pending)
        if not self._is_incremental:
            released = self._whole(text) if is_last else []
        elif self._check.is_clear(text):
            released, self._pending, self._decided = self._pending, [], 0
            self._let_go(text, is_last=is_last)
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
        behind = len(self._behind)
        text = self._behind + text
        start = behind + self._decided
        hold = len(text) if is_last else max(start, self._check.open_from(text))
        verdict = self._panel.judge(self._check, Text(text, start=start))
        spans = tuple(span for span in verdict.spans if span.start >= start)
        done, cut = 0, behind
        for span in spans:
            if span.start >= hold:
                break
            done, cut = done + 1, span.end
            if cut > hold:
                hold = cut + self._check.open_from(text[cut:])
        self._record(verdict, spans[:done])
        changed = [Piece(replace(text[:cut], spans[:done])[behind:])] if done else []
        self._drop(cut - behind)
        taken = self._take(hold - cut)
        gone = cut + sum(len(piece.text) for piece in taken)
        self._decided = hold - gone if self._check.look_behind else 0
        self._let_go(text[behind:gone], is_last=is_last)
        return changed + taken

    def _record(self, verdict: Verdict, done: tuple[Span, ...]) -> None:
        if verdict.action == "rewrite":
            verdict = Verdict(action="error", check=verdict.check, reason="only segment and final checks may rewrite")
        if verdict.action == "block" and done and not any(span.blocks for span in done):
            verdict = msgspec.structs.replace(verdict, action="mask")  # what blocks may still turn out to be nothing
        if done or not verdict.spans:
            self._panel.record(msgspec.structs.replace(verdict, spans=done) if done else verdict)

    def _let_go(self, text: str, *, is_last: bool) -> None:
        """Remembers the end of what is gone, as far as the check looks behind; a new text has nothing behind it."""
        if is_last:
            self._behind, self._decided = "", 0
        elif self._check.look_behind and text:
            self._behind = (self._behind + text)[-self._check.look_behind :]

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
