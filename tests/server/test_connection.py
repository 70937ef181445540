"""One HTTP/1.1 connection over a real socket: what it takes, what it refuses, and when it ends."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from tests.server.peer import ASK, HASTY, PATIENT, Peer, talk

from mooring.server.exchange import Exchange, Reply
from mooring.server.parser import HEAD_BYTES


def test_requests_of_one_connection_are_answered_one_after_the_other() -> None:
    async def story(peer: Peer) -> None:
        for number in range(3):
            peer.writer.write(b"POST /n?x=%d HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\nab" % number)
            assert await peer.answer() == (200, b"POST /n x=%d|ab" % number)

    talk(story)


def test_a_pipeline_is_answered_in_its_order() -> None:
    async def story(peer: Peer) -> None:
        peer.writer.write(b"".join(b"GET /%d HTTP/1.1\r\nhost: x\r\n\r\n" % number for number in range(20)))
        for number in range(20):
            assert await peer.answer() == (200, b"GET /%d |" % number)

    talk(story)


def test_every_way_of_cutting_a_request_gives_the_same_answer() -> None:
    request = (
        b"POST /a%20b?q=1 HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    )

    async def story(peer: Peer) -> None:
        for size in (1, 2, 3, 7, 50, len(request)):
            for start in range(0, len(request), size):
                peer.writer.write(request[start : start + size])
                await peer.writer.drain()
                await asyncio.sleep(0)
            assert await peer.answer() == (200, b"POST /a b q=1|abcde")

    talk(story)


def test_a_body_over_the_limit_is_refused_while_the_client_still_sends_it() -> None:
    async def story(peer: Peer) -> None:
        peer.writer.write(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 4000000\r\n\r\n" + b"a" * 400_000)
        status, said = await peer.answer()
        assert status == 413
        assert b"larger than 200000" in said
        assert await peer.rest() == b""

    talk(story, patience=PATIENT._replace(linger=0.05))


def test_a_body_that_nobody_asks_for_is_not_kept_in_memory() -> None:
    taken = asyncio.Event()

    async def unwilling(exchange: Exchange) -> Reply:
        await asyncio.wait_for(taken.wait(), 10)
        return Reply(401, b"no")

    async def story(peer: Peer) -> None:
        peer.writer.write(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 50000000\r\n\r\n" + b"a" * 100_000)
        while not any(connection._is_held for connection in peer.state.connections):
            await asyncio.sleep(0)
        taken.set()
        assert await peer.answer() == (401, b"no")

    talk(story, answer=unwilling, patience=HASTY)


def test_a_client_that_waits_for_100_continue_gets_it_only_when_the_body_is_wanted() -> None:
    head = b"POST / HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n"

    async def wanted(peer: Peer) -> None:
        peer.writer.write(head)
        assert await peer.head() == (100, {})
        peer.writer.write(b"abc")
        assert await peer.answer() == (200, b"POST / |abc")

    async def unwanted(peer: Peer) -> None:
        peer.writer.write(head)
        assert await peer.answer() == (401, b"no")
        assert await peer.rest() == b""

    async def refuse(exchange: Exchange) -> Reply:
        return Reply(401, b"no")

    talk(wanted)
    talk(unwanted, answer=refuse)


def test_head_has_the_length_and_no_body() -> None:
    async def story(peer: Peer) -> None:
        peer.writer.write(b"HEAD /h HTTP/1.1\r\nhost: x\r\n\r\n" + ASK)
        status, headers = await peer.head()
        assert (status, headers["content-length"]) == (200, str(len("HEAD /h |")))
        assert await peer.answer() == (200, b"GET /hello |")

    talk(story)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00", 400),  # TLS
        (b"GET / HTTP/1.1\r\nhost: x\r\nhost: y\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nhost: x\r\nauthorization: a\r\nauthorization: b\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd", 400),
        (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"GET / HTTP/1.1\r\nhost: x\r\nbad name: 1\r\n\r\n", 400),
        (b"GET /" + b"a" * HEAD_BYTES + b" HTTP/1.1\r\nhost: x\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nhost: x\r\n" + b"a: " + b"b" * HEAD_BYTES + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nhost: x\r\n" + b"".join(b"a%d: b\r\n" % n for n in range(300)) + b"\r\n", 431),
    ],
)
def test_what_is_no_request_is_refused_and_the_connection_closed(request_: bytes, status: int) -> None:
    async def story(peer: Peer) -> None:
        peer.writer.write(request_)
        found, headers = await peer.head()
        assert (found, headers["connection"]) == (status, "close")
        assert await peer.rest() != b""

    talk(story)


def test_a_head_may_follow_a_large_body_in_one_packet() -> None:
    async def story(peer: Peer) -> None:
        body = b"a" * 190_000
        peer.writer.write(b"POST /big HTTP/1.1\r\nhost: x\r\ncontent-length: 190000\r\n\r\n" + body + ASK)
        assert await peer.answer() == (200, b"POST /big |" + body)
        assert await peer.answer() == (200, b"GET /hello |")

    talk(story)


def test_answers_that_are_due_go_out_before_the_connection_is_closed_over_nonsense() -> None:
    async def story(peer: Peer) -> None:
        peer.writer.write(ASK + b"nonsense\r\n\r\n")
        assert await peer.answer() == (200, b"GET /hello |")
        assert await peer.rest() == b""

    talk(story)


def test_http_1_0_closes_and_gets_no_chunks() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"one"
        yield b"two"

    async def stream(exchange: Exchange) -> Reply:
        return Reply(200, pieces(), "text/plain")

    async def story(peer: Peer) -> None:
        peer.writer.write(b"GET / HTTP/1.0\r\nhost: x\r\n\r\n")
        _, headers = await peer.head()
        assert headers["connection"] == "close"
        assert "transfer-encoding" not in headers
        assert await peer.rest() == b"onetwo"

    talk(story, answer=stream)


def test_an_upgrade_to_something_else_is_answered_as_it_is() -> None:
    async def story(peer: Peer) -> None:
        peer.writer.write(
            b"POST /up HTTP/1.1\r\nhost: x\r\nconnection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\n"
            b"http2-settings: AAMAAABkAAQAoAAA\r\ncontent-length: 2\r\n\r\nab" + ASK
        )
        assert await peer.answer() == (200, b"POST /up |ab")
        assert await peer.answer() == (200, b"GET /hello |")

    talk(story)


def test_a_stream_that_breaks_is_cut_and_never_ended_as_if_it_were_whole() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"one"
        raise RuntimeError("broken")

    async def stream(exchange: Exchange) -> Reply:
        return Reply(200, pieces(), "text/plain")

    async def story(peer: Peer) -> None:
        peer.writer.write(ASK)
        await peer.head()
        with contextlib.suppress(ConnectionResetError):
            assert b"0\r\n\r\n" not in await peer.rest()

    talk(story, answer=stream)


def test_a_slow_reader_slows_the_stream_instead_of_filling_memory() -> None:
    sent = 0

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(200):
            sent += 1
            yield b"a" * 100_000

    async def stream(exchange: Exchange) -> Reply:
        return Reply(200, pieces(), "text/plain")

    async def story(peer: Peer) -> None:
        peer.writer.write(ASK)
        await peer.head()
        before = -1
        while sent != before:  # until it stands still
            before = sent
            for _ in range(50):
                await asyncio.sleep(0)
        assert sent < 200
        peer.writer.close()

    talk(story, answer=stream)


def test_a_client_that_hangs_up_is_noticed_by_who_asks() -> None:
    noticed = asyncio.Event()

    async def waiting(exchange: Exchange) -> Reply:
        await exchange.disconnected()
        noticed.set()
        return Reply(499)

    async def story(peer: Peer) -> None:
        peer.writer.write(ASK)
        await peer.writer.drain()
        while not peer.state.tasks:
            await asyncio.sleep(0)
        peer.writer.close()
        await asyncio.wait_for(noticed.wait(), 10)

    talk(story, answer=waiting)


@pytest.mark.parametrize("is_stream", [False, True])
def test_a_reply_to_a_client_that_has_gone_is_no_fault(is_stream: bool, caplog: pytest.LogCaptureFixture) -> None:
    over = asyncio.Event()

    async def pieces() -> AsyncIterator[bytes]:
        yield b"one"

    async def late(exchange: Exchange) -> Reply:
        await exchange.disconnected()
        over.set()
        return Reply(200, pieces() if is_stream else b"one", "text/plain")

    async def story(peer: Peer) -> None:
        peer.writer.write(ASK)
        await peer.writer.drain()
        while not peer.state.tasks:
            await asyncio.sleep(0)
        peer.writer.close()
        await asyncio.wait_for(over.wait(), 10)
        while peer.state.tasks:
            await asyncio.sleep(0)

    talk(story, answer=late)
    assert not caplog.records


def test_a_stream_that_ends_because_its_reader_has_gone_is_no_fault(caplog: pytest.LogCaptureFixture) -> None:
    over = asyncio.Event()

    async def parts(exchange: Exchange) -> AsyncIterator[bytes]:
        yield b"first"
        await exchange.disconnected()
        over.set()

    async def stream(exchange: Exchange) -> Reply:
        return Reply(200, parts(exchange), "text/plain")

    async def story(peer: Peer) -> None:
        peer.writer.write(ASK)
        await peer.reader.readuntil(b"first")
        peer.writer.close()
        await asyncio.wait_for(over.wait(), 5)
        await asyncio.sleep(0)

    talk(story, answer=stream)
    assert not caplog.records


def test_a_stream_is_closed_when_its_reader_has_gone() -> None:
    closed = asyncio.Event()

    async def pieces() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"a"
                await asyncio.sleep(0)
        finally:
            closed.set()

    async def stream(exchange: Exchange) -> Reply:
        return Reply(200, pieces(), "text/plain")

    async def story(peer: Peer) -> None:
        peer.writer.write(ASK)
        await peer.head()
        peer.writer.close()
        await asyncio.wait_for(closed.wait(), 10)

    talk(story, answer=stream)


@pytest.mark.parametrize(
    "beginning",
    [b"GET / HT", b"GET / HTTP/1.1\r\nhost: x\r\n", b"GET / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nab"],
)
def test_a_request_that_does_not_come_is_given_up(beginning: bytes) -> None:
    async def story(peer: Peer) -> None:
        peer.writer.write(beginning)
        said = await peer.rest()
        assert said.startswith(b"HTTP/1.1 408 ")

    talk(story, patience=HASTY)


def test_a_quiet_connection_is_closed_without_a_word() -> None:
    async def story(peer: Peer) -> None:
        peer.writer.write(ASK)
        assert await peer.answer() == (200, b"GET /hello |")
        assert await peer.rest() == b""

    talk(story, patience=HASTY)


def test_one_connection_too_many_is_told_so() -> None:
    async def story(peer: Peer) -> None:
        status, _ = await peer.answer()
        assert status == 503
        assert await peer.rest() == b""

    talk(story, limit=0)


def test_a_drain_lets_what_runs_end_and_closes_what_is_quiet() -> None:
    going = asyncio.Event()

    async def slow(exchange: Exchange) -> Reply:
        await going.wait()
        return Reply(200, b"done")

    async def story(peer: Peer) -> None:
        peer.writer.write(ASK)
        await peer.writer.drain()
        while not peer.state.tasks:
            await asyncio.sleep(0)
        for connection in peer.state.connections:
            connection.shutdown()
        going.set()
        status, headers = await peer.head()
        assert (status, headers["connection"]) == (200, "close")
        assert await peer.rest() == b"done"

    talk(story, answer=slow)


def test_a_header_that_would_break_the_framing_never_leaves() -> None:
    async def smuggled(exchange: Exchange) -> Reply:
        return Reply(200, b"", headers=[(b"x", b"1\r\nset-cookie: a=b")])

    async def story(peer: Peer) -> None:
        peer.writer.write(ASK)
        with contextlib.suppress(ConnectionResetError):
            assert b"set-cookie" not in await peer.rest()

    talk(story, answer=smuggled)


def test_a_connect_is_answered_like_any_other_method() -> None:
    async def story(peer: Peer) -> None:
        peer.writer.write(b"CONNECT example.org:443 HTTP/1.1\r\nhost: x\r\n\r\n" + ASK)
        status, _ = await peer.answer()
        assert status in (200, 400)

    talk(story)
