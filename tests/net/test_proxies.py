"""Proxies: who goes through which, what the tunnel says, and that the egress policy holds for its far end."""

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path

import certificate
import pytest
from forwarding import Forwarding
from misbehaving import Close, Flood, Gone, Misbehaving
from misbehaving import Request as ReadRequest

from mooring.core.errors import ConfigError, EgressDenied, UpstreamDisconnected, UpstreamTimeout
from mooring.net import Deadlines, EgressPolicy, HttpClient, Request
from mooring.net.proxy import Proxies, Tunnel, from_environment
from mooring.net.request import Origin, parse_url
from mooring.net.tls import Credentials, context_of

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"
NAME = "provider.invalid"  # a name that no resolver knows: only the proxy does


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("tls")


@pytest.fixture(scope="module")
def contexts(folder) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    return certificate.make(folder, NAME)


def through(url: str, tls: ssl.SSLContext | None = None, **more: str) -> HttpClient:
    proxies = from_environment({"HTTPS_PROXY": url, "HTTP_PROXY": url, **more})
    return HttpClient(egress=EgressPolicy(), tls=tls, proxies=proxies)


def test_https_goes_through_a_tunnel_under_the_targets_own_certificate_and_is_kept(run, contexts) -> None:
    async def main() -> None:
        async with (
            Misbehaving([*[ReadRequest(), OK] * 3, Gone()], tls=contexts[0]) as server,
            Forwarding({f"{NAME}:443": server.port}) as proxy,
            through(proxy.url, contexts[1]) as http,
        ):
            for _ in range(3):
                response = await http.send(Request("POST", f"https://{NAME}/v1/chat", body=b"x"))
                assert await response.read(9) == b"hi"
            assert proxy.asked == [f"{NAME}:443"]
            assert server.received[0].startswith(b"POST /v1/chat HTTP/1.1\r\nhost: " + NAME.encode())
            assert b"proxy" not in server.received[0]

    run(main())


def test_plain_http_goes_through_a_tunnel_too(run) -> None:
    async def main() -> None:
        async with (
            Misbehaving([*[ReadRequest(), OK] * 2, Gone()]) as server,
            Forwarding({f"{NAME}:8000": server.port}) as proxy,
            through(proxy.url) as http,
        ):
            for _ in range(2):
                assert await (await http.send(Request("GET", f"http://{NAME}:8000/"))).read(9) == b"hi"
            assert proxy.asked == [f"{NAME}:8000"]

    run(main())


def test_a_proxy_may_want_a_user_and_a_password_and_never_shows_them(run, contexts) -> None:
    async def main() -> None:
        async with (
            Misbehaving([ReadRequest(), OK, Gone()], tls=contexts[0]) as server,
            Forwarding({f"{NAME}:443": server.port}, user="me:s p@ce") as proxy,
        ):
            url = proxy.url.replace("http://", "http://me:s%20p%40ce@")
            async with through(url, contexts[1]) as http:
                assert (await http.send(Request("GET", f"https://{NAME}/"))).status == 200
            async with through(proxy.url, contexts[1]) as http:
                with pytest.raises(UpstreamDisconnected, match="wants a user and a password") as caught:
                    await http.send(Request("GET", f"https://{NAME}/"))
                assert not caught.value.is_billable
                assert http.counts() == {}
            assert "s%20p" not in repr(from_environment({"HTTPS_PROXY": url}).of(Origin("https", NAME, 443)).__str__())

    run(main())


