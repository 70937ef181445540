"""How long each part of an exchange may take."""

from typing import NamedTuple


class Deadlines(NamedTuple):
    """Seconds. Whichever passes first ends the exchange with `UpstreamTimeout`, whose `param` names it.

    connect: a free connection, name look-up, TCP and TLS. first_byte: from sending the request to the whole response
    head. idle: silence while the body comes (not counted while the reader is the slow one). total: all of it.
    """

    connect_seconds: float = 10.0
    first_byte_seconds: float = 120.0
    idle_seconds: float = 60.0
    total_seconds: float = 600.0
