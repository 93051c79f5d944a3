"""Keeps requests for code hosts away from this machine's own network: after DNS, and at each redirect.

A repository's URL comes from a job. Without this, a job could aim the engine's tokens or requests at the runtime of its
own function, or at a metadata endpoint. Private addresses are allowed, because hosts of your own may have them.

The one exception is the code host of the local cloud: an API with a URL ``http://127.0.0.1:<port>``. A deployed stack
cannot have it, because its settings accept https URLs only.
"""

from __future__ import annotations

import ipaddress
import socket
import unicodedata
from typing import Final
from urllib.parse import urlsplit

from iac_ci_common.errors import PortFailed

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_REFUSED: Final = (
    ipaddress.ip_network("0.0.0.0/8"),
    ipaddress.ip_network("255.255.255.255/32"),
    ipaddress.ip_network("192.0.0.192/32"),
    ipaddress.ip_network("fec0::/10"),
    ipaddress.ip_network("fd00:ec2::/32"),
    ipaddress.ip_network("fd20:ce::254/128"),
    ipaddress.ip_network("100.100.100.200/32"),
    ipaddress.ip_network("168.63.129.16/32"),
)
"""This network and its broadcasts, and the metadata endpoints of AWS, Google Cloud, Alibaba Cloud, Azure and Oracle
Cloud that are not link-local."""

_CONTAIN_IPV4: Final = (
    ipaddress.ip_network("::/96"),
    ipaddress.ip_network("::ffff:0:0:0/96"),
    ipaddress.ip_network("64:ff9b::/96"),
    ipaddress.ip_network("64:ff9b:1::/96"),
)
"""Prefixes whose last 32 bits are an IPv4 address: compatible (RFC 4291), translated (RFC 2765), NAT64 (RFC 6052 and
8215)."""


_NAMES: Final = frozenset(
    {"localhost", "localhost.localdomain", "localhost6", "localhost6.localdomain6", "ip6-localhost", "ip6-loopback"}
)
"""Names of this machine in the usual ``/etc/hosts``."""


class AddressRefused(PortFailed):
    """A code host has an address of this machine or of a metadata endpoint."""


def check_address(address: str) -> None:
    """Raise ``AddressRefused`` for a loopback, link-local, unspecified, multicast or metadata address.

    An IPv6 address that contains an IPv4 address is refused if that one is.
    """
    found = ipaddress.ip_address(address.partition("%")[0])
    for each in (found, *_embedded(found)):
        if (
            each.is_loopback
            or each.is_link_local
            or each.is_unspecified
            or each.is_multicast
            or any(each in network for network in _REFUSED)
        ):
            raise AddressRefused(f"{address} is an address of this machine or a metadata endpoint, and no code host")


def check_literal(host: str) -> None:
    """Check a host that is written as an address, in any form that the system's resolver reads.

    Raises ``AddressRefused``. A proxy, which resolves names itself, gets no such host either.
    """
    # The resolver maps other forms of digits, letters and dots to these (UTS 46), and a last dot changes nothing.
    bare = unicodedata.normalize("NFKC", host.strip("[]").partition("%")[0]).replace("\u3002", ".").rstrip(".")
    name = bare.lower()
    if name in _NAMES or name.endswith(".localhost"):
        raise AddressRefused(f"{host:.100} is this machine: code hosts are elsewhere")
    try:
        address = str(ipaddress.ip_address(bare))
    except ValueError:
        try:
            # Decimal, octal, hexadecimal and short forms: 2130706433, 0177.0.0.1, 0x7f.1, 127.1.
            address = socket.inet_ntoa(socket.inet_aton(bare))
        except (OSError, UnicodeEncodeError):
            return
    check_address(address)


def resolve(host: str, port: int) -> list[str]:
    """Return the addresses of a host; raise ``AddressRefused`` if one of them is refused, and ``socket.gaierror``."""
    bare = host.strip("[]")
    check_literal(bare)
    found = socket.getaddrinfo(bare, port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    for address in addresses:
        check_address(address)
    return addresses


def local_host(root: str) -> str | None:
    """Return the host and port of the local cloud's code host, None if the API's URL ``root`` is another one."""
    parts = urlsplit(root)
    return parts.netloc if parts.scheme == "http" and parts.hostname == "127.0.0.1" else None


def _embedded(address: _Address) -> list[_Address]:
    if isinstance(address, ipaddress.IPv4Address):
        return []
    found = [address.ipv4_mapped, address.sixtofour, address.teredo[1] if address.teredo is not None else None]
    if any(address in network for network in _CONTAIN_IPV4):
        found.append(ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF))
    return [each for each in found if each is not None]


__all__ = ["AddressRefused", "check_address", "check_literal", "local_host", "resolve"]
