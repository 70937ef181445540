"""What is being asked: an inbound request, decoded once, with its plan, its key and its run."""

import re
from collections.abc import Callable

import msgspec

from mooring.core import ids
from mooring.core.errors import InvalidRequest, PermissionDenied
from mooring.core.messages import ChatRequest
from mooring.core.text import shorten
from mooring.guardrails.check import GuardContext
from mooring.guardrails.rest import Body, Opaque
from mooring.journal.records import RUN_KEYS, NewCall, RunRef

from . import tracecontext
from .codecs import Codec, Fields
from .inbound import Inbound
from .limits import Slot
from .plan import Plan
from .task import Choice
from .whose import Whose, whose

MAX_KEY_CHARACTERS = 255
CACHE_KEYS = "cache/"
RESPONSE_KEYS = "response/"
FILE_KEYS = "file/"
_decode = msgspec.json.Decoder().decode
_EPOCH = re.compile(r"[0-9]{1,15}")


class Asked(msgspec.Struct):
    """`request` and `fields` are as the caller sent them until the input guards have changed them."""

    inbound: Inbound
    codec: Codec
    request: ChatRequest
    fields: Fields
    body: bytes
    plan: Plan
    context: GuardContext
    key: str | None
    run: RunRef | None
    whose: Whose
    slot: Slot = msgspec.field(default_factory=Slot)
    choice: Choice | None = None

    @property
    def user(self) -> str | None:
        return self.whose.user

    @property
    def session(self) -> str | None:
        return self.whose.session

    @property
    def tags(self) -> tuple[str, ...]:
        return self.whose.tags

    @property
    def project_id(self) -> str:
        return self.inbound.caller.project_id

    @property
    def conversation(self) -> str:
        """What must stay with one target where a route is sticky: the session, else the run, the user, the opening."""
        if self.plan.strategy != "sticky":
            return ""
        run = self.run.run_id.hex() if self.run is not None else None
        opening = "\n".join(message.text for message in self.request.messages[:2])
        return self.session or run or self.user or opening

    def change(self, request: ChatRequest) -> None:
        """The input guards have changed the request: what is sent and what is kept follow."""
        self.codec.rewrite_request(self.fields, self.request, request)
        self.request = request
        self.body = self.codec.body_of(self.fields)

    def whole(self, request: ChatRequest) -> Body:
        """The body, once the guards have made this of its request."""
        if request is not self.request:
            self.change(request)
        return Body(self.body, self.codec.no_text or Opaque())

    def take(self, request: ChatRequest, tree: Fields | None) -> None:
        """What the guards have left of the request, and of its body where they changed what has no canonical form."""
        if request is not self.request:
            self.change(request)
        if tree is None:
            return
        before = _decode(self.body)
        self.fields.update({name: value for name, value in tree.items() if value != before[name]})
        self.body = self.codec.body_of(self.fields)

    def new_call(
        self, call_id: bytes, release_id: bytes | None, binding: bytes | None, lifetime_seconds: int
    ) -> NewCall:
        """The call's row, with what the input guards have left of its body."""
        inbound = self.inbound
        trace_id, parent = tracecontext.read(inbound.header(b"traceparent"))
        return NewCall(
            id=call_id,
            project_id=self.project_id,
            kind=self.codec.kind,
            name=self.request.model,
            trace_id=trace_id or call_id,
            parent_span_id=parent,
            request_body=self.body,
            request_elements=self.codec.elements(self.fields) if self.run or self.codec.id_prefix else (),
            api_key_id=inbound.caller.api_key_id,
            key=self.key,
            binding=binding,
            key_lifetime_seconds=lifetime_seconds,
            run=self.run,
            user=self.user,
            session=self.session,
            tags=self.tags,
            release_id=release_id,
            is_stream=self.request.is_stream,
            places=self.slot.places,
        )


def read(inbound: Inbound, codec: Codec, plan_of: Callable[[str], Plan]) -> Asked:
    """Everything that the request says, before anything is done about it.

    Raises:
        InvalidRequest: a body, key or run header that cannot be understood.
        NotFound: an unknown model.
        PermissionDenied: run headers from someone who is not a process of this home.
    """
    wire = codec.decode_request(inbound.body, model=inbound.model, is_stream=inbound.is_stream)
    request = wire.request
    run = run_of(inbound)
    asker = whose(inbound, wire.fields, request.user)
    return Asked(
        inbound=inbound,
        codec=codec,
        request=request,
        fields=wire.fields,
        body=inbound.body,
        plan=plan_of(request.model),
        context=GuardContext(
            project_id=inbound.caller.project_id,
            route=inbound.path,
            is_internal=inbound.is_internal,
            user=asker.user,
            model=request.model,
            principal=principal(asker.user, inbound.caller.api_key_id),
        ),
        key=_key(inbound, run),
        run=run,
        whose=asker,
    )


def principal(user: str | None, api_key_id: bytes | None) -> str:
    """Who may have back what was masked: the user, else the key, else this server itself."""
    if user is not None:
        return f"user {user}"
    return f"key {api_key_id.hex()}" if api_key_id else ""


def _key(inbound: Inbound, run: RunRef | None) -> str | None:
    key = inbound.header(b"idempotency-key")
    if key is None:
        return None if run is None else run.key
    check_key(key)
    for prefix, owner in (
        (RUN_KEYS, "runs"),
        (CACHE_KEYS, "the cache"),
        (RESPONSE_KEYS, "stored responses"),
        (FILE_KEYS, "files"),
    ):
        if key.startswith(prefix) and not _is_ours(prefix, inbound):
            raise PermissionDenied(f"Keys that begin with '{prefix}' belong to {owner}.", hint="Choose another key.")
    return key


def _is_ours(prefix: str, inbound: Inbound) -> bool:
    """Whether it comes from who these keys belong to: a worker, or the cache itself, which asks within another call."""
    return inbound.caller.is_service and (prefix == RUN_KEYS or (prefix == CACHE_KEYS and inbound.is_internal))


def check_key(key: str) -> None:
    """Whether a caller's idempotency key can be kept.

    Raises:
        InvalidRequest: it is empty, too long, or cannot be shown.
    """
    if not key or len(key) > MAX_KEY_CHARACTERS or not key.isprintable():
        raise InvalidRequest(
            f"The idempotency key '{shorten(key, 40)}' is not usable.",
            hint=f"Send 1 to {MAX_KEY_CHARACTERS} printable characters.",
            param="idempotency-key",
        )


def run_of(inbound: Inbound) -> RunRef | None:
    """The step of a run that speaks.

    Raises:
        PermissionDenied: it is not one of this server's own workers.
        InvalidRequest: its headers are not whole.
    """
    run = inbound.header(b"x-mooring-run")
    if run is None:
        return None
    if not inbound.caller.is_service:
        raise PermissionDenied(
            "Only this server's own workers may speak for a run.", hint="Leave the x-mooring-run header out."
        )
    step, epoch = inbound.header(b"x-mooring-step"), inbound.header(b"x-mooring-epoch")
    if not step or epoch is None or not _EPOCH.fullmatch(epoch):
        raise InvalidRequest(
            "x-mooring-run needs x-mooring-step and a numeric x-mooring-epoch.",
            hint="Send all three.",
            param="x-mooring-run",
        )
    return RunRef(run_id=ids.read("run", run), epoch=int(epoch), step=step)
