"""Whose a request is: user, session and tags, from our headers, else from the body's own fields for it.

Every wire has a place for it: `user`, `safety_identifier`, `metadata` on OpenAI's, `metadata.user_id` on Anthropic's.
A field that is not there costs a look into a dictionary; one of another shape is not ours to judge, and says nothing.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from mooring.core.text import shorten

from .codecs import Fields
from .inbound import Inbound

MOST_CHARACTERS = 256
MOST_TAGS = 32
_decode = msgspec.json.decode


class Whose(NamedTuple):
    """By what calls are found, summed and limited."""

    user: str | None
    session: str | None
    tags: tuple[str, ...]


def whose(inbound: Inbound, fields: Fields, user: str | None) -> Whose:
    """`user` is what the wire's codec found."""
    metadata = _value(fields.get("metadata")) if "metadata" in fields else None
    given: dict[str, Any] = metadata if isinstance(metadata, dict) else {}
    named = inbound.header(b"x-mooring-user") or user or _first(given, ("user_id", "user"))
    if named is None and "safety_identifier" in fields:
        named = _text(_value(fields["safety_identifier"]))
    session = inbound.header(b"x-mooring-session") or _first(given, ("session_id", "session"))
    header = inbound.header(b"x-mooring-tags")
    return Whose(named, session, _tags(header if header is not None else given.get("tags")))


def _first(given: dict[str, Any], names: Sequence[str]) -> str | None:
    if not given:  # nearly always
        return None
    return next((text for name in names if (text := _text(given.get(name))) is not None), None)


def _text(value: object) -> str | None:
    return shorten(value, MOST_CHARACTERS) if isinstance(value, str) and value else None


def _tags(value: object) -> tuple[str, ...]:
    """A list, or text with commas: OpenAI's metadata holds text alone."""
    if value is None:
        return ()
    parts = value.split(",") if isinstance(value, str) else value if isinstance(value, list) else []
    tags = (part.strip() for part in parts if isinstance(part, str))
    return tuple(dict.fromkeys(shorten(tag, MOST_CHARACTERS) for tag in tags if tag))[:MOST_TAGS]


def _value(value: object) -> object:
    if not isinstance(value, msgspec.Raw):
        return value
    try:
        return _decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
