"""Which addresses may be reached: public ones, and what was listed.

A name is looked up first and its addresses are judged, and the connection goes to the judged address. So decimal and
octal hosts, names that point inwards, and names that change between look-up and connection gain nothing.
"""

import ipaddress
from collections.abc import Sequence
from typing import NamedTuple

from mooring.core.errors import ConfigError, EgressDenied

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

# IANA's special-purpose registry of IPv4, and 168.63.129.16: Azure's metadata service on a public address.
_NOT_PUBLIC_4: tuple[ipaddress.IPv4Network, ...] = tuple(
    ipaddress.IPv4Network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "168.63.129.16/32",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",
    )
)
# Only 2000::/3 is global unicast, and these parts of it are not.
_GLOBAL_6 = ipaddress.IPv6Network("2000::/3")
_NOT_PUBLIC_6 = tuple(ipaddress.IPv6Network(text) for text in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"))
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")

# A listed *name* opens private networks, never these: cloud metadata lives on link-local addresses.
_NEVER_BY_NAME = tuple(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8",
        "168.63.129.16/32",
        "169.254.0.0/16",
        "224.0.0.0/3",
        "fe80::/10",
        "ff00::/8",
        "::/128",
        "fd00:ec2::/32",
    )
)


class Resolved(NamedTuple):
    """A host as asked for, and one address it has."""

    host: str
    address: IpAddress


class EgressPolicy:
    """`allow` lists what is open besides the public internet: networks (`10.2.0.0/16`), addresses, or host names.

    A leading dot (`.svc.cluster.local`) opens every name under it.
    """

    def __init__(self, *, allow: Sequence[str] = ()) -> None:
        networks: list[IpNetwork] = []
        names: list[str] = []
        for entry in allow:
            try:
                networks.append(ipaddress.ip_network(entry))
            except ValueError:
                names.append(_checked_name(entry))
        self._networks = tuple(networks)
        self._names = frozenset(name for name in names if not name.startswith("."))
        self._suffixes = tuple(name for name in names if name.startswith("."))

    def allows(self, host: str, address: IpAddress) -> bool:
        """Whether a connection to `address`, which `host` has resolved to, may be made."""
        address = _embedded(address)
        if is_public(address) or _is_in(address, self._networks):
            return True
        return self._is_named(host.lower().rstrip(".")) and not _is_in(address, _NEVER_BY_NAME)

    def filter(self, host: str, addresses: Sequence[IpAddress]) -> list[IpAddress]:
        """The addresses that may be connected to, in order.

        Raises:
            EgressDenied: none.
        """
        allowed = [address for address in addresses if self.allows(host, address)]
        if not allowed:
            shown = ", ".join(str(address) for address in addresses[:4]) or "nothing"
            raise EgressDenied(
                f"The egress policy forbids {host} ({shown}): it is not a public address.",
                hint=f"If it is meant, list '{host}' or its network under egress.allow.",
                param="url",
            )
        return allowed

    def _is_named(self, host: str) -> bool:
        return host in self._names or host.endswith(self._suffixes or ("\0",))


def is_public(address: IpAddress) -> bool:
    """Whether it can be reached from anywhere, and belongs to no special registry."""
    if isinstance(address, ipaddress.IPv4Address):
        return not _is_in(address, _NOT_PUBLIC_4)
    return address in _GLOBAL_6 and not _is_in(address, _NOT_PUBLIC_6)


def _embedded(address: IpAddress) -> IpAddress:
    """The IPv4 address that an IPv6 one leads to (mapped, NAT64, 6to4), else itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour or address


def _is_in(address: IpAddress, networks: Sequence[IpNetwork]) -> bool:
    return any(address.version == network.version and address in network for network in networks)


def _checked_name(entry: str) -> str:
    name = entry.lower().rstrip(".")
    if not name or "/" in name or ":" in name or "*" in name or any(character.isspace() for character in name):
        raise ConfigError(
            f"'{entry}' is neither a network nor a host name.",
            hint="Write 10.2.0.0/16, 127.0.0.1, ollama.internal, or .internal for every name under it.",
            param="egress.allow",
        )
    return name
