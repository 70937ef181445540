"""OpenAI's wire from text to speech: `POST /v1/audio/speech`. Sold by the character; what comes back is sound."""

from typing import Any, ClassVar

from mooring.core.errors import InvalidRequest, UpstreamMalformed
from mooring.core.messages import ChatRequest, ChatResponse
from mooring.core.usage import Usage

from . import Fields, Kind
from ._plain import LEAVES, UNITS, PlainCodec, number


class Codec(PlainCodec):
    """`POST /audio/speech`."""

    name: ClassVar[str] = "openai_speech"
    path: ClassVar[str] = "/audio/speech"
    kind: ClassVar[Kind] = "speech"
    is_raw: ClassVar[bool] = True

    def facts(self, given: Fields) -> dict[str, Any]:
        text = given.get("input")
        if not isinstance(text, str) or not text:
            raise InvalidRequest("'input' is missing.", hint="Send the text to speak.", param="input")
        return {UNITS: len(text)}

    def rewrite_request(self, fields: Fields, before: ChatRequest, after: ChatRequest) -> None:
        super().rewrite_request(fields, before, after)
        after.extra[UNITS] = len(fields["input"])  # what is spoken is what the guards have left

    def decode_response(self, body: bytes) -> ChatResponse:
        """Sound holds nothing that could be read; its events do."""
        if body[:1] == b"{":
            return super().decode_response(body)
        return ChatResponse(id="", model="", choices=(), extra={LEAVES: []})

    def answered(self, value: Fields) -> dict[str, Any]:
        if not isinstance(value.get("type"), str):
            raise UpstreamMalformed("The provider's answer is no sound.", is_billable=True)
        return {}

    def metered(self, value: Fields) -> Usage | None:
        usage = value.get("usage")
        given, said = number(usage, "input_tokens"), number(usage, "output_tokens")
        return Usage(input_tokens=given, output_tokens=said) if given or said else None

    def metered_unsaid(self, request: ChatRequest) -> Usage | None:
        """Sound tells nothing: its text's characters are known all the same."""
        return Usage(units=request.extra[UNITS])
