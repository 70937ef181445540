"""Redirects: not followed unless asked, and each one judged like a first request."""

import pytest
from misbehaving import Gone, Misbehaving
from misbehaving import Request as ReadRequest

from mooring.core.errors import EgressDenied, InvalidRequest, UpstreamMalformed
from mooring.net import EgressPolicy, HttpClient, Request

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"


def to(url: str, status: int = 302) -> bytes:
    return f"HTTP/1.1 {status} Elsewhere\r\nlocation: {url}\r\ncontent-length: 4\r\n\r\ngone".encode()


def test_a_redirect_is_an_answer_unless_following_was_asked_for(run, client) -> None:
    async def main() -> None:
        async with Misbehaving([ReadRequest(), to("/there"), Gone()]) as server, client() as http:
            response = await http.send(Request("GET", server.url))
            assert (response.status, await response.read(9)) == (302, b"gone")

    run(main())


def test_a_relative_redirect_goes_over_the_same_connection(run, client) -> None:
    async def main() -> None:
        async with Misbehaving([ReadRequest(), to("../b?c#d"), ReadRequest(), OK, Gone()]) as server, client() as http:
            response = await http.send(Request("GET", server.url + "/x/a", redirects=1))
            assert await response.read(9) == b"hi"
            assert server.received[1].startswith(b"GET /b?c HTTP/1.1\r\n")
            assert response.bytes_up == sum(len(received) for received in server.received)
            assert server.connections == 1

    run(main())


def test_only_so_many_redirects_are_followed(run, client) -> None:
    async def main() -> None:
        async with Misbehaving([*[ReadRequest(), to("/again")] * 4, Gone()]) as server, client() as http:
            response = await http.send(Request("GET", server.url, redirects=2))
            assert response.status == 302
            assert len(server.received) == 3

    run(main())


@pytest.mark.parametrize("url", ["http://169.254.169.254/latest/meta-data", "http://10.0.0.1/", "http://0x7f.2/"])
def test_a_redirect_inwards_is_denied(url: str, run) -> None:
    async def main() -> None:
        async with (
            Misbehaving([ReadRequest(), to(url), Gone()]) as server,
            HttpClient(egress=EgressPolicy(allow=("127.0.0.1",))) as http,
        ):
            with pytest.raises(EgressDenied):
                await http.send(Request("GET", server.url, redirects=5))

    run(main())


def test_credentials_do_not_follow_to_another_origin(run, client) -> None:
    headers = [(b"Authorization", b"Bearer x"), (b"x-api-key", b"x"), (b"x-other", b"stays")]

    async def main() -> None:
        async with Misbehaving([ReadRequest(), OK, Gone()]) as there:
            async with Misbehaving([ReadRequest(), to(there.url), Gone()]) as here, client() as http:
                response = await http.send(Request("GET", here.url, headers, redirects=1))
                assert await response.read(9) == b"hi"
                assert b"Bearer" in here.received[0] or b"bearer" in here.received[0]
                assert b"Bearer" not in there.received[0]
                assert b"x-api-key" not in there.received[0]
                assert b"x-other: stays" in there.received[0]

    run(main())


@pytest.mark.parametrize(
    ("status", "sent"),
    [(301, None), (302, None), (303, b"GET / HTTP/1.1"), (307, b"POST / HTTP/1.1"), (308, b"POST / HTTP/1.1")],
)
def test_a_redirected_post_is_repeated_only_where_the_status_says_so(
    status: int, sent: bytes | None, run, client
) -> None:
    async def main() -> None:
        async with Misbehaving([ReadRequest(), to("/", status), ReadRequest(), OK, Gone()]) as server, client() as http:
            request = Request("POST", server.url, [(b"content-type", b"text/plain")], b"body", redirects=1)
            response = await http.send(request)
            await response.read(9)
            assert response.status == (200 if sent else status)
            second = server.received[1] if sent else None
            assert sent is None or second is not None
            if second is not None and sent is not None:
                assert second.startswith(sent)
                assert second.endswith(b"\r\n\r\nbody") is (status != 303)
                assert (b"content-type" in second) is (status != 303)

    run(main())


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"HTTP/1.1 302 Found\r\ncontent-length: 0\r\n\r\n", UpstreamMalformed),
        (to("ftp://example.org/"), InvalidRequest),
        (to("http://user:word@example.org/"), InvalidRequest),
    ],
)
def test_a_redirect_to_nowhere_is_an_error(answer: bytes, error: type[Exception], run, client) -> None:
    async def main() -> None:
        async with Misbehaving([ReadRequest(), answer, Gone()]) as server, client() as http:
            with pytest.raises(error):
                await http.send(Request("GET", server.url, redirects=1))

    run(main())
