"""JSON with one spelling per value: sorted keys, no spaces. What is hashed or replayed is written like this."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import msgspec
from pydantic_core import PydanticSerializationError, to_jsonable_python

from mooring.core.errors import InvalidRequest, UpstreamMalformed

T = TypeVar("T")
Where = Mapping[str, Any] | None  # conditions on documents' metadata, by field

_encoder = msgspec.json.Encoder(order="sorted")


def canonical(value: Any) -> bytes:
    """The one spelling of a JSON value."""
    return _encoder.encode(value)


def plain(value: Any) -> Any:
    """Models, dataclasses, dates and the like as JSON values.

    Raises:
        InvalidRequest: something in it has no JSON form.
    """
    try:
        return to_jsonable_python(value, fallback=_struct)
    except (PydanticSerializationError, TypeError) as error:
        raise InvalidRequest(
            f"A {type(value).__name__} has no JSON form.",
            hint="Return text, numbers, lists, dicts or a pydantic model.",
        ) from error


def _struct(value: Any) -> Any:
    """What pydantic does not know: our own structs, such as hits."""
    if isinstance(value, msgspec.Struct):
        return msgspec.to_builtins(value)
    raise TypeError(f"A {type(value).__name__} has no JSON form.")


def result_text(value: object) -> str:
    """What a tool returned, as the text that the model reads."""
    return value if isinstance(value, str) else canonical(plain(value)).decode()


def given(fields: dict[str, Any]) -> dict[str, Any]:
    """What is not None: the server knows its own defaults."""
    return {name: value for name, value in fields.items() if value is not None}


def convert(data: Any, kind: type[T], where: str) -> T:
    """A reply as a type; `where` names the route that gave it.

    Raises:
        UpstreamMalformed: it is something else.
    """
    try:
        return msgspec.convert(data, kind)
    except msgspec.ValidationError as error:
        raise UpstreamMalformed(f"{where} answered with something else: {error}.") from error


def call_headers(key: str | None, user: str | None, session: str | None, tags: Sequence[str]) -> dict[str, str]:
    """What a call says about itself beside its body.

    Raises:
        InvalidRequest: a tag with a comma.
    """
    if any("," in tag for tag in tags):
        raise InvalidRequest("A tag cannot hold a comma.", hint="Send two tags.", param="tags")
    named = {
        "idempotency-key": key,
        "x-mooring-user": user,
        "x-mooring-session": session,
        "x-mooring-tags": ",".join(tags),
    }
    return {name: value for name, value in named.items() if value}
