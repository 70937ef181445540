"""The gateway's SQL: API keys and rate limits. Every statement has a name and a sentence."""

from typing import NamedTuple

import msgspec

from mooring.storage.projects import cross_project
from mooring.storage.transaction import Tx

MILLION = 1_000_000


class KeyRow(msgspec.Struct, frozen=True):
    """A key as the database holds it."""

    id: bytes
    project_id: str
    name: str
    verifier: bytes
    secret_version: int
    scopes: tuple[str, ...]
    created_at_us: int
    expires_at_us: int | None
    revoked_at_us: int | None


# Adds a key.
INSERT_KEY = (
    "INSERT INTO api_keys (id, project_id, name, verifier, secret_version, scopes, created_at_us, expires_at_us,"
    " revoked_at_us) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
# The key of an id, whatever its project: who presents it is not known yet.
FIND_KEY = (
    "SELECT id, project_id, name, verifier, secret_version, scopes, created_at_us, expires_at_us, revoked_at_us"
    " FROM api_keys WHERE id = ?"
)
# A project's keys, newest first.
LIST_KEYS = (
    "SELECT id, project_id, name, verifier, secret_version, scopes, created_at_us, expires_at_us, revoked_at_us"
    " FROM api_keys WHERE project_id = ? ORDER BY id DESC"
)
# Revokes a key once; the first moment stays.
REVOKE_KEY = "UPDATE api_keys SET revoked_at_us = ? WHERE project_id = ? AND id = ? AND revoked_at_us IS NULL"
# Gives a key an end, unless it has an earlier one.
END_KEY = (
    "UPDATE api_keys SET expires_at_us = ? WHERE project_id = ? AND id = ?"
    " AND (expires_at_us IS NULL OR expires_at_us > ?)"
)
# Whether any key exists at all: what binding beyond loopback asks.
ANY_KEY = "SELECT 1 FROM api_keys WHERE revoked_at_us IS NULL LIMIT 1"
# Notes which secret a version is; the first that says so is believed.
INSERT_PRINT = "INSERT INTO secret_prints (version, print) VALUES (?, ?) ON CONFLICT DO NOTHING"
# Which secret each version is.
PRINTS = "SELECT version, print FROM secret_prints"

# Makes a bucket, full.
OPEN_BUCKET = (
    "INSERT INTO rate_limits (project_id, subject, left_millionths, at_us) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING"
)
# What is in a bucket; on PostgreSQL the row is locked, on SQLite the transaction is the only writer.
READ_BUCKET = "SELECT left_millionths, at_us FROM rate_limits WHERE project_id = ? AND subject = ?"
# What is left in it, and since when.
WRITE_BUCKET = "UPDATE rate_limits SET left_millionths = ?, at_us = ? WHERE project_id = ? AND subject = ?"


def insert_key(tx: Tx, project_id: str, row: KeyRow) -> None:
    tx.execute(
        INSERT_KEY,
        (
            row.id,
            project_id,
            row.name,
            row.verifier,
            row.secret_version,
            " ".join(row.scopes),
            row.created_at_us,
            row.expires_at_us,
            row.revoked_at_us,
        ),
    )


@cross_project("a key's project is what is being looked up")
def find_key_of_any_project(tx: Tx, key_id: bytes) -> KeyRow | None:
    found = tx.one(FIND_KEY, (key_id,))
    return None if found is None else _row(found)


def list_keys(tx: Tx, project_id: str) -> list[KeyRow]:
    return [_row(found) for found in tx.all(LIST_KEYS, (project_id,))]


def revoke_key(tx: Tx, project_id: str, key_id: bytes, at_us: int) -> bool:
    return tx.execute(REVOKE_KEY, (at_us, project_id, key_id)) > 0


def end_key(tx: Tx, project_id: str, key_id: bytes, at_us: int) -> bool:
    return tx.execute(END_KEY, (at_us, project_id, key_id, at_us)) > 0


@cross_project("an open door is refused unless any project has a key")
def any_key_of_any_project(tx: Tx) -> bool:
    return tx.one(ANY_KEY) is not None


@cross_project("all projects of a home share its secret")
def note_prints(tx: Tx, prints: dict[int, bytes]) -> None:
    for version in sorted(prints):
        tx.execute(INSERT_PRINT, (version, prints[version]))


@cross_project("all projects of a home share its secret")
def prints(tx: Tx) -> dict[int, bytes]:
    return {version: bytes(value) for version, value in tx.all(PRINTS)}


def _row(found: tuple[object, ...]) -> KeyRow:
    values = list(found)
    for position in (0, 3):
        values[position] = bytes(values[position])  # type: ignore[call-overload]
    values[5] = tuple(str(values[5]).split())
    return KeyRow(*values)  # type: ignore[arg-type]


class Lease(NamedTuple):
    """What a process may hand out by itself, and when one more will be there."""

    granted: int
    wait_us: int


def lease(tx: Tx, project_id: str, subject: str, *, per_minute: int, want: int, owed: int, now_us: int) -> Lease:
    """Take up to `want` out of a bucket that holds a minute's worth, after what is `owed` was taken."""
    most = per_minute * MILLION
    tx.execute(OPEN_BUCKET, (project_id, subject, most, now_us))
    found = tx.one(READ_BUCKET + (" FOR UPDATE" if tx.dialect == "postgresql" else ""), (project_id, subject))
    assert found is not None
    left, at_us = found
    left = min(most, left + max(now_us - at_us, 0) * per_minute // 60) - owed * MILLION
    granted = max(min(want, left // MILLION), 0)
    left -= granted * MILLION
    tx.execute(WRITE_BUCKET, (left, max(now_us, at_us), project_id, subject))
    return Lease(granted, max(-(-(MILLION - left) * 60 // per_minute), 0))
