"""What a partner's key may do: its scopes, and the networks from which it may be used."""

import ipaddress
from enum import StrEnum

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

ALL = "all"
NETWORKS_MAX = 20
# IPv4 inside IPv6 (::ffff:0:0/96).
MAPPED_BITS = 96


class KeyScope(StrEnum):
    """A group of calls. docs/partner.md says which call needs which scope."""

    READ = "read"
    ENTER = "enter"
    RESERVE = "reserve"
    PAY = "pay"
    MANAGE = "manage"


def scopes_in(text: str) -> frozenset[KeyScope]:
    """The scopes of a list such as "read, pay". "all" has every scope, also later ones. Raises ValueError."""
    if text.strip() == ALL:
        return frozenset(KeyScope)
    return frozenset(KeyScope(part.strip()) for part in text.split(","))


def networks_in(text: str) -> tuple[Network, ...]:
    """The networks of a list such as "203.0.113.0/24, 2001:db8::/32"; none for "". Raises ValueError.

    An address is a network with one address.
    """
    parts = [part for piece in text.split(",") if (part := piece.strip())]
    if len(parts) > NETWORKS_MAX:
        raise ValueError(f"{len(parts)} networks")
    return tuple(network_in(part) for part in parts)


def network_in(text: str, *, strict: bool = True) -> Network:
    """The network of an address or CIDR. IPv4 inside IPv6 becomes IPv4, as addresses of clients do. Raises ValueError.

    `strict` also refuses an address with bits after the prefix.
    """
    network = ipaddress.ip_network(text, strict=strict)
    mapped = network.network_address.ipv4_mapped if isinstance(network, ipaddress.IPv6Network) else None
    if mapped is None or network.prefixlen < MAPPED_BITS:
        return network
    return ipaddress.IPv4Network((mapped, network.prefixlen - MAPPED_BITS))


def is_within(address: str, networks: tuple[Network, ...]) -> bool:
    """Whether the address lies in one of these networks."""
    parsed = ipaddress.ip_address(address)
    return any(parsed in network for network in networks)
