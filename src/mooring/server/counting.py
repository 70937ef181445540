"""What the edge counts of each exchange: bytes of calls for the traffic, status and time for the metrics, and its line
in the log where that is JSON. A few additions to integers; what is written is written once a second, elsewhere.
"""

import logging

from mooring.tracing.histogram import bucket_of
from mooring.wiring import Server

from .exchange import Exchange, Reply

log = logging.getLogger("mooring.request")
_CALL, _RUN = b"x-mooring-call", b"x-mooring-run"


class EdgeCounts:
    """The exchanges of this process since its start."""

    def __init__(self, rooms: Server) -> None:
        self._edge = rooms.edge
        self._is_logged = rooms.config.server.log_format == "json"
        self.running = 0
        self.by_status: dict[int, int] = {}
        self.latencies: dict[int, int] = {}
        self.seconds = 0.0
        self.bytes_up = 0
        self.bytes_down = 0

    def __call__(self, exchange: Exchange, reply: Reply, seconds: float, up: int, down: int) -> None:
        """One exchange is over; of a stream, its last byte has been handed to the socket."""
        self.running -= 1
        self.by_status[reply.status] = self.by_status.get(reply.status, 0) + 1
        bucket = bucket_of(int(seconds * 1e6))
        self.latencies[bucket] = self.latencies.get(bucket, 0) + 1
        self.seconds += seconds
        self.bytes_up += up
        self.bytes_down += down
        call = run = None
        for name, value in reply.headers:
            if name == _CALL:
                call = value.decode()
            elif name == _RUN:
                run = value.decode()
        caller = exchange.caller
        if call is not None and caller is not None:
            self._edge.count(call, is_service=caller.is_service, bytes_up=up, bytes_down=down)
        elif run is not None:
            self._edge.count_run(run, bytes_up=up, bytes_down=down)
        if self._is_logged:
            log.info(
                "%s %s %d",
                exchange.method,
                exchange.path,
                reply.status,
                extra={
                    "facts": {
                        "event": "request",
                        "method": exchange.method,
                        "path": exchange.path,
                        "status": reply.status,
                        "milliseconds": round(seconds * 1e3, 3),
                        "call": call,
                        "run": run or exchange.header(_RUN),
                        "project": caller.project_id if caller else None,
                        "bytes_up": up,
                        "bytes_down": down,
                    }
                },
            )
