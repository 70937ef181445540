"""Marks of the cache that a route sets by itself, on requests by Anthropic's wire that hold none.

One stands behind tools and system turns, one behind the last message: what is asked again with more behind it is read
from the vendor's cache, at a tenth of the price; what is written costs a quarter more.
"""

from typing import Any

import msgspec

from .asked import Asked
from .codecs import Codec, Fields

# Anthropic's caches begin at 1,024 tokens; where the text is shorter a mark does nothing.
LEAST_BYTES = 4_096
_MARK = {"type": "ephemeral"}
_MARKED = b'"cache_control"'
_UNMARKABLE = ("thinking", "redacted_thinking")
_decode = msgspec.json.decode


def marked(asked: Asked, codec: Codec, fields: Fields) -> None:
    """Set the marks where the route wants them, and nobody has set any."""
    if not asked.plan.cache_marks or codec.name != "anthropic_messages":
        return
    if len(asked.body) < LEAST_BYTES or _MARKED in asked.body:
        return
    system, messages = _plain(fields.get("system")), _plain(fields.get("messages"))
    if system:
        fields["system"] = _on_last(system)
    if messages and messages[-1].get("content"):
        messages[-1] = {**messages[-1], "content": _on_last(messages[-1]["content"])}
        fields["messages"] = messages


def _plain(value: Any) -> Any:
    return _decode(value) if isinstance(value, msgspec.Raw) else value


def _on_last(content: Any) -> Any:
    """The content with a mark on its last block, if that may carry one."""
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else list(content)
    last = blocks[-1]
    if last.get("type") in _UNMARKABLE or (last.get("type") == "text" and not last.get("text")):
        return content
    return [*blocks[:-1], {**last, "cache_control": _MARK}]
