"""W3C trace context: the caller's trace is the call's, and a provider that may know it is told the attempt's span."""

import ipaddress
from urllib.parse import urlsplit


def read(traceparent: str | None) -> tuple[bytes | None, bytes | None]:
    """Trace and parent span of a traceparent; nothing of one that is malformed, as the standard asks."""
    parts = traceparent.split("-") if traceparent else []
    if len(parts) < 4 or len(parts[1]) != 32 or len(parts[2]) != 16:
        return None, None
    try:
        trace, span = bytes.fromhex(parts[1]), bytes.fromhex(parts[2])
    except ValueError:
        return None, None
    return (trace, span) if any(trace) and any(span) else (None, None)


def write(trace_id: bytes, span_id: bytes) -> bytes:
    """A sampled traceparent; of an id of ours the last eight bytes, which are random, are its span."""
    return b"00-%s-%s-01" % (trace_id.hex().encode(), span_id[-8:].hex().encode())


def is_private(url: str) -> bool:
    """Whether a server is on this machine or in a private network, by its address alone: no name is looked up."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return host == "localhost"
