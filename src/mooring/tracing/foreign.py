"""Spans that other programs send: data of their own beside the projection, which no rebuild touches.

What was received is committed before it is acknowledged, so a killed process loses none that a sender was told of.
"""

from collections.abc import Sequence

from mooring.storage import Tx

from .records import ForeignSpan
from .repository import foreign, schema
from .spans import Spans


class Foreign:
    """The foreign spans of one installation, where `spans` has its tables."""

    def __init__(self, spans: Spans) -> None:
        self._spans = spans

    async def put(self, project_id: str, received: Sequence[ForeignSpan], *, at_us: int) -> None:
        """Keep these; returns when they are committed. The same span again replaces itself.

        Raises:
            StorageError: none of them is kept.
        """

        def write(tx: Tx) -> None:
            schema.lock(tx)
            for span in received:
                foreign.put(tx, project_id, span, at_us)

        await (await self._spans.opened()).write_async(write)

    async def of_trace(self, project_id: str, trace_id: bytes, *, limit: int = foreign.MOST) -> list[ForeignSpan]:
        """The first of a trace, in the order of time."""
        own = await self._spans.opened()
        return await own.read_async(lambda tx: foreign.of_trace(tx, project_id, trace_id, limit))

    async def count(self, project_id: str, trace_id: bytes) -> int:
        """How many a trace has."""
        own = await self._spans.opened()
        return await own.read_async(lambda tx: foreign.count(tx, project_id, trace_id))
