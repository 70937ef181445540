"""OTLP in over HTTP: spans of other programs. 200 is said when they are committed, and not before."""

import asyncio
import zlib
from functools import partial

from mooring.core.errors import InvalidRequest, MooringError, TooLarge
from mooring.tracing import protobuf
from mooring.tracing.foreign import Foreign
from mooring.tracing.receiving import receive
from mooring.wiring import Server

from .exchange import Exchange, Reply, json_reply
from .server import Route, caller_of

JSON, PROTOBUF = "application/json", "application/x-protobuf"
_GZIP = 16 + zlib.MAX_WBITS


class UnsupportedMedia(MooringError):
    """A content type or encoding that OTLP does not have."""

    status = 415
    code = "unsupported_media_type"


def routes(rooms: Server) -> list[Route]:
    foreign = Foreign(rooms.spans)
    most = rooms.config.server.body_limit_bytes

    async def post(exchange: Exchange) -> Reply:
        is_protobuf = _is_protobuf(exchange.header(b"content-type"))
        body = await exchange.body()
        encoding = (exchange.header(b"content-encoding") or "identity").strip().lower()
        if encoding == "gzip":
            body = await asyncio.to_thread(unzipped, body, most)
        elif encoding != "identity":
            raise UnsupportedMedia(f"Content-Encoding '{encoding[:40]}' is not read.", hint="Send gzip, or none.")
        read = partial(receive, body, is_protobuf=is_protobuf, redact=rooms.redactor)
        spans, refused, problem = await asyncio.to_thread(read)
        if spans:
            await foreign.put(caller_of(exchange).project_id, spans, at_us=rooms.clock.now_us())
        reason = f"{refused} of {refused + len(spans)} spans were refused. The first: {problem}." if refused else ""
        if is_protobuf:
            return Reply(200, protobuf.refusal(refused, reason) if refused else b"", PROTOBUF)
        partial_success = {"rejectedSpans": str(refused), "errorMessage": reason}
        return json_reply({"partialSuccess": partial_success} if refused else {})

    return [Route("POST", "/v1/traces", "write", post)]


def _is_protobuf(content_type: str | None) -> bool:
    kind = (content_type or "").partition(";")[0].strip().lower()
    if kind not in (JSON, PROTOBUF):
        raise UnsupportedMedia(f"Spans do not come as '{kind[:40]}'.", hint=f"Send {JSON} or {PROTOBUF}.")
    return kind == PROTOBUF


def unzipped(body: bytes, most: int) -> bytes:
    """A gzip body, of which no more is unpacked than `most`.

    Raises:
        TooLarge: there is more.
        InvalidRequest: it is no gzip, or not whole, or something follows it.
    """
    unpacker = zlib.decompressobj(_GZIP)
    try:
        data = unpacker.decompress(body, most + 1)
    except zlib.error as error:
        raise InvalidRequest(f"The body is not gzip: {error}.") from error
    if len(data) > most:
        raise TooLarge(
            f"Unpacked, the body is larger than {most} bytes.", hint="Raise [server] body_limit_bytes, or send less."
        )
    if not unpacker.eof or unpacker.unused_data:
        raise InvalidRequest("The gzip body is cut off, or something follows it.", hint="Send one gzip member.")
    return data
