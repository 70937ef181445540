"""HTTPS: who is trusted, and the end of a stream told from a cut one."""

import ssl

import certificate
import pytest
from misbehaving import Close, Cut, Flood, Gone, Misbehaving
from misbehaving import Request as ReadRequest

from mooring.core.errors import ConfigError, UpstreamDisconnected, UpstreamTimeout
from mooring.net import EgressPolicy, HttpClient, Request
from mooring.net.request import parse_url
from mooring.net.tls import Credentials, context_of

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"
TO_THE_END = b"HTTP/1.1 200 OK\r\n\r\nto the end"


@pytest.fixture(scope="module")
def contexts(tmp_path_factory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    return certificate.make(tmp_path_factory.mktemp("tls"))


def trusting(context: ssl.SSLContext | None) -> HttpClient:
    return HttpClient(egress=EgressPolicy(allow=("127.0.0.0/8", "::1")), tls=context)


def test_requests_share_one_connection(run, contexts) -> None:
    async def main() -> None:
        async with (
            Misbehaving([*[ReadRequest(), OK] * 3, Gone()], tls=contexts[0]) as server,
            trusting(contexts[1]) as http,
        ):
            for _ in range(3):
                response = await http.send(Request("POST", server.url, body=b"x"))
                assert await response.read(9) == b"hi"
            assert server.connections == 1
            assert response.bytes_up == len(server.received[2])

    run(main())


def test_a_certificate_of_nobody_known_is_refused_before_anything_is_sent(run, contexts) -> None:
    async def main() -> None:
        async with Misbehaving([ReadRequest(), OK], tls=contexts[0]) as server, trusting(None) as http:
            with pytest.raises(UpstreamDisconnected, match="certificate does not hold") as caught:
                await http.send(Request("POST", server.url, body=b"x"))
            assert not caught.value.is_billable
            assert http.counts() == {}

    run(main())


def test_a_certificate_of_another_name_is_refused(run, contexts) -> None:
    async def main() -> None:
        async with Misbehaving([ReadRequest(), OK], tls=contexts[0]) as server, trusting(contexts[1]) as http:
            with pytest.raises(UpstreamDisconnected, match="certificate does not hold"):
                await http.send(Request("GET", f"https://127.0.0.1:{server.port}/"))

    run(main())


def test_a_server_without_tls_is_said(run, contexts) -> None:
    async def main() -> None:
        async with Misbehaving([b"HTTP/1.1 400 Bad Request\r\n\r\n", Gone()]) as server, trusting(contexts[1]) as http:
            with pytest.raises(UpstreamDisconnected, match="cannot be reached"):
                await http.send(Request("GET", f"https://localhost:{server.port}/"))

    run(main())


def test_a_handshake_that_hangs_passes_the_connect_deadline(run, contexts, short) -> None:
    async def main() -> None:
        async with Misbehaving([Gone()]) as server, trusting(contexts[1]) as http:
            with pytest.raises(UpstreamTimeout) as caught:
                await http.send(
                    Request("GET", f"https://localhost:{server.port}/"), deadlines=short(connect_seconds=0.1)
                )
            assert caught.value.param == "connect_seconds"
            await server.gone.wait()

    run(main())


def test_a_body_without_a_length_ends_where_the_peer_says_so(run, contexts) -> None:
    async def main() -> None:
        script = [ReadRequest(), TO_THE_END, Close()]
        async with Misbehaving(script, tls=contexts[0]) as server, trusting(contexts[1]) as http:
            assert await (await http.send(Request("GET", server.url))).read(1000) == b"to the end"

    run(main())


@pytest.mark.parametrize("answer", [TO_THE_END, OK[:-1]], ids=["no length", "short"])
def test_a_connection_cut_under_tls_is_never_a_clean_end(answer, run, contexts) -> None:
    async def main() -> None:
        script = [ReadRequest(), answer, Cut()]
        async with Misbehaving(script, tls=contexts[0]) as server, trusting(contexts[1]) as http:
            with pytest.raises(UpstreamDisconnected):
                await (await http.send(Request("GET", server.url))).read(1000)

    run(main())


def test_backpressure_works_through_tls(run, contexts) -> None:
    async def main() -> None:
        size = 8 * 1024 * 1024
        head = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size
        script = [ReadRequest(), head, Flood(b"x" * 65_536, size // 65_536), Gone()]
        async with Misbehaving(script, tls=contexts[0]) as server, trusting(contexts[1]) as http:
            response = await http.send(Request("GET", server.url))
            assert sum([len(chunk) async for chunk in response.chunks()]) == size

    run(main())


def test_a_private_authority_and_a_client_certificate_come_from_files(run, tmp_path) -> None:
    async def main() -> None:
        (tmp_path / "client").mkdir()
        server_tls, _ = certificate.make(tmp_path)
        certificate.make(tmp_path / "client", "mooring")
        shown, trusted = str(tmp_path / "client" / "server.pem"), (str(tmp_path / "server.pem"),)
        server_tls.verify_mode = ssl.CERT_REQUIRED
        server_tls.load_verify_locations(cafile=shown)
        async with Misbehaving([ReadRequest(), OK, Gone()], tls=server_tls) as server:
            origin = parse_url(server.url).origin
            known = context_of(Credentials(trusted, certificate=shown))
            async with HttpClient(egress=EgressPolicy(allow=("127.0.0.0/8", "::1")), tls_of={origin: known}) as http:
                assert await (await http.send(Request("GET", server.url))).read(9) == b"hi"
            async with trusting(context_of(Credentials(trusted))) as http:
                with pytest.raises(UpstreamDisconnected):
                    await (await http.send(Request("GET", server.url))).read(9)

    run(main())


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_files_that_are_no_certificates_are_said_by_name(tmp_path, content) -> None:
    path = tmp_path / "x.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigError, match=r"authorities .*x\.pem cannot be used"):
        context_of(Credentials((str(path),)))
    with pytest.raises(ConfigError, match=r"client certificate .*x\.pem cannot be used"):
        context_of(Credentials(certificate=str(path)))
