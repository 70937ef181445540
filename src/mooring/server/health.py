"""`/healthz`: the process lives. `/readyz`: it can take work: the database answers and has room, it is not draining."""

from mooring.core.errors import MooringError, Unavailable
from mooring.wiring import Server

from .exchange import Exchange, Reply, json_reply
from .server import Route


def routes(rooms: Server) -> list[Route]:
    async def healthz(exchange: Exchange) -> Reply:
        return json_reply({"status": "ok", "version": rooms.version})

    async def readyz(exchange: Exchange) -> Reply:
        if rooms.is_draining:
            raise Unavailable("This server is shutting down.")
        rooms.database.require_space()
        try:
            await rooms.database.read_async(lambda tx: tx.one("SELECT 1"))
        except MooringError as error:
            raise Unavailable(f"The database does not answer: {error}") from error
        return json_reply({"status": "ready", "version": rooms.version})

    return [Route("GET", "/healthz", "public", healthz), Route("GET", "/readyz", "public", readyz)]
