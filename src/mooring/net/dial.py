"""New connections: look up, judge, connect to the judged address or through a proxy, TLS."""

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Callable

from mooring.core.errors import UpstreamDisconnected

from .connection import Connection
from .egress import EgressPolicy, IpAddress
from .proxy import Tunnel, Way, handed_over
from .request import Origin


async def dial(
    origin: Origin,
    make: Callable[[], Connection],
    *,
    egress: EgressPolicy,
    tls: ssl.SSLContext | None,
    through: Way | None = None,
) -> Connection:
    """A connection to the first address that answers, or through the proxy; the caller sets the time.

    Raises:
        EgressDenied: no address of the host may be reached.
        UpstreamDisconnected: the name is unknown, nobody listens, the proxy refuses, or the certificate does not hold.
    """
    if through is not None:
        return await _through(through, origin, make, egress, tls)
    addresses = egress.filter(origin.host, await resolve(origin))
    failed: OSError | None = None
    for left, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
        try:
            return await _connect(origin, address, make, tls, is_last=left == 1)
        except ssl.SSLCertVerificationError as error:
            raise _untrusted(origin, error) from error
        except OSError as error:
            failed = error
    raise UpstreamDisconnected(
        f"{origin} cannot be reached: {_why(failed)}.", hint="Check the address, and that the server is up."
    ) from failed


async def _through(
    way: Way, origin: Origin, make: Callable[[], Connection], egress: EgressPolicy, tls: ssl.SSLContext | None
) -> Connection:
    """A tunnel through the proxy, which is the operator's own and is not judged; its target is.

    A name that only the proxy's side can look up is left to the proxy; one that is known here must be allowed here.
    """
    try:
        addresses = await resolve(origin)
    except UpstreamDisconnected:
        addresses = []
    if addresses:
        egress.filter(origin.host, addresses)
    connection = make()
    try:
        transport = await _tunnel(way, origin)
        await handed_over(transport, connection, origin, tls)
    except ssl.SSLCertVerificationError as error:
        raise _untrusted(origin, error) from error
    except OSError as error:
        raise UpstreamDisconnected(
            f"{origin} cannot be reached through the proxy {way.proxy}: {_why(error)}.",
            hint="Check the proxy's address, and that it allows CONNECT.",
        ) from error
    return connection


async def _tunnel(way: Way, origin: Origin) -> asyncio.Transport:
    proxy = way.proxy
    try:
        _, tunnel = await asyncio.get_running_loop().create_connection(
            lambda: Tunnel(proxy, origin),
            proxy.origin.host,
            proxy.origin.port,
            ssl=way.tls,
            server_hostname=proxy.origin.host if way.tls is not None else None,
        )
    except ssl.SSLCertVerificationError as error:
        raise _untrusted(proxy.origin, error) from error
    except OSError as error:
        raise UpstreamDisconnected(
            f"The proxy {proxy} cannot be reached: {_why(error)}.",
            hint=f"Check HTTPS_PROXY and HTTP_PROXY, or list {origin.host} in NO_PROXY.",
        ) from error
    return await tunnel.opened()


def _untrusted(origin: Origin, error: ssl.SSLCertVerificationError) -> UpstreamDisconnected:
    return UpstreamDisconnected(
        f"{origin}: the certificate does not hold: {error.verify_message}.",
        hint="Check the host name; name a private authority's certificates in ca_bundle.",
    )


async def resolve(origin: Origin) -> list[IpAddress]:
    """Every address of the host, in the system's order.

    Raises:
        UpstreamDisconnected: the name is unknown.
    """
    try:
        return [ipaddress.ip_address(origin.host)]
    except ValueError:
        pass
    try:
        found = await asyncio.get_running_loop().getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise UpstreamDisconnected(
            f"The host name '{origin.host}' is unknown.", hint="Check the spelling and the name server."
        ) from error
    return [ipaddress.ip_address(address[0]) for *_, address in found]


# An address that never answers must not eat the time of those that would (an IPv6 route into the void).
_TRY_NEXT_SECONDS = 2.0


async def _connect(
    origin: Origin, address: IpAddress, make: Callable[[], Connection], tls: ssl.SSLContext | None, *, is_last: bool
) -> Connection:
    async with asyncio.timeout(None if is_last else _TRY_NEXT_SECONDS):
        _, connection = await asyncio.get_running_loop().create_connection(
            make, str(address), origin.port, ssl=tls, server_hostname=origin.host if tls is not None else None
        )
    return connection


def _why(error: OSError | None) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "nobody listens there"
    if isinstance(error, TimeoutError):
        return "no answer"
    if isinstance(error, ssl.SSLError):
        return f"the TLS handshake failed ({error.reason or 'closed'})"
    return (error.strerror if error is not None else None) or "no answer"
