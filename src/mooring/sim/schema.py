"""The smallest valid instance of a JSON schema, with strings and numbers taken from the conversation where they fit."""

import re
from collections.abc import Mapping
from typing import Any

_MOST_DEPTH = 24
_MOST_VALUES = 2_000  # a schema of a few lines can ask for more than memory holds
_FORMATS = {
    "date-time": "2026-01-01T00:00:00Z",
    "date": "2026-01-01",
    "time": "00:00:00Z",
    "email": "someone@example.com",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "uri": "https://example.com/",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "hostname": "example.com",
    "duration": "PT1S",
}
_QUOTED = re.compile(r"[\"“”']([^\"“”']{1,200})[\"“”]|(?<!\w)'([^']{1,200})'(?!\w)")
_EMAIL = re.compile(r"[\w.+-]{1,64}@[\w-]{1,64}(?:\.[\w-]{1,32}){1,4}")
_NUMBER = re.compile(r"-?\d{1,15}(?:\.\d{1,9})?")
_MONEY = re.compile(r"[$€£]\s?(\d{1,12}(?:\.\d{1,9})?)|(\d{1,12}(?:\.\d{1,9})?)\s?(?:USD|EUR|usd|eur|dollars|euros)")
_FREE_TEXT = {"query", "question", "text", "message", "prompt", "q", "input", "content", "topic", "search"}
_AMOUNTS = {"usd", "eur", "amount", "price", "cost", "total"}


