"""What stands in a body beside its canonical form, handed to the guards: vendors' own parts and fields."""

from collections.abc import Callable

import msgspec

from mooring.core.messages import ChatResponse
from mooring.guardrails.rest import Body

from .codecs import Codec

encoded = msgspec.json.encode


def of_answer(codec: Codec, out: Codec, body: bytes, answer: ChatResponse) -> Callable[[ChatResponse], Body] | None:
    """The answer's own body, once the guards have made something of what it says; None where it does not pass."""
    no_text = codec.no_text
    if no_text is None or codec.name != out.name:
        return None

    def whole(clean: ChatResponse) -> Body:
        return Body(body if clean is answer else codec.rewrite_response(body, clean), no_text)

    return whole
