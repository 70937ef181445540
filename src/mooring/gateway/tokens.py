"""Short-lived tokens instead of a key: where they come from, and how long they are used.

`env:`, `file:` and `command:` serve every vendor; what else a vendor's own cloud offers is in its `token_kinds`.
"""

import asyncio
import shlex
from collections.abc import Awaitable, Callable, Mapping
from typing import Generic, NamedTuple, TypeVar

import msgspec

from mooring.core.clock import Clock
from mooring.core.errors import ConfigError, MooringError, UpstreamError
from mooring.core.registry import did_you_mean
from mooring.core.text import shorten
from mooring.net import HttpClient, Request
from mooring.net.deadlines import Deadlines

from .config import read_secret

EARLY_SECONDS = 300.0  # renewed so long before it expires, or after half of a shorter life
AGAIN_SECONDS = 30.0  # a token that could not be renewed is used on, and renewing tried again after so long
SETTLED_SECONDS = 10.0  # a refusal so soon after a token was fetched may be of the one before
READ_SECONDS = 60.0  # another program's file or command: nobody says how long its token lives
ANSWER_LIMIT_BYTES = 256 * 1024
COMMAND_SECONDS = 30.0
DEADLINES = Deadlines(connect_seconds=5.0, first_byte_seconds=15.0, idle_seconds=5.0, total_seconds=20.0)


class NoToken(UpstreamError):
    """There is nothing by which the vendor would know this account; nothing was sent."""


Value = TypeVar("Value")


class Kept(NamedTuple, Generic[Value]):
    """What an authority gave, and how long it lives."""

    value: Value
    lifetime_seconds: float


Token = Kept[str]
Fetch = Callable[[HttpClient], Awaitable[Token]]


class _Granted(msgspec.Struct):
    access_token: str
    expires_in: int | float | str = 600  # Azure's metadata endpoint writes a string


class Tokens(Generic[Value]):
    """One account's token, renewed by one request at a time while the others wait for it."""

    def __init__(self, fetch: Callable[[HttpClient], Awaitable[Kept[Value]]]) -> None:
        self._fetch = fetch
        self._lock = asyncio.Lock()
        self._value: Value | None = None
        self._renew_at = 0.0
        self._expires_at = 0.0
        self._since = 0.0

    async def get(self, http: HttpClient, clock: Clock) -> Value:
        """A token that is good for a while.

        Raises:
            NoToken: there is none; nothing was sent to the vendor.
        """
        if self._value is not None and clock.monotonic() < self._renew_at:
            return self._value
        async with self._lock:
            if self._value is not None and clock.monotonic() < self._renew_at:
                return self._value
            return await self._renew(http, clock)

    def refused(self, clock: Clock) -> None:
        """The vendor says that it is none, whatever its announced end: the next who asks gets another.

        Not for a while after it was fetched: what was under way with the one before is refused then, too.
        """
        if clock.monotonic() - self._since >= SETTLED_SECONDS:
            self._value = None

    async def _renew(self, http: HttpClient, clock: Clock) -> Value:
        now = clock.monotonic()
        try:
            token = await self._fetch(http)
        except MooringError as error:
            if self._value is None or now >= self._expires_at:
                self._value = None
                if isinstance(error, NoToken):
                    raise
                raise NoToken(f"No token: {error.message}", hint=error.hint) from error
            self._renew_at = min(now + AGAIN_SECONDS, self._expires_at)
            return self._value
        self._value, self._since = token.value, now
        self._expires_at = now + token.lifetime_seconds
        self._renew_at = self._expires_at - min(EARLY_SECONDS, token.lifetime_seconds / 2)
        return token.value


def tokens_of(name: str, reference: str, kinds: Mapping[str, Fetch]) -> Tokens[str]:
    """The tokens that a provider's `token` names.

    Raises:
        ConfigError: this vendor has no such kind.
    """
    if reference.startswith(("env:", "file:")):
        return Tokens(lambda _: _read(reference))
    if reference.startswith("command:"):
        return Tokens(lambda _: _run(shlex.split(reference.removeprefix("command:"))))
    if reference not in kinds:
        known = [*kinds, "env:NAME", "file:PATH", "command:LINE"]
        raise ConfigError(
            f"Provider '{name}' gets no token from '{reference}'.",
            hint=did_you_mean(reference, known),
            param=f"gateway.providers.{name}.token",
        )
    return Tokens(kinds[reference])


async def granted(http: HttpClient, request: Request, who: str) -> Token:
    """The token that an authority answers with, in OAuth's shape.

    Raises:
        NoToken: it gives none, or does not answer.
    """
    body = await told(http, request, who)
    try:
        found = msgspec.json.decode(body, type=_Granted)
        return Token(found.access_token, float(found.expires_in))
    except (msgspec.DecodeError, ValueError) as error:
        raise NoToken(f"No token from {who}: its answer is not one of OAuth's.") from error


async def told(http: HttpClient, request: Request, who: str) -> bytes:
    """What an authority answers.

    Raises:
        NoToken: it refuses, or does not answer.
    """
    try:
        async with await http.send(request, deadlines=DEADLINES) as response:
            body = await response.read(ANSWER_LIMIT_BYTES)
    except MooringError as error:
        raise NoToken(f"No token from {who}: {error.message}", hint=error.hint) from error
    if response.status != 200:
        said = shorten(body.decode("utf-8", "replace"), 300)
        raise NoToken(f"No token from {who}, which answered {response.status}: {said}")
    return body


async def _read(reference: str) -> Token:
    return Token(read_secret(reference), READ_SECONDS)


async def _run(command: list[str]) -> Token:
    return Token(await printed(command), READ_SECONDS)


async def printed(command: list[str]) -> str:
    """What the command prints, which is never shown.

    Raises:
        NoToken: it ends with an error, or not in time.
        ConfigError: it cannot be run.
    """
    if not command:
        raise ConfigError(
            "The token's command is empty.", hint='Write token = "command:gcloud auth print-access-token".'
        )
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
    except OSError as error:
        raise ConfigError(
            f"The token's command {command[0]} cannot be run: {error.strerror}.", hint="Install it, or give its path."
        ) from error
    try:
        async with asyncio.timeout(COMMAND_SECONDS):
            said, complaint = await process.communicate()
    except TimeoutError as error:
        raise NoToken(f"The token's command {command[0]} has not ended after {COMMAND_SECONDS:.0f} s.") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    value = said.decode("utf-8", "replace").strip()
    if process.returncode or not value:
        why = shorten(complaint.decode("utf-8", "replace").strip(), 300)
        raise NoToken(f"The token's command {command[0]} ended with {process.returncode}: {why}")
    return value
