"""What the egress policy lets out, and that the client asks it about the address it then connects to."""

import asyncio
import ipaddress
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st
from misbehaving import Gone, Misbehaving
from misbehaving import Request as ReadRequest

from mooring.core.errors import ConfigError, EgressDenied
from mooring.net import EgressPolicy, HttpClient, Request
from mooring.net.egress import is_public

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"

INWARD = [
    "0.0.0.0",
    "10.1.2.3",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.168.1.1",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "ff02::1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::127.0.0.1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "2002:7f00:1::1",
    "2001::1",
    "2001:db8::1",
    "3fff::1",
    "100::1",
    "5f00::1",
]


@pytest.mark.parametrize("address", INWARD)
def test_inward_addresses_are_denied(address: str) -> None:
    assert not EgressPolicy().allows("host.example", ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["1.1.1.1", "172.32.0.1", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::808:808"])
def test_public_addresses_are_allowed(address: str) -> None:
    assert EgressPolicy().allows("host.example", ipaddress.ip_address(address))


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_is_judged_the_same_however_ipv6_wraps_it(address) -> None:
    policy = EgressPolicy(allow=("10.0.0.0/8",))
    mapped = ipaddress.IPv6Address(f"::ffff:{address}")
    nat64 = ipaddress.IPv6Address(int(ipaddress.IPv6Address("64:ff9b::")) + int(address))
    assert policy.allows("h", mapped) == policy.allows("h", nat64) == policy.allows("h", address)


@given(st.ip_addresses())
def test_nothing_is_public_that_the_standard_library_calls_private(address) -> None:
    assert not (is_public(address) and (address.is_private or address.is_loopback or address.is_link_local))


@pytest.mark.parametrize(
    ("allow", "host", "address", "allowed"),
    [
        ("10.2.0.0/16", "h", "10.2.3.4", True),
        ("10.2.0.0/16", "h", "10.3.3.4", False),
        ("127.0.0.1", "h", "127.0.0.1", True),
        ("127.0.0.1", "h", "127.0.0.2", False),
        ("::1", "h", "::1", True),
        ("127.0.0.0/8", "h", "::ffff:127.0.0.1", True),
        ("ollama", "ollama", "10.9.9.9", True),
        ("ollama", "OLLAMA.", "10.9.9.9", True),
        ("ollama", "evil-ollama", "10.9.9.9", False),
        ("ollama", "ollama.evil.example", "10.9.9.9", False),
        (".internal", "a.b.internal", "10.9.9.9", True),
        (".internal", "internal", "10.9.9.9", False),
        ("ollama", "ollama", "169.254.169.254", False),
        ("ollama", "ollama", "::ffff:169.254.169.254", False),
        ("169.254.169.254", "h", "169.254.169.254", True),
    ],
)
def test_what_is_listed_is_open_and_nothing_beside_it(allow: str, host: str, address: str, allowed: bool) -> None:
    assert EgressPolicy(allow=(allow,)).allows(host, ipaddress.ip_address(address)) is allowed


@pytest.mark.parametrize("entry", ["10.0.0.1/8", "http://ollama", "*.internal", "", "ollama:11434", "a b"])
def test_an_entry_that_is_neither_network_nor_name_is_a_mistake(entry: str) -> None:
    with pytest.raises(ConfigError, match="neither a network nor a host name"):
        EgressPolicy(allow=(entry,))


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "2130706433", "0177.0.0.1", "0x7f.1", "127.1", "[::1]", "[::ffff:127.0.0.1]", "0"],
)
def test_no_way_to_write_loopback_gets_out(host: str, run) -> None:
    async def main() -> None:
        async with Misbehaving([]) as server, HttpClient(egress=EgressPolicy()) as http:
            with pytest.raises(EgressDenied, match="not a public address"):
                await http.send(Request("GET", f"http://{host}:{server.port}/"))
            await asyncio.sleep(0)
            assert server.connections == 0

    run(main())


def test_a_name_is_judged_by_the_address_that_is_then_connected_to(run, monkeypatch) -> None:
    """The second look-up, which would point elsewhere, never happens."""

    async def main() -> None:
        asked: list[str] = []

        async def look_up(host, port, **_):
            asked.append(host)
            return [
                (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in ("10.0.0.1", "127.0.0.1")
            ]

        async with (
            Misbehaving([ReadRequest(), OK, Gone()]) as server,
            HttpClient(egress=EgressPolicy(allow=("127.0.0.1",))) as http,
        ):
            loop = asyncio.get_running_loop()
            replaced = type("Loop", (), {"getaddrinfo": staticmethod(look_up)})
            monkeypatch.setattr("mooring.net.dial.asyncio.get_running_loop", lambda: _Both(loop, replaced))
            response = await http.send(Request("GET", f"http://models.example:{server.port}/"))
            monkeypatch.undo()
            assert await response.read(9) == b"hi"
            assert asked == ["models.example"]
            assert b"host: models.example" in server.received[0]

    run(main())


class _Both:
    """The running loop with another look-up."""

    def __init__(self, loop, replaced) -> None:
        self._loop = loop
        self.getaddrinfo = replaced.getaddrinfo

    def __getattr__(self, name: str):
        return getattr(self._loop, name)
