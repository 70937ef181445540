"""Conversations that are kept: a response is a call of the journal, and its key says how long it can be asked for.

The next request names the one before it and brings only what is new. The items before are read out of that call (its
request, which holds all that came before it, and its answer), so that nothing is kept twice.
"""

from typing import Any

import msgspec

from mooring.core import ids
from mooring.core.errors import InvalidRequest, MooringError, NotFound
from mooring.journal.journal import Journal
from mooring.journal.records import CallRecord, NewCall
from mooring.net.sse import SseParser

from .asked import RESPONSE_KEYS, Asked
from .inbound import Inbound

BINDING = b"response"  # the key names its own call: nothing else can come with it
_encode = msgspec.json.encode
_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_items = msgspec.json.Decoder(list[msgspec.Raw]).decode


class _Previous(msgspec.Struct):
    previous_response_id: str | None = None


class _Answer(msgspec.Struct):
    id: str = ""
    output: list[msgspec.Raw] = []


class _Last(msgspec.Struct):
    type: str = ""
    response: msgspec.Raw = msgspec.Raw(b"")


_decode_previous = msgspec.json.Decoder(_Previous).decode
_decode_answer = msgspec.json.Decoder(_Answer).decode
_decode_last = msgspec.json.Decoder(_Last).decode


def kept(row: NewCall, asked: Asked, lifetime_seconds: int) -> NewCall:
    """The row with a key of its own, if the caller wants its answer kept."""
    prefix = asked.codec.id_prefix
    if prefix is None or row.key is not None or asked.request.extra.get("store") is False:
        return row
    key = RESPONSE_KEYS + ids.show(prefix, row.id)
    return msgspec.structs.replace(row, key=key, binding=BINDING, key_lifetime_seconds=lifetime_seconds)


class Responses:
    """Looks up what was answered."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    async def with_history(self, inbound: Inbound) -> Inbound:
        """The request with the items of the conversation that it goes on with.

        Raises:
            NotFound: it names a response that is not kept.
        """
        try:
            previous = _decode_previous(inbound.body).previous_response_id
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return inbound  # its decoder says what is wrong with it
        if previous is None:
            return inbound
        project_id = inbound.caller.project_id
        record = await self._find(project_id, previous)
        items = await self._input(record) + _decode_answer(await self._answer(record)).output
        fields: dict[str, Any] = dict(_decode_fields(inbound.body))
        fields["input"] = items + _items_of(fields.get("input"))
        return msgspec.structs.replace(inbound, body=_encode(fields))

    async def get(self, project_id: str, response_id: str) -> bytes:
        """The answer's object.

        Raises:
            NotFound: it is not kept.
        """
        return await self._answer(await self._find(project_id, response_id))

    async def input_items(self, project_id: str, response_id: str) -> list[msgspec.Raw]:
        """All items that the answer answered, oldest first.

        Raises:
            NotFound: it is not kept.
        """
        return await self._input(await self._find(project_id, response_id))

    async def delete(self, project_id: str, response_id: str) -> None:
        """Nobody can ask for it any more.

        Raises:
            NotFound: it is not kept.
        """
        record = await self._find(project_id, response_id)
        await self._journal.free_key(project_id, record.id)

    async def _find(self, project_id: str, response_id: str) -> CallRecord:
        missing = NotFound(
            f"Response '{response_id[:80]}' is not kept here.",
            hint="It was never stored, has expired, or was deleted: send the whole conversation.",
            param="previous_response_id",
        )
        try:
            record = await self._journal.get_call(project_id, ids.read("resp", response_id))
        except (NotFound, InvalidRequest) as error:
            raise missing from error
        if record.state != "completed" or not await self._journal.holds_key(project_id, record.id):
            raise missing
        return record

    async def _input(self, record: CallRecord) -> list[msgspec.Raw]:
        body, _ = await self._journal.get_request(record.project_id, record.id)
        return _items_of(_decode_fields(body).get("input"))

    async def _answer(self, record: CallRecord) -> bytes:
        """The object of the answer; of a stream, that of its last event."""
        body = await self._journal.get_body(record.project_id, record.id)
        if not record.is_stream:
            return body
        for event in reversed(SseParser().feed(body)):
            last = _decode_last(event.data)
            if last.type in ("response.completed", "response.incomplete"):
                return bytes(last.response)
        raise MooringError("The recorded stream has no answer.")


def _items_of(given: msgspec.Raw | None) -> list[msgspec.Raw]:
    """The items of an input; a bare text is what a user says."""
    raw = bytes(given).strip() if given is not None else b""
    if raw[:1] == b"[":
        return _decode_items(raw)
    if raw[:1] != b'"':
        return []
    item = {"type": "message", "role": "user", "content": msgspec.json.decode(raw)}
    return [msgspec.Raw(_encode(item))]
