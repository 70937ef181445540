"""The gateway's SQL: API keys. Every statement has a name and a sentence."""

import msgspec

from mooring.storage.projects import cross_project
from mooring.storage.transaction import Tx


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
# Whether any key exists at all: what binding beyond loopback asks.
ANY_KEY = "SELECT 1 FROM api_keys WHERE revoked_at_us IS NULL LIMIT 1"


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


@cross_project("an open door is refused unless any project has a key")
def any_key_of_any_project(tx: Tx) -> bool:
    return tx.one(ANY_KEY) is not None


def _row(found: tuple[object, ...]) -> KeyRow:
    values = list(found)
    for position in (0, 3):
        values[position] = bytes(values[position])  # type: ignore[call-overload]
    values[5] = tuple(str(values[5]).split())
    return KeyRow(*values)  # type: ignore[arg-type]
