"""Mistral: OpenAI-compatible, and answers 422 to every field that it does not know."""

import hashlib
import re

import msgspec

from ..codecs import Fields
from ..provider import Vendor

# What OpenAI's clients send beside the question: Mistral has no such thing, and the answer is the same without it.
_UNKNOWN = ("store", "user", "metadata", "stream_options", "service_tier", "safety_identifier", "prompt_cache_key")
_ITS_ID = re.compile(r"[a-zA-Z0-9]{9}")


class Provider(Vendor):
    base_url = "https://api.mistral.ai/v1"
    api_key_env = "MISTRAL_API_KEY"
    example = "mistral-small-latest"
    cap_field = "max_tokens"
    price_provider = "mistral"

    def patch(self, fields: Fields) -> None:
        for name in _UNKNOWN:  # `stream_options` too: usage comes with the last event in any case
            fields.pop(name, None)
        if "max_completion_tokens" in fields:  # the older name is the documented one
            fields["max_tokens"] = fields.pop("max_completion_tokens")
        if "seed" in fields:  # the same thing under another name
            fields["random_seed"] = fields.pop("seed")
        written = msgspec.json.encode(fields.get("messages"))
        if b'"tool_calls"' in written or b'"tool_call_id"' in written:
            fields["messages"] = msgspec.json.decode(written)
            for message in fields["messages"]:
                _rename(message)


def _rename(message: Fields) -> None:
    """Ids of tool calls that another vendor made: here they are refused unless they have nine letters and digits."""
    if isinstance(message.get("tool_call_id"), str):
        message["tool_call_id"] = _its_id(message["tool_call_id"])
    for call in message.get("tool_calls") or ():
        if isinstance(call.get("id"), str):
            call["id"] = _its_id(call["id"])


def _its_id(given: str) -> str:
    """Always the same for the same id, so that a call and its result still belong together."""
    return given if _ITS_ID.fullmatch(given) else hashlib.sha256(given.encode()).hexdigest()[:9]
