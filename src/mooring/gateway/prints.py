"""Whether a home's secret is the one that its database was used with: of each version the database keeps a print.

A `secret.key` that was lost is made anew by the next process, and would pass for the old one: every key would be
refused without a reason. With the print this is said at the start.
"""

import hmac
from collections.abc import Mapping
from typing import Protocol

from mooring.core.errors import ConfigError
from mooring.storage.database import Database
from mooring.storage.transaction import Tx

from . import repository

_WORDS = b"mooring: the print of a secret"


class Secrets(Protocol):
    """The home's secret: what `storage.home` keeps, in versions."""

    @property
    def current(self) -> bytes: ...
    @property
    def version(self) -> int: ...
    @property
    def versions(self) -> tuple[int, ...]: ...
    def get(self, version: int, /) -> bytes: ...


class SecretLost(ConfigError):
    """The secret is not the one that the keys of this database were made with."""

    code = "secret_lost"


def print_of(secret: bytes) -> bytes:
    """What tells a secret from others, and not what it is."""
    return hmac.digest(secret, _WORDS, "sha256")[:16]


class Prints:
    """The prints in the database, beside the secrets of the home."""

    def __init__(self, database: Database, secrets: Secrets) -> None:
        self._database = database
        self._secrets = secrets

    async def strangers(self) -> tuple[int, ...]:
        """Versions that the home holds another secret for than the one which the database knows."""
        return await self._database.read_async(self._strangers)

    def look(self) -> None:
        """What `require` says, for who has no loop; notes nothing.

        Raises:
            SecretLost: a version is another secret than it was.
        """
        if strangers := self._database.read(self._strangers):
            raise lost(strangers)

    async def kept(self) -> frozenset[int]:
        """Versions of which the home holds the secret."""
        return frozenset(self._secrets.versions) - frozenset(await self.strangers())

    async def newest(self) -> int:
        """The newest version that the database knows; 0 if none."""
        return max(await self._database.read_async(repository.prints), default=0)

    async def require(self) -> None:
        """Notes versions that are new.

        Raises:
            SecretLost: a version is another secret than it was; nothing is noted.
        """
        strangers = await self.strangers()
        if not strangers and await self._database.read_async(self._is_noted):
            return

        def note(tx: Tx) -> tuple[int, ...]:
            if not strangers:
                repository.note_prints(tx, self._prints())
            return self._strangers(tx)

        if strangers := strangers or await self._database.write_async(note):
            raise lost(strangers)

    def _prints(self) -> dict[int, bytes]:
        return {version: print_of(self._secrets.get(version)) for version in self._secrets.versions}

    def _strangers(self, tx: Tx) -> tuple[int, ...]:
        return strangers_of(self._prints(), repository.prints(tx))

    def _is_noted(self, tx: Tx) -> bool:
        return self._prints().keys() <= repository.prints(tx).keys()


def strangers_of(held: Mapping[int, bytes], known: Mapping[int, bytes]) -> tuple[int, ...]:
    """Versions that both have, and not the same."""
    return tuple(sorted(number for number, value in held.items() if known.get(number, value) != value))


def lost(versions: tuple[int, ...]) -> SecretLost:
    """What happened, and both ways on."""
    shown = ", ".join(map(str, versions))
    return SecretLost(
        f"secret.key is not the one that this database was used with (version {shown}): the old one was lost or moved, "
        "and no API key made with it can be checked.",
        hint="Put it back into the home from a backup or another replica. If it is gone for good, "
        "`mooring keys new-secret` goes on with a new one, and keys are made again.",
    )
