"""What was said, rewritten by the redactor once nobody needs it word by word: a call's bodies, a run and its events."""

from collections.abc import Callable

import msgspec

from mooring.storage import Tx
from mooring.storage.blobs import BlobRef

from .payloads import REDACTED, redacted
from .repository import erasing
from .runs import NO_BYTES
from .upkeep import Upkeep

Replace = Callable[[Tx, str, bytes], list[BlobRef]]


class Redacting(Upkeep):
    """Each reads and rewrites outside of a transaction, and hands back what is to be written in one."""

    async def redacted_call(self, project_id: str, call_id: bytes) -> Replace:
        """Request, messages, answer and facts of a call that is over."""
        call = await self.get_call(project_id, call_id)
        body, elements = await self.get_request(project_id, call_id)
        answer = await self.get_body(project_id, call_id)
        request = await self._contents.pack_request(
            project_id, self._clean(body), tuple(self._clean(one) for one in elements)
        )
        kept = await self._contents.pack(project_id, self._clean(answer))
        facts = self._clean(msgspec.json.encode({**call.attributes, **REDACTED})).decode()

        def replace(tx: Tx, project_id: str, call_id: bytes) -> list[BlobRef]:
            tip = request.chain[-1].id if request.chain else None
            before = erasing.replace_call(
                tx, project_id, call_id, request=request.body, tip=tip, answer=kept, facts=facts
            )
            for one in (request.body, kept):
                self._contents.write(tx, project_id, one)
            self._contents.write_chain(tx, project_id, request.chain)
            return erasing.release_all(tx, project_id, before) if before else []

        return replace

    async def redacted_run(self, project_id: str, run_id: bytes) -> Replace | None:
        """Input, output, error and events of a run that is over; None where nothing of it is secret."""
        run = await self.get_run(project_id, run_id)
        told = await self.events(project_id, run_id)
        was = [run.input, run.output or b"", (run.error_message or "").encode(), *(event.payload for event in told)]
        clean = [self._clean(one) for one in was]
        if clean == was:
            return None
        given, output = [await self._contents.pack(project_id, one) for one in clean[:2]]
        error = clean[2].decode() or None
        events = {
            event.seq: await self._contents.pack(project_id, one) or NO_BYTES
            for event, one in zip(told, clean[3:], strict=True)
        }

        def replace(tx: Tx, project_id: str, run_id: bytes) -> list[BlobRef]:
            before = erasing.of_run(tx, project_id, run_id)
            erasing.replace_run(tx, project_id, run_id, given=given, output=output, error=error)
            for seq, payload in events.items():
                erasing.replace_event(tx, project_id, run_id, seq, payload)
            for one in (given, output, *events.values()):
                self._contents.write(tx, project_id, one)
            return [blob for codec, data in before for blob in erasing.release(tx, project_id, codec, data)]

        return replace

    def _clean(self, data: bytes) -> bytes:
        assert self._redact is not None  # the policy asks for it
        return redacted(data, self._redact)
