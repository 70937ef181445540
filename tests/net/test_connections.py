"""Keeping, ageing, losing and closing connections; deadlines, cancellation and backpressure."""

import asyncio

import pytest
from misbehaving import Close, Flood, Gone, Head, Misbehaving, Reset, Trickle, Wait
from misbehaving import Request as ReadRequest

from mooring.core.errors import TooLarge, Unavailable, UpstreamDisconnected, UpstreamTimeout
from mooring.net import Request, Traffic

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
EXCHANGE = [ReadRequest(), OK]


async def post(http, server, **fields):
    response = await http.send(Request("POST", server.url, body=b"x", **fields))
    return await response.read(100)


async def get(http, server):
    return await (await http.send(Request("GET", server.url))).read(100)


# Keeping --------------------------------------------------------------------


def test_a_connection_is_used_again(run, client) -> None:
    async def main() -> None:
        async with Misbehaving([*EXCHANGE * 5, Gone()]) as server, client() as http:
            for _ in range(5):
                assert await post(http, server) == b"hi"
            assert server.connections == 1

    run(main())


def test_a_connection_is_free_once_the_body_is_there_though_nobody_has_read_it(run, client) -> None:
    async def main() -> None:
        async with Misbehaving([*EXCHANGE * 2, Gone()]) as server, client() as http:
            first = await http.send(Request("GET", server.url))
            second = await http.send(Request("GET", server.url))
            assert [await first.read(9), await second.read(9)] == [b"hi", b"hi"]
            assert server.connections == 1

    run(main())


def test_concurrent_requests_use_connections_of_their_own(run, client) -> None:
    async def main() -> None:
        async with Misbehaving([*EXCHANGE, Gone()]) as server, client() as http:
            assert await asyncio.gather(*[post(http, server) for _ in range(8)]) == [b"hi"] * 8
            assert server.connections == 8

    run(main())


def test_over_the_limit_requests_wait_for_their_turn(run, client) -> None:
    async def main() -> None:
        async with Misbehaving([*EXCHANGE * 10, Gone()]) as server, client(connections_per_origin=2) as http:
            assert await asyncio.gather(*[post(http, server) for _ in range(10)]) == [b"hi"] * 10
            assert server.connections <= 2

    run(main())


def test_a_request_that_gives_up_waiting_passes_its_turn_on(run, client) -> None:
    async def main() -> None:
        hold = Wait()
        script = [ReadRequest(), hold, OK, *EXCHANGE, Gone()]
        async with Misbehaving(script) as server, client(connections_per_origin=1) as http:
            first = asyncio.create_task(post(http, server))
            await asyncio.sleep(0)
            second, third = asyncio.create_task(post(http, server)), asyncio.create_task(post(http, server))
            await asyncio.sleep(0)
            second.cancel()
            hold.event.set()
            assert await first == b"hi"
            assert await third == b"hi"
            assert second.cancelled()

    run(main())


def test_no_free_connection_in_time_is_a_connect_timeout(run, client, short) -> None:
    async def main() -> None:
        async with Misbehaving([ReadRequest(), Gone()]) as server, client(connections_per_origin=1) as http:
            first = asyncio.create_task(post(http, server))
            await asyncio.sleep(0)
            with pytest.raises(UpstreamTimeout) as caught:
                await http.send(Request("GET", server.url), deadlines=short(connect_seconds=0.02))
            assert caught.value.param == "connect_seconds"
            assert not caught.value.is_billable
            first.cancel()

    run(main())


def test_only_so_many_idle_connections_are_kept(run, client) -> None:
    async def main() -> None:
        async with Misbehaving([*EXCHANGE, Gone()]) as server, client(idle_per_origin=1) as http:
            await asyncio.gather(*[post(http, server) for _ in range(4)])
            await server.gone.wait()
            assert server.connections == 4
            assert list(http.counts().values()) <= [2]

    run(main())


# Ageing ---------------------------------------------------------------------


@pytest.mark.parametrize("limits", [{"idle_seconds": 0.02}, {"age_seconds": 0.02}], ids=["idle", "age"])
def test_an_old_connection_is_closed_by_itself(limits, run, client) -> None:
    async def main() -> None:
        async with Misbehaving([*EXCHANGE, Gone()]) as server, client(**limits) as http:
            await post(http, server)
            await server.gone.wait()
            assert http.counts() == {}

    run(main())


def test_a_keep_alive_header_shortens_the_wait(run, client) -> None:
    async def main() -> None:
        short = b"HTTP/1.1 200 OK\r\nkeep-alive: timeout=1, max=9\r\ncontent-length: 2\r\n\r\nhi"
        async with Misbehaving([ReadRequest(), short, Gone()], [*EXCHANGE, Gone()]) as server, client() as http:
            await post(http, server)
            await post(http, server)
            assert server.connections == 2

    run(main())


# Half-closed sockets and the race on reuse ------------------------------------


@pytest.mark.parametrize("end", [Close(), Reset()], ids=["closed", "reset"])
def test_a_post_never_goes_out_on_a_connection_that_the_server_has_closed(end, run, client) -> None:
    async def main() -> None:
        async with Misbehaving([*EXCHANGE, end], [*EXCHANGE, Gone()]) as server, client() as http:
            await post(http, server)
            while http.counts():
                await asyncio.sleep(0)
            assert await post(http, server) == b"hi"
            assert len(server.received) == 2

    run(main())


