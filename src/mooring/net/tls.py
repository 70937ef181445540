"""TLS contexts, and the end of a TLS stream told from a cut one."""

import asyncio
import functools
import ssl


@functools.cache
def default_context() -> ssl.SSLContext:
    """The system's roots, host names checked, HTTP/1.1 by ALPN. Made once: reading the roots takes about 20 ms."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


def is_ended(transport: asyncio.BaseTransport) -> bool:
    """At the end of what a transport reads: whether the peer said so itself.

    Under TLS anybody on the way can close the TCP connection; only the peer can send `close_notify`. asyncio and uvloop
    report both alike, so the TLS object is asked.
    """
    tls: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
    if tls is None:
        return True
    try:
        return tls.read(1) == b""
    except ssl.SSLZeroReturnError:
        return True
    except (ssl.SSLError, OSError, ValueError):
        return False
