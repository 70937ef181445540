"""AWS's binary frames: cut anywhere, whole again; broken anywhere, said so."""

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.core.errors import TooLarge, UpstreamMalformed
from mooring.net.eventstream import EventStreamParser, frame

FRAMES = [
    ({":event-type": "messageStart", ":message-type": "event"}, b'{"role":"assistant"}'),
    ({}, b""),
    ({":event-type": "Grüße"}, "🌊".encode() * 50),
]
DATA = b"".join(frame(headers, payload) for headers, payload in FRAMES)


@given(cut=st.integers(1, len(DATA)))
def test_frames_come_out_as_they_went_in_wherever_they_are_cut(cut: int) -> None:
    parser = EventStreamParser()
    found = [one for start in range(0, len(DATA), cut) for one in parser.feed(DATA[start : start + cut])]
    parser.close()
    assert [(one.headers, one.payload) for one in found] == FRAMES


@given(place=st.integers(0, len(DATA) - 1), flip=st.integers(1, 255))
def test_a_changed_byte_is_never_taken_for_what_was_sent(place: int, flip: int) -> None:
    broken = bytearray(DATA)
    broken[place] ^= flip
    parser = EventStreamParser()
    with pytest.raises((UpstreamMalformed, TooLarge)):
        parser.feed(bytes(broken))
        parser.close()


@given(end=st.integers(1, len(DATA) - 1))
def test_an_end_in_the_middle_of_a_frame_is_told(end: int) -> None:
    parser = EventStreamParser()
    found = parser.feed(DATA[:end])
    whole = sum(len(frame(one.headers, one.payload)) for one in found)
    if whole != end:
        with pytest.raises(UpstreamMalformed, match="middle of a frame"):
            parser.close()


@given(st.binary(max_size=300))
def test_any_bytes_are_frames_or_an_error(data: bytes) -> None:
    parser = EventStreamParser(limit_bytes=1000)
    try:
        parser.feed(data)
        parser.close()
    except (UpstreamMalformed, TooLarge):
        return


def test_the_published_frame_without_headers_is_read() -> None:
    # From the format's published examples: a payload without headers, and nothing at all.
    payload = bytes.fromhex("0000001d00000000fd528c5a") + b"{'foo':'bar'}" + bytes.fromhex("c3653936")
    empty = bytes.fromhex("000000100000000005c248eb7d98c8ff")
    assert [one.payload for one in EventStreamParser().feed(payload + empty)] == [b"{'foo':'bar'}", b""]
    assert frame({}, b"{'foo':'bar'}") == payload
    assert frame({}, b"") == empty


def test_headers_that_are_no_texts_are_passed_over() -> None:
    parser = EventStreamParser()
    plain = frame({"a": "b"}, b"{}")
    assert parser.feed(plain)[0].headers == {"a": "b"}
    numbered = _with_headers(
        b"\x01n\x04\x00\x00\x00\x07" + b"\x01t\x00" + b"\x01y\x06\x00\x02ab" + b"\x01a\x07\x00\x01b"
    )
    assert parser.feed(numbered)[0].headers == {"a": "b"}
    with pytest.raises(UpstreamMalformed, match="headers"):
        parser.feed(_with_headers(b"\x01a\x07\x00\x09b"))
    with pytest.raises(UpstreamMalformed, match="headers"):
        EventStreamParser().feed(_with_headers(b"\x01a\x63"))


def _with_headers(raw: bytes) -> bytes:
    """A frame with these bytes for headers, checksums and all."""
    plain = frame({}, raw)  # the payload of a frame without headers stands where its headers would
    total = int.from_bytes(plain[:4], "big")
    prelude = total.to_bytes(4, "big") + len(raw).to_bytes(4, "big")
    body = prelude + _crc(prelude) + raw
    return body + _crc(body)


def _crc(data: bytes) -> bytes:
    return zlib.crc32(data).to_bytes(4, "big")


def test_a_frame_over_the_limit_is_refused_before_it_is_kept() -> None:
    with pytest.raises(TooLarge):
        EventStreamParser(limit_bytes=100).feed(frame({}, b"x" * 200)[:12])
