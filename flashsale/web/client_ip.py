"""The client's IP address. `X-Forwarded-For` counts only as far as our own proxies wrote it."""

import ipaddress
from collections.abc import Sequence
from functools import lru_cache

from django.conf import settings
from django.http import HttpRequest

from flashsale.gate import untrusted_peers
from flashsale.rules.key_rights import Network, network_in


def client_address(*, peer: str, forwarded_for: str, trusted: Sequence[str]) -> str:
    """The nearest address that is not one of our proxies: first the peer, then `X-Forwarded-For` from right to left.

    `trusted` are the networks of our proxies (CIDR). The client can write anything at the left of the header, so the
    search stops at the first entry that is not an address. The result is always an address that a trusted proxy or this
    server has seen. It is "0.0.0.0" when the server does not know the peer.
    """
    nearest = _normalize(peer) or "0.0.0.0"  # noqa: S104 - a placeholder, no socket binds to it
    if forwarded_for and not _is_trusted(nearest, tuple(trusted)):
        untrusted_peers.note(nearest)
    for hop in reversed(forwarded_for.split(",")):
        if not _is_trusted(nearest, tuple(trusted)):
            return nearest
        previous = _normalize(hop)
        if previous is None:
            return nearest
        nearest = previous
    return nearest


def is_proxy(peer: str, trusted: Sequence[str]) -> bool:
    """Whether the peer of a connection is one of our proxies (networks as CIDR)."""
    address = _normalize(peer)
    return address is not None and _is_trusted(address, tuple(trusted))


def client_network(address: str) -> str:
    """What counts as one client: an IPv4 address, or the /64 network of an IPv6 address."""
    return _network(address, 64)


def customer_network(address: str) -> str:
    """What one customer of an Internet provider can get: an IPv4 address, or an IPv6 /48 network (65,536 times /64)."""
    return _network(address, 48)


def _network(address: str, ipv6_prefix: int) -> str:
    parsed = ipaddress.ip_address(address)
    return address if parsed.version == 4 else str(ipaddress.ip_network((parsed, ipv6_prefix), strict=False))


def address_of(request: HttpRequest) -> str:
    """The client's address of a Django request, by :func:`client_address` and the setting of trusted proxies."""
    return client_address(
        peer=request.META.get("REMOTE_ADDR", ""),
        forwarded_for=request.META.get("HTTP_X_FORWARDED_FOR", ""),
        trusted=settings.FLASHSALE_TRUSTED_PROXIES,
    )


def _normalize(text: str) -> str | None:
    """The address without brackets, port and zone; IPv4 inside IPv6 becomes IPv4. None if it is not an address."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        parsed = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return str(getattr(parsed, "ipv4_mapped", None) or parsed)


@lru_cache(maxsize=4096)
def _is_trusted(address: str, trusted: tuple[str, ...]) -> bool:
    parsed = ipaddress.ip_address(address)
    return any(parsed in network for network in _parse_networks(trusted))


@lru_cache(maxsize=8)
def _parse_networks(trusted: tuple[str, ...]) -> tuple[Network, ...]:
    return tuple(network_in(cidr, strict=False) for cidr in trusted)
