"""What the events of a stream hold beside their canonical form, read with hold-back, event by event.

Strings of one name are one text, as long as each event goes on with it: its end waits for what the next one brings, and
every event behind it waits with it. Where another event comes between, the text counts as ended; if it goes on all the
same, and what was let go turns out to be the beginning of something, the stream is stopped.
"""

from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple, cast

import msgspec

from mooring.core.events import Event

from .check import Text, Verdict
from .panel import Panel
from .rest import Opaque, is_opaque
from .scanner import Channel, Piece

BEHIND = 400  # characters of a text that was ended too early; longer than any shape but a private key's

Place = tuple[object, ...]


class _Leaf:
    """One string in one event: what it is to be, once that is decided."""

    __slots__ = ("is_decided", "name", "new", "old", "place", "within")

    def __init__(self, within: Any, name: Any, place: Place) -> None:
        self.within = within
        self.name = name
        self.place = place
        self.old: str = within[name]
        self.new: str | None = None
        self.is_decided = False


class Ready(NamedTuple):
    """An event's data that may go out, and whether it ends an answer; None: whole events that need no frame."""

    data: bytes
    is_end: bool | None


class _Waiting(NamedTuple):
    data: bytes
    tree: Any
    leaves: list[_Leaf]
    is_end: bool | None


class _Text:
    """The strings of one place."""

    def __init__(self, panel: Panel) -> None:
        self._panel = panel
        self._channel = Channel(panel.checks.text, panel)
        self._open: deque[_Leaf] = deque()
        self._behind = ""
        self._was_ended = False

    def feed(self, leaf: _Leaf) -> None:
        if self._was_ended:
            self._look_back(leaf.old)
        self._behind = (self._behind + leaf.old)[-BEHIND:]
        self._open.append(leaf)
        self._take(self._channel.feed([Piece(leaf.old, cast(Event, leaf))]))
        if self._channel.is_empty:
            self._decide_all()

    def end(self) -> None:
        """Nothing more is expected."""
        if not self._open:
            return
        self._was_ended = True
        self._take(self._channel.feed([], is_last=True))
        self._decide_all()

    def _take(self, pieces: list[Piece]) -> None:
        for piece in pieces:
            leaf = cast("_Leaf | None", piece.event)
            if leaf is None:
                first = self._open[0]
                first.new = (first.new or "") + piece.text
                continue
            while self._open[0] is not leaf:
                self._decide(self._open.popleft())
            self._open.popleft().is_decided = True

    def _decide_all(self) -> None:
        while self._open:
            self._decide(self._open.popleft())

    @staticmethod
    def _decide(leaf: _Leaf) -> None:
        """It did not come back as it was: what was put in its place, or nothing."""
        leaf.new = leaf.new or ""
        leaf.is_decided = True

    def _look_back(self, text: str) -> None:
        """Whether what was let go too early has become a match."""
        edge = len(self._behind) - sum(len(leaf.old) for leaf in self._open)
        for check in self._panel.checks.text:
            found = self._panel.judge(check, Text(self._behind + text))
            if any(span.start < edge < span.end for span in found.spans):
                reason = "a match was cut over events that do not follow each other"
                self._panel.record(Verdict(action="block", check=check.name, reason=reason))


class RestGuard:
    """`feed` the data of every event that passes as it came, then `finish`; raises as `StreamGuard` does."""

    def __init__(self, panel: Panel, opaque: Opaque) -> None:
        self._panel = panel
        self._opaque = opaque
        self._texts: dict[Place, _Text] = {}
        self._queue: deque[_Waiting] = deque()

    def feed(self, data: bytes, known: frozenset[str], *, is_end: bool) -> list[Ready]:
        """The events that may go out now. `known` are the strings that were read in their canonical form."""
        with self._panel.reading():
            tree = msgspec.json.decode(data)
            leaves = list(_leaves(tree, self._opaque))
        found = [leaf for leaf in leaves if leaf.old and leaf.old not in known]
        places = {leaf.place for leaf in leaves}
        for place, text in self._texts.items():
            if place not in places:
                text.end()
        for leaf in found:
            self._texts.setdefault(leaf.place, _Text(self._panel)).feed(leaf)
        self._queue.append(_Waiting(data, tree, found, is_end))
        return self._let_go()

    def passing(self, data: bytes) -> list[Ready]:
        """Whole events of our own, in their turn."""
        self._queue.append(_Waiting(data, None, [], None))
        return self._let_go()

    def finish(self) -> list[Ready]:
        """What is still held when the stream is over."""
        for text in self._texts.values():
            text.end()
        return self._let_go()

    def _let_go(self) -> list[Ready]:
        ready: list[Ready] = []
        while self._queue and all(leaf.is_decided for leaf in self._queue[0].leaves):
            one = self._queue.popleft()
            changed = [leaf for leaf in one.leaves if leaf.new is not None and leaf.new != leaf.old]
            for leaf in changed:
                leaf.within[leaf.name] = leaf.new
            ready.append(Ready(msgspec.json.encode(one.tree) if changed else one.data, one.is_end))
        return ready


def _leaves(tree: Any, opaque: Opaque) -> Iterator[_Leaf]:
    """Each string that is text; its place is the names above it, and the numbers of what the event adds to."""
    if isinstance(tree, dict):
        start = tuple(tree.get(name) for name in ("type", "index", "output_index", "content_index", "item_id"))
        yield from _below(tree, opaque, start, is_free=False)


def _below(tree: Any, opaque: Opaque, place: Place, *, is_free: bool) -> Iterator[_Leaf]:
    pairs = tree.items() if isinstance(tree, dict) else enumerate(tree)
    kind = tree.get("type") if isinstance(tree, dict) else None
    for name, item in pairs:
        if isinstance(tree, dict):
            if not is_free and is_opaque(item, str(name), kind, opaque):
                continue
            below: Place = (*place, name)
        else:
            below = (*place, item.get("index", name) if isinstance(item, dict) else name)
        if isinstance(item, str):
            yield _Leaf(tree, name, below)
        elif isinstance(item, dict | list):
            yield from _below(item, opaque, below, is_free=is_free or name in opaque.free)
