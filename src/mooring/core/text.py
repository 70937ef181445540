"""Small facts about text that several rooms share."""

import hashlib


def digest(data: bytes, size: int = 32) -> bytes:
    """The content address: BLAKE2b of so many bytes."""
    return hashlib.blake2b(data, digest_size=size).digest()


def shorten(text: str, limit: int = 200) -> str:
    """At most `limit` characters, with an ellipsis where something was cut, and without NULs, which no column takes."""
    text = text if len(text) <= limit else text[: limit - 1] + "…"
    return text.replace("\0", "\ufffd") if "\0" in text else text


def utf8_bytes(text: str) -> int:
    """The length on the wire, without the copy where it can be avoided."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
