"""What the operator sets for a payment account: its keys, the provider's addresses, its pace, our own address."""

from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

# Names that only one network knows.
_PRIVATE = ("localhost", "local", "internal", "lan", "home", "test", "invalid", "example")


def keys_of(account: str, *, like: str) -> tuple[str, ...]:
    """The keys of an account: the first one is for calls, all of them are for notifications.

    `like` shows the form of a key. Raises ImproperlyConfigured if there is none.
    """
    keys = settings.FLASHSALE_PAYMENT_KEYS.get(account, ())
    if not keys:
        raise ImproperlyConfigured(
            f"FLASHSALE_PAYMENT_KEYS has no key of the payment account {account!r}. Add {account}:{like} in the "
            "environment, or in secrets.env of the data folder (docs/payments.md, Set up)."
        )
    return tuple(keys)


def mode_of(account: str) -> str:
    """What FLASHSALE_PAYMENT_HOSTS says of the account: "live" if it says nothing."""
    return str(settings.FLASHSALE_PAYMENT_HOSTS.get(account, "live"))


def addresses_of(account: str, known: Mapping[str, Sequence[str]]) -> Sequence[str]:
    """The starts of the provider's addresses. `known` has them for "live" and "sandbox".

    The setting may name one address instead, which then stands for all of them. Raises ImproperlyConfigured unless it
    is https, or http to this machine on a set-up that other machines cannot reach.
    """
    mode = mode_of(account)
    if mode in known:
        return known[mode]
    parts = urlsplit(mode)
    loopback = _is_loopback(parts) and not settings.FLASHSALE_SIGNS_OF_PRODUCTION
    if not parts.hostname or not (parts.scheme == "https" or (parts.scheme == "http" and loopback)):
        raise ImproperlyConfigured(
            f"FLASHSALE_PAYMENT_HOSTS: {account}:{mode} is refused. Use {' or '.join(known)}, or an https address. "
            "Plain http is only for a simulator on the loopback interface, and never in production."
        )
    return [mode.rstrip("/")] * max(len(addresses) for addresses in known.values())


def pace_of(account: str, *, default: float) -> float:
    """How many payments a second the account begins."""
    return float(settings.FLASHSALE_PAYMENT_PACES.get(account, default))


def notification_address(account: str) -> str:
    """Where the provider sends its notifications."""
    return f"{settings.FLASHSALE_URL.rstrip('/')}/v1/payments/{account}"


def is_public(address: str) -> bool:
    """Whether a provider can reach the address: https on port 443, with a name or an IP address of the internet."""
    parts = urlsplit(address)
    host = (parts.hostname or "").rstrip(".")
    if parts.scheme != "https" or parts.port not in {None, 443}:
        return False
    try:
        return ip_address(host).is_global
    except ValueError:
        return "." in host and host.rpartition(".")[2] not in _PRIVATE


def _is_loopback(parts: SplitResult) -> bool:
    try:
        return ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return parts.hostname == "localhost"
