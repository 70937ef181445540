"""Small facts about text that several rooms share."""

import hashlib


def digest(data: bytes) -> bytes:
    """The 32-byte content address: BLAKE2b-256."""
    return hashlib.blake2b(data, digest_size=32).digest()


def shorten(text: str, limit: int = 200) -> str:
    """At most `limit` characters, with an ellipsis where something was cut."""
    return text if len(text) <= limit else text[: limit - 1] + "…"
