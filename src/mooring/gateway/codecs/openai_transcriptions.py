"""OpenAI's wire from speech to text: `POST /v1/audio/transcriptions`, a form with the audio.

Sold by the second or by tokens, as the answer says; an answer of text alone says neither, and its cost is not known.
"""

import math
from typing import Any, ClassVar

from mooring.core.errors import UpstreamMalformed
from mooring.core.messages import ChatResponse
from mooring.core.usage import Usage

from . import Fields, Kind
from ._form import FormCodec, file_of
from ._plain import LEAVES, UNITS, number

TEXT = "text"  # in the `extra` of an answer that is no JSON


class Codec(FormCodec):
    """`POST /audio/transcriptions`."""

    name: ClassVar[str] = "openai_transcriptions"
    path: ClassVar[str] = "/audio/transcriptions"
    kind: ClassVar[Kind] = "transcription"
    is_raw: ClassVar[bool] = True

    def facts(self, given: Fields) -> dict[str, Any]:
        file_of(given, "file")
        return {UNITS: None}  # how long it is, nobody knows before it is heard

    def decode_response(self, body: bytes) -> ChatResponse:
        """Its words and what it was metered at; subtitles and bare text are words alone."""
        if body.lstrip()[:1] == b"{":
            return super().decode_response(body)
        try:
            words = body.decode()
        except UnicodeDecodeError as error:
            raise UpstreamMalformed("The provider's answer is no text.", is_billable=True) from error
        if words.lstrip().lower().startswith(("<!doctype", "<html")):
            raise UpstreamMalformed("The provider's answer is a web page.", is_billable=True)
        return ChatResponse(id="", model="", choices=(), extra={LEAVES: [words], TEXT: True})

    def rewrite_response(self, body: bytes, response: ChatResponse) -> bytes:
        if response.extra.get(TEXT):
            words: str = response.extra[LEAVES][0]
            return words.encode()
        return super().rewrite_response(body, response)

    def answered(self, value: Fields) -> dict[str, Any]:
        if not isinstance(value.get("text"), str) and not isinstance(value.get("type"), str):
            raise UpstreamMalformed("The provider's answer has no text.", is_billable=True)
        return {}

    def metered(self, value: Fields) -> Usage | None:
        usage = value.get("usage")
        seconds = usage.get("seconds") if isinstance(usage, dict) else None
        seconds = value.get("duration") if seconds is None else seconds
        units = math.ceil(seconds) if isinstance(seconds, int | float) and 0 < seconds < 1e9 else 0
        details = usage.get("input_token_details") if isinstance(usage, dict) else None
        given, said = number(usage, "input_tokens"), number(usage, "output_tokens")
        if not (units or given or said):
            return None
        return Usage(
            input_tokens=given, output_tokens=said, input_audio_tokens=number(details, "audio_tokens"), units=units
        ).checked()

    def is_error(self, body: bytes) -> bool:
        return body.lstrip()[:1] == b"{" and super().is_error(body)
