"""Events out of bytes, however the bytes are cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.core.errors import TooLarge, UpstreamMalformed
from mooring.net import SseEvent, SseParser


def parse(*pieces: bytes) -> list[tuple[str, str, str]]:
    parser = SseParser()
    return [tuple(event) for piece in pieces for event in parser.feed(piece)]


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"data: a\n\n", [("message", "a", "")]),
        (b"data: a\r\n\r\n", [("message", "a", "")]),
        (b"data: a\r\r", [("message", "a", "")]),
        (b"data:a\n\n", [("message", "a", "")]),
        (b"data:  a\n\n", [("message", " a", "")]),
        (b"data\n\n", [("message", "", "")]),
        (b"data: a\ndata: b\ndata:\ndata: c\n\n", [("message", "a\nb\n\nc", "")]),
        (b"event: delta\ndata: {}\n\n", [("delta", "{}", "")]),
        (b"event: delta\n\ndata: x\n\n", [("message", "x", "")]),
        (
            b"id: 7\ndata: a\n\ndata: b\n\nid\ndata: c\n\n",
            [("message", "a", "7"), ("message", "b", "7"), ("message", "c", "")],
        ),
        (b"id: a\0b\ndata: a\n\n", [("message", "a", "")]),
        (b": keep-alive\n\n: again\ndata: a\n: within\n\n", [("message", "a", "")]),
        (b"\xef\xbb\xbfdata: a\n\n", [("message", "a", "")]),
        (b"data: a: b\n\n", [("message", "a: b", "")]),
        (b"unknown: x\ndata: a\n\n", [("message", "a", "")]),
        (b"\n\n\ndata: a\n\n", [("message", "a", "")]),
        ("data: häfen 港 ⚓️\n\n".encode(), [("message", "häfen 港 ⚓️", "")]),
        (b"data: \xff\n\n", [("message", "�", "")]),
        ("data: a b\u0085c\n\n".encode(), [("message", "a b\u0085c", "")]),
        (b"data: [DONE]\n\n", [("message", "[DONE]", "")]),
    ],
)
def test_a_stream_becomes_its_events(stream: bytes, events) -> None:
    assert parse(stream) == events


def test_where_every_event_has_data_a_heartbeat_may_have_none() -> None:
    parser = SseParser(is_strict=True)
    stream = b"event: ping\n\nevent: delta\nmore: x\ndata: {}\n\nid: 1\n\nretry: 9\n\n: alive\n\n"
    assert [event.data for event in parser.feed(stream)] == ["{}"]


@pytest.mark.parametrize("torn", [b"event: content_bl\n\n", b"event: \n\n", b"eve\n\n", b"dat\n\n"])
def test_where_every_event_has_data_one_without_has_lost_it(torn: bytes) -> None:
    with pytest.raises(UpstreamMalformed, match="no data"):
        SseParser(is_strict=True).feed(b"event: delta\ndata: {}\n\n" + torn)


def test_retry_and_last_id_are_kept() -> None:
    parser = SseParser()
    parser.feed(b"retry: 1500\nid: 9\n\nretry: soon\n\n")
    assert (parser.retry_ms, parser.last_id) == (1500, "9")


lines = st.one_of(
    st.binary(max_size=12),
    st.text(max_size=8).map(lambda text: f"data: {text}".encode()),
    st.sampled_from([b"", b"", b"event: x", b"id: 1", b"data", b":", "data: ⚓港é".encode(), b"\xef\xbb\xbf"]),
)
streams = st.lists(st.tuples(lines, st.sampled_from([b"\n", b"\r", b"\r\n"]))).map(
    lambda parts: b"".join(line + end for line, end in parts)
)


@given(streams, st.lists(st.integers(0, 200)))
def test_every_chunking_gives_the_same_events(stream: bytes, cuts: list[int]) -> None:
    edges = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    pieces = [stream[start:end] for start, end in zip(edges, edges[1:], strict=False)]
    whole = parse(stream)
    assert parse(*pieces) == whole
    assert parse(*[stream[i : i + 1] for i in range(len(stream))]) == whole
    assert parse(*[piece for p in pieces for piece in (p, b"")]) == whole


@given(st.lists(st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"])), min_size=1))
def test_data_comes_back_as_it_was_written(texts: list[str]) -> None:
    stream = "".join(f"data: {text}\n" for text in texts) + "\n"
    assert parse(stream.encode()) == [("message", "\n".join(texts), "")]


@pytest.mark.parametrize("rest", [b"data: cut", b"data: cut\n", b"event: x\n", b"d"])
def test_a_stream_that_ends_inside_an_event_says_so(rest: bytes) -> None:
    parser = SseParser()
    assert parser.feed(b"data: a\n\n" + rest) == [SseEvent("message", "a", "")]
    with pytest.raises(UpstreamMalformed, match="in the middle of an event"):
        parser.close()


def test_a_stream_that_ends_after_an_event_is_whole() -> None:
    parser = SseParser()
    parser.feed(b"data: a\n\n: bye\n")
    parser.close()


@pytest.mark.parametrize(
    "pieces",
    [
        [b"data: " + b"x" * 200 + b"\n\n"],
        [b"x" * 50] * 4,
        [b"data: 0123456789\n"] * 10,
        [b"x:" + b"\n" * 0 + b"y" * 98 + b"\n"] * 2,
    ],
)
def test_an_event_over_the_limit_is_refused(pieces: list[bytes]) -> None:
    parser = SseParser(limit_bytes=100)
    with pytest.raises(TooLarge):
        for piece in pieces:
            parser.feed(piece)


def test_many_small_events_pass_the_limit_of_one() -> None:
    parser = SseParser(limit_bytes=100)
    assert sum(len(parser.feed(b"data: 0123456789\n\n")) for _ in range(100)) == 100
