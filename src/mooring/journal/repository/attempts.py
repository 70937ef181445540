"""Attempts: one row per send, inserted at the intent, finished once by a guarded UPDATE."""

import functools
from typing import Any, NamedTuple

import msgspec

from mooring.core.money import Price
from mooring.core.usage import Usage
from mooring.storage.transaction import Tx

from ..records import AttemptIntent, AttemptRecord, AttemptResult
from . import cross_project

_SELECT = (
    "SELECT id, call_id, project_id, number, target, reason, outcome, settlement, held_nanos, settled_nanos, price,"
    " process_id, intended_at_us, finished_at_us, sent_at_us, first_byte_at_us, provider_request_id, upstream_status,"
    " error_code, error_message, bytes_up, bytes_down, input_tokens, output_tokens, cached_input_tokens,"
    " cache_write_tokens, input_audio_tokens, reasoning_tokens, output_audio_tokens, is_estimated, units FROM attempts"
)
_INSERT = (
    "INSERT INTO attempts (id, call_id, project_id, process_id, run_id, number, target, reason, request_hash,"
    " outcome, settlement, reserved_nanos, held_nanos, settled_nanos, reservations, price, intended_at_us)"
)
_VALUES = "?, ?, ?, ?, ?, ?, ?, ?, ?, 'intended', 'held', ?, ?, 0, ?, ?, ?"
_INTEND = f"{_INSERT} VALUES ({_VALUES})"
_IF_ALIVE = "FROM processes WHERE id = ? AND dead_at_us IS NULL FOR SHARE"
_INTEND_IF_ALIVE = f"{_INSERT} SELECT {_VALUES} {_IF_ALIVE}"
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(list[Any]).decode
_AMOUNTS = tuple(name for name in Price.__struct_fields__ if name != "source")
_NO_PRICE = (Price().source, *(getattr(Price(), name) for name in _AMOUNTS))
_NO_USAGE = (None,) * 9


class Reserved(NamedTuple):
    """What the intent of an attempt reserved, and for whom."""

    attempt_id: bytes
    call_id: bytes
    project_id: str
    run_id: bytes | None
    reserved_nanos: int
    reservations: bytes | None
    price: str
    settlement: str


class Sent(NamedTuple):
    """An attempt by the names that its provider knows, and what was settled."""

    id: bytes
    provider_request_id: str | None
    settlement: str
    settled_nanos: int


@functools.lru_cache(256)
def price_text(price: Price) -> str:
    """A price as its row holds it: source, then the amounts, without those at the end that are as they would be."""
    fields = (price.source, *(getattr(price, name) for name in _AMOUNTS))
    last = max((place for place, value in enumerate(fields) if value != _NO_PRICE[place]), default=-1)
    return _encode(fields[: last + 1]).decode()


@functools.lru_cache(256)
def price_of(text: str) -> Price:
    """The price of a row."""
    fields = _decode(text)
    return Price(**dict(zip(("source", *_AMOUNTS), fields, strict=False)))


def insert(
    tx: Tx,
    project_id: str,
    intent: AttemptIntent,
    *,
    price: str,
    process_id: bytes,
    reservations: bytes,
    at_us: int,
    if_alive: bool = False,
) -> bool:
    """Write an intent; its maximum is held from now on. `if_alive`: False where somebody has buried its process.

    On PostgreSQL a burial and an intent wait for each other at the row of the process: what was written before is found
    by the burial, what comes after is refused.
    """
    written = tx.execute(
        _INTEND_IF_ALIVE if if_alive else _INTEND,
        (
            intent.id,
            intent.call_id,
            project_id,
            process_id,
            intent.run.run_id if intent.run else None,
            intent.number,
            intent.target,
            intent.reason,
            intent.request_hash,
            intent.held_nanos,
            intent.held_nanos,
            reservations or None,
            price,
            at_us,
            *((process_id,) if if_alive else ()),
        ),
    )
    return bool(written)


