"""The cache: a request that was answered before is answered from the journal, which holds the answer anyway.

A route opts in. The first call of a request takes a key that its own content makes, so that the journal finds it and
lets it expire; a hit is a call of its own that costs nothing. The key holds the project, the wire, the route's targets,
the guards' policy and the body as the input guards have left it. An answer that the guards would not pass untouched
now is no hit. Where the route says so, the words of the question may be others: `meaning.py`.
"""

import hashlib
from typing import Any

import msgspec

from mooring.core import ids
from mooring.core.errors import Blocked, CallUncertain, KeyReused, MooringError
from mooring.core.events import Accumulator
from mooring.core.messages import ChatResponse
from mooring.journal.errors import KeyTaken
from mooring.journal.records import CallAnswer, CallRecord
from mooring.net.sse import SseParser

from .asked import CACHE_KEYS, Asked
from .call import Call, usd
from .inbound import VERSION_HEADERS, Outbound
from .meaning import Question, question_of
from .streams import SSE

HIT = (b"x-mooring-cache", b"hit")


async def recall(call: Call) -> Outbound | None:
    """The answer of an earlier call, or None; then this call is remembered, where it has no key of its own."""
    asked = call.asked
    seconds = asked.plan.cache_seconds
    is_named = asked.codec.id_prefix is not None  # by its own call, which can be asked for again
    if not seconds or asked.codec.kind == "count" or is_named or not _may(asked):
        return None
    policy_hash = call.rooms.guardrails.policy_hash
    question = question_of(asked, policy_hash)
    binding = key_of(asked, policy_hash) if question is None else question.binding
    key = CACHE_KEYS + binding.hex() if question is None else question.key
    try:
        record = await call.rooms.journal.find_key(asked.project_id, key, binding)
    except (CallUncertain, KeyReused):
        return None
    if record is not None:
        return await _hit(call, record) if record.state == "completed" and record.status == 200 else None
    outbound = None if question is None else await _in_other_words(call, question)
    if outbound is None and asked.key is None:
        call.row = msgspec.structs.replace(call.row, key=key, binding=binding, key_lifetime_seconds=seconds)
    return outbound


async def _in_other_words(call: Call, question: Question) -> Outbound | None:
    """The answer to the nearest question, if near enough. The hit itself is not remembered: nearness would drift."""
    near = await call.rooms.meanings.nearest(call.asked, question, call.row.trace_id)
    if near is None:
        return None
    record = await call.rooms.journal.get_call(call.asked.project_id, near.call_id)
    return await _hit(call, record, near.similarity) if record.status == 200 else None


def forget(call: Call, error: KeyTaken) -> None:
    """Somebody has the same request under way: this call goes on without being remembered.

    Raises:
        KeyTaken: the key was the caller's own.
    """
    if call.row.key is None or not call.row.key.startswith(CACHE_KEYS):
        raise error
    call.row = msgspec.structs.replace(call.row, key=None, binding=None)
    call.number = 0


def key_of(asked: Asked, policy_hash: bytes) -> bytes:
    """What must be the same for an answer to be the same; each part with its length."""
    inbound = asked.inbound
    digest = hashlib.sha256()
    targets = " ".join(str(target) for target in asked.plan.targets)
    versions = [inbound.headers.get(name, b"") for name in (*VERSION_HEADERS, b"x-mooring-allow-drop")]
    words = (asked.codec.name, inbound.path, asked.plan.model, targets)
    for part in (*(word.encode() for word in words), inbound.query, *versions, policy_hash, asked.body):
        digest.update(len(part).to_bytes(8))
        digest.update(part)
    return digest.digest()


def _may(asked: Asked) -> bool:
    """Whether the caller takes an answer that was given before."""
    asked_for = (asked.inbound.header(b"cache-control") or "").lower()
    return "no-cache" not in asked_for and "no-store" not in asked_for


async def _hit(call: Call, record: CallRecord, similarity: float | None = None) -> Outbound | None:
    asked, journal = call.asked, call.rooms.journal
    body = await journal.get_body(asked.project_id, record.id)
    is_stream = (record.content_type or "").startswith("text/event-stream")
    if not await _passes(call, body, is_stream=is_stream):
        return None
    if is_stream:
        body = _with_comment(call, record, body)
    saved: dict[str, Any] = {"call": ids.show("call", record.id), "saved_nanos": record.settled_nanos}
    headers = [*call.headers(), HIT]
    if similarity is not None:
        saved["similarity"] = similarity
        headers.append((b"x-mooring-cache-similarity", b"%.4f" % similarity))
    content_type = SSE if is_stream else "application/json"
    answer = CallAnswer(
        state="completed", content_type=content_type, body=body, attributes={**call.attributes(), "cache": saved}
    )
    await journal.record_call(call.row, answer)
    asked.slot.add_tokens(0)
    return Outbound(200, body, content_type, headers)


async def _passes(call: Call, body: bytes, *, is_stream: bool) -> bool:
    """Whether the guards let the answer pass as it is; a body that was dropped by now is no answer."""
    if not body:
        return False
    try:
        response = _heard(call, body) if is_stream else call.asked.codec.decode_response(body)
        checked = await call.rooms.guardrails.check_output(response, call.asked.context)
    except (Blocked, MooringError):
        return False
    call.verdicts.extend(checked.verdicts)
    return not checked.is_changed


def _heard(call: Call, body: bytes) -> ChatResponse:
    """What a recorded stream says, as one answer."""
    decoder, parser, heard = call.asked.codec.decoder(), SseParser(), Accumulator()
    for event in parser.feed(body):
        for one in decoder.feed(event.data.encode()):
            heard.add(one)
    return heard.response()


def _with_comment(call: Call, record: CallRecord, body: bytes) -> bytes:
    """The stream with this call's id and cost in its comment instead of the first one's."""
    cost = usd(record.settled_nanos).decode() if not record.held_nanos else "unknown"
    old = call.asked.codec.encode_comment(f"mooring call={ids.show('call', record.id)} cost_usd={cost}")
    head, found, tail = body.rpartition(old) if old else (body, b"", b"")
    return head + call.comment() + tail if found else body
