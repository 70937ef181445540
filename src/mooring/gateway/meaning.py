"""Answers by meaning: of the calls that a route remembers, the one whose question says nearly the same.

Only the words of the last user turn may differ. All else of a request, and whose it is, makes its scope; a call is
remembered under the scope and the digest of its question. The question's vector is the recorded answer of an
embedding call with a key of its own: nothing is kept beside the journal but copies in memory of what it holds.
"""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from mooring.core.errors import MooringError, UpstreamMalformed
from mooring.core.messages import ChatRequest, TextPart
from mooring.journal.journal import Journal
from mooring.journal.savings import VECTOR_KEYS

from . import embeddings
from .asked import CACHE_KEYS, Asked
from .deciding import deciding
from .inbound import VERSION_HEADERS, Inbound, Outbound
from .keys import Caller
from .route_config import MeaningConfig

MOST_QUESTIONS = 1000  # of one scope, the newest
MOST_VECTORS = 20_000  # in memory; 30 MB at 384 dimensions
MEANING_KEYS = f"{CACHE_KEYS}meaning/"
EMBEDDINGS_PATH = "/v1/embeddings"
_DIGEST_BYTES = 16
_MOST_LOOKED_AT = 8

Row = NDArray[np.float32]  # (dimensions), at length 1


class Question(msgspec.Struct, frozen=True):
    """What is asked: `words` are the last user turn, `scope` the digest of all that must be equal."""

    words: str
    scope: bytes
    digest: bytes

    @property
    def prefix(self) -> str:
        """The keys of its scope begin so."""
        return f"{MEANING_KEYS}{self.scope[:_DIGEST_BYTES].hex()}/"

    @property
    def key(self) -> str:
        """The key under which its call is remembered."""
        return f"{self.prefix}{self.digest[:_DIGEST_BYTES].hex()}"

    @property
    def vector_key(self) -> str:
        """The key of the call that embeds it."""
        return vector_key(self.key)

    @property
    def binding(self) -> bytes:
        """Scope and words, whole."""
        return self.scope + self.digest


class Near(msgspec.Struct, frozen=True):
    """A remembered call, and the cosine of its question to the one that is asked."""

    call_id: bytes
    similarity: float


def question_of(asked: Asked, policy_hash: bytes) -> Question | None:
    """The request as a question; None where another one in other words could not have the same answer.

    That is: tools, anything but text, what the guards have changed, a turn of a run, a question of Mooring's own.
    """
    config, request = asked.plan.cache_meaning, asked.request
    is_changed = asked.body is not asked.inbound.body
    if config is None or is_changed or asked.run is not None or asked.inbound.is_internal or not _is_plain(request):
        return None
    words = request.messages[-1].text
    whose = (config.model, asked.user or "")
    return Question(
        words,
        digest(*whose, *_around(asked), policy_hash),
        digest(*whose, words),
    )


def digest(*parts: str | bytes) -> bytes:
    """Of the parts, each with its length."""
    made = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else part.encode("utf-8", "surrogatepass")
        made.update(len(data).to_bytes(8))
        made.update(data)
    return made.digest()


def vector_key(key: str) -> str:
    """The key of the vector that belongs to a remembered call's key."""
    return VECTOR_KEYS + key.rpartition("/")[2]


def _is_plain(request: ChatRequest) -> bool:
    if request.tools or request.tool_choice or not request.messages or request.messages[-1].role != "user":
        return False
    is_text = all(isinstance(part, TextPart) for message in request.messages for part in message.parts)
    return is_text and bool(request.messages[-1].text.strip())


def _around(asked: Asked) -> Iterable[str | bytes]:
    """Everything but the words: as its own wire has it, and as it is understood."""
    inbound, before = asked.inbound, asked.request
    last = before.messages[-1]
    blank = msgspec.structs.replace(last, parts=tuple(TextPart("") for _ in last.parts))
    after = msgspec.structs.replace(before, messages=(*before.messages[:-1], blank))
    fields = dict(asked.fields)
    asked.codec.rewrite_request(fields, before, after)
    yield from (asked.codec.name, inbound.path, asked.plan.model, inbound.query)
    yield " ".join(str(target) for target in asked.plan.targets)
    yield from (inbound.headers.get(name, b"") for name in (*VERSION_HEADERS, b"x-mooring-allow-drop"))
    yield asked.codec.body_of(fields)
    yield msgspec.json.encode(after)