@cross_project("an attempt's id is known only to who sent it, and its result is always taken")
def finish(tx: Tx, result: AttemptResult, at_us: int) -> Reserved | None:
    """Write the result of an attempt in flight and settle it; None when it is not in flight (any more)."""
    settled = result.cost_nanos
    row = tx.one(
        "UPDATE attempts SET outcome = ?, finished_at_us = ?, sent_at_us = ?, first_byte_at_us = ?,"
        " provider_request_id = ?, upstream_status = ?, error_code = ?, error_message = ?, bytes_up = ?,"
        " bytes_down = ?, input_tokens = ?, output_tokens = ?, cached_input_tokens = ?, cache_write_tokens = ?,"
        " input_audio_tokens = ?, reasoning_tokens = ?, output_audio_tokens = ?, is_estimated = ?, units = ?,"
        " settlement = ?, settled_nanos = ?, held_nanos = CASE WHEN ? = 1 THEN held_nanos ELSE 0 END"
        " WHERE id = ? AND outcome = 'intended'"
        " RETURNING call_id, project_id, run_id, reserved_nanos, reservations, price, settlement",
        (
            *_result_columns(result, at_us),
            "unknown" if settled is None else "settled",
            settled or 0,
            int(settled is None),
            result.attempt_id,
        ),
    )
    return Reserved(result.attempt_id, *row) if row else None


@cross_project("an attempt's id is known only to who sent it, and its result is always taken")
def finish_late(tx: Tx, result: AttemptResult, at_us: int) -> Reserved | None:
    """Write the result of an attempt that was thought lost; what it reserved may have been settled by now."""
    row = tx.one(
        "UPDATE attempts SET outcome = ?, finished_at_us = ?, sent_at_us = ?, first_byte_at_us = ?,"
        " provider_request_id = ?, upstream_status = ?, error_code = ?, error_message = ?, bytes_up = ?,"
        " bytes_down = ?, input_tokens = ?, output_tokens = ?, cached_input_tokens = ?, cache_write_tokens = ?,"
        " input_audio_tokens = ?, reasoning_tokens = ?, output_audio_tokens = ?, is_estimated = ?, units = ?"
        " WHERE id = ? AND outcome = 'uncertain'"
        " RETURNING call_id, project_id, run_id, reserved_nanos, reservations, price, settlement",
        (*_result_columns(result, at_us), result.attempt_id),
    )
    return Reserved(result.attempt_id, *row) if row else None


@cross_project("the attempt's id comes from a row of the same transaction")
def settle(tx: Tx, attempt_id: bytes, settled_nanos: int) -> bool:
    """Replace what is held by what it cost; False when it was settled before."""
    return bool(
        tx.execute(
            "UPDATE attempts SET settlement = 'settled', settled_nanos = ?, held_nanos = 0"
            " WHERE id = ? AND settlement <> 'settled'",
            (settled_nanos, attempt_id),
        )
    )


@cross_project("the attempt's id comes from a row of the same transaction")
def set_unknown(tx: Tx, attempt_id: bytes) -> None:
    """The attempt is over and its cost is not known: the maximum stays held."""
    tx.execute(
        "UPDATE attempts SET settlement = 'unknown' WHERE id = ? AND settlement <> 'settled'",
        (attempt_id,),
    )


@cross_project("the attempt's id comes from a row of the same transaction")
def set_usage(tx: Tx, attempt_id: bytes, usage: Usage) -> None:
    """What the provider's own meter says was used."""
    tx.execute(
        "UPDATE attempts SET input_tokens = ?, output_tokens = ?, cached_input_tokens = ?, cache_write_tokens = ?,"
        " input_audio_tokens = ?, reasoning_tokens = ?, output_audio_tokens = ?, is_estimated = ?, units = ?"
        " WHERE id = ?",
        (*_usage_columns(usage), attempt_id),
    )


@cross_project("whoever settles an attempt locks its budgets first, and knows only its id")
def reserved(tx: Tx, attempt_id: bytes) -> Reserved | None:
    """What an attempt reserved."""
    row = tx.one(
        "SELECT id, call_id, project_id, run_id, reserved_nanos, reservations, price, settlement"
        " FROM attempts WHERE id = ?",
        (attempt_id,),
    )
    return Reserved(*row) if row else None


