"""Reads the settings of the beacon: the relays of drand, and another chain than quicknet, for tests."""

from collections.abc import Sequence
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

from flashsale.rules.lottery import QUICKNET_CHAIN, Chain, Unusable, read_chain

# The relays that drand's own documentation names. Each gives the same bytes, and the signature proves them.
RELAYS = (
    "https://api.drand.sh",
    "https://api2.drand.sh",
    "https://api3.drand.sh",
    "https://drand.cloudflare.com",
)
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def relays(addresses: Sequence[str]) -> tuple[str, ...]:
    """The addresses of relays, without a slash at the end. Raises ImproperlyConfigured for a text that is no address.

    The signature protects the answer. HTTPS is demanded all the same, because a man in the middle could delay it.
    """
    for address in addresses:
        parts = urlsplit(address)
        if not parts.hostname or not (parts.scheme == "https" or parts.hostname in _LOOPBACK):
            raise ImproperlyConfigured(
                f"FLASHSALE_BEACON_RELAYS has {address!r}. Write addresses such as {RELAYS[0]}, separated by commas."
            )
    return tuple(address.rstrip("/") for address in addresses)


def chain(text: str) -> Chain:
    """The chain of drand: quicknet if the text is empty. Raises ImproperlyConfigured for a text that is no chain."""
    if not text.strip():
        return QUICKNET_CHAIN
    try:
        return read_chain(text)
    except Unusable as error:
        raise ImproperlyConfigured(
            f"FLASHSALE_BEACON_CHAIN is no chain of drand: {error}. Leave it empty for quicknet, or write what a relay "
            "answers at /info, with hash, public_key, genesis_time and period."
        ) from error
