"""Deadlines, cancellation, backpressure, and the bytes that are counted."""

import asyncio

import pytest
from misbehaving import Close, Flood, Gone, Head, Misbehaving, Trickle, Wait
from misbehaving import Request as ReadRequest

from mooring.core.errors import TooLarge, UpstreamDisconnected, UpstreamTimeout
from mooring.net import Request, Traffic

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
EXCHANGE = [ReadRequest(), OK]


async def post(http, server, **fields):
    response = await http.send(Request("POST", server.url, body=b"x", **fields))
    return await response.read(100)


async def get(http, server):
    return await (await http.send(Request("GET", server.url))).read(100)


# Deadlines ------------------------------------------------------------------


def test_silence_before_the_answer_passes_the_first_byte_deadline(run, client, short) -> None:
    async def main() -> None:
        async with Misbehaving([ReadRequest(), b"HTTP/1.1 200 OK\r\n", Gone()]) as server, client() as http:
            with pytest.raises(UpstreamTimeout, match="first byte deadline") as caught:
                await http.send(Request("POST", server.url, body=b"x"), deadlines=short(first_byte_seconds=0.03))
            assert caught.value.param == "first_byte_seconds"
            assert caught.value.is_billable
            await server.gone.wait()

    run(main())


def test_silence_in_the_body_passes_the_idle_deadline(run, client, short) -> None:
    async def main() -> None:
        async with Misbehaving([ReadRequest(), CHUNKED + b"2\r\nhi\r\n", Gone()]) as server, client() as http:
            response = await http.send(Request("GET", server.url), deadlines=short(idle_seconds=0.03))
            chunks = response.chunks()
            assert await anext(chunks) == b"hi"
            with pytest.raises(UpstreamTimeout, match="idle deadline") as caught:
                await anext(chunks)
            assert caught.value.param == "idle_seconds"
            await server.gone.wait()

    run(main())


def test_a_trickle_passes_the_total_deadline_though_never_idle(run, client, short) -> None:
    async def main() -> None:
        trickle = Trickle(CHUNKED + b"1\r\nx\r\n" * 1_000_000)
        async with Misbehaving([ReadRequest(), trickle, Gone()]) as server, client() as http:
            with pytest.raises(UpstreamTimeout, match="total deadline") as caught:
                response = await http.send(Request("GET", server.url), deadlines=short(total_seconds=0.05))
                await response.read(10_000_000)
            assert caught.value.param == "total_seconds"

    run(main())


def test_a_deadline_of_an_earlier_request_does_not_end_a_later_one(run, client, short) -> None:
    async def main() -> None:
        hold = Wait()
        script = [*EXCHANGE, ReadRequest(), hold, OK, Gone()]
        async with Misbehaving(script) as server, client() as http:
            await (await http.send(Request("GET", server.url), deadlines=short(first_byte_seconds=0.02))).read(9)
            task = asyncio.create_task(get(http, server))
            asyncio.get_running_loop().call_later(0.06, hold.event.set)
            assert await task == b"hi"

    run(main())


# Cancellation ---------------------------------------------------------------


@pytest.mark.parametrize(
    "script", [[Head()], [Head(), CHUNKED + b"2\r\nhi\r\n"]], ids=["before the head", "in the body"]
)
def test_a_cancelled_reader_closes_the_socket(script, run, client) -> None:
    async def main() -> None:
        async with Misbehaving([*script, Gone()]) as server, client() as http:
            task = asyncio.create_task(post(http, server))
            while not server.received:
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await server.gone.wait()
            assert http.counts() == {}

    run(main())


def test_a_cancelled_connect_leaves_nothing(run, client) -> None:
    async def main() -> None:
        async with Misbehaving([Gone()]) as server, client() as http:
            task = asyncio.create_task(post(http, server))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert http.counts() == {}

    run(main())