def test_the_kernel_is_asked_before_a_connection_is_used_again(run, client) -> None:
    """The loop has not yet seen the FIN that is already here: no turn of the loop lies between the two lines."""

    async def main() -> None:
        async with Misbehaving([*EXCHANGE, Close()], [*EXCHANGE, Gone()]) as server, client() as http:
            await post(http, server)
            (pool,) = http._pools.values()
            (connection,) = pool.connections
            before = connection._response, connection.is_lost
            peer_closed = asyncio.get_running_loop().run_in_executor(None, _wait_for_fin, connection)
            await peer_closed
            assert before == (None, False)
            assert not connection.is_usable()
            assert await post(http, server) == b"hi"

    run(main())


def _wait_for_fin(connection) -> None:
    connection._poll.poll(5000)


@pytest.mark.parametrize("end", [Close(), Reset()], ids=["closed", "reset"])
def test_a_post_that_may_have_been_received_is_not_sent_again(end, run, client) -> None:
    async def main() -> None:
        async with Misbehaving([*EXCHANGE, ReadRequest(), end], [*EXCHANGE, Gone()]) as server, client() as http:
            await post(http, server)
            with pytest.raises(UpstreamDisconnected, match="before it answered") as caught:
                await post(http, server)
            assert caught.value.is_billable
            assert len(server.received) == 2

    run(main())


def test_a_get_that_lost_its_kept_connection_is_sent_again_once(run, client) -> None:
    async def main() -> None:
        async with Misbehaving([*EXCHANGE, ReadRequest(), Close()], [*EXCHANGE, Gone()]) as server, client() as http:
            await get(http, server)
            assert await get(http, server) == b"hi"
            assert len(server.received) == 3

    run(main())


def test_a_post_flagged_as_repeatable_is_sent_again_once(run, client) -> None:
    async def main() -> None:
        scripts = [*EXCHANGE, ReadRequest(), Reset()], [ReadRequest(), Close()]
        async with Misbehaving(*scripts) as server, client() as http:
            await post(http, server)
            with pytest.raises(UpstreamDisconnected):
                await post(http, server, is_repeatable=True)
            assert len(server.received) == 3

    run(main())


def test_a_get_on_a_new_connection_is_not_sent_again(run, client) -> None:
    async def main() -> None:
        async with Misbehaving([ReadRequest(), Close()]) as server, client() as http:
            with pytest.raises(UpstreamDisconnected):
                await get(http, server)
            assert len(server.received) == 1

    run(main())


def test_one_byte_of_an_answer_is_enough_not_to_send_again(run, client) -> None:
    async def main() -> None:
        async with Misbehaving([*EXCHANGE, ReadRequest(), b"H", Close()], EXCHANGE) as server, client() as http:
            await get(http, server)
            with pytest.raises(UpstreamDisconnected):
                await get(http, server)
            assert server.connections == 1

    run(main())


def test_bytes_on_an_idle_connection_close_it(run, client) -> None:
    async def main() -> None:
        more = Wait()
        async with Misbehaving([*EXCHANGE, more, OK, Gone()], [*EXCHANGE, Gone()]) as server, client() as http:
            await post(http, server)
            more.event.set()
            await server.gone.wait()
            assert await post(http, server) == b"hi"
            assert server.connections == 2

    run(main())


# Connecting -----------------------------------------------------------------


def test_nobody_listening_is_said_and_not_billable(run, client) -> None:
    async def main() -> None:
        async with Misbehaving([]) as server:
            url = server.url
        async with client() as http:
            with pytest.raises(UpstreamDisconnected, match="nobody listens there") as caught:
                await http.send(Request("POST", url, body=b"x"))
            assert not caught.value.is_billable
            assert http.counts() == {}

    run(main())


def test_an_unknown_host_is_said(run, client) -> None:
    async def main() -> None:
        async with client() as http:
            with pytest.raises(UpstreamDisconnected, match=r"'no-such-host\.invalid' is unknown"):
                await http.send(Request("GET", "http://no-such-host.invalid/"))

    run(main())


def test_a_closed_client_sends_nothing(run, client) -> None:
    async def main() -> None:
        http = client()
        await http.aclose()
        with pytest.raises(Unavailable):
            await http.send(Request("GET", "http://127.0.0.1:9/"))

    run(main())


def test_closing_the_client_closes_idle_and_busy_connections(run, client) -> None:
    async def main() -> None:
        async with Misbehaving([*EXCHANGE, Gone()], [ReadRequest(), CHUNKED, Gone()]) as server:
            http = client()
            idle = await http.send(Request("GET", server.url))
            await idle.read(10)
            async with Misbehaving([ReadRequest(), CHUNKED, Gone()]) as other:
                busy = await http.send(Request("GET", other.url))
                await http.aclose()
                with pytest.raises(UpstreamDisconnected):
                    await busy.read(10)
                await other.gone.wait()
            await server.gone.wait()

    run(main())


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
