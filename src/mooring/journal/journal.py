"""The journal: everything that touches the outside world, written before (the intent) and after (the result).

The straight line is `begin_attempt` and `finish_attempt` in `attempts.py`. The parts stand on each other in the order
in which a call needs them: `attempts` → `calls` → `ledger` → `runs` → `tools` → `liveness` → `folding` → `upkeep` →
`redacting` → `retention`; this class is their sum.
"""

from collections.abc import Sequence

from mooring.core.errors import NotFound
from mooring.core.text import digest
from mooring.storage import Tx

from .contents import compressed, expanded
from .repository import contents, outbox, processes
from .repository.outbox import OutboxRow
from .retention import Retention


class Journal(Retention):
    """One journal per process, over one database."""

    async def put_release(self, project_id: str, body: bytes) -> bytes:
        """Write what decides behaviour, once; its id follows from its bytes."""
        release_id = digest(body)[:16]
        codec, data = compressed(body)
        at_us = self._now()
        await self._database.write_async(
            lambda tx: contents.put_release(tx, project_id, release_id, codec=codec, data=data, created_at_us=at_us)
        )
        return release_id

    async def get_release(self, project_id: str, release_id: bytes) -> bytes:
        """A release's bytes.

        Raises:
            NotFound: the project has no such release.
        """
        found = await self._database.read_async(lambda tx: contents.find_release(tx, project_id, release_id))
        if found is None:
            raise NotFound("There is no such release in this project.", hint="Look at the call that names it.")
        return expanded(*found)

    async def outbox(self, topic: str, limit: int = 100) -> list[OutboxRow]:
        """What a projection has still to apply, once the journal was told to write this topic."""
        return await self._database.read_async(lambda tx: outbox.pending(tx, topic, limit))

    async def outbox_done(self, ids: Sequence[bytes]) -> None:
        """A projection has applied these."""

        def delete(tx: Tx) -> None:
            for row_id in ids:
                outbox.done(tx, row_id)

        await self._database.write_async(delete)

    async def counts(self) -> dict[str, int]:
        """Rows of the tables that grow."""
        return await self._database.read_async(processes.counts)
