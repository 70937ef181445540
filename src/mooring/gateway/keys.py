"""API keys: an id, a 256-bit secret and a checksum; stored as an HMAC, shown once, scoped, expiring, revocable.

`mr_` + 26 characters of id + `_` + 52 of secret + 6 of checksum, so that a scanner recognises a leaked one and a typo
is refused without a look into the database.
"""

import hashlib
import hmac
import secrets as random
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mooring.core import ids
from mooring.core.clock import Clock
from mooring.core.errors import ConfigError, InvalidRequest, MooringError, NotAuthenticated, NotFound
from mooring.core.ids import NewId
from mooring.storage.database import Database

from . import repository
from .prints import Prints, Secrets
from .repository import KeyRow

SCOPES = ("call", "read", "write", "admin", "metrics")
KeyState = Literal["active", "revoked", "expired", "secret_lost"]
LOGIN = "login"  # of a sign-in link's token: no route takes it, it is only ever spent
PREFIX = "mr_"
CACHE_SECONDS = 2.0  # how long a revoked key may still work in another process
CACHE_KEYS = 4096
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is calling. `is_service` is a process of this home, which may speak for a run."""

    project_id: str
    scopes: tuple[str, ...]
    api_key_id: bytes | None = None
    is_service: bool = False

    @classmethod
    def service(cls, project_id: str, api_key_id: bytes | None = None) -> "Caller":
        """A process of this home; with the key on whose behalf it works, which bears the cost."""
        return cls(project_id=project_id, scopes=SCOPES, api_key_id=api_key_id, is_service=True)


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """A key without its secret."""

    id: str
    project_id: str
    name: str
    scopes: tuple[str, ...]
    created_at_us: int
    expires_at_us: int | None
    revoked_at_us: int | None
    has_secret: bool = True  # of the home: without it the key cannot be checked

    def state_at(self, now_us: float) -> KeyState:
        """Whether it opens anything, and if not, why."""
        if self.revoked_at_us is not None:
            return "revoked"
        if self.expires_at_us is not None and self.expires_at_us <= now_us:
            return "expired"
        return "active" if self.has_secret else "secret_lost"


class Keys:
    """Creates, verifies, lists and revokes the keys of the database."""

    def __init__(self, database: Database, *, secrets: Secrets, clock: Clock, new_id: NewId) -> None:
        self._database = database
        self._secrets = secrets
        self._clock = clock
        self._new_id = new_id
        self.prints = Prints(database, secrets)
        self._known: dict[bytes, tuple[Caller, int | None, float]] = {}

    async def create(
        self,
        project_id: str,
        *,
        name: str,
        scopes: Sequence[str] = ("call", "read"),
        lifetime_seconds: int | None = None,
    ) -> str:
        """A new key: the only time that its text is seen.

        Raises:
            InvalidRequest: an unknown scope, or none.
            SecretLost: the home's secret is not the one of its database.
        """
        unknown = [scope for scope in scopes if scope not in (*SCOPES, LOGIN)]
        if unknown or not scopes:
            raise InvalidRequest(
                f"Unknown scope '{', '.join(unknown)}'.", hint=f"Known: {', '.join(SCOPES)}.", param="scopes"
            )
        await self.prints.require()
        key_id = self._new_id()
        body = f"{PREFIX}{ids.show('key', key_id).removeprefix('key_')}_{_text(random.token_bytes(32), 52)}"
        key = body + _checksum(body)
        now = self._clock.now_us()
        row = KeyRow(
            id=key_id,
            project_id=project_id,
            name=name,
            verifier=self._verifier(key),
            secret_version=self._secrets.version,
            scopes=tuple(scopes),
            created_at_us=now,
            expires_at_us=None if lifetime_seconds is None else now + lifetime_seconds * 1_000_000,
            revoked_at_us=None,
        )
        await self._database.write_async(lambda tx: repository.insert_key(tx, project_id, row))
        return key

    async def verify(self, key: str) -> Caller:
        """Who holds this key.

        Raises:
            NotAuthenticated: malformed, unknown, expired or revoked.
        """
        place = self._place(key)
        known = self._known.get(place)
        if known is not None and known[2] > self._clock.monotonic():
            return self._unless_expired(known[0], known[1])
        row = await self._find(key)
        if (
            row is None
            or row.revoked_at_us is not None
            or not hmac.compare_digest(row.verifier, self._verifier_of(row, key))
        ):
            raise NotAuthenticated("This API key is unknown or revoked.", hint="Make one: mooring keys create")
        caller = Caller(project_id=row.project_id, scopes=row.scopes, api_key_id=row.id)
        self._unless_expired(caller, row.expires_at_us)
        if len(self._known) >= CACHE_KEYS:
            self._known.clear()
        self._known[place] = (caller, row.expires_at_us, self._clock.monotonic() + CACHE_SECONDS)
        return caller

    async def list(self, project_id: str) -> list[KeyInfo]:
        """A project's keys, newest first, without their secrets."""
        rows = await self._database.read_async(lambda tx: repository.list_keys(tx, project_id))
        kept = await self.prints.kept()
        return [
            KeyInfo(
                id=ids.show("key", row.id),
                project_id=row.project_id,
                name=row.name,
                scopes=row.scopes,
                created_at_us=row.created_at_us,
                expires_at_us=row.expires_at_us,
                revoked_at_us=row.revoked_at_us,
                has_secret=row.secret_version in kept,
            )
            for row in rows
        ]

    async def revoke(self, project_id: str, key_id: str) -> None:
        """Ends a key: here at once, in other processes within two seconds.

        Raises:
            NotFound: no such key in this project, or revoked before.
        """
        value, now = ids.read("key", key_id), self._clock.now_us()
        if not await self._database.write_async(lambda tx: repository.revoke_key(tx, project_id, value, now)):
            raise NotFound(f"This project has no key {key_id} in force.", hint="Run: mooring keys list")
        self._forget(value)

    async def rotate(self, project_id: str, key_id: str, *, overlap_seconds: int) -> str:
        """A new key in the place of one, which goes on for the overlap: time to carry the new one to its users.

        The new one lives as long as the old one was made for.

        Raises:
            NotFound: no such key in this project, or not in force any more.
        """
        now = self._clock.now_us()
        old = next((key for key in await self.list(project_id) if key.id == key_id), None)
        if old is None or old.revoked_at_us is not None or (old.expires_at_us is not None and old.expires_at_us <= now):
            raise NotFound(f"This project has no key {key_id} in force.", hint="Run: mooring keys list")
        lifetime = None if old.expires_at_us is None else (old.expires_at_us - old.created_at_us) // 1_000_000
        new = await self.create(project_id, name=old.name, scopes=old.scopes, lifetime_seconds=lifetime)
        value, until = ids.read("key", key_id), now + overlap_seconds * 1_000_000
        await self._database.write_async(lambda tx: repository.end_key(tx, project_id, value, until))
        self._forget(value)
        return new

    async def exist(self) -> bool:
        """Whether any key is in force, in any project."""
        return await self._database.read_async(repository.any_key_of_any_project)

    def _forget(self, key_id: bytes) -> None:
        self._known = {known: entry for known, entry in self._known.items() if entry[0].api_key_id != key_id}

    async def _find(self, key: str) -> KeyRow | None:
        body, checksum = key[:-6], key[-6:]
        head, _, rest = body.removeprefix(PREFIX).partition("_")
        if not key.startswith(PREFIX) or len(rest) != 52 or not key.isascii() or checksum != _checksum(body):
            raise NotAuthenticated(
                "This is not a Mooring API key.", hint="A key looks like mr_…; check that it was copied whole."
            )
        try:
            key_id = ids.read("key", f"key_{head}")
        except MooringError as error:
            raise NotAuthenticated("This is not a Mooring API key.", hint="Check that it was copied whole.") from error
        return await self._database.read_async(lambda tx: repository.find_key_of_any_project(tx, key_id))

    def _unless_expired(self, caller: Caller, expires_at_us: int | None) -> Caller:
        if expires_at_us is not None and expires_at_us <= self._clock.now_us():
            raise NotAuthenticated("This API key has expired.", hint="Make another: mooring keys create")
        return caller

    def _place(self, key: str) -> bytes:
        """Where a verified key is remembered. Unlike `hmac.digest`, a short BLAKE2 keeps the interpreter to itself."""
        return hashlib.blake2b(key.encode(), key=self._secrets.current[:64], digest_size=32).digest()

    def _verifier(self, key: str) -> bytes:
        return hmac.digest(self._secrets.current, key.encode(), "sha256")

    def _verifier_of(self, row: KeyRow, key: str) -> bytes:
        """By the version of the secret that the key was made with, while the home keeps it."""
        try:
            secret = self._secrets.get(row.secret_version)
        except ConfigError as error:  # dropped, or left out of the backup that this home was made from
            raise NotAuthenticated(
                "This API key was made with a secret that this home does not have.",
                hint="Make another: mooring keys create",
            ) from error
        return hmac.digest(secret, key.encode(), "sha256")


def _text(data: bytes, length: int) -> str:
    number = int.from_bytes(data)
    return "".join(_ALPHABET[number >> 5 * place & 31] for place in reversed(range(length)))


def _checksum(body: str) -> str:
    return _text(zlib.crc32(body.encode()).to_bytes(4), 6)
