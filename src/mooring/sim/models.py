"""The catalogue: which models there are, what they cost, and how tokens are counted.

The token rule, part of the double's contract (`GET /prices` states it too): one token per 4 bytes of UTF-8, rounded
up once per message, plus 3 per message; a tool weighs 8 plus its name and description by the same rule; a content
part that is not text weighs 1. An answer weighs its reasoning, its text and each tool call (name and arguments), each
rounded up. So the tokens of a request never exceed the bytes of its body.
"""

import re
from typing import NamedTuple

from . import scripts
from .conversation import ChatBody, Message, Options, Script

TOKENS_PER_MESSAGE = 3
TOKENS_PER_TOOL = 8
BYTES_PER_TOKEN = 4
MOST_OUTPUT_TOKENS = 16_384

_OPTION = re.compile(r"(\d{1,6})(ms|words|rounds)")


class SimPrice(NamedTuple):
    """Pico-dollars per token; a part with None costs what its total costs. `request_nanos` is charged per request."""

    input_picos: int
    output_picos: int
    cached_input_picos: int | None = None
    reasoning_picos: int | None = None
    request_nanos: int = 0
    cache_write_picos: int | None = None
    unit_picos: int = 0

    def for_an_hour(self) -> "SimPrice":
        """The price where the cache is kept for an hour: writing costs twice the input."""
        return self._replace(cache_write_picos=2 * self.input_picos)


class Marked(NamedTuple):
    """How many messages lie before the last mark of the cache, and whether any mark asks for an hour."""

    messages: int = 0
    is_for_an_hour: bool = False


class Model(NamedTuple):
    """One entry of the catalogue."""

    script: Script
    price: SimPrice
    pace_ms: int = 0
    has_cache: bool = False
    counts_attempts: bool = False
    is_embedder: bool = False
    sold: str = ""


# Odd figures on purpose: a price that divides evenly would hide who rounds where.
_CHEAP = SimPrice(49_997, 200_003)
_MIDDLE = SimPrice(250_007, 2_000_003, cached_input_picos=25_013, cache_write_picos=312_509)

CATALOGUE: dict[str, Model] = {
    "echo": Model(scripts.echo, _CHEAP),
    "writer": Model(scripts.writer, _MIDDLE, has_cache=True),
    "slow": Model(scripts.writer, _MIDDLE, pace_ms=20, has_cache=True),
    "agent": Model(scripts.agent, _MIDDLE, has_cache=True),
    "agent-parallel": Model(scripts.agent_parallel, _MIDDLE, has_cache=True),
    "json": Model(scripts.json, _CHEAP),
    "sloppy": Model(scripts.sloppy, _CHEAP),
    "reasoner": Model(scripts.reasoner, SimPrice(1_100_009, 4_400_017, 550_007, 3_300_011), has_cache=True),
    "flaky": Model(scripts.flaky, _CHEAP, counts_attempts=True),
    "down": Model(scripts.down, _CHEAP),
    "expensive": Model(scripts.echo, SimPrice(15_000_011, 75_000_013, request_nanos=10_000_000)),
    "rerank": Model(scripts.echo, SimPrice(0, 0, unit_picos=2_000_000_003), sold="rerank"),
    "moderation": Model(scripts.echo, SimPrice(0, 0, request_nanos=11), sold="moderation"),
    "image": Model(scripts.echo, SimPrice(0, 0, unit_picos=40_000_000_007), sold="image"),
    "whisper": Model(scripts.echo, SimPrice(0, 0, unit_picos=100_000_009), sold="transcription"),
    "tts": Model(scripts.echo, SimPrice(0, 0, unit_picos=15_000_011), sold="speech"),
    "thing": Model(scripts.echo, SimPrice(0, 0, request_nanos=7_001), sold="thing"),
    "embed": Model(scripts.echo, SimPrice(20_011, 0), is_embedder=True),
}


class Resolved(NamedTuple):
    """A model as it was named: `echo-b` and `writer-64words-5ms` are the catalogue's, with faults of their own."""

    name: str
    base: str
    model: Model
    options: Options

    def for_an_hour(self) -> "Resolved":
        """The same at the price of a cache that is kept for an hour."""
        return self._replace(model=self.model._replace(price=self.model.price.for_an_hour()))


def resolve(name: str, catalogue: dict[str, Model]) -> Resolved | None:
    """The model behind a name: its longest part before a `-` that is in the catalogue; then options, or a label."""
    base = name
    while base not in catalogue:
        base, separator, _ = base.rpartition("-")
        if not separator:
            return None
    found = {unit: int(count) for count, unit in _OPTION.findall(name[len(base) :])}
    options = Options(
        pace_ms=min(found["ms"], 60_000) if "ms" in found else None,
        words=min(found.get("words", 120), 50_000),
        rounds=min(found.get("rounds", 1), 1_000),
    )
    return Resolved(name, base, catalogue[base], options)


def tokens(text: str) -> int:
    """The tokens of a text: one per 4 bytes, rounded up."""
    return (len(text.encode("utf-8", "surrogatepass")) + BYTES_PER_TOKEN - 1) // BYTES_PER_TOKEN


def message_tokens(message: Message) -> int:
    """The tokens of one message of a request."""
    text = message.text
    for called in message.tool_calls or ():
        text += called.function.name + called.function.arguments
    other = 0 if isinstance(message.content, str | None) else sum(part.type != "text" for part in message.content)
    return TOKENS_PER_MESSAGE + tokens(text) + other


def input_tokens(request: ChatBody) -> int:
    """All tokens that a request puts in."""
    count = sum([message_tokens(message) for message in request.messages])
    for tool in request.tools or ():
        count += TOKENS_PER_TOOL + tokens(tool.function.name + (tool.function.description or ""))
    return count


def marked_tokens(request: ChatBody, marked: Marked) -> int:
    """The tokens of the first so many messages, up to the last mark of the cache."""
    return sum([message_tokens(message) for message in request.messages[: marked.messages]])


def cached_tokens(request: ChatBody) -> int:
    """The part that a model with a cache has seen before: everything up to the last assistant message."""
    for index in range(len(request.messages) - 1, -1, -1):
        if request.messages[index].role == "assistant":
            return sum(message_tokens(message) for message in request.messages[: index + 1])
    return 0
