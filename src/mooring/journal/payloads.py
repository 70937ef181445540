"""What may be kept of a body: all of it, what the redactor leaves, or nothing. Pure.

The redactor sees every string of a JSON body, the strings of a stream's events also as one text where they continue
each other (a secret arrives in pieces), and last the whole as it will lie there.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any, Literal

Policy = Literal["full", "redacted", "off"]
Redact = Callable[[str], str]
Trim = Callable[[bytes], bytes]
_Leaf = tuple[Any, Any]  # a container, and under what the string lies in it

REDACTED = {"payloads": "redacted"}  # a fact of the call: what it holds is not what was said, word by word


def trimmer(policy: Policy, redact: Redact | None) -> Trim | None:
    """What is done to a body that nobody needs any more; None: it stays as it is."""
    if policy == "full":
        return None
    if policy == "off":
        return lambda data: b""
    if redact is None:
        raise ValueError("Redacted payloads need a redactor.")
    return lambda data: redacted(data, redact)


def redacted(data: bytes, redact: Redact) -> bytes:
    """The body without secrets; the same bytes where there are none."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return redact(data.decode("latin-1")).encode("latin-1", "replace")
    value = _json(text)
    if value is not None:
        whole = {"": value}
        is_stream = isinstance(value, list) and all(isinstance(one, dict) for one in value)
        values = value if is_stream else [whole]
        clean = _encode(whole[""]) if _clean(values, redact) else text
    else:
        clean = _events(text, redact)
    clean = redact(clean)
    return data if clean == text else clean.encode("utf-8", "replace")


def _events(text: str, redact: Redact) -> str:
    """The lines of an event stream, or of any other text."""
    lines = text.split("\n")
    found = {
        place: [value]
        for place, line in enumerate(lines)
        if line.startswith("data:") and (value := _json(line[5:])) is not None
    }
    before = {place: _encode(held[0]) for place, held in found.items()}
    if _clean([leaf for held in found.values() for leaf in _held(held)], redact):
        for place, held in found.items():
            if (after := _encode(held[0])) != before[place]:
                lines[place] = f"data: {after}"
    return "\n".join(lines)


def _held(held: list[Any]) -> list[Any]:
    """A bare string of an event is rewritten in what holds it."""
    return [held] if isinstance(held[0], str) else held


def _clean(values: list[Any], redact: Redact) -> bool:
    """Rewrite each string, then those of several values that continue each other; whether anything changed."""
    groups: dict[str, list[_Leaf]] = {}
    for value in values:
        for path, container, key in _leaves(value, ""):
            groups.setdefault(path, []).append((container, key))
    is_changed = False
    for leaves in groups.values():
        for container, key in leaves:
            is_changed |= _put(container, key, redact(container[key]))
        joined = "".join(container[key] for container, key in leaves)
        whole = redact(joined)
        if whole != joined:
            for place, (container, key) in enumerate(leaves):
                is_changed |= _put(container, key, "" if place else whole)
    return is_changed


def _put(container: Any, key: Any, text: str) -> bool:
    if container[key] == text:
        return False
    container[key] = text
    return True


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    """Every string with the place where it lies; which of several things it belongs to is part of the place."""
    if isinstance(value, dict):
        which = "".join(f"#{value[name]}" for name in sorted(value) if name.endswith("index"))
        items: Any = list(value.items())
        path = f"{path}{which}"
    elif isinstance(value, list):
        items = list(enumerate(value))
    else:
        return
    for key, item in items:
        if isinstance(item, str):
            yield f"{path}.{key}", value, key
        else:
            yield from _leaves(item, f"{path}.{key}")


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _encode(value: Any) -> str:
    encoded = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    try:
        encoded.encode()
    except UnicodeEncodeError:  # a lone surrogate
        return json.dumps(value, separators=(",", ":"))
    return encoded
