"""What a run's models say right now, for whoever follows the run on the `serve` that asks them.

Nothing is recorded here: the text is provisional until the journal holds the step that it belongs to.
"""

from collections.abc import AsyncIterator
from typing import NamedTuple

from mooring.core.errors import MooringError
from mooring.core.events import TextDelta
from mooring.journal.records import step_key
from mooring.net.sse import SseParser

from .codecs import registry as codecs
from .keyed import Flight, Keyed
from .streams import EVENT_LIMIT_BYTES


class Said(NamedTuple):
    """More text of a step."""

    step: str
    text: str


async def live_text(keyed: Keyed, project_id: str, run_id: bytes) -> AsyncIterator[Said]:
    """The text of the run's streamed model calls, those under way first; goes on until it is closed."""
    prefix = step_key(run_id, "")
    with keyed.watched(project_id, prefix) as flights:
        while True:
            key, flight = await flights.get()
            async for text in _text_of(keyed, flight):
                yield Said(key.removeprefix(prefix), text)


async def _text_of(keyed: Keyed, flight: Flight) -> AsyncIterator[str]:
    outbound = await keyed.watch(flight)
    if isinstance(outbound.body, bytes):
        return  # recorded before, or an error: the journal tells it
    parser, decoder = SseParser(limit_bytes=EVENT_LIMIT_BYTES), codecs.get("openai_chat")().decoder()
    try:
        async for data in outbound.body:
            for payload in parser.feed(data):
                for event in decoder.feed(payload.data.encode()):
                    if isinstance(event, TextDelta):
                        yield event.text
    except MooringError:
        return  # it broke: the run's next event says how
