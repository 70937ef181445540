"""Whether a value fits a JSON Schema, and if not, where and why: the keywords that models are asked for.

The vocabulary of 2020-12 for shapes, bounds and combinations, with references within the schema. Unknown keywords are
ignored, as the standard asks; `format` is a note, not a check.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

import re2

MOST_PROBLEMS = 10
MOST_DEPTH = 100

Schema = dict[str, Any] | bool
_TYPES: dict[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "integer": lambda value: not isinstance(value, bool) and (isinstance(value, int) or _is_whole(value)),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
}


def _is_whole(value: Any) -> bool:
    return isinstance(value, float) and value.is_integer()


def problems(value: Any, schema: Schema) -> list[str]:
    """At most ten sentences; none: it fits."""
    found: list[str] = []
    for problem in _Check(schema).at(value, schema, "$", 0):
        found.append(problem)
        if len(found) == MOST_PROBLEMS:
            break
    return found


class _Check:
    """One schema, in which references are looked up."""

    def __init__(self, root: Schema) -> None:
        self._root = root

    def at(self, value: Any, schema: Any, path: str, depth: int) -> Iterator[str]:
        """What is wrong with the value at this place."""
        if schema is False:
            yield f"{path} must not be there"
        if not isinstance(schema, dict) or depth > MOST_DEPTH:
            return
        yield from _plain(value, schema, path)
        if isinstance(value, dict):
            yield from self._object(value, schema, path, depth + 1)
        if isinstance(value, list):
            yield from self._array(value, schema, path, depth + 1)
        yield from self._combined(value, schema, path, depth + 1)

    def _object(self, value: dict[str, Any], schema: dict[str, Any], path: str, depth: int) -> Iterator[str]:
        for name in schema.get("required", ()):
            if name not in value:
                yield f"{path} lacks '{name}'"
        properties = schema.get("properties", {})
        rest = schema.get("additionalProperties", True)
        for name, inner in value.items():
            if name in properties:
                yield from self.at(inner, properties[name], f"{path}.{name}", depth)
            elif rest is False:
                yield f"{path} has '{name}', which is not asked for"
            else:
                yield from self.at(inner, rest, f"{path}.{name}", depth)

    def _array(self, value: list[Any], schema: dict[str, Any], path: str, depth: int) -> Iterator[str]:
        first = schema.get("prefixItems", [])
        rest = schema.get("items", True)
        for number, inner in enumerate(value):
            yield from self.at(inner, first[number] if number < len(first) else rest, f"{path}[{number}]", depth)

    def _combined(self, value: Any, schema: dict[str, Any], path: str, depth: int) -> Iterator[str]:
        reference = schema.get("$ref")
        if isinstance(reference, str):
            yield from self.at(value, self._find(reference), path, depth)
        for part in schema.get("allOf", ()):
            yield from self.at(value, part, path, depth)
        if "anyOf" in schema and not any(self._fits(value, part, depth) for part in schema["anyOf"]):
            yield f"{path} fits none of the shapes that are allowed"
        if "oneOf" in schema and sum(self._fits(value, part, depth) for part in schema["oneOf"]) != 1:
            yield f"{path} must fit exactly one of the shapes that are allowed"
        if "not" in schema and self._fits(value, schema["not"], depth):
            yield f"{path} has a shape that is not allowed"

    def _fits(self, value: Any, schema: Any, depth: int) -> bool:
        return next(self.at(value, schema, "$", depth), None) is None

    def _find(self, reference: str) -> Any:
        """The part that a reference within the schema names; anything where it names nothing."""
        if not reference.startswith("#"):
            return True
        found: Any = self._root
        for part in reference[1:].split("/")[1:]:
            name = part.replace("~1", "/").replace("~0", "~")
            if not isinstance(found, dict) or name not in found:
                return True
            found = found[name]
        return found


def _plain(value: Any, schema: dict[str, Any], path: str) -> Iterator[str]:
    """The keywords that look at the value alone."""
    kinds = schema.get("type")
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and not any(_TYPES[kind](value) for kind in kinds if kind in _TYPES):
        yield f"{path} must be {' or '.join(map(str, kinds))}"
        return
    if "enum" in schema and not any(_same(value, one) for one in schema["enum"]):
        yield f"{path} must be one of {schema['enum']!r:.200}"
    if "const" in schema and not _same(value, schema["const"]):
        yield f"{path} must be {schema['const']!r:.200}"
    if isinstance(value, str):
        yield from _sized(len(value), schema, "Length", path)
        yield from _matched(value, schema, path)
    elif isinstance(value, list):
        yield from _sized(len(value), schema, "Items", path)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield from _bounded(value, schema, path)


def _same(one: Any, other: Any) -> bool:
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def _sized(size: int, schema: dict[str, Any], noun: str, path: str) -> Iterator[str]:
    least, most = schema.get(f"min{noun}"), schema.get(f"max{noun}")
    if least is not None and size < least:
        yield f"{path} is shorter than {least}"
    if most is not None and size > most:
        yield f"{path} is longer than {most}"


def _matched(value: str, schema: dict[str, Any], path: str) -> Iterator[str]:
    pattern = schema.get("pattern")
    if not isinstance(pattern, str):
        return
    try:
        is_match = re2.search(pattern, value) is not None  # linear time: the schema comes from a caller
    except (re2.error, re.error):
        return
    if not is_match:
        yield f"{path} does not match {pattern[:100]!r}"


def _bounded(value: float, schema: dict[str, Any], path: str) -> Iterator[str]:
    if "minimum" in schema and value < schema["minimum"]:
        yield f"{path} is below {schema['minimum']}"
    if "maximum" in schema and value > schema["maximum"]:
        yield f"{path} is above {schema['maximum']}"
    if "exclusiveMinimum" in schema and value <= schema["exclusiveMinimum"]:
        yield f"{path} must be above {schema['exclusiveMinimum']}"
    if "exclusiveMaximum" in schema and value >= schema["exclusiveMaximum"]:
        yield f"{path} must be below {schema['exclusiveMaximum']}"
