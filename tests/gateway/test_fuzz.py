"""Bytes that nobody meant: every parser that faces the outside answers with its own error, or with a value.

A small number of inputs here; `MOORING_FUZZ_INPUTS=200000 pytest -m soak tests/gateway/test_fuzz.py` takes as many.
"""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mooring.core import ids
from mooring.core.clock import SystemClock
from mooring.core.errors import InvalidRequest, NotAuthenticated, TooLarge, UpstreamError, UpstreamMalformed
from mooring.gateway.codecs import registry as codecs
from mooring.gateway.keys import Keys
from mooring.net.sse import SseEvent, SseParser
from mooring.storage import Database

from .house import Secret

FEW = 60
MANY = int(os.environ.get("MOORING_FUZZ_INPUTS", "200000"))
WIRES = sorted(codecs.names())

# Bytes at random rarely come past the first brace: half of the inputs are made of the words of the formats.
WORDS = st.sampled_from(
    [b"data: ", b"data:", b"event: message_start\n", b"id: 1\n", b"retry: 5\n", b": x\n", b"\n\n", b"\r\n\r\n", b"\r",
     b"[DONE]", b"{", b"}", b"[", b"]", b'"model":"m"', b'"messages":', b'"role":"user"', b'"content":', b'"text"',
     b'"type":', b'"stream":true', b'"choices":[{"index":0,"delta":{"content":"x"}}]', b'"usage":{"prompt_tokens":',
     b"-1", b"1e999", b"null", b"true", b",", b":", b'"\\ud800"', b"\xff", b"\xe2\x82", b"\x00", b"\xef\xbb\xbf",
     b'"parts":[', b'"contents":', b'"tool_calls":[{"index":', b'"input":', b'"max_tokens":', b'"n":', b'"tools":',
     b'{"model":"m","messages":[{"role":"user","content":"x"}]}', b"[" * 2000, b'{"a":' * 500]
)  # fmt: skip
BYTES = st.one_of(st.binary(max_size=300), st.lists(st.one_of(WORDS, st.binary(max_size=4)), max_size=25).map(b"".join))


def fuzzed(check: Callable[[bytes], None], inputs: int) -> None:
    """So many inputs through a check."""

    @settings(
        max_examples=inputs,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        derandomize=inputs == FEW,
    )
    @given(BYTES)
    @example(b"")
    @example(b"{}")
    @example(b'{"model":"m","messages":[]}')
    def run(data: bytes) -> None:
        check(data)

    run()


def sse(data: bytes) -> None:
    """However the bytes are cut, the events are the same."""

    def events(*pieces: bytes) -> tuple[list[SseEvent], bool]:
        parser, found = SseParser(limit_bytes=4096), []
        for piece in pieces:
            found += parser.feed(piece)
        try:
            parser.close()
        except UpstreamMalformed:
            return found, False
        return found, True

    try:
        whole = events(data)
    except TooLarge:
        return
    half = len(data) // 2
    assert events(data[:half], data[half:]) == whole
    assert events(*(data[at : at + 1] for at in range(len(data)))) == whole


def request(wire: str) -> Callable[[bytes], None]:
    codec = codecs.get(wire)()

    def check(data: bytes) -> None:
        try:
            found = codec.decode_request(data, model=None, is_stream=False)
        except InvalidRequest:
            return
        codec.elements(found.fields)

    return check


def response(wire: str) -> Callable[[bytes], None]:
    codec = codecs.get(wire)()

    def check(data: bytes) -> None:
        codec.is_error(data)
        codec.decode_error(500, {}, data)
        try:
            codec.decode_response(data)
        except UpstreamError:
            return

    return check


def stream(wire: str) -> Callable[[bytes], None]:
    codec = codecs.get(wire)()

    def check(data: bytes) -> None:
        decoder = codec.decoder()
        try:
            for event in SseParser().feed(data):
                decoder.feed(event.data.encode())
            decoder.feed(data)
        except UpstreamError:
            return

    return check


PARSERS = {
    "sse": sse,
    **{f"request {wire}": request(wire) for wire in WIRES},
    **{f"response {wire}": response(wire) for wire in WIRES},
    **{f"stream {wire}": stream(wire) for wire in WIRES if "embed" not in wire and "count" not in wire},
}


@pytest.mark.parametrize("name", PARSERS)
def test_a_parser_answers_any_bytes_with_a_value_or_its_own_error(name: str) -> None:
    fuzzed(PARSERS[name], FEW)


@pytest.mark.soak
@pytest.mark.parametrize("name", PARSERS)
def test_a_parser_answers_very_many_bytes(name: str) -> None:
    fuzzed(PARSERS[name], max(MANY // len(PARSERS), FEW + 1))


def test_a_key_is_known_or_refused_whatever_its_characters(tmp_path: Path) -> None:
    async def scene() -> None:
        database = Database.open(f"sqlite:///{tmp_path / 'keys.db'}")
        try:
            keys = Keys(database, secrets=Secret(), clock=SystemClock(), new_id=ids.new_id)
            texts: list[str] = []

            @settings(max_examples=FEW, deadline=None, database=None, derandomize=True)
            @given(st.one_of(st.text(max_size=120), st.text(max_size=90).map(lambda text: "mr_" + text)))
            def collect(text: str) -> None:
                texts.append(text)

            collect()
            for text in texts:
                with pytest.raises(NotAuthenticated):
                    await keys.verify(text)
        finally:
            database.close()

    asyncio.run(scene())