def test_a_proxy_that_speaks_tls_itself_is_reached_under_tls(run, contexts, tmp_path) -> None:
    async def main() -> None:
        own = certificate.make(tmp_path)
        both = context_of(Credentials((str(tmp_path / "server.pem"),)))
        both.load_verify_locations(cadata=contexts[1].get_ca_certs(binary_form=True)[0])
        async with (
            Misbehaving([*[ReadRequest(), OK] * 2, Gone()], tls=contexts[0]) as server,
            Forwarding({f"{NAME}:443": server.port}, tls=own[0]) as proxy,
            through(proxy.url, both) as http,
        ):
            for _ in range(2):
                assert await (await http.send(Request("GET", f"https://{NAME}/"))).read(9) == b"hi"
            assert proxy.asked == [f"{NAME}:443"]

    run(main())


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ([b"HTTP/1.1 403 Forbidden\r\n\r\n"], "refuses it: 403 Forbidden"),
        ([b"HTTP/1.1 502 \xff\r\n\r\n"], "refuses it: 502"),
        ([b"220 mail.test ESMTP\r\n\r\n"], "does not speak HTTP"),
        ([b"HTTP/1.1 200 OK\r\n\r\nbanner"], "speaks into the tunnel"),
        ([Close()], "closed the connection"),
        ([Flood(b"x: y\r\n", 20_000)], "more than a head"),
    ],
)
def test_a_proxy_that_opens_no_way_is_said_and_nothing_is_billed(run, contexts, answer, said) -> None:
    async def main() -> None:
        async with Misbehaving([*answer, Gone()]) as proxy, through(proxy.url, contexts[1]) as http:
            with pytest.raises(UpstreamDisconnected) as caught:
                await http.send(Request("POST", f"https://{NAME}/", body=b"paid"))
            assert said in str(caught.value)
            assert NAME in str(caught.value)
            assert not caught.value.is_billable

    run(main())


def test_a_proxy_that_is_not_there_or_hangs_is_said(run, contexts) -> None:
    async def main() -> None:
        async with Misbehaving([Gone()]) as gone:
            pass
        async with through(f"http://127.0.0.1:{gone.port}", contexts[1]) as http:
            with pytest.raises(UpstreamDisconnected, match=r"The proxy .* cannot be reached: nobody listens there"):
                await http.send(Request("GET", f"https://{NAME}/"))
        async with Misbehaving([Gone()]) as hung, through(hung.url, contexts[1]) as http:
            with pytest.raises(UpstreamTimeout) as caught:
                await http.send(Request("GET", f"https://{NAME}/"), deadlines=Deadlines()._replace(connect_seconds=0.1))
            assert caught.value.param == "connect_seconds"
            await hung.gone.wait()

    run(main())


def test_a_certificate_of_another_name_is_refused_through_a_proxy_too(run, contexts, tmp_path) -> None:
    async def main() -> None:
        other = certificate.make(tmp_path, "elsewhere.invalid")
        async with (
            Misbehaving([ReadRequest(), OK], tls=other[0]) as server,
            Forwarding({f"{NAME}:443": server.port}) as proxy,
            through(proxy.url, other[1]) as http,
        ):
            with pytest.raises(UpstreamDisconnected, match="certificate does not hold"):
                await http.send(Request("POST", f"https://{NAME}/", body=b"x"))
            assert not server.received

    run(main())


@pytest.mark.parametrize("host", ["10.1.2.3", "[fd00::1]", "inner.test"])
def test_the_egress_policy_holds_for_the_far_end_of_a_tunnel(run, host, monkeypatch) -> None:
    async def main() -> None:
        async def found(*_: object, **__: object) -> list[tuple[object, ...]]:
            return [(0, 0, 0, "", ("192.168.0.9", 80))]

        async with Forwarding({}) as proxy, through(proxy.url) as http:
            if host == "inner.test":
                monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", found, raising=False)
            with pytest.raises(EgressDenied):
                await http.send(Request("GET", f"http://{host}/"))
            assert proxy.asked == []

    if host == "inner.test":
        asyncio.run(main())  # uvloop's loops take no other resolver
    else:
        run(main())


