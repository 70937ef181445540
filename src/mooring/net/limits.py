"""What the pool may hold and what one exchange may buffer."""

from typing import NamedTuple


class PoolLimits(NamedTuple):
    """Per client, which is per event loop.

    `idle_seconds` stays below the 60 s after which common load balancers drop a silent connection; `age_seconds` lets a
    changed DNS name take effect. A body is read into memory up to `high_water_bytes`, then the socket waits.
    """

    connections_per_origin: int = 1024
    idle_per_origin: int = 256
    idle_seconds: float = 30.0
    age_seconds: float = 600.0
    header_bytes: int = 65_536
    high_water_bytes: int = 262_144
