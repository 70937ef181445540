"""The tour's page: what `mooring demo` did last, each thing with the page that shows it.

The file holds what was said and where to look; whatever a link shows is read from the journal.
"""

from pathlib import Path
from typing import Any

import msgspec

from mooring.gateway.keys import Caller
from mooring.storage.home import Home
from mooring.wiring import Server

from ..exchange import Exchange


class Thing(msgspec.Struct, frozen=True):
    """One thing that the tour did. `words` stand on the page at `href`; `command` shows it in a terminal."""

    title: str
    told: str
    href: str
    words: tuple[str, ...]
    command: str | None = None


class Told(msgspec.Struct, frozen=True):
    """A whole tour."""

    at_us: int
    things: tuple[Thing, ...]


def keep(home: Home, told: Told) -> None:
    """For the page to show."""
    draft = _file(home).with_suffix(".tmp")
    draft.write_bytes(msgspec.json.encode(told))
    draft.replace(_file(home))


async def view(rooms: Server, exchange: Exchange, caller: Caller) -> dict[str, Any]:
    try:
        told = msgspec.json.decode(_file(rooms.home).read_bytes(), type=Told)
    except (OSError, msgspec.DecodeError):
        return {"at_us": None, "things": []}
    found: dict[str, Any] = msgspec.to_builtins(told)
    return found


def _file(home: Home) -> Path:
    return home.path / "tour.json"
