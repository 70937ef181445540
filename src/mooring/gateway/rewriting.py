"""What the guards changed, carried over into a body of any wire: string by string, so that all else stays as it came.

The guards answer with the canonical value they were given, some of its strings changed. The same strings stand in the
body, under whatever names its wire gives them.
"""

from typing import Any

import msgspec

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.encode
Table = dict[str, str]


def substitutions(before: object, after: object) -> Table:
    """Each string of `before` that is another one in `after`."""
    table: Table = {}
    _compare(msgspec.to_builtins(before), msgspec.to_builtins(after), table)
    return table


def substituted(value: Any, table: Table) -> Any:
    """A JSON value, keys included, with the strings of the table exchanged."""
    if isinstance(value, msgspec.Raw):
        return substituted(_decode(value), table)
    if isinstance(value, str):
        return table.get(value, value)
    if isinstance(value, dict):
        return {table.get(key, key): substituted(item, table) for key, item in value.items()}
    if isinstance(value, list):
        return [substituted(item, table) for item in value]
    return value


def is_same(one: object, other: object) -> bool:
    """Whether two canonical values say the same; JSON inside a string may be spaced differently."""
    return all(_plain(old) == _plain(new) for old, new in substitutions(one, other).items())


def _plain(text: str) -> Any:
    if text[:1] not in "{[":
        return text
    try:
        return _decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return text


def _compare(before: Any, after: Any, table: Table) -> None:
    if isinstance(before, str) and isinstance(after, str):
        if before != after:
            table[before] = after
            _compare_json(before, after, table)
    elif isinstance(before, dict) and isinstance(after, dict):
        for (old_key, old), (new_key, new) in zip(before.items(), after.items(), strict=False):
            _compare(old_key, new_key, table)
            _compare(old, new, table)
    elif isinstance(before, list | tuple) and isinstance(after, list | tuple):
        for old, new in zip(before, after, strict=False):
            _compare(old, new, table)


def _compare_json(before: str, after: str, table: Table) -> None:
    """Arguments are text in the canonical form and objects on some wires."""
    old, new = _plain(before), _plain(after)
    if not isinstance(old, str):
        _compare(old, new, table)