@pytest.mark.parametrize(
    ("url", "without", "goes_through"),
    [
        ("https://api.vendor.com/v1", "", True),
        ("https://localhost:8000/", "", False),
        ("http://127.0.0.9/", "", False),
        ("http://[::1]/", "", False),
        ("http://169.254.169.254/latest", "", False),
        ("https://api.vendor.com/", "*", False),
        ("https://api.vendor.com/", "vendor.com", False),
        ("https://api.vendor.com/", ".vendor.com", False),
        ("https://api.vendor.com/", "*.vendor.com", False),
        ("https://API.vendor.com/", "a.b, API.Vendor.com", False),
        ("https://myvendor.com/", "vendor.com", True),
        ("https://api.vendor.com/", "vendor.com:8443", True),
        ("https://api.vendor.com:8443/", "vendor.com:8443", False),
        ("https://10.1.2.3/", "10.0.0.0/8", False),
        ("https://10.1.2.3/", "10.1.2.3", False),
        ("https://11.1.2.3/", "10.0.0.0/8", True),
        ("https://[fd00::7]/", "fd00::/8", False),
        ("https://api.vendor.com/", " , ", True),
    ],
)
def test_no_proxy_is_read_as_curl_and_go_read_it(url: str, without: str, goes_through: bool) -> None:
    proxies = from_environment({"HTTPS_PROXY": "proxy:3128", "http_proxy": "http://proxy:3128", "NO_PROXY": without})
    assert (proxies.of(parse_url(url).origin) is not None) == goes_through


def test_small_letters_win_all_proxy_fills_in_and_no_variable_means_no_proxy() -> None:
    target = Origin("https", "api.vendor.com", 443)
    chosen = from_environment({"https_proxy": "http://a:1", "HTTPS_PROXY": "http://b:2", "ALL_PROXY": "http://c:3"})
    assert str(chosen.of(target)) == "http://a:1"
    assert str(from_environment({"ALL_PROXY": "https://c"}).of(target)) == "https://c:443"
    assert from_environment({"HTTP_PROXY": "http://b:2"}).of(target) is None
    assert from_environment({}) == Proxies()


@pytest.mark.parametrize(
    "value", ["socks5://proxy:1080", "http://proxy:99999", "http://", "http://proxy/path", "ftp://x"]
)
def test_a_proxy_that_cannot_be_used_is_a_mistake_of_the_configuration(value: str) -> None:
    with pytest.raises(ConfigError, match="HTTPS_PROXY"):
        from_environment({"HTTPS_PROXY": value.replace("://", "://me:hidden@")})


def test_a_tunnel_that_is_lost_after_it_was_opened_says_nothing(run: Callable[..., None]) -> None:
    async def main() -> None:
        proxy = from_environment({"HTTPS_PROXY": "http://p:1"}).of(Origin("https", NAME, 443))
        assert proxy is not None
        tunnel = Tunnel(proxy, Origin("https", NAME, 443))
        tunnel.connection_lost(None)
        tunnel.connection_lost(None)
        with pytest.raises(UpstreamDisconnected):
            await tunnel.opened()

    run(main())


def test_a_name_is_looked_up_again_for_each_new_connection(monkeypatch) -> None:
    async def main() -> None:
        ports: list[int] = []

        async def found(host: str, *_: object, **__: object) -> list[tuple[object, ...]]:
            return [(0, 0, 0, "", (f"127.0.0.{len(ports)}", 80))]

        async with (
            Misbehaving([ReadRequest(), OK, Close()], host="127.0.0.1") as server,
            HttpClient(egress=EgressPolicy(allow=("127.0.0.0/8",))) as http,
        ):
            monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", found)
            for wanted in (1, 2):
                ports.append(wanted)
                sending = http.send(Request("GET", f"http://moving.test:{server.port}/"))
                if wanted == 1:
                    assert (await sending).status == 200
                    await server.finished.wait()
                else:
                    with pytest.raises(UpstreamDisconnected, match="nobody listens"):
                        await sending

    asyncio.run(main())
