"""Keeping, ageing, losing and closing connections."""

import asyncio

import pytest
from misbehaving import Close, Gone, Misbehaving, Reset, Wait
from misbehaving import Request as ReadRequest

from mooring.core.errors import Unavailable, UpstreamDisconnected, UpstreamTimeout
from mooring.net import Request

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
