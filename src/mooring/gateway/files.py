"""Files: each is a call of the journal whose request is its bytes; its key says how long it can be read.

So there is no second store: retention, backup, projects and the blobs for what is large are the journal's own.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from mooring.core import ids
from mooring.core.clock import Clock
from mooring.core.errors import InvalidRequest, NotFound
from mooring.core.ids import NewId
from mooring.core.text import shorten
from mooring.journal.journal import Journal
from mooring.journal.records import CallAnswer, CallRecord, NewCall

from .asked import FILE_KEYS
from .keys import Caller

BINDING = b"file"  # the key names its own call: nothing else can come with it
LEAST_SECONDS, MOST_SECONDS = 3_600, 2_592_000  # OpenAI's own bounds of an expiry
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class Files:
    """Puts, lists, reads and deletes."""

    def __init__(self, journal: Journal, *, clock: Clock, new_id: NewId, lifetime_seconds: int) -> None:
        self._journal = journal
        self._clock = clock
        self._new_id = new_id
        self._lifetime_seconds = lifetime_seconds

    async def put(
        self,
        caller: Caller,
        data: bytes,
        *,
        name: str,
        purpose: str,
        lifetime_seconds: int | None = None,
        file_id: bytes | None = None,
    ) -> dict[str, Any]:
        """Keep a file; one of this id is kept once.

        Raises:
            InvalidRequest: it expires too soon or too late.
        """
        if lifetime_seconds is not None and not LEAST_SECONDS <= lifetime_seconds <= MOST_SECONDS:
            raise InvalidRequest(
                f"A file cannot expire after {lifetime_seconds} seconds.",
                hint=f"From {LEAST_SECONDS} to {MOST_SECONDS}.",
                param="expires_after",
            )
        call_id = file_id or self._new_id()
        shown = ids.show("file", call_id)
        if file_id is not None:
            try:
                return await self.get(caller.project_id, shown)
            except NotFound:
                pass
        now = self._clock.now_us() // 1_000_000
        seconds = lifetime_seconds or self._lifetime_seconds
        told: dict[str, Any] = {
            "id": shown,
            "object": "file",
            "bytes": len(data),
            "created_at": now,
            "expires_at": now + seconds,
            "filename": shorten(name, 255),
            "purpose": shorten(purpose, 64),
            "status": "processed",
        }
        row = NewCall(
            id=call_id,
            project_id=caller.project_id,
            kind="file",
            name=told["purpose"],
            trace_id=call_id,
            request_body=data,
            api_key_id=caller.api_key_id,
            key=FILE_KEYS + shown,
            binding=BINDING,
            key_lifetime_seconds=seconds,
        )
        await self._journal.record_call(row, CallAnswer(state="completed", body=msgspec.json.encode(told)))
        return told

    async def get(self, project_id: str, file_id: str) -> dict[str, Any]:
        """What is told of a file.

        Raises:
            NotFound: it is not kept.
        """
        return await self._told(await self._find(project_id, file_id))

    async def content(self, project_id: str, file_id: str) -> bytes:
        """Its bytes.

        Raises:
            NotFound: it is not kept.
        """
        record = await self._find(project_id, file_id)
        body, _ = await self._journal.get_request(project_id, record.id)
        return body

    async def list_(
        self, project_id: str, *, purpose: str | None, limit: int, after: str | None
    ) -> tuple[Sequence[dict[str, Any]], bool]:
        """The newest first, and whether there are more."""
        found: list[dict[str, Any]] = []
        before = None if after is None else FILE_KEYS + after
        while len(found) <= limit:
            page = await self._journal.with_keys(project_id, FILE_KEYS, limit=200, before=before)
            found += [await self._told(one) for one in page if purpose in (None, one.name)]
            if len(page) < 200:
                break
            before = page[-1].key
        return found[:limit], len(found) > limit

    async def delete(self, project_id: str, file_id: str) -> None:
        """Nobody can read it any more.

        Raises:
            NotFound: it is not kept.
        """
        record = await self._find(project_id, file_id)
        await self._journal.free_key(project_id, record.id)

    async def _told(self, record: CallRecord) -> dict[str, Any]:
        return _decode(await self._journal.get_body(record.project_id, record.id))

    async def _find(self, project_id: str, file_id: str) -> CallRecord:
        missing = NotFound(
            f"There is no file '{file_id[:80]}'.", hint="It was never here, has expired, or was deleted.", param="file"
        )
        try:
            record = await self._journal.get_call(project_id, ids.read("file", file_id))
        except (NotFound, InvalidRequest) as error:
            raise missing from error
        if record.kind != "file" or not await self._journal.holds_key(project_id, record.id):
            raise missing
        return record
