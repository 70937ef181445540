"""Proxies on the way out: which one the environment names for an origin, and the tunnel through it.

`HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`, small letters first, as curl reads them. Everything goes
through a tunnel (CONNECT), plain http too, so that a proxy never sees a request. This machine and link-local addresses
(a cloud's metadata) are never asked for through a proxy.
"""

import asyncio
import base64
import ipaddress
import ssl
from collections.abc import Mapping
from typing import NamedTuple, cast
from urllib.parse import unquote, urlsplit

from mooring.core.errors import ConfigError, UpstreamDisconnected

from .connection import Connection
from .request import Origin

_MOST_HEAD_BYTES = 16_384
_LOCAL = ("localhost", "ip6-localhost")


class Proxy(NamedTuple):
    """Where it listens, and what it wants to see; `origin` with https: TLS to the proxy itself."""

    origin: Origin
    authorization: bytes | None = None

    def __str__(self) -> str:
        return str(self.origin)


class Way(NamedTuple):
    """A proxy, and the TLS context towards itself, if it speaks TLS."""

    proxy: Proxy
    tls: ssl.SSLContext | None


class Proxies(NamedTuple):
    """What the environment says: a proxy by the scheme of the target, and where to go without one."""

    by_scheme: Mapping[str, Proxy] = {}
    without: tuple[str, ...] = ()

    def of(self, origin: Origin) -> Proxy | None:
        """The proxy for a target, if it has one."""
        proxy = self.by_scheme.get(origin.scheme)
        return None if proxy is None or _is_local(origin.host) or _is_listed(origin, self.without) else proxy


def from_environment(environment: Mapping[str, str]) -> Proxies:
    """The proxies that the environment names.

    Raises:
        ConfigError: one that cannot be used; the message names its variable, never its password.
    """
    found: dict[str, Proxy] = {}
    for scheme in ("https", "http"):
        for name in (f"{scheme}_proxy", f"{scheme}_proxy".upper(), "all_proxy", "ALL_PROXY"):
            value = environment.get(name, "").strip()
            if value:
                found[scheme] = _read(name, value)
                break
    listed = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    return Proxies(found, tuple(entry for entry in listed.replace(",", " ").lower().split()))


def _read(name: str, value: str) -> Proxy:
    hint = f"Write {name}=http://host:port, or http://user:password@host:port."
    try:
        parts = urlsplit(value if "://" in value else f"http://{value}")
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ConfigError(f"{name} is not the address of a proxy.", hint=hint, param=name) from None
    if parts.scheme not in ("http", "https"):
        raise ConfigError(f"{name} names a proxy of kind '{parts.scheme}', which is not known.", hint=hint, param=name)
    if not host or parts.path.strip("/"):
        raise ConfigError(f"{name} is not the address of a proxy.", hint=hint, param=name)
    authorization = None
    if parts.username is not None:
        user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = b"Basic " + base64.b64encode(user.encode())
    is_tls = parts.scheme == "https"
    return Proxy(Origin("https" if is_tls else "http", host, port or (443 if is_tls else 80)), authorization)


def _is_local(host: str) -> bool:
    if host.lower() in _LOCAL:
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_link_local


def _is_listed(origin: Origin, entries: tuple[str, ...]) -> bool:
    """Whether NO_PROXY names it: `*`, a name and all under it, an address, a network; each maybe with a port."""
    return any(_matches(origin, entry) for entry in entries)


def _matches(origin: Origin, entry: str) -> bool:
    host = origin.host.lower()
    if entry == "*":
        return True
    try:
        network = ipaddress.ip_network(entry.strip("[]"), strict=False)
    except ValueError:
        name, colon, port = entry.rpartition(":")
        if colon and port.isdecimal():
            return int(port) == origin.port and _matches(origin, name)
        name = entry.lstrip("*").strip(".")
        return bool(name) and (host == name or host.endswith(f".{name}"))
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.version == network.version and address in network


class Tunnel(asyncio.Protocol):
    """The first words on a connection to a proxy: CONNECT, and its answer. Then the connection is somebody else's."""

    def __init__(self, proxy: Proxy, target: Origin) -> None:
        self._proxy = proxy
        self._target = target
        self._head = bytearray()
        self._open: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        host = f"[{self._target.host}]" if ":" in self._target.host else self._target.host
        where = f"{host}:{self._target.port}".encode()
        lines = [b"CONNECT %b HTTP/1.1" % where, b"host: %b" % where]
        if self._proxy.authorization is not None:
            lines.append(b"proxy-authorization: " + self._proxy.authorization)
        self.transport.write(b"\r\n".join(lines) + b"\r\n\r\n")

    def data_received(self, data: bytes) -> None:
        self._head += data
        if self._open.done():
            return
        head, end, rest = self._head.partition(b"\r\n\r\n")
        if end:
            self._answered(bytes(head.split(b"\r\n")[0]), has_more=bool(rest))
        elif len(self._head) > _MOST_HEAD_BYTES:
            self._fail("answers with more than a head")

    def _answered(self, line: bytes, *, has_more: bool) -> None:
        words = line.split(b" ", 2)
        if not words[0].startswith(b"HTTP/1.") or len(words) < 2:
            self._fail("does not speak HTTP")
        elif words[1] == b"407":
            self._fail("wants a user and a password", "Set them in the proxy's variable: http://user:password@host.")
        elif not words[1].startswith(b"2"):
            said = b" ".join(words[1:])[:80].decode("ascii", "replace").strip()
            self._fail(f"refuses it: {said}", "Ask whoever runs the proxy, or list the host in NO_PROXY.")
        elif has_more:  # the server speaks second: whoever spoke is not it
            self._fail("speaks into the tunnel")
        else:
            assert self.transport is not None
            self.transport.pause_reading()
            self._open.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail("closed the connection")

    def _fail(self, what: str, hint: str = "Check the proxy's address, and that it allows CONNECT.") -> None:
        if not self._open.done():
            self._open.set_exception(
                UpstreamDisconnected(f"{self._target} cannot be reached: the proxy {self._proxy} {what}.", hint=hint)
            )

    async def opened(self) -> asyncio.Transport:
        """The transport, once the proxy has opened the way.

        Raises:
            UpstreamDisconnected: it has not, and why.
        """
        try:
            await self._open
        except BaseException:
            if self.transport is not None:
                self.transport.abort()
            raise
        assert self.transport is not None
        return self.transport


async def handed_over(
    transport: asyncio.Transport, connection: Connection, origin: Origin, tls: ssl.SSLContext | None
) -> None:
    """Give an open tunnel to the connection, under TLS with the target itself where it is https."""
    if tls is None:
        transport.set_protocol(connection)
        connection.connection_made(transport)
        transport.resume_reading()
        return
    loop = asyncio.get_running_loop()
    try:
        secured = await loop.start_tls(transport, connection, tls, server_hostname=origin.host)
    except BaseException:
        transport.abort()
        raise
    assert secured is not None
    connection.connection_made(secured)
