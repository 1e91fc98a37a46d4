"""Webhooks: how a message is signed, where it may go, and when it is tried again.

The signature is that of Standard Webhooks 1.0 (https://www.standardwebhooks.com), version v1.
"""

import hmac
import re
import secrets
from base64 import b64decode, b64encode
from collections.abc import Sequence
from datetime import timedelta
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import urlsplit

SECRET_PREFIX = "whsec_"  # noqa: S105 - how every secret begins
SECRET_BYTES = 32
URL_CHARS_MAX = 500
TEST_TYPE = "webhook.test"

GIVE_UP_AFTER = timedelta(hours=24)
_FIRST_RETRY, _LONGEST_RETRY, _RETRY_FACTOR = timedelta(seconds=5), timedelta(hours=1), 3.0
_FIRST_PAUSE, _LONGEST_PAUSE = timedelta(seconds=5), timedelta(minutes=5)
RETRY_AFTER_MAX = timedelta(hours=12)

Address = IPv4Address | IPv6Address
# Python calls some of these global, because packets for them travel over the public network.
_NOT_PUBLIC = [
    ip_network(cidr)
    for cidr in (
        "0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.88.99.0/24", "198.18.0.0/15", "224.0.0.0/3",
        "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20",
    )
]  # fmt: skip
# Everything that the public network uses begins with 001.
_PUBLIC_V6 = ip_network("2000::/3")
_HOST = re.compile(r"[A-Za-z0-9._\-]{1,253}|[0-9A-Fa-f:.]{2,45}")


def new_secret() -> str:
    """A random secret: `whsec_`, then 32 bytes in base64."""
    return SECRET_PREFIX + b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def signatures(keys: Sequence[str], *, id_: str, timestamp: int, body: bytes) -> str:
    """The header `webhook-signature`: one signature for each secret, with spaces between them.

    A receiver accepts the message if one of them fits. So a secret can be changed without an interruption.
    """
    signed = f"{id_}.{timestamp}.".encode() + body
    raw = (b64decode(key.removeprefix(SECRET_PREFIX)) for key in keys)
    return " ".join("v1," + b64encode(hmac.digest(key, signed, "sha256")).decode() for key in raw)


def retry_delay(attempts: int, chance: float) -> timedelta:
    """How long a message waits after so many failed attempts: 5 s, 15 s, 45 s and so on up to an hour.

    `chance` from 0 to 1 spreads it by a fifth, so that many messages do not come at the same moment.
    """
    plain = _FIRST_RETRY * _RETRY_FACTOR ** min(attempts - 1, 8)
    return min(plain, _LONGEST_RETRY) * (0.8 + 0.4 * chance)


def pause_after(failures: int, chance: float) -> timedelta:
    """How long a receiver gets nothing that failed so many times in a row: 5 s, 10 s and so on up to 5 min."""
    return min(_FIRST_PAUSE * 2.0 ** min(failures - 1, 8), _LONGEST_PAUSE) * (0.8 + 0.4 * chance)


def url_problem(url: str, *, local: bool) -> str:
    """What is wrong with the address of a receiver, as a sentence; "" if nothing is.

    `local` also allows plain http, which is for receivers on this machine. Where the name leads to is checked when a
    message is sent (`may_call`), because it may change at any time.
    """
    if len(url) > URL_CHARS_MAX or not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        return f"The address may have {URL_CHARS_MAX} visible ASCII characters. Write another host in Punycode."
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return "The address cannot be read. Send one such as https://shop.example/hooks."
    wrong = {
        "The address must begin with https://, because events must not go out in clear.": parts.scheme != "https"
        and not (local and parts.scheme == "http"),
        "The address has no host. Send one such as https://shop.example/hooks.": not _HOST.fullmatch(host),
        "The address must have no user, no password and no fragment. The signature says who sends the message.": (
            parts.username is not None or parts.password is not None or bool(parts.fragment)
        ),
        "The port must be 443, or 1024 and above.": not local and port not in {None, 443} and (port or 0) < 1024,
    }
    return next((text for text, is_so in wrong.items() if is_so), "")


def may_call(address: str, *, scheme: str, local: bool) -> bool:
    """Whether a message may go to this IP address: to a public one by https; with `local` also to this machine."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if local and found.is_loopback:
        return True
    return scheme == "https" and _is_public(found)


def _is_public(address: Address) -> bool:
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return _is_public(address.ipv4_mapped)
    if isinstance(address, IPv6Address) and address not in _PUBLIC_V6:
        return False
    return address.is_global and not any(address in network for network in _NOT_PUBLIC)
