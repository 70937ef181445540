#!/usr/bin/env python3
"""Write docs/explanation/wire-fidelity.md from what the codecs declare; `tests/docs` compares the page with it."""

from pathlib import Path

from mooring.gateway.codecs import Codec, registry
from mooring.gateway.fidelity import FEATURES, Feature

PAGE = Path(__file__).parents[1] / "docs" / "explanation" / "wire-fidelity.md"
TITLES = {
    "openai_chat": "OpenAI chat",
    "openai_responses": "OpenAI responses",
    "anthropic_messages": "Anthropic messages",
    "gemini_generate": "Gemini",
    "bedrock_converse": "Bedrock Converse",
}

HEAD = """<!-- Made by scripts/wire_fidelity.py from the code. Do not edit: run it. -->

# What each wire carries

A request comes in by one wire and goes out by the one that its target speaks. Where both are the same, the body
passes as
it came, unknown fields and unknown events included; only the model's name, and what the provider's file patches, is
written anew. Where they differ, the request is translated: text, images and files, calls of tools and their results,
structured output, system turns, limits, stop reasons and usage.

What the target's wire has no words for is never lost quietly:

- **refused**: the request is answered with 400 `wire_cannot_carry`, which names it. The header
  `x-mooring-allow-drop: seed,top_k` (or `*`) allows the loss.
- **held here**: the wire has no word for it, and Mooring sees to it: of several calls in an answer that may hold
  one, the first stays.
- **left out**: it does not decide the answer, so the request goes on without it, and the answer says so in
  `x-mooring-dropped`.

A model with several targets is asked at those that can carry the whole request. Fields that only one vendor knows are
refused on the way to another, unless they are hints listed below; without a value (`null`, `0`, `false`, empty) they
are
nothing.

## By the wire that the target speaks
"""

TAIL = """
## Always

- Usage is counted inclusively, with its parts: what was read from a cache, written to one, thought, heard. Where a
  vendor
  tells parts beside the total, they are added; where its figures contradict each other, or do not tell the price
  (priority and fast tiers, a vendor's own tools, a cache written in part for an hour), the cost is unknown and its
  maximum stays
  held.
- Bedrock's usage does not tell thinking apart: it is output there, and billed as output.
- A call's arguments that are no JSON object go to wires of objects as `{"_raw": "…"}`, and come back as they were.
- A refusal in a model's own words is text on wires that have no word for it, and the stop reason says that it is one.
- Vendor tools and what they answer, citations, log-probabilities and grounding pass on their own wire only.
- A stream that breaks ends with an error event of the caller's own wire, whatever wire it broke on.
- Guards read every string of every wire. What they change is written into the body in its place; a stream is written
  anew from the first event that they change.
"""


def _cell(feature: Feature, codec: type[Codec]) -> str:
    named = {"refused": codec.cannot_carry, "left out": codec.leaves_out, "held here": codec.held_here}
    return next((word for word, features in named.items() if feature in features), "yes")


def page() -> str:
    """The whole page."""
    codecs = [registry.get(name) for name in registry.names()]
    chats = [codec for codec in codecs if codec.kind == "chat"]
    titles = [TITLES[codec.name] for codec in chats]
    text = HEAD + f"\n| | {' | '.join(titles)} |\n|---|{'---|' * len(titles)}\n"
    for feature in FEATURES:
        cells = [_cell(feature, codec) for codec in chats]
        text += f"| {feature} | {' | '.join(cells)} |\n"
    text += "\n## Hints that stay behind\n\n| from | fields |\n|---|---|\n"
    for codec, title in zip(chats, titles, strict=True):
        text += f"| {title} | {', '.join(f'`{name}`' for name in sorted(codec.own_hints)) or 'none'} |\n"
    return text + TAIL


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