class Filling:
    """What can be found in a text for the properties of a schema; each quoted string is used once."""

    def __init__(self, text: str) -> None:
        self._left = _MOST_VALUES
        self._text = text[:20_000]
        self._quoted = [first or second for first, second in _QUOTED.findall(self._text)]

    def take(self) -> bool:
        """Whether there is room for another value."""
        self._left -= 1
        return self._left >= 0

    def string(self, name: str, schema: Mapping[str, Any]) -> str:
        """A string for the property of this name."""
        form = schema.get("format")
        if form == "email" or "email" in name:
            found = _EMAIL.search(self._text)
            return found[0] if found else _FORMATS["email"]
        if form in _FORMATS:
            return _FORMATS[form]
        value = self._named(name) or (self._quoted.pop(0) if self._quoted else "")
        if not value:
            words = set(name.lower().split("_"))
            value = self._text.strip()[:400] if words & _FREE_TEXT else name
        return _sized(value, schema)

    def number(self, name: str, schema: Mapping[str, Any]) -> float:
        """A number for the property of this name, inside the schema's bounds."""
        value = self._amount(name)
        low = schema.get("minimum", schema.get("exclusiveMinimum"))
        high = schema.get("maximum", schema.get("exclusiveMaximum"))
        is_outside = (
            value is None
            or (low is not None and (value < low or value == schema.get("exclusiveMinimum")))
            or (high is not None and (value > high or value == schema.get("exclusiveMaximum")))
        )
        if is_outside:
            value = _inside(schema)
        step = schema.get("multipleOf")
        if step and value is not None:
            value = -(-value // step) * step
        return value or 0

    def _amount(self, name: str) -> float | None:
        text = self._named(name)
        if text is None and set(name.lower().split("_")) & _AMOUNTS:
            found = _MONEY.search(self._text)
            text = (found[1] or found[2]) if found else None
        matched = _NUMBER.fullmatch(text) if text else None
        return float(matched[0]) if matched else None

    def _named(self, name: str) -> str | None:
        """`order` and `order_id` find the 81 of "order 81", "Order #81" and "order: 81"."""
        for word in (name, name.removesuffix("_id"), name.removesuffix("_number"), name.replace("_", " ")):
            found = re.search(
                rf"(?<![A-Za-z]){re.escape(word[:64])}(?:\s+(?:id|number|no\.?))?[\s:=#\"]{{1,4}}"
                r"(-?[A-Za-z_-]{0,20}\d[\w-]{0,60}(?:\.\d{1,9})?)",
                self._text,
                re.IGNORECASE,
            )
            if found:
                return found[1]
        return None


def _sized(value: str, schema: Mapping[str, Any]) -> str:
    least = min(int(schema.get("minLength", 0)), 10_000)
    most = schema.get("maxLength")
    value = value.ljust(least, "x")
    return value if most is None else value[: int(most)]


def _inside(schema: Mapping[str, Any]) -> float:
    for key, shift in (("minimum", 0), ("exclusiveMinimum", 1), ("maximum", 0), ("exclusiveMaximum", -1)):
        if key in schema:
            return float(schema[key]) + shift
    return 1


def instance(schema: Mapping[str, Any], filling: Filling) -> Any:
    """A value that the schema accepts: required properties only, shortest arrays, first of each choice."""
    return _value(schema, filling, root=schema, name="value", depth=0)


def _value(schema: Any, filling: Filling, *, root: Mapping[str, Any], name: str, depth: int) -> Any:
    if not isinstance(schema, Mapping) or depth > _MOST_DEPTH or not filling.take():
        return None
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    if schema.get("enum"):
        return schema["enum"][0]
    inner = _inner(schema, root, depth)
    if inner is not None:
        return _value(inner, filling, root=root, name=name, depth=depth + 1)
    return _typed(schema, filling, root=root, name=name, depth=depth)


def _inner(schema: Mapping[str, Any], root: Mapping[str, Any], depth: int) -> Any:
    """The schema that stands for this one: behind its reference, its first branch, or all of its parts in one."""
    if "$ref" in schema:
        return _resolve(root, schema["$ref"])
    branches = schema.get("anyOf") or schema.get("oneOf")
    if branches:
        # Deep down take the branch that ends: a recursive schema offers null beside itself.
        return branches[0] if depth < 6 else min(branches, key=lambda branch: len(str(branch)))
    return _merged(schema, root) if schema.get("allOf") else None


def _typed(schema: Mapping[str, Any], filling: Filling, *, root: Mapping[str, Any], name: str, depth: int) -> Any:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = kind[0] if kind else None
    if kind == "object" or (kind is None and "properties" in schema):
        properties = schema.get("properties", {})
        return {
            key: _value(properties.get(key, {}), filling, root=root, name=str(key), depth=depth + 1)
            for key in schema.get("required", ())
        }
    if kind == "array":
        item = schema.get("items", {})
        count = min(int(schema.get("minItems", 0)), 100)
        return [_value(item, filling, root=root, name=name, depth=depth + 1) for _ in range(count)]
    if kind == "integer":
        return int(filling.number(name, schema))
    if kind == "number":
        number = filling.number(name, schema)
        return int(number) if number == int(number) else number
    if kind in ("boolean", "null"):
        return True if kind == "boolean" else None
    return filling.string(name, schema)


def _resolve(root: Mapping[str, Any], reference: Any) -> Any:
    """The schema behind `#/$defs/Name`."""
    target: Any = root
    for step in str(reference).removeprefix("#").strip("/").split("/"):
        if step:
            target = target.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(target, Mapping) else None
    return target


def _merged(schema: Mapping[str, Any], root: Mapping[str, Any]) -> dict[str, Any]:
    merged: dict[str, Any] = {key: value for key, value in schema.items() if key != "allOf"}
    properties: dict[str, Any] = dict(merged.get("properties", {}))
    required: list[str] = list(merged.get("required", ()))
    for part in schema["allOf"]:
        part = _resolve(root, part["$ref"]) if isinstance(part, Mapping) and "$ref" in part else part
        if isinstance(part, Mapping):
            merged = {**part, **merged}
            properties.update(part.get("properties", {}))
            required += [key for key in part.get("required", ()) if key not in required]
    if properties:
        merged.update(properties=properties, required=required)
    return merged
