"""Every parser that faces the outside, with valid samples to mutate: any bytes get a value or the parser's own error.

Where bytes come in pieces, what is found in them must not depend on where they were cut.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from mooring.core import ids
from mooring.core.clock import SystemClock
from mooring.core.errors import InvalidRequest, MooringError, NotAuthenticated, TooLarge, UpstreamError
from mooring.core.events import events_of
from mooring.gateway import multipart, tracecontext
from mooring.gateway.codecs import registry as codecs
from mooring.gateway.keys import Keys
from mooring.net.answer import AnswerParser
from mooring.net.eventstream import EventStreamParser, frame
from mooring.net.limits import PoolLimits
from mooring.net.request import Request, parse_url
from mooring.net.response import Response, Traffic
from mooring.net.sse import SseParser
from mooring.server.exchange import Exchange
from mooring.server.parser import RequestParser
from mooring.storage import Database

from . import golden
from .house import Secret

WIRES = sorted(codecs.names())
CHATS = sorted({*golden.INBOUND, *golden.UPSTREAM})
FORM = (
    b'--b\r\ncontent-disposition: form-data; name="model"\r\n\r\nm\r\n'
    b'--b\r\ncontent-disposition: form-data; name="file"; filename="a.wav"\r\n'
    b"content-type: audio/wav\r\n\r\nRIFF\x00\r\n--b--\r\n"
)
PLAIN = (
    b'{"model":"m","input":["x","y"],"dimensions":8,"user":"u"}',
    b'{"model":"m","query":"q","documents":["x",{"text":"y"}],"top_n":1}',
    b'{"model":"m","prompt":"a ship","n":2,"size":"1024x1024"}',
    b'{"model":"m","texts":["x"],"input_type":"search_query","embedding_types":["float"]}',
    b'{"requests":[{"model":"models/m","content":{"parts":[{"text":"x"}]}}]}',
    b'{"model":"m","messages":[{"role":"user","content":"x"}],"tools":[{"type":"function","function":{"name":"f"}}]}',
)
ANSWERS = (
    b'{"object":"list","data":[{"index":0,"embedding":[0.1,-2e-3]}],"usage":{"prompt_tokens":3,"total_tokens":3}}',
    b'{"embeddings":{"float":[[0.5]]},"meta":{"billed_units":{"input_tokens":2}}}',
    b'{"embeddings":[{"values":[0.1]}],"totalTokens":4,"input_tokens":5}',
    b'{"results":[{"index":0,"relevance_score":0.5}],"data":[{"b64_json":"AAAA"}],"text":"said"}',
    b'{"error":{"message":"no","type":"invalid_request_error","code":"context_length_exceeded","param":"input"}}',
)


class Parser(NamedTuple):
    """`check` raises only where the parser is wrong."""

    samples: tuple[bytes, ...]
    check: Callable[[bytes], None]


def pieces_of(data: bytes) -> Iterable[list[bytes]]:
    """Ways to cut: in halves, in thirds, and a few bytes into each single one."""
    half, third = len(data) // 2, len(data) // 3
    yield [data[:half], data[half:]]
    yield [data[:third], data[third : 2 * third], data[2 * third :]]
    if len(data) <= 128:
        yield [data[at : at + 1] for at in range(len(data))]


def same_however_cut(outcome: Callable[[list[bytes]], object]) -> Callable[[bytes], None]:
    def check(data: bytes) -> None:
        whole = outcome([data])
        for pieces in pieces_of(data):
            assert outcome(pieces) == whole, "cut elsewhere, something else was found"

    return check


def framed(parser: Any, pieces: list[bytes]) -> list[object]:
    """What a parser of a stream finds, and how it ends; at a limit or a break, the end alone is comparable."""
    found: list[object] = []
    try:
        for piece in pieces:
            found += parser.feed(piece)
        parser.close()
    except TooLarge:
        return ["too large"]
    except UpstreamError:
        return ["broken"]
    return found


def http_request(pieces: list[bytes]) -> list[object]:
    got: list[Exchange] = []
    parser = RequestParser(scheme="http", body_limit_bytes=4096, on_request=got.append, on_wanted=lambda: None)
    for piece in pieces:
        parser.feed(piece)
        if parser.problem is not None:
            assert isinstance(parser.problem, MooringError)
            return ["refused"]
    return [(one.method, one.path, one.headers, one.query_string, one.keeps_alive, one.is_ended) for one in got]


def http_answer(pieces: list[bytes]) -> list[object]:
    parser = AnswerParser(parse_url("http://x/").origin, PoolLimits())
    response = Response(Request("POST", "http://x/", [], b""), Traffic(), None)
    parser.start(response)
    try:
        for piece in pieces:
            parser.feed(piece)
    except (UpstreamError, TooLarge):
        return ["refused"]
    finally:
        parser.close()
    return [response.status, response.content_length, response.buffered_bytes, parser.phase]


def own_errors(parse: Callable[[bytes], object], *errors: type[Exception]) -> Callable[[bytes], None]:
    def check(data: bytes) -> None:
        try:
            parse(data)
        except errors:
            return

    return check


def request(wire: str) -> Callable[[bytes], None]:
    codec = codecs.get(wire)()

    def parse(data: bytes) -> None:
        codec.elements(codec.decode_request(data, model=None, is_stream=False).fields)

    return own_errors(parse, InvalidRequest)


def response(wire: str) -> Callable[[bytes], None]:
    codec = codecs.get(wire)()

    def parse(data: bytes) -> None:
        codec.is_error(data)
        codec.decode_error(500, {}, data)
        codec.decode_response(data)

    return own_errors(parse, UpstreamError)


def stream(wire: str) -> Callable[[bytes], None]:
    codec = codecs.get(wire)()

    def parse(data: bytes) -> None:
        decoder = codec.decoder()
        for payload in codec.framing(1 << 20).feed(data):
            decoder.feed(payload)

    def single(data: bytes) -> None:
        codec.decoder().feed(data)

    framed_, bare = own_errors(parse, UpstreamError, TooLarge), own_errors(single, UpstreamError)

    def check(data: bytes) -> None:
        framed_(data)
        bare(data)

    return check


@contextlib.contextmanager
def keys(folder: Path) -> Iterator[Parser]:
    """A key that exists, and what is done to it: no other text is let in."""
    database = Database.open(f"sqlite:///{folder / 'keys.db'}")
    with contextlib.closing(database), asyncio.Runner() as runner:
        known = Keys(database, secrets=Secret(), clock=SystemClock(), new_id=ids.new_id)
        key = runner.run(known.create("default", name="fuzz", scopes=["call"])).encode()

        def check(data: bytes) -> None:
            try:
                runner.run(known.verify(data.decode("latin-1")))
            except NotAuthenticated:
                return
            assert data == key, "another text was taken for the key"

        yield Parser((key,), check)


def requests_of(wire: str) -> tuple[bytes, ...]:
    own = golden.REQUESTS.get(wire)
    return (*([msgspec.json.encode(own)] if own else []), *PLAIN)


def answers_of(wire: str) -> tuple[bytes, ...]:
    own = (codecs.get(wire)().encode_response(golden.ANSWER, {}),) if wire in CHATS else ()
    return (*own, *ANSWERS)


def streams_of(wire: str) -> tuple[bytes, ...]:
    codec = codecs.get(wire)()
    whole = codec.encoder(wants_usage=True, asked={}).encode(list(events_of(golden.ANSWER)))
    return (whole, *codec.framing(1 << 20).feed(whole))


def headers_of(data: bytes) -> None:
    tracecontext.read(data.decode("latin-1"))


PARSERS = {
    "sse": Parser(
        (
            b'event: a\ndata: {"x":1}\nid: 7\n\ndata: y\ndata: z\r\n\r\n: keep\rretry: 5\n\ndata: [DONE]\n\n',
            b"data:\n\n",
        ),
        same_however_cut(lambda pieces: framed(SseParser(limit_bytes=4096), pieces)),
    ),
    "event stream": Parser(
        (frame({":event-type": "chunk"}, b'{"bytes":"AA"}') + frame({}, b""), frame({":message-type": "event"}, b"x")),
        same_however_cut(lambda pieces: framed(EventStreamParser(limit_bytes=4096), pieces)),
    ),
    "http request": Parser(
        (
            b"POST /v1/a?a=b HTTP/1.1\r\nhost: x\r\nauthorization: Bearer k\r\ncontent-length: 2\r\n\r\n{}",
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\nGET /a HTTP/1.0\r\n\r\n",
            b"GET /%e2%82%ac HTTP/1.1\r\nhost: x\r\nupgrade: h2c\r\nconnection: Upgrade, HTTP2-Settings\r\n\r\n",
        ),
        same_however_cut(http_request),
    ),
    "http answer": Parser(
        (
            b"HTTP/1.1 200 OK\r\ncontent-type: a/b\r\ncontent-length: 2\r\nkeep-alive: timeout=5\r\n\r\n{}",
            b"HTTP/1.1 100 A\r\n\r\nHTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nx: y\r\n\r\n",
            b"HTTP/1.0 429 Too Many\r\nretry-after: 7\r\ncontent-encoding: gzip\r\n\r\nslow",
        ),
        same_however_cut(http_answer),
    ),
    "form": Parser(
        (FORM,),
        own_errors(
            lambda data: [part.text for part in multipart.parse(data, "multipart/form-data; boundary=b")],
            InvalidRequest,
        ),
    ),
    "traceparent": Parser((b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",), headers_of),
    "url": Parser(
        (b"https://example.org:8443/v1/a?b=c", b"http://[::1]:80/"),
        own_errors(lambda data: parse_url(data.decode("latin-1")), InvalidRequest),
    ),
    **{f"request {wire}": Parser(requests_of(wire), request(wire)) for wire in WIRES},
    **{f"response {wire}": Parser(answers_of(wire), response(wire)) for wire in WIRES},
    **{f"stream {wire}": Parser(streams_of(wire), stream(wire)) for wire in CHATS},
}