def of_call(tx: Tx, project_id: str, call_id: bytes) -> list[AttemptRecord]:
    """Every attempt of a call, in order."""
    rows = tx.all(_SELECT + " WHERE project_id = ? AND call_id = ? ORDER BY number, id", (project_id, call_id))
    return [record(row) for row in rows]


def unsettled(tx: Tx, project_id: str) -> list[AttemptRecord]:
    """Attempts that are over and whose cost is not known: their maximum is held until reconciled."""
    rows = tx.all(
        _SELECT + " WHERE project_id = ? AND settlement <> 'settled'"
        " AND (settlement = 'unknown' OR (outcome = 'uncertain' AND held_nanos > 0)) ORDER BY id",
        (project_id,),
    )
    return [record(row) for row in rows]


def with_request_ids(tx: Tx, project_id: str) -> list[Sent]:
    """Every attempt as a provider's export may name it."""
    rows = tx.all(
        "SELECT id, provider_request_id, settlement, settled_nanos FROM attempts WHERE project_id = ?", (project_id,)
    )
    return [Sent(bytes(row[0]), *row[1:]) for row in rows]


def is_running(tx: Tx, project_id: str, call_id: bytes) -> bool:
    """Whether an attempt of the call is under way."""
    row = tx.one(
        "SELECT 1 FROM attempts WHERE project_id = ? AND call_id = ? AND outcome = 'intended' LIMIT 1",
        (project_id, call_id),
    )
    return row is not None


def is_paid(tx: Tx, project_id: str, call_id: bytes) -> bool:
    """Whether any attempt of the call cost something, or may have."""
    row = tx.one(
        "SELECT 1 FROM attempts WHERE project_id = ? AND call_id = ?"
        " AND (settled_nanos > 0 OR settlement <> 'settled') LIMIT 1",
        (project_id, call_id),
    )
    return row is not None


def decide(tx: Tx, project_id: str, call_id: bytes, outcome: str, at_us: int) -> list[Reserved]:
    """Give a call's uncertain attempts the outcome that somebody decided."""
    rows = tx.all(
        "UPDATE attempts SET outcome = ?, finished_at_us = ? WHERE project_id = ? AND call_id = ?"
        " AND outcome = 'uncertain'"
        " RETURNING id, call_id, project_id, run_id, reserved_nanos, reservations, price, settlement",
        (outcome, at_us, project_id, call_id),
    )
    return [Reserved(*row) for row in rows]


@cross_project("a dead process takes attempts of every project with it")
def bury(tx: Tx, process_id: bytes) -> list[tuple[bytes, str]]:
    """Mark what a dead process had in flight as uncertain; the calls and their projects."""
    rows = tx.all(
        "UPDATE attempts SET outcome = 'uncertain'"
        " WHERE process_id = ? AND settlement <> 'settled' AND outcome = 'intended' RETURNING call_id, project_id",
        (process_id,),
    )
    return [(bytes(call_id), project_id) for call_id, project_id in rows]


def _result_columns(result: AttemptResult, at_us: int) -> tuple[object, ...]:
    return (
        result.outcome,
        at_us,
        result.sent_at_us,
        result.first_byte_at_us,
        result.provider_request_id,
        result.upstream_status,
        result.error_code,
        result.error_message,
        result.bytes_up,
        result.bytes_down,
        *(_NO_USAGE if result.usage is None else _usage_columns(result.usage)),
    )


def _usage_columns(usage: Usage) -> tuple[int | None, ...]:
    return (
        usage.input_tokens,
        usage.output_tokens,
        usage.cached_input_tokens,
        usage.cache_write_tokens,
        usage.input_audio_tokens,
        usage.reasoning_tokens,
        usage.output_audio_tokens,
        int(usage.is_estimated),
        usage.units or None,
    )


def record(row: tuple[Any, ...]) -> AttemptRecord:
    """A row of `_SELECT` as its record."""
    used: tuple[Any, ...] = (*row[22:29], bool(row[29]), row[30] or 0)
    usage = None if used[0] is None else Usage(*used)
    fields = (*row[:10], price_of(row[10]), *row[11:16], usage, *row[16:20], row[20] or 0, row[21] or 0)
    return AttemptRecord(*fields)
