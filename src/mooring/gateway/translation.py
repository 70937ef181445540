"""A request on its way to another wire than it came by: what goes, what is left out and told, what is refused.

Nothing is lost quietly. What a wire cannot carry is refused by name, unless the caller allows the loss: the header
`x-mooring-allow-drop` holds the names, or `*` for whatever it takes.
"""

from dataclasses import replace
from typing import NamedTuple, TypeVar

import msgspec

from mooring.core.errors import InvalidRequest
from mooring.core.events import MessageStart
from mooring.core.messages import ChatRequest, ChatResponse

from . import single
from .asked import Asked
from .call import Call
from .codecs import DIMENSIONS, Codec, Fields
from .fidelity import FEATURES, VENDOR_TOOLS, features_of, param_of, without
from .plan import Plan, Target
from .provider import NotOffered

Told = TypeVar("Told", ChatResponse, MessageStart)
ALLOW_DROP = b"x-mooring-allow-drop"
_EVERYTHING = frozenset({"*", "true"})
_SHARED = frozenset({VENDOR_TOOLS, DIMENSIONS})
_EMPTY: tuple[object, ...] = (None, False, 0, "", [], {})


class WireCannotCarry(InvalidRequest):
    """The model's wire has no words for a part of the request. Nothing was sent."""

    code = "wire_cannot_carry"


class Translation(NamedTuple):
    """What goes to the target, and the names of what was left out of it."""

    request: ChatRequest
    dropped: tuple[str, ...]
    refused: tuple[str, ...]


def translation(asked: Asked, codec: Codec) -> Translation:
    """The request as the codec's wire can say it."""
    request = asked.request
    features = features_of(request)
    known = _SHARED | codec.own_fields
    own = {name for name, value in request.extra.items() if name not in known and value not in _EMPTY}
    hints = own & asked.codec.own_hints
    lost = (features & codec.cannot_carry) | (own - hints)
    allowed = _allowed(asked)
    refused = lost - allowed if allowed is not None else frozenset()
    dropped = (features & codec.leaves_out) | hints | (lost - refused)
    named = frozenset(name for name in FEATURES if name in dropped or name in codec.held_here)
    clean = msgspec.structs.replace(
        without(request, named),
        extra={name: value for name, value in request.extra.items() if name == DIMENSIONS or name in codec.own_fields},
    )
    return Translation(clean, tuple(sorted(dropped)), tuple(sorted(refused)))


def _allowed(asked: Asked) -> frozenset[str] | None:
    """The names that may be left out; None for all."""
    header = asked.inbound.header(ALLOW_DROP)
    names = frozenset(name.strip() for name in header.split(",")) if header else frozenset()
    return None if names & _EVERYTHING else names


def carriable(asked: Asked) -> Plan:
    """The plan with those targets that can be told all of the request.

    Raises:
        WireCannotCarry: none can.
    """
    kept: list[Target] = []
    refusal: InvalidRequest | None = None
    for target in asked.plan.targets:
        try:
            codec = target.vendor.codec_for(asked.codec, target.model)
        except NotOffered as error:
            refusal = refusal or error
            continue
        refused = () if codec.name == asked.codec.name else translation(asked, codec).refused
        if not refused:
            kept.append(target)
        elif refusal is None:
            refusal = _refusal(target, codec, refused)
    if refusal is not None and not kept:
        raise refusal
    return asked.plan if refusal is None else replace(asked.plan, targets=tuple(kept))


def _refusal(target: Target, codec: Codec, refused: tuple[str, ...]) -> WireCannotCarry:
    return WireCannotCarry(
        f"{target} is asked by the wire {codec.name}, which cannot carry: {', '.join(refused)}.",
        hint=f"Leave it out, or allow the loss with the header x-mooring-allow-drop: {','.join(refused)}.",
        param=param_of(refused[0]) or (refused[0] if refused[0] not in FEATURES else None),
    )


def outgoing(asked: Asked, codec: Codec) -> tuple[Fields, tuple[str, ...]]:
    """The fields to send, and what was left out of them: the caller's own on the same wire, else a translation."""
    if codec.name == asked.codec.name:
        return dict(asked.fields), ()
    found = translation(asked, codec)
    return codec.encode_request(found.request), found.dropped


def translated(call: Call, codec: Codec, body: bytes, answer: ChatResponse) -> bytes:
    """An answer of the codec's wire in the caller's; vectors have no canonical form and are read from its body."""
    asked = call.asked
    if codec.kind == "embedding":
        named = msgspec.structs.replace(answer, id=call.shown_id, model=answer.model or asked.request.model)
        return asked.codec.encode_vectors(codec.vectors(body), named, asked.fields)
    if single.is_held(asked.request, codec):
        answer = single.first_call(answer)
    return asked.codec.encode_response(as_told(answer, call), asked.fields)


def as_told(value: Told, call: Call) -> Told:
    """An answer, or the start of one, as the caller's wire tells it: dated, with a model's name, and under the call's
    own id where answers can be asked for again or came without one."""
    named = call.shown_id if call.asked.codec.id_prefix is not None or not value.id else value.id
    dated = value.created_at or call.rooms.clock.now_us() // 1_000_000
    model = value.model or call.asked.request.model
    return msgspec.structs.replace(value, id=named, created_at=dated, model=model)
