"""How much a request can cost at most: what a budget needs before the call.

Text tokens are bounded by the body's bytes (no tokenizer makes more tokens than bytes) plus what the provider's
template adds; the output by its cap, times `n`. What cannot be bounded is named, so that a budget can refuse it.
"""

from typing import NamedTuple

from mooring.core.messages import ChatRequest, MediaPart, Message, ToolResultPart

from .provider import Vendor

# Fields of any wire by which a call costs more than its tokens at the list price.
_UNBOUNDED_FIELDS = {
    "web_search_options": "a web search is billed by the vendor per search",
    "vendor_tools": "a vendor's own tools are billed by the vendor",
    "mcp_servers": "a vendor's own tools are billed by the vendor",
    "container": "a vendor's own tools are billed by the vendor",
    "speed": "Anthropic's faster tier costs more than the list price",
    "inference_geo": "a region may cost more than the list price",
    "cachedContent": "the size of a cached content is not known",
    "additionalModelRequestFields": "a model's own settings may raise what a call costs",
    "guardrailConfig": "a vendor's own guards are billed by the vendor",
    "performanceConfig": "a faster machine costs more than the list price",
    "serviceTier": "a tier may cost more than the list price",
    "generationConfig.responseModalities": "what is no text costs more than text",
}
_DEARER_TIERS = frozenset({"priority", "auto"})


class Bound(NamedTuple):
    """The most tokens of one attempt; `unbounded` says why there is no most."""

    input_tokens: int
    output_tokens: int
    unbounded: str | None


def bound(
    request: ChatRequest, body_bytes: int, vendor: Vendor, *, cap_tokens: int | None, has_output: bool = True
) -> Bound:
    """The bound of one attempt; without a cap, the most that the provider's models can write."""
    overhead = vendor.message_overhead_tokens * (len(request.messages) + 1)
    overhead += vendor.tool_overhead_tokens * len(request.tools)
    reason: str | None = None
    for message in request.messages:
        for part in _media(message):
            reason = reason or _unbounded(part, vendor)
            overhead += vendor.media_tokens or 0
    output = (cap_tokens or vendor.config.max_output_tokens) * request.n if has_output else 0
    if request.extra:
        reason = reason or _unbounded_field(request)
        if "prediction" in request.extra:
            output += body_bytes * request.n  # rejected prediction tokens are billed as output
    return Bound(body_bytes + overhead, output, reason)


def _media(message: Message) -> list[MediaPart]:
    media: list[MediaPart] = []
    for part in message.parts:
        if isinstance(part, MediaPart):
            media.append(part)
        elif isinstance(part, ToolResultPart):
            media.extend(inner for inner in part.parts if isinstance(inner, MediaPart))
    return media


def _unbounded(part: MediaPart, vendor: Vendor) -> str | None:
    if part.data is None:
        return f"the size of {_article(part.kind)} by URL or file id is not known"
    if part.kind == "file":
        return "the pages of a file are not known before it is read"
    return (
        None if vendor.media_tokens is not None else f"{vendor.name} does not say what {_article(part.kind)} can cost"
    )


def _article(kind: str) -> str:
    return f"an {kind}" if kind[0] in "aio" else f"a {kind}"


def _unbounded_field(request: ChatRequest) -> str | None:
    for name, why in _UNBOUNDED_FIELDS.items():
        if name in request.extra:
            return why
    tier = request.extra.get("service_tier")
    return f"service_tier '{tier}' may cost more than the list price" if tier in _DEARER_TIERS else None
