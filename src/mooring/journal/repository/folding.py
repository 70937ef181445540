"""The bill of the past, by hour: made from attempts of which none can change any more, and read instead of them."""

from typing import Any

from mooring.storage.transaction import Tx

from . import cross_project

_SUMS = (
    "COUNT(*), SUM(a.settled_nanos), SUM(a.input_tokens), SUM(a.output_tokens), SUM(a.cached_input_tokens),"
    " SUM(a.cache_write_tokens), SUM(a.input_audio_tokens), SUM(a.reasoning_tokens), SUM(a.output_audio_tokens),"
    " MAX(a.is_estimated), SUM(a.units)"
)
_COLUMNS = (
    "attempts, settled_nanos, input_tokens, output_tokens, cached_input_tokens, cache_write_tokens,"
    " input_audio_tokens, reasoning_tokens, output_audio_tokens, is_estimated, units"
)


@cross_project("an hour is folded for everybody")
def hours(tx: Tx) -> list[int]:
    """The hours that are folded, in order."""
    return [row[0] for row in tx.all("SELECT hour_us FROM folded_hours ORDER BY hour_us")]


@cross_project("an hour is folded for everybody")
def oldest(tx: Tx, at_or_after: bytes) -> bytes | None:
    """The first attempt with this id or a later one."""
    row = tx.one("SELECT id FROM attempts WHERE id >= ? ORDER BY id LIMIT 1", (at_or_after,))
    return bytes(row[0]) if row else None


@cross_project("an hour is folded for everybody")
def unsettled_ids(tx: Tx) -> list[bytes]:
    """Attempts that may still change."""
    return [bytes(row[0]) for row in tx.all("SELECT id FROM attempts WHERE settlement <> 'settled'")]


@cross_project("an hour is folded for everybody")
def sums(tx: Tx, first: bytes, end: bytes) -> list[tuple[Any, ...]]:
    """What the attempts between two ids come to, by project and target; tools are no part of a bill."""
    return tx.all(
        f"SELECT a.project_id, a.target, {_SUMS} FROM attempts a CROSS JOIN calls c"  # noqa: S608 - names from above
        " WHERE a.id >= ? AND a.id < ? AND c.id = a.call_id AND c.kind <> 'tool' GROUP BY a.project_id, a.target",
        (first, end),
    )


@cross_project("an hour is folded for everybody")
def count(tx: Tx, first: bytes, end: bytes) -> int:
    """How many attempts lie between two ids."""
    row = tx.one("SELECT COUNT(*) FROM attempts WHERE id >= ? AND id < ?", (first, end))
    return int(row[0]) if row else 0


@cross_project("an hour is folded for everybody")
def put(tx: Tx, hour_us: int, rows: list[tuple[Any, ...]]) -> None:
    """Write an hour once."""
    if not tx.execute("INSERT INTO folded_hours (hour_us) VALUES (?) ON CONFLICT DO NOTHING", (hour_us,)):
        return
    for project_id, target, *amounts in rows:
        tx.execute(
            f"INSERT INTO bill_hours (project_id, hour_us, target, {_COLUMNS})"  # noqa: S608 - names from above
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (project_id, hour_us, target, *(int(amount or 0) for amount in amounts)),
        )


@cross_project("retention is the installation's")
def drop_before(tx: Tx, hour_us: int, limit: int) -> int:
    """Delete rows of the bill of hours before this one; the hours stay folded."""
    return tx.execute(
        "DELETE FROM bill_hours WHERE hour_us IN (SELECT DISTINCT hour_us FROM bill_hours WHERE hour_us < ? LIMIT ?)",
        (hour_us, limit),
    )


def past(tx: Tx, project_id: str) -> list[tuple[Any, ...]]:
    """The folded bill of a project by target, in the columns of `ledger.bill`: nothing is held in the past."""
    return tx.all(
        "SELECT target, SUM(attempts), SUM(settled_nanos), 0, SUM(input_tokens), SUM(output_tokens),"
        " SUM(cached_input_tokens), SUM(cache_write_tokens), SUM(input_audio_tokens), SUM(reasoning_tokens),"
        " SUM(output_audio_tokens), MAX(is_estimated), SUM(units) FROM bill_hours WHERE project_id = ?"
        " GROUP BY target",
        (project_id,),
    )


def by_hour(tx: Tx, project_id: str, since_us: int, until_us: int) -> list[tuple[int, ...]]:
    """A project's folded hours that began in this time: attempts, tokens in, out and cached, settled amount."""
    rows = tx.all(
        "SELECT hour_us, SUM(attempts), SUM(input_tokens), SUM(output_tokens), SUM(cached_input_tokens),"
        " SUM(settled_nanos) FROM bill_hours WHERE project_id = ? AND hour_us >= ? AND hour_us < ?"
        " GROUP BY hour_us ORDER BY hour_us",
        (project_id, since_us, until_us),
    )
    return [tuple(map(int, row)) for row in rows]


def present(tx: Tx, project_id: str, first: bytes, end: bytes) -> list[tuple[Any, ...]]:
    """The bill of a project's attempts between two ids, in the same columns."""
    return tx.all(
        "SELECT a.target, COUNT(*), SUM(a.settled_nanos), SUM(a.held_nanos), SUM(a.input_tokens),"
        " SUM(a.output_tokens), SUM(a.cached_input_tokens), SUM(a.cache_write_tokens), SUM(a.input_audio_tokens),"
        " SUM(a.reasoning_tokens), SUM(a.output_audio_tokens), MAX(a.is_estimated), SUM(a.units)"
        " FROM attempts a CROSS JOIN calls c WHERE a.id >= ? AND a.id < ? AND a.project_id = ? AND c.id = a.call_id"
        " AND c.kind <> 'tool' GROUP BY a.target",
        (first, end, project_id),
    )
