"""How many tokens a request has, where its model's vendor cannot be asked in the caller's wire: a stated estimate."""

from collections.abc import Iterator

import msgspec

from mooring.core.messages import ChatResponse, MediaPart, Part, ToolCallPart, ToolResultPart
from mooring.core.text import utf8_bytes

from .asked import Asked
from .codecs import COUNT
from .inbound import Outbound

BYTES_PER_TOKEN = 4  # of English text; code and other languages have fewer
MESSAGE_TOKENS = 4
MEDIUM_TOKENS = 1_000


def can_count(asked: Asked) -> bool:
    """Whether the model's first target takes such a request."""
    return asked.plan.targets[0].vendor.speaks(asked.codec)


def estimated(asked: Asked) -> Outbound:
    """The answer that says how it was made, and that nothing was sent."""
    request = asked.request
    size, media = 0, 0
    for message in request.messages:
        for part in message.parts:
            for text in _texts(part):
                size += utf8_bytes(text)
            media += isinstance(part, MediaPart)
    if request.tools:
        size += len(msgspec.json.encode(request.tools))
    tokens = -(-size // BYTES_PER_TOKEN) + MESSAGE_TOKENS * len(request.messages) + MEDIUM_TOKENS * media
    response = ChatResponse(id="", model=request.model, choices=(), extra={COUNT: tokens})
    return Outbound(
        200, asked.codec.encode_response(response, asked.fields), headers=[(b"x-mooring-estimated", b"true")]
    )


def _texts(part: Part) -> Iterator[str]:
    match part:
        case ToolCallPart():
            yield part.name
            yield part.arguments
        case ToolResultPart():
            for inner in part.parts:
                yield from _texts(inner)
        case MediaPart():
            return
        case _:
            yield part.text
