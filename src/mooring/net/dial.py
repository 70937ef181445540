"""New connections: look up, judge, connect to the judged address, TLS."""

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Callable

from mooring.core.errors import UpstreamDisconnected

from .connection import Connection
from .egress import EgressPolicy, IpAddress
from .request import Origin


async def dial(
    origin: Origin, make: Callable[[], Connection], *, egress: EgressPolicy, tls: ssl.SSLContext | None
) -> Connection:
    """A connection to the first address that answers; the caller sets the time.

    Raises:
        EgressDenied: no address of the host may be reached.
        UpstreamDisconnected: the name is unknown, nobody listens, or the certificate does not hold.
    """
    addresses = egress.filter(origin.host, await resolve(origin))
    failed: OSError | None = None
    for left, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
        try:
            return await _connect(origin, address, make, tls, is_last=left == 1)
        except ssl.SSLCertVerificationError as error:
            raise UpstreamDisconnected(
                f"{origin}: the certificate does not hold: {error.verify_message}.",
                hint="Check the host name, or give a TLS context that knows the authority.",
            ) from error
        except OSError as error:
            failed = error
    raise UpstreamDisconnected(
        f"{origin} cannot be reached: {_why(failed)}.", hint="Check the address, and that the server is up."
    ) from failed


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