def test_closing_a_response_before_its_end_closes_the_socket(run, client) -> None:
    async def main() -> None:
        async with Misbehaving([ReadRequest(), CHUNKED + b"2\r\nhi\r\n", Gone()]) as server, client() as http:
            async with await http.send(Request("GET", server.url)) as response:
                async for chunk in response.chunks():
                    assert chunk == b"hi"
                    break
            await server.gone.wait()
            with pytest.raises(UpstreamDisconnected, match="closed before its end"):
                await response.read(10)

    run(main())


def test_closing_a_whole_response_keeps_the_connection(run, client) -> None:
    async def main() -> None:
        async with Misbehaving([*EXCHANGE * 2, Gone()]) as server, client() as http:
            for _ in range(2):
                response = await http.send(Request("GET", server.url))
                await response.aclose()
                assert response.is_complete
            assert server.connections == 1

    run(main())


# Backpressure and bytes -----------------------------------------------------


def test_a_server_faster_than_the_reader_is_made_to_wait(run, client) -> None:
    async def main() -> None:
        size = 64 * 1024 * 1024
        flood = Flood(b"x" * 65_536, size // 65_536)
        head = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size
        async with Misbehaving([ReadRequest(), head, flood, Gone()]) as server, client() as http:
            response = await http.send(Request("GET", server.url))
            written = -1
            while written != flood.written:  # until it stands still
                written = flood.written
                for _ in range(50):
                    await asyncio.sleep(0)
            assert response.is_paused
            assert response.buffered_bytes < 1024 * 1024
            assert flood.written < size
            total = 0
            async for chunk in response.chunks():
                total += len(chunk)
            assert total == size

    run(main())


def test_a_paused_reader_is_not_idle(run, client, short) -> None:
    async def main() -> None:
        head = b"HTTP/1.1 200 OK\r\ncontent-length: 2000000\r\n\r\n"
        async with Misbehaving([ReadRequest(), head, Flood(b"x" * 100_000, 20), Gone()]) as server:
            async with client(high_water_bytes=1) as http:
                response = await http.send(Request("GET", server.url), deadlines=short(idle_seconds=0.05))
                while not response.is_paused:
                    await asyncio.sleep(0)
                with pytest.raises(TimeoutError):  # nothing comes: the reader, not the server, takes its time
                    await asyncio.wait_for(server.gone.wait(), 0.1)
                assert len(await response.read(2_000_000)) == 2_000_000

    run(main())


def test_a_large_body_goes_out_whole(run, client) -> None:
    async def main() -> None:
        body = bytes(range(256)) * 20_000
        async with Misbehaving([*EXCHANGE, Gone()]) as server, client() as http:
            response = await http.send(Request("POST", server.url, body=body))
            assert await response.read(9) == b"hi"
            assert server.received[0].endswith(b"\r\n\r\n" + body)
            assert response.bytes_up == len(server.received[0])

    run(main())


def test_an_answer_before_the_request_is_written_ends_the_connection(run, client) -> None:
    async def main() -> None:
        refused = b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno"
        async with Misbehaving([Head(), refused, Wait()]) as server, client() as http:
            response = await http.send(Request("POST", server.url, body=b"x" * 50_000_000))
            assert (response.status, await response.read(9)) == (413, b"no")
            assert 0 < response.bytes_up < 50_000_000
            while http.counts():
                await asyncio.sleep(0)

    run(main())


def test_bytes_are_counted_both_ways_and_on_failure_too(run, client) -> None:
    async def main() -> None:
        traffic = Traffic()
        async with Misbehaving([ReadRequest(), OK[:7], Close()]) as server, client() as http:
            with pytest.raises(UpstreamDisconnected):
                await http.send(Request("POST", server.url, body=b"x"), traffic=traffic)
            assert traffic.up == len(server.received[0])
            assert traffic.down == 7

    run(main())


def test_a_refused_body_closes_the_socket(run, client) -> None:
    async def main() -> None:
        async with Misbehaving([ReadRequest(), CHUNKED, Flood(b"1\r\nx\r\n", 1_000_000), Gone()]) as server:
            async with client() as http:
                with pytest.raises(TooLarge):
                    await (await http.send(Request("GET", server.url))).read(1000)
                await server.gone.wait()

    run(main())
