"""`GET /metrics`: Prometheus' text format, for a key with the scope `metrics`."""

import shutil

from mooring.tracing import metrics
from mooring.tracing.metrics import Family, histogram, one
from mooring.wiring import Server

from .counting import EdgeCounts
from .exchange import Exchange, Reply
from .server import Route


def routes(rooms: Server, counts: EdgeCounts) -> list[Route]:
    async def get(exchange: Exchange) -> Reply:
        families = [*await metrics.of_calls(rooms.journal, rooms.spans), *of_process(rooms, counts)]
        return Reply(200, metrics.expose(families), metrics.CONTENT_TYPE)

    return [Route("GET", "/metrics", "metrics", get)]


def of_process(rooms: Server, counts: EdgeCounts) -> list[Family]:
    """This process's own figures: its exchanges, its writer, its disk."""
    written = rooms.database.counters
    disk = shutil.disk_usage(rooms.home.path)
    return [
        Family(
            "http_requests_total",
            "counter",
            "Exchanges of this process by status.",
            [("", {"status": str(status)}, count) for status, count in sorted(counts.by_status.items())],
        ),
        Family(
            "http_request_seconds",
            "histogram",
            "How long exchanges of this process took, streams to their end.",
            histogram(counts.latencies, counts.seconds, {}),
        ),
        Family(
            "http_bytes_total",
            "counter",
            "Bytes through this process's sockets.",
            [("", {"direction": "in"}, counts.bytes_up), ("", {"direction": "out"}, counts.bytes_down)],
        ),
        one("http_requests_running", "gauge", "Exchanges of this process that are under way.", counts.running),
        one("writer_batches_total", "counter", "Transactions of this process's writer.", written.batches),
        one("writer_operations_total", "counter", "Operations in them: over batches, their size.", written.operations),
        one("writer_retried_total", "counter", "Batches that failed as a whole.", written.retried),
        one("traffic_lost_total", "counter", "Exchanges whose bytes could not be kept.", rooms.edge.lost),
        one("disk_free_bytes", "gauge", "Free on the disk of MOORING_HOME.", disk.free),
        one("draining", "gauge", "1 while this process must end.", int(rooms.is_draining)),
    ]
