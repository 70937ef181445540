"""TLS contexts, and the end of a TLS stream told from a cut one."""

import asyncio
import functools
import ssl
from typing import NamedTuple

from mooring.core.errors import ConfigError


class Credentials(NamedTuple):
    """Files in PEM: authorities beside the system's, and what this side shows of itself; its key may be apart."""

    ca_bundles: tuple[str, ...] = ()
    certificate: str | None = None
    key: str | None = None
    password: str | None = None


def context_of(credentials: Credentials) -> ssl.SSLContext:
    """A context like the default one, with these files.

    Raises:
        ConfigError: a file is not there, or is not what it should be.
    """
    context = _made()
    for bundle in credentials.ca_bundles:
        try:
            context.load_verify_locations(cafile=bundle)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(
                f"The bundle of authorities {bundle} cannot be used: {_said(error)}.",
                hint="Name a file of certificates in PEM.",
                param="ca_bundle",
            ) from error
    if credentials.certificate is not None:
        try:
            context.load_cert_chain(credentials.certificate, credentials.key, lambda: credentials.password or "")
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(
                f"The client certificate {credentials.certificate} cannot be used: {_said(error)}.",
                hint="Name a file in PEM with the certificate and its key, or the key in a file of its own.",
                param="client_certificate",
            ) from error
    return context


def _said(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or "it is not PEM").replace("_", " ").lower()
    return error.strerror or str(error)


@functools.cache
def default_context() -> ssl.SSLContext:
    """The system's roots, host names checked, HTTP/1.1 by ALPN. Made once: reading the roots takes about 20 ms."""
    return _made()


def _made() -> ssl.SSLContext:
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
