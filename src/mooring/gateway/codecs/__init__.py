"""Wire formats: pure functions between bytes and the canonical types of `core`.

`openai_chat/` is the first; `openai_embeddings.py` shares its errors and framing. A codec never does I/O and never
knows which vendor is behind the wire. A request that comes by one wire and goes out by another is translated through
the canonical types; by the same wire its body passes, but for the model's name and what the provider patches.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal, Protocol

import msgspec

from mooring.core import ids
from mooring.core.errors import MooringError
from mooring.core.events import Event
from mooring.core.messages import ChatRequest, ChatResponse
from mooring.core.registry import Registry
from mooring.core.usage import Usage
from mooring.guardrails.rest import Opaque

from ..fidelity import Feature
from ..framing import Framing, SseFraming

_encode = msgspec.json.encode
Fields = dict[str, Any]
"""A body's top-level fields in the sender's order; a value is `msgspec.Raw` where nothing had to touch it."""

VECTORS = "vectors"  # in the `extra` of a response that is vectors: how many there are
DIMENSIONS = "dimensions"  # in the `extra` of a request for vectors, whatever its wire calls it
COUNT = "input_tokens"  # in the `extra` of a response that is a number of tokens

Kind = Literal["chat", "embedding", "count", "rerank", "moderation", "image", "transcription", "speech", "passthrough"]
"""What a body asks for; the journal calls it by the same word."""

WITH_OUTPUT: frozenset[Kind] = frozenset({"chat", "image", "transcription", "speech"})
"""What is answered with tokens that may have a price of their own."""

FailureKind = Literal[
    "rate_limited",
    "overloaded",
    "broken",
    "context_length",
    "out_of_money",
    "not_authorised",
    "no_such_model",
    "invalid",
]


class WireRequest(msgspec.Struct, frozen=True):
    """A decoded request: what it means, and its fields as they came."""

    request: ChatRequest
    fields: Fields


class Failure(msgspec.Struct, frozen=True):
    """An upstream's error, classified by what it says and not only by its status."""

    kind: FailureKind
    message: str
    code: str | None = None
    param: str | None = None
    retry_after_seconds: float | None = None


class EventDecoder(Protocol):
    """One stream's state. Feed it the `data` of each server-sent event, in order."""

    def feed(self, data: bytes) -> list[Event]:
        """The canonical events in this one.

        Raises:
            UpstreamMalformed: not what the wire allows.
        """
        ...


class EventEncoder(Protocol):
    """One stream's state on the way out."""

    def observe(self, data: bytes, events: Sequence[Event]) -> None:
        """An event that passed as it came, so that those written after it follow it."""
        ...

    def encode(self, events: Sequence[Event]) -> bytes:
        """Whole server-sent events; empty where the wire has nothing to say."""
        ...


