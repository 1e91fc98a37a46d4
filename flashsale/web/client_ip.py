"""Who is calling: the client's address, believed only as far as our own proxies vouch for it."""

import ipaddress
from collections.abc import Sequence
from functools import lru_cache

from django.conf import settings
from django.http import HttpRequest

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def address(*, peer: str, forwarded_for: str, trusted: Sequence[str]) -> str:
    """The nearest address that is not one of our proxies: from the peer, then `X-Forwarded-For` from right to left.

    What stands left of it may have been written by anybody. An entry that is no address ends the walk, so the answer
    is always an address that somebody we trust has seen; "0.0.0.0" when the server could not name the peer.
    """
    seen = _plain(peer) or "0.0.0.0"  # noqa: S104 - names nobody, binds nothing
    for hop in reversed(forwarded_for.split(",")):
        if not _ours(seen, tuple(trusted)):
            return seen
        before = _plain(hop)
        if before is None:
            return seen
        seen = before
    return seen


def network(address: str) -> str:
    """What counts as one client: an IPv4 address, an IPv6 network of 64 bits."""
    return _block(address, 64)


def site(address: str) -> str:
    """What one customer of a provider can have: an IPv4 address, an IPv6 network of 48 bits, 65,536 of `network`."""
    return _block(address, 48)


def _block(address: str, bits: int) -> str:
    known = ipaddress.ip_address(address)
    return address if known.version == 4 else str(ipaddress.ip_network((known, bits), strict=False))


def address_of(request: HttpRequest) -> str:
    """The client's address of a Django request."""
    return address(
        peer=request.META.get("REMOTE_ADDR", ""),
        forwarded_for=request.META.get("HTTP_X_FORWARDED_FOR", ""),
        trusted=settings.FLASHSALE_TRUSTED_PROXIES,
    )


def _plain(text: str) -> str | None:
    """One spelling: without brackets, port, zone; IPv4 in IPv6 as IPv4. None when it is no address."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return str(getattr(found, "ipv4_mapped", None) or found)


@lru_cache(maxsize=4096)
def _ours(text: str, trusted: tuple[str, ...]) -> bool:
    found = ipaddress.ip_address(text)
    return any(found in network for network in _networks(trusted))


@lru_cache(maxsize=8)
def _networks(trusted: tuple[str, ...]) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(cidr, strict=False) for cidr in trusted)
