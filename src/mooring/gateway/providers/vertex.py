"""Gemini in a Google Cloud project: the generateContent wire at a regional address, with Google's tokens for a key."""

import msgspec

from ..codecs import Fields
from ..vertex import VertexVendor

_NAMED = ("functionCall", "functionResponse", "function_call", "function_response")


class Provider(VertexVendor):
    publisher = "google"
    wire = "gemini_generate"
    embedding_wire = None
    other_wires = ("gemini_count_tokens",)
    cap_field = "maxOutputTokens"
    price_provider = "google"

    def patch(self, fields: Fields) -> None:
        """Ids of calls and of their results are refused as unknown here; they are matched by name and order."""
        written = msgspec.json.encode(fields.get("contents"))
        if not any(f'"{name}"'.encode() in written for name in _NAMED):
            return
        contents = msgspec.json.decode(written)
        for content in contents if isinstance(contents, list) else [contents]:
            for part in content.get("parts", ()):
                for name in _NAMED:
                    part.get(name, {}).pop("id", None)
        fields["contents"] = contents
