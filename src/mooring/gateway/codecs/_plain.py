"""What the plain wires share: requests and answers that are no conversation and pass as they came.

Their strings, wherever they lie, are what the guards read; a changed one is put back in its place. No plain wire is
translated into another: whoever does not speak it does not offer it.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

import msgspec

from mooring.core.errors import InvalidRequest, UpstreamMalformed
from mooring.core.messages import ChatRequest, ChatResponse
from mooring.core.usage import Usage
from mooring.guardrails.rest import Opaque

from . import Fields, WireRequest, openai_chat

LEAVES = "strings"  # in the `extra` of a request or an answer: every string of it, in order
UNITS = "units"  # in the `extra` of a request: how many units it can come to
_NEVER_READ = ("data:",)  # bytes inside of an address
_encode = msgspec.json.encode
_decode_any = msgspec.json.Decoder().decode


class PlainCodec(openai_chat.Codec):
    """A body of JSON in, a body of JSON out. `opaque` are fields of answers that hold bytes, not words."""

    no_text: ClassVar[Opaque | None] = None
    opaque: ClassVar[frozenset[str]] = frozenset()
    default_model: ClassVar[str | None] = None

    def decode_request(self, body: bytes, *, model: str | None = None, is_stream: bool = False) -> WireRequest:
        """The model, who asks, and every string.

        Raises:
            InvalidRequest: no JSON object, or no model.
        """
        try:
            given: Any = _decode_any(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise InvalidRequest(f"The body is not a JSON object: {error}.") from error
        if not isinstance(given, dict):
            raise InvalidRequest("The body is not a JSON object.")
        if self.default_model is not None:
            given.setdefault("model", self.default_model)
        name, user = given.get("model"), given.get("user")
        if not isinstance(name, str) or not name:
            raise InvalidRequest("'model' is missing.", hint="Name one as provider/model.", param="model")
        rest = {key: value for key, value in given.items() if key != "model"}
        extra: dict[str, Any] = {LEAVES: list(strings(rest)), **self.facts(given)}
        request = ChatRequest(
            model=name,
            messages=(),
            user=user if isinstance(user, str) else None,
            n=self.count(given),
            is_stream=given.get("stream") is True,
            extra=extra,
        )
        return WireRequest(request, given)

    def facts(self, given: Fields) -> dict[str, Any]:
        """What the codec wants to know again of the request, beside its units.

        Raises:
            InvalidRequest: something that it needs is not there.
        """
        return {UNITS: 0}

    def count(self, given: Fields) -> int:
        """How many answers are asked for."""
        return 1

    def most_units(self, request: ChatRequest) -> int | None:
        units: int | None = request.extra.get(UNITS)
        return units

    def elements(self, fields: Fields) -> tuple[bytes, ...]:
        return ()

    def encode_request(self, request: ChatRequest) -> Fields:
        raise NotImplementedError

    def rewrite_request(self, fields: Fields, before: ChatRequest, after: ChatRequest) -> None:
        rest = {key: value for key, value in fields.items() if key != "model"}
        fields.update(replaced(rest, iter(after.extra[LEAVES])))

    def prepare(self, fields: Fields, *, model: str, is_stream: bool, cap_field: str | None, cap_tokens: int) -> None:
        fields["model"] = model

    def decode_response(self, body: bytes) -> ChatResponse:
        """Every string of it, and what it was metered at.

        Raises:
            UpstreamMalformed: not JSON, or not this answer.
        """
        try:
            value = _decode_any(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise UpstreamMalformed(f"The provider's answer is not JSON: {error}.", is_billable=True) from error
        if not isinstance(value, dict):
            raise UpstreamMalformed("The provider's answer is not a JSON object.", is_billable=True)
        extra = {LEAVES: list(strings(value, self.opaque)), **self.answered(value)}
        return ChatResponse(id="", model="", choices=(), usage=self.metered(value), extra=extra)

    def answered(self, value: Fields) -> dict[str, Any]:
        """What `check_answer` wants to know of the answer.

        Raises:
            UpstreamMalformed: it is none.
        """
        return {}

    def metered(self, value: Fields) -> Usage | None:
        """What it came to; None where the provider does not say."""
        return None

    def rewrite_response(self, body: bytes, response: ChatResponse) -> bytes:
        return _encode(replaced(_decode_any(body), iter(response.extra[LEAVES]), self.opaque))


def strings(value: Any, opaque: frozenset[str] = frozenset()) -> Iterator[str]:
    """Every string of a JSON value that holds words, depth first."""
    if isinstance(value, str):
        if not value.startswith(_NEVER_READ):
            yield value
        return
    for _, item in _items(value, opaque):
        yield from strings(item, opaque)


def replaced(value: Any, fresh: Iterator[str], opaque: frozenset[str] = frozenset()) -> Any:
    """The same value with other strings, which come in the order of `strings`."""
    if isinstance(value, str):
        return value if value.startswith(_NEVER_READ) else next(fresh)
    if isinstance(value, dict | list):
        copy = value.copy()
        for key, item in _items(value, opaque):
            copy[key] = replaced(item, fresh, opaque)
        return copy
    return value


def _items(value: Any, opaque: frozenset[str]) -> Sequence[tuple[Any, Any]]:
    if isinstance(value, dict):
        return [(key, item) for key, item in value.items() if key not in opaque]
    return list(enumerate(value)) if isinstance(value, list) else ()


def number(value: Any, name: str) -> int:
    """A figure of a provider's usage; 0 where there is none, or no whole number."""
    found = value.get(name) if isinstance(value, dict) else None
    return found if type(found) is int and found >= 0 else 0


def whole(given: Fields, name: str, otherwise: int, fits: Callable[[int], bool]) -> int:
    """A number of the request.

    Raises:
        InvalidRequest: it is none, or does not fit.
    """
    found = given.get(name)
    if found is None:
        return otherwise
    if type(found) is not int or not fits(found):
        raise InvalidRequest(f"'{name}' is not a number that can be.", param=name)
    return found
