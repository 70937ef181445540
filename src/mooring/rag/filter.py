"""Which documents a search may see, by their metadata: typed conditions, all of which must hold.

`{"team": "billing"}` is equality, `{"team": {"in": ["billing", "sales"]}}` any of several, `{"year": {"gte": 2024,
"lt": 2026}}` a range over numbers or texts (dates as texts: 2026-01-31). A list holds where one of its members does.
What no document could ever satisfy by its shape (an unknown field, another type) is an error, never a search of all.
"""

from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

from mooring.core.errors import InvalidRequest

Kind = Literal["text", "number", "true or false", "object"]
Scalar = str | int | float | bool
Kinds = dict[str, set[Kind]]  # of each field, in all documents of a collection

MOST_CONDITIONS = 32
MOST_VALUES = 1_000  # of one `in`
MOST_NAMED = 30  # fields that a message lists
BOUNDS = ("gt", "gte", "lt", "lte")


class OneOf(msgspec.Struct, frozen=True):
    """The field holds one of these; of none, nothing does."""

    values: tuple[Scalar, ...]

    def holds(self, value: object) -> bool:
        kind = kind_of(value)
        return any(kind == kind_of(each) and value == each for each in self.values)


class Range(msgspec.Struct, frozen=True):
    """The field lies between bounds of one kind, by name."""

    bounds: tuple[tuple[str, str | int | float], ...]

    @property
    def values(self) -> tuple[Scalar, ...]:
        return tuple(bound for _, bound in self.bounds)

    def holds(self, value: object) -> bool:
        return kind_of(value) == kind_of(self.values[0]) and all(
            _is_within(name, value, bound) for name, bound in self.bounds
        )


class Filter(msgspec.Struct, frozen=True):
    """Conditions by field."""

    conditions: tuple[tuple[str, OneOf | Range], ...]

    def matches(self, metadata: Mapping[str, object]) -> bool:
        """Whether every condition holds; a field that a document does not have holds none."""
        return all(
            any(condition.holds(member) for member in members(metadata.get(field)))
            for field, condition in self.conditions
        )

    def check(self, kinds: Kinds) -> None:
        """Whether the collection's documents have such fields.

        Raises:
            InvalidRequest: a field that none has, or has with other types only; the message names those that there are.
        """
        for field, condition in self.conditions:
            if field not in kinds:
                raise _refused(field, f"No document here has the metadata field '{field[:60]}'.", _known(kinds))
            for value in condition.values:
                if kind_of(value) not in kinds[field]:
                    raise _refused(
                        field,
                        f"The metadata field '{field[:60]}' is of type {_spoken(kinds[field])} here,"
                        f" not {kind_of(value)}.",
                        _known(kinds),
                    )


def parse_filter(raw: Mapping[str, object]) -> Filter | None:
    """The filter of a request; None where it has no condition.

    Raises:
        InvalidRequest: a condition that is none.
    """
    if len(raw) > MOST_CONDITIONS:
        raise InvalidRequest(f"The filter has more than {MOST_CONDITIONS} conditions.", param="filter")
    return Filter(tuple((field, _condition(field, value)) for field, value in raw.items())) if raw else None


def kinds_of(all_metadata: Iterable[Mapping[str, object]]) -> Kinds:
    """What the documents' fields hold; those that are null everywhere hold nothing."""
    found: Kinds = {}
    for metadata in all_metadata:
        for field, value in metadata.items():
            for member in members(value):
                found.setdefault(field, set()).add(kind_of(member))
    return found


def members(value: object) -> list[object]:
    """What a condition is held against: the value, or each of a list's; null is no value."""
    return [each for each in (value if isinstance(value, list) else [value]) if each is not None]


def kind_of(value: object) -> Kind:
    if isinstance(value, bool):  # before numbers: in Python it is one
        return "true or false"
    if isinstance(value, int | float):
        return "number"
    return "text" if isinstance(value, str) else "object"


def _condition(field: str, value: object) -> OneOf | Range:
    if isinstance(value, str | int | float):
        return OneOf((value,))
    if not isinstance(value, Mapping) or not value:
        raise _refused(field, f"The filter of '{field[:60]}' is {msgspec.json.encode(value).decode()[:60]}.", _FORMS)
    if set(value) == {"in"}:
        return OneOf(_values(field, value["in"]))
    unknown = sorted(str(name) for name in set(value) - set(BOUNDS))
    if unknown:
        raise _refused(field, f"The filter of '{field[:60]}' cannot '{unknown[0][:60]}'.", _FORMS)
    bounds = tuple((name, bound) for name, bound in value.items() if _is_bound(bound))
    if len(bounds) < len(value) or len({kind_of(bound) for _, bound in bounds}) > 1:
        raise _refused(field, f"The bounds of '{field[:60]}' are not all numbers, or all texts.", _FORMS)
    return Range(bounds)


def _values(field: str, listed: object) -> tuple[Scalar, ...]:
    if not isinstance(listed, list) or not all(isinstance(each, str | int | float) for each in listed):
        raise _refused(field, f"The 'in' of '{field[:60]}' is no list of texts, numbers, true or false.", _FORMS)
    if len(listed) > MOST_VALUES:
        raise _refused(field, f"The 'in' of '{field[:60]}' lists more than {MOST_VALUES:,} values.", None)
    return tuple(listed)


def _is_bound(value: object) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def _is_within(name: str, value: object, bound: str | int | float) -> bool:
    """Both are of one kind."""
    left, right = value, bound
    if name == "gt":
        return left > right  # type: ignore[operator]
    if name == "gte":
        return left >= right  # type: ignore[operator]
    if name == "lt":
        return left < right  # type: ignore[operator]
    return left <= right  # type: ignore[operator]


_FORMS = 'Send a text, number, true or false, {"in": […]}, or a range with gt, gte, lt, lte.'


def _refused(field: str, message: str, hint: str | None) -> InvalidRequest:
    return InvalidRequest(message, hint=hint, param=f"filter.{field[:60]}")


def _known(kinds: Kinds) -> str:
    if not kinds:
        return "No document here has metadata: send them with the upload."
    named = [f"{field[:60]} ({_spoken(kinds[field])})" for field in sorted(kinds)[:MOST_NAMED]]
    more = f" and {len(kinds) - MOST_NAMED} more" if len(kinds) > MOST_NAMED else ""
    return f"Known are {', '.join(named)}{more}."


def _spoken(kinds: set[Kind]) -> str:
    return " or ".join(sorted(kinds))
