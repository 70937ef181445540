"""Every route of the server, in one list: who may call it is declared beside it."""

from mooring.wiring import Server

from . import (
    batches,
    calls,
    chat,
    collections,
    embeddings,
    files,
    gemini,
    health,
    messages,
    metrics,
    otlp,
    passthrough,
    plain,
    responses,
    runs,
    traces,
)
from .counting import EdgeCounts
from .server import Application
from .ui import pages


def create_application(rooms: Server) -> Application:
    """The ASGI application over the wired rooms.

    Raises:
        ConfigError: a route declares no scope.
    """
    counts = EdgeCounts(rooms)
    routes = [
        *chat.routes(rooms),
        *embeddings.routes(rooms),
        *messages.routes(rooms),
        *responses.routes(rooms),
        *gemini.routes(rooms),
        *runs.routes(rooms),
        *calls.routes(rooms),
        *traces.routes(rooms),
        *otlp.routes(rooms),
        *collections.routes(rooms),
        *metrics.routes(rooms, counts),
        *health.routes(rooms),
        *plain.routes(rooms),
        *files.routes(rooms),
        *batches.routes(rooms),
        *pages.routes(rooms),
        *passthrough.routes(rooms),  # whatever else begins with a provider's name
    ]
    return Application(rooms, routes, counts)
