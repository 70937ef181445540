"""What a body holds beside its canonical form: each string of it is text, unless its wire declares it opaque.

Vendors add parts and fields that have no canonical form. They pass as they are, and so their strings are read here, in
the body itself; what the canonical form holds has been read there, with what is known of its place.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from . import leaves

_decode = msgspec.json.Decoder().decode


class Opaque(msgspec.Struct, frozen=True):
    """The names of a wire whose strings are no text: `tokens` everywhere (ids, signatures, words of the protocol),
    `encoded` in objects of these types alone (base64). Below a name in `free` stands somebody's own data, where no
    name means anything.
    """

    tokens: frozenset[str] = frozenset()
    encoded: Mapping[str, frozenset[str]] = {}
    free: frozenset[str] = frozenset()

    def hides(self, name: str, kind: object) -> bool:
        """Whether a string of this name, in an object of this type, is no text."""
        return name in self.tokens or kind in self.encoded.get(name, ())


class Body(NamedTuple):
    """A body's bytes, and what of it is no text."""

    raw: bytes
    opaque: Opaque

    @property
    def has_hidden(self) -> bool:
        """Whether a character may be written in another way than JSON's encoders do: it has to be decoded to know."""
        return b"\\u" in self.raw or b"\\/" in self.raw


def read(body: Body, canonical: object, rewrite: Callable[[str], str]) -> Any:
    """The body as JSON with its other strings rewritten; None if none changed."""
    known = frozenset(_strings(msgspec.to_builtins(canonical)))

    def leaf(text: str) -> str:
        return text if text in known else leaves.leaf(text, rewrite)

    tree = _decode(body.raw)
    changed = _walk(tree, body.opaque, leaf, is_free=False)
    return None if changed is tree else changed


def texts(tree: Any, opaque: Opaque, path: str = "", *, is_free: bool = False) -> Iterator[tuple[str, str]]:
    """Each string that is text, with the place where it stands."""
    if isinstance(tree, str):
        yield path, tree
    elif isinstance(tree, list):
        for item in tree:
            yield from texts(item, opaque, f"{path}[]", is_free=is_free)
    elif isinstance(tree, dict):
        kind = tree.get("type")
        for name, item in tree.items():
            if is_free or not is_opaque(item, name, kind, opaque):
                yield from texts(item, opaque, f"{path}.{name}", is_free=is_free or name in opaque.free)


def _walk(tree: Any, opaque: Opaque, rewrite: Callable[[str], str], *, is_free: bool) -> Any:
    if isinstance(tree, str):
        return rewrite(tree)
    if isinstance(tree, list):
        items = [_walk(item, opaque, rewrite, is_free=is_free) for item in tree]
        return items if items != tree else tree
    if isinstance(tree, dict):
        kind = tree.get("type")
        changed = {
            name: item
            if not is_free and is_opaque(item, name, kind, opaque)
            else _walk(item, opaque, rewrite, is_free=is_free or name in opaque.free)
            for name, item in tree.items()
        }
        return changed if changed != tree else tree
    return tree


def is_opaque(item: Any, name: str, kind: object, opaque: Opaque) -> bool:
    """A name hides a string, or a list of strings; what stands below an object of that name is read."""
    is_plain = isinstance(item, str) or (isinstance(item, list) and all(isinstance(one, str) for one in item))
    return is_plain and opaque.hides(name, kind)


def _strings(value: Any) -> Iterator[str]:
    """Each string, and where it is JSON once more, each one inside."""
    if isinstance(value, str):
        yield value
        if value[:1] in ("{", "["):
            try:
                inner = _decode(value)
            except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
                return
            yield from _strings(inner)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _strings(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _strings(item)
