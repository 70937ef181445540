"""The home's own client key: for the lines that `mooring up` prints, and for `mooring keys env`.

It lies in the home, whose owner may do everything anyway, so that a command can name the file instead of the secret.
"""

import os
import secrets
from pathlib import Path

from mooring.core.errors import NotAuthenticated
from mooring.wiring import Server

FILE = "client.key"
SCOPES = ("call", "read", "write")


async def client_key(rooms: Server) -> str:
    """The key in the home's file; a new one where there is none, or where it was revoked."""
    path = rooms.home.path / FILE
    kept = _read(path)
    if kept is not None and await _is_good(rooms, kept):
        return kept
    made = await rooms.keys.create("default", name=FILE, scopes=SCOPES)
    return _keep(path, made, instead_of=kept)


async def _is_good(rooms: Server, key: str) -> bool:
    try:
        await rooms.keys.verify(key)
    except NotAuthenticated:
        return False
    return True


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip() or None
    except FileNotFoundError:
        return None


def _keep(path: Path, key: str, *, instead_of: str | None) -> str:
    """Written whole or not at all; of two processes that make the first key at once, one wins."""
    draft = path.with_name(f"{path.name}-{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(key)
    try:
        if instead_of is None:
            os.link(draft, path)
        else:
            os.replace(draft, path)
    except FileExistsError:
        return _read(path) or key
    finally:
        draft.unlink(missing_ok=True)
    return key