class Meanings:
    """Questions of remembered calls by their vectors. `embed` is the gateway's own way to a model of embeddings."""

    def __init__(self, journal: Journal, embed: Callable[[Inbound], Awaitable[Outbound]]) -> None:
        self._journal = journal
        self._embed = embed
        self._rows: OrderedDict[tuple[str, str], dict[str, Row]] = OrderedDict()

    async def nearest(self, asked: Asked, question: Question, trace_id: bytes) -> Near | None:
        """The call whose question is nearest, at the threshold or above; where there are no vectors there is none."""
        config, seconds = asked.plan.cache_meaning, asked.plan.cache_seconds
        assert config is not None
        assert seconds is not None
        row = await self._vector(asked, question, config, seconds, trace_id)
        if row is None:
            return None
        project_id = asked.project_id
        remembered = await self._journal.answered(project_id, question.prefix, limit=MOST_QUESTIONS)
        rows = await self._known(project_id, question, [key for key, _ in remembered])
        places = [(call_id, rows[key]) for key, call_id in remembered if key in rows and rows[key].shape == row.shape]
        if not places:
            return None
        cosines = np.stack([each for _, each in places]) @ row
        return await self._first(asked, question, config.threshold, [one for one, _ in places], cosines)

    async def _first(
        self, asked: Asked, question: Question, threshold: float, call_ids: Sequence[bytes], cosines: Row
    ) -> Near | None:
        """The nearest one with the same numbers, names and deciding words in it."""
        wanted = deciding(question.words)
        for place in np.argsort(-cosines, kind="stable")[:_MOST_LOOKED_AT]:
            if cosines[place] < threshold:
                return None
            body, _ = await self._journal.get_request(asked.project_id, call_ids[place])
            if deciding(_words(asked, body)) == wanted:
                return Near(call_ids[place], round(min(1.0, float(cosines[place])), 4))
        return None

    async def _vector(
        self, asked: Asked, question: Question, config: MeaningConfig, seconds: int, trace_id: bytes
    ) -> Row | None:
        """Asked for with a key, so that it is paid once and the journal has it for as long as it remembers the call."""
        try:
            headers = _headers(asked, question, trace_id)
        except UnicodeEncodeError:  # a user's name that no header can carry: nobody could find it to erase it
            return None
        body = embeddings.request_body([question.words], config.model)
        caller = Caller.service(asked.project_id, asked.inbound.caller.api_key_id)
        inbound = Inbound(caller, body, headers, path=EMBEDDINGS_PATH, is_internal=True, key_lifetime_seconds=seconds)
        try:
            async with asyncio.timeout(config.patience_seconds):
                outbound = await self._embed(inbound)
        except (TimeoutError, MooringError):
            return None
        return _row(outbound.body) if outbound.status == 200 and isinstance(outbound.body, bytes) else None

    async def _known(self, project_id: str, question: Question, keys: Sequence[str]) -> dict[str, Row]:
        """The vectors of these keys; those that are not remembered any more leave the memory here."""
        place = (project_id, question.prefix)
        before = self._rows.pop(place, {})
        rows = {key: before[key] for key in keys if key in before}
        wanted = {vector_key(key): key for key in keys if key not in before}
        for name, body in (await self._journal.answers_of(project_id, list(wanted))).items() if wanted else ():
            row = _row(body)
            if row is not None:
                rows[wanted[name]] = row
        self._rows[place] = rows
        while len(self._rows) > 1 and sum(len(each) for each in self._rows.values()) > MOST_VECTORS:
            self._rows.popitem(last=False)
        return rows


def _words(asked: Asked, body: bytes) -> str:
    """The question of a recorded request of the same wire."""
    try:
        wire = asked.codec.decode_request(body, model=asked.inbound.model, is_stream=asked.inbound.is_stream)
    except MooringError:  # its payload is gone by now
        return ""
    return wire.request.messages[-1].text


def _row(body: bytes) -> Row | None:
    try:
        (vector,) = embeddings.vectors(body)
    except (UpstreamMalformed, ValueError):
        return None
    return np.frombuffer(vector, np.float32)


def _headers(asked: Asked, question: Question, trace_id: bytes) -> dict[bytes, bytes]:
    """Whose the embedding is: that of the call that needs it, in its trace."""
    headers = {
        b"idempotency-key": question.vector_key.encode(),
        b"traceparent": b"00-%s-%s-01" % (trace_id.hex().encode(), trace_id[8:].hex().encode()),
    }
    named = {b"x-mooring-user": asked.user, b"x-mooring-session": asked.session}
    headers |= {name: value.encode("latin-1") for name, value in named.items() if value}
    if asked.tags:
        headers[b"x-mooring-tags"] = ",".join(asked.tags).encode("latin-1")
    return headers
