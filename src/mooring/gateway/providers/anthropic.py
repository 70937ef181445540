"""Anthropic, by its own messages wire. Its usage tells cache reads and writes apart."""

from collections.abc import Mapping
from typing import ClassVar

from ..codecs import ReadsHeaders
from ..config import read_secret
from ..provider import Vendor


class Provider(Vendor):
    wire = "anthropic_messages"
    embedding_wire = None
    other_wires = ("anthropic_count_tokens",)
    base_url = "https://api.anthropic.com/v1"
    api_key_env = "ANTHROPIC_API_KEY"
    example = "claude-haiku-4-5"
    cap_field = "max_tokens"
    price_provider = "anthropic"
    # The first version with everything that is sent here; a caller of the same wire keeps its own, and its betas.
    passed_headers: ClassVar[Mapping[bytes, bytes | None]] = {
        b"anthropic-version": b"2023-06-01",
        b"anthropic-beta": None,
    }
    # Naming any tool adds a system prompt of the vendor's own: 530 tokens where it was the longest (Claude 3 Opus).
    tool_overhead_tokens = 600
    # The largest image is scaled down to 2,576 pixels a side: at most 4,784 tokens.
    media_tokens = 5_000

    def authorization(self) -> list[tuple[bytes, bytes]]:
        reference = self.key_reference()
        return [] if reference is None else [(b"x-api-key", read_secret(reference).encode())]

    def request_id(self, headers: ReadsHeaders) -> str | None:
        return headers.get("request-id") or headers.get("x-request-id")