class Codec(Protocol):
    """What a wire format provides; two bodies are of the same wire when their codecs have the same name.

    `cannot_carry`: what a translation into this wire refuses. `leaves_out`: what it leaves out, and says so.
    `held_here`: what it cannot say either, and the gateway sees to.
    `own_hints`: fields that only this wire has and that do not decide the answer: left out on the way to another one.
    `needs_cap`: no request without an output cap. `ends_with_finish`: no terminal event; the body's end is it.
    `own_fields`: fields that only this wire has and that a caller of any other may send to it. `is_text`: streams are
    server-sent events. `id_prefix`: answers are named by the call, so that they can be asked for again. `is_stateful`:
    an event cannot be written without knowing those before it. `is_raw`: an answer may be other bytes than
    JSON, and is handed on as it comes. `no_text`: which strings of a body are no text; None where
    its canonical form holds every string.
    """

    name: ClassVar[str]
    path: ClassVar[str]
    kind: ClassVar[Kind]
    keep_alive: ClassVar[bytes]
    cannot_carry: ClassVar[frozenset[Feature]]
    leaves_out: ClassVar[frozenset[Feature]]
    held_here: ClassVar[frozenset[Feature]]
    own_hints: ClassVar[frozenset[str]]
    own_fields: ClassVar[frozenset[str]]
    needs_cap: ClassVar[bool]
    is_text: ClassVar[bool]
    ends_with_finish: ClassVar[bool]
    is_stateful: ClassVar[bool]
    id_prefix: ClassVar[ids.Prefix | None]
    is_raw: ClassVar[bool]
    no_text: ClassVar[Opaque | None]

    @property
    def method(self) -> str:
        """Nearly always POST."""
        ...

    @property
    def address(self) -> str | None:
        """The whole URL, where the caller has named it."""
        ...

    @property
    def takes_any_status(self) -> bool:
        """Whether a vendor's refusal goes to the caller as it came."""
        ...

    def sent_headers(self, given: Sequence[tuple[bytes, bytes]], body: bytes) -> list[tuple[bytes, bytes]]:
        """The provider's headers with what this wire's body needs."""
        ...

    def body_of(self, fields: Fields) -> bytes:
        """The bytes to send."""
        ...

    def most_units(self, request: ChatRequest) -> int | None:
        """How many units, which are no tokens, an answer can be billed; None where nobody can know before it."""
        ...

    def variant_of(self, request: ChatRequest) -> str:
        """What a price may depend on beside the model: an image's size and quality."""
        ...

    def metered_unsaid(self, request: ChatRequest) -> Usage | None:
        """What an answer comes to that does not say it, where the request tells."""
        ...

    def path_of(self, model: str, *, is_stream: bool) -> str:
        """Where the model is asked, below the provider's base address."""
        ...

    def decode_request(self, body: bytes, *, model: str | None = None, is_stream: bool = False) -> WireRequest:
        """What is asked; `model` and `is_stream` are what the path says, on a wire whose bodies do not."""
        ...

    def elements(self, fields: Fields) -> tuple[bytes, ...]:
        """The messages as JSON, one by one, in the bytes that the body has."""
        ...

    def encode_request(self, request: ChatRequest) -> Fields: ...
    def rewrite_request(self, fields: Fields, before: ChatRequest, after: ChatRequest) -> None:
        """Writes only what differs between `before` and `after` into `fields`."""
        ...

    def prepare(self, fields: Fields, *, model: str, is_stream: bool, cap_field: str | None, cap_tokens: int) -> None:
        """What every upstream body needs: the target's model name, usage asked for, and the output cap if any."""
        ...

    def named(self, data: bytes, asked: Fields, name: str) -> bytes:
        """An answer, or an event of one, that passes as it came, but for the name by which it is kept here."""
        ...

    def decode_response(self, body: bytes) -> ChatResponse: ...
    def check_answer(self, request: ChatRequest, response: ChatResponse) -> None:
        """Whether it is an answer to all that was asked.

        Raises:
            UpstreamMalformed: it is shorter or longer.
        """
        ...

    def encode_response(self, response: ChatResponse, asked: Fields) -> bytes:
        """The answer as a body of this wire; `asked` are the fields of the request that it answers."""
        ...

    def vectors(self, body: bytes) -> list[list[float]]:
        """The vectors of an answer, on wires of embeddings."""
        ...

    def encode_vectors(self, vectors: list[list[float]], response: ChatResponse, asked: Fields) -> bytes:
        """The same as a body of this wire."""
        ...

    def rewrite_response(self, body: bytes, response: ChatResponse) -> bytes:
        """The body with its choices replaced by the response's; fields beside them stay."""
        ...

    def is_error(self, body: bytes) -> bool:
        """Whether a body that came with a good status is an error object all the same."""
        ...

    def framing(self, limit_bytes: int) -> Framing:
        """What cuts a stream of this wire into events."""
        ...

    def decoder(self) -> EventDecoder: ...
    def encoder(self, *, wants_usage: bool, asked: Fields) -> EventEncoder: ...
    def without_usage(self, data: bytes) -> bytes | None:
        """An event's data for a caller who did not ask for usage; None where nothing else was in it."""
        ...

    def decode_error(self, status: int, headers: "ReadsHeaders", body: bytes) -> Failure: ...
    def encode_error(self, error: MooringError, *, message: str | None = None, code: str | None = None) -> bytes: ...
    def encode_stream_error(
        self, error: MooringError, *, message: str | None = None, code: str | None = None
    ) -> bytes: ...
    def encode_event(self, data: bytes) -> bytes:
        """One event's data, framed as it came."""
        ...

    def encode_comment(self, text: str) -> bytes: ...


class BaseCodec:
    """What most wires have in common."""

    leaves_out: ClassVar[frozenset[Feature]] = frozenset()
    held_here: ClassVar[frozenset[Feature]] = frozenset()
    own_hints: ClassVar[frozenset[str]] = frozenset()
    own_fields: ClassVar[frozenset[str]] = frozenset()
    needs_cap: ClassVar[bool] = False
    is_text: ClassVar[bool] = True
    ends_with_finish: ClassVar[bool] = False
    names_events: ClassVar[bool] = False  # and each has data, so that one without has lost it
    is_stateful: ClassVar[bool] = True
    id_prefix: ClassVar[ids.Prefix | None] = None
    is_raw: ClassVar[bool] = False
    no_text: ClassVar[Opaque | None] = None
    method = "POST"
    address: str | None = None
    takes_any_status = False

    path: ClassVar[str]

    def sent_headers(self, given: Sequence[tuple[bytes, bytes]], body: bytes) -> list[tuple[bytes, bytes]]:
        return list(given)

    def body_of(self, fields: Fields) -> bytes:
        return _encode(fields)

    def most_units(self, request: ChatRequest) -> int | None:
        return 0

    def variant_of(self, request: ChatRequest) -> str:
        return ""

    def metered_unsaid(self, request: ChatRequest) -> Usage | None:
        return None

    def path_of(self, model: str, *, is_stream: bool) -> str:
        return self.path

    def named(self, data: bytes, asked: Fields, name: str) -> bytes:
        return data

    def check_answer(self, request: ChatRequest, response: ChatResponse) -> None:
        """Any number of choices is an answer; that there is one was seen when it was decoded."""

    def framing(self, limit_bytes: int) -> Framing:
        return SseFraming(limit_bytes, is_strict=self.names_events)

    def vectors(self, body: bytes) -> list[list[float]]:
        raise NotImplementedError

    def encode_vectors(self, vectors: list[list[float]], response: ChatResponse, asked: Fields) -> bytes:
        raise NotImplementedError

    def encode_comment(self, text: str) -> bytes:
        return f": {text}\n\n".encode()


class ReadsHeaders(Protocol):
    """Headers by case-insensitive name."""

    def get(self, name: str, /) -> str | None: ...


registry: Registry[type[Codec]] = Registry("codec", "mooring.codecs", "mooring.gateway.codecs", "Codec")
