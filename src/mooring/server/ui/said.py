"""What a model said, out of a recorded body: a whole answer, or a stream as it was sent."""

import msgspec

from mooring.core.errors import MooringError
from mooring.core.events import Accumulator
from mooring.core.messages import ChatResponse, TextPart
from mooring.gateway.codecs import registry as codecs
from mooring.net import SseParser

_STREAM = (b"data:", b"event:", b":")


def said(body: bytes) -> str | None:
    """The text of the first choice; None where the body is no chat answer."""
    try:
        response = _streamed(body) if body.lstrip().startswith(_STREAM) else _whole(body)
    except (MooringError, msgspec.DecodeError):
        return None
    if response is None or not response.choices:
        return None
    return "".join(part.text for part in response.choices[0].message.parts if isinstance(part, TextPart))


def _whole(body: bytes) -> ChatResponse | None:
    if b'"choices"' not in body:
        return None
    return codecs.get("openai_chat")().decode_response(body)


def _streamed(body: bytes) -> ChatResponse:
    decoder, found = codecs.get("openai_chat")().decoder(), Accumulator()
    for event in SseParser().feed(body):
        for one in decoder.feed(event.data.encode()):
            found.add(one)
    return found.response()
