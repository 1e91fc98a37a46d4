"""Who a person is, as far as a sale may know: canonical values of the axes, and their keyed digests.

Two spellings of one phone, mailbox or address get one canonical value, so one digest and one place. A digest tells
nothing without the pepper, and nothing across campaigns, whose salts differ.
"""

import ipaddress
import re
import unicodedata
from collections.abc import Callable
from enum import StrEnum
from functools import lru_cache
from typing import Any

import phonenumbers
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from flashsale.rules.address import canonical_address

DIGEST_BYTES = 16
PEPPER_BYTES_MIN = 16
# Raise it when a canonical form changes: digests of both versions then never meet by accident.
CANON_VERSION = 1
VALUE_CHARS_MAX = 256
ADDRESS_CHARS_MAX = 512
HOME_REGION = "ID"


class Axis(StrEnum):
    """One thing that a person has few of."""

    PHONE = "phone"
    EMAIL = "email"
    PAYMENT = "payment"
    ACCOUNT = "account"
    NATIONAL_ID = "national_id"
    ADDRESS = "address"
    DEVICE = "device"
    NETWORK = "network"


AXIS_NUMBER: dict[Axis, int] = {axis: number for number, axis in enumerate(Axis, start=1)}
"""The axis on the wire. Tokens live for weeks: append, never renumber."""


class BadValue(ValueError):
    """The value cannot be one of its axis. `why` is empty, too_long or malformed; the value itself is never kept."""

    def __init__(self, axis: Axis, why: str) -> None:
        super().__init__(f"{axis.value} is {why}")
        self.axis = axis
        self.why = why


def canonical(axis: Axis, raw: str) -> str:
    """The one spelling of a value. Raises BadValue."""
    bound = ADDRESS_CHARS_MAX if axis is Axis.ADDRESS else VALUE_CHARS_MAX
    if len(raw) > bound:
        raise BadValue(axis, "too_long")
    text = raw.strip()
    if not text:
        raise BadValue(axis, "empty")
    value = _CANONICAL[axis](text)
    if not value:
        raise BadValue(axis, "malformed")
    return value


def reach(axis: Axis, raw: str) -> str:
    """Where a message goes that is for the very person whose digest the value gives. Raises BadValue.

    A mail server has its own say about case, dots and tags, so a mailbox keeps its name; but whoever sends must not
    read the domain by other rules than :func:`canonical`, or a code proves the mailbox of somebody else.
    """
    value = canonical(axis, raw)
    if axis is not Axis.EMAIL:
        return value
    local = unicodedata.normalize("NFKC", raw.strip()).rpartition("@")[0]
    return f"{local}@{value.rpartition('@')[2]}"


# A mobile number of the home region typed plainly, as most are: the library's own pattern, without its forty steps.
_HOME: Any = phonenumbers.PhoneMetadata.metadata_for_region(HOME_REGION)
_HOME_MOBILE = re.compile(rf"(?:\+?62|0)({_HOME.mobile.national_number_pattern})", re.ASCII)


def _phone(text: str) -> str:
    digits = unicodedata.normalize("NFKC", text)
    if plain := _HOME_MOBILE.fullmatch(digits):
        return f"+62{plain[1]}"
    return _any_phone(digits)


def _any_phone(digits: str) -> str:
    # A number copied from a list of contacts comes between marks of direction, which nobody sees.
    shown = (character for character in digits if unicodedata.category(character) != "Cf")
    digits = "".join(str(unicodedata.decimal(character, character)) for character in shown)
    # No number at home begins with 00, which many write for the plus. With neither, 62 is the country to everybody but
    # the library: it takes 62 811 123 456 for a landline without its zero, the phone of somebody else.
    digits = re.sub(r"^\W*(?:0\W*0\W*)?6\W*2", "+62", digits)
    # The library would pick a number out of any sentence; a typing error must not become somebody's phone.
    if not re.fullmatch(r"\+?[\d\s().\-‐-―−]+", digits):
        return ""
    try:
        number = phonenumbers.parse(digits, HOME_REGION)
    except phonenumbers.NumberParseException:
        return ""
    if not phonenumbers.is_valid_number(number):
        return ""
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


# Only where the provider keeps a name for one owner in all of them.
_DOMAINS_OF_ONE = {
    "gmail.com": "googlemail.com",
    "icloud.com": "me.com mac.com",
    "proton.me": "protonmail.com protonmail.ch pm.me",
    "yandex.com": "yandex.ru ya.ru yandex.by yandex.kz yandex.ua",
}
_SAME_MAILBOXES = {other: domain for domain, others in _DOMAINS_OF_ONE.items() for other in others.split()}
_DOTS_IGNORED = {"gmail.com"}
# Only where the provider itself delivers `name+anything` to `name`; elsewhere two people may differ by it.
_TAG_MARK = {
    "gmail.com": "+",
    "icloud.com": "+",
    "outlook.com": "+",
    "outlook.co.id": "+",
    "hotmail.com": "+",
    "live.com": "+",
    "msn.com": "+",
    "proton.me": "+",
    "yandex.com": "+",
    "fastmail.com": "+",
    # Yahoo's disposable addresses are `base-anything`; its ordinary names have no hyphen.
    "yahoo.com": "-",
    "yahoo.co.id": "-",
    "ymail.com": "-",
    "rocketmail.com": "-",
}
_LOCAL_PART = re.compile(r"[\w!#$%&'*+/=?^`{|}~-]+(?:\.[\w!#$%&'*+/=?^`{|}~-]+)*")
_DOMAIN = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])")


def _email(text: str) -> str:
    local, _, domain = unicodedata.normalize("NFKC", text).lower().rpartition("@")
    domain = _mail_domain(domain)
    if not domain or not _LOCAL_PART.fullmatch(local) or len(local.encode()) > 64:
        return ""
    if mark := _TAG_MARK.get(domain):
        local = local.partition(mark)[0]
    if domain in _DOTS_IGNORED:
        local = local.replace(".", "")
    return f"{local}@{domain}" if local else ""


@lru_cache(maxsize=1024)
def _mail_domain(domain: str) -> str:
    """The one spelling of a mail domain, empty when it can be none; most people's mail is with a few providers."""
    labels = domain.replace("。", ".").removesuffix(".").split(".")
    plain = ".".join(_ascii_label(label) for label in labels)
    plain = _SAME_MAILBOXES.get(plain, plain)
    return plain if _DOMAIN.fullmatch(plain) else ""


def _ascii_label(label: str) -> str:
    if label.isascii():
        return label
    # As browsers and mail programs do it today. Python's own codec follows older rules, by which straße is strasse:
    # the mailbox of somebody else.
    return f"xn--{label.encode('punycode').decode()}" if label.isprintable() else ""


def _payment(text: str) -> str:
    """A provider's token as it is; a card's or an account's number, which people group as they like, by its digits."""
    digits = re.sub(r"[\s.‐-―-]", "", unicodedata.normalize("NFKC", text))
    return digits if re.fullmatch(r"[0-9]+", digits) else _opaque(text)


def _account(text: str) -> str:
    # Folding case can undo a normal form, so the normal form is taken again.
    folded = unicodedata.normalize("NFKC", text).casefold()
    return _opaque(unicodedata.normalize("NFKC", folded).strip())


def _national_id(text: str) -> str:
    digits = re.sub(r"[\s.]", "", unicodedata.normalize("NFKC", text))
    return digits if re.fullmatch(r"[0-9]{16}", digits) else ""


def _network(text: str) -> str:
    """The block of addresses that one place or one carrier hands out: 24 bits of IPv4, 64 of IPv6."""
    try:
        known = ipaddress.ip_address(text)
    except ValueError:
        return ""
    plain = getattr(known, "ipv4_mapped", None) or known
    return str(ipaddress.ip_network((plain, 24 if plain.version == 4 else 64), strict=False))


def _opaque(text: str) -> str:
    """A value that somebody else made: kept as it is, unless it cannot have been typed."""
    return text if text.isprintable() else ""


_CANONICAL: dict[Axis, Callable[[str], str]] = {
    Axis.PHONE: _phone,
    Axis.EMAIL: _email,
    Axis.PAYMENT: _payment,
    Axis.ACCOUNT: _account,
    Axis.NATIONAL_ID: _national_id,
    Axis.ADDRESS: canonical_address,
    Axis.DEVICE: _opaque,
    Axis.NETWORK: _network,
}


def digest_key(pepper: bytes, salt: bytes, axis: Axis, version: int = CANON_VERSION) -> bytes:
    """The 32-byte key of one axis in one campaign. Raises ValueError when the pepper is too short to be a secret."""
    if len(pepper) < PEPPER_BYTES_MIN:
        raise ValueError(f"the pepper needs at least {PEPPER_BYTES_MIN} bytes")
    info = f"flashsale/identity/v{version}/{axis.value}".encode()
    return HKDF(algorithm=SHA256(), length=32, salt=salt, info=info).derive(pepper)


class Digester:
    """Digests for one campaign: the 16 bytes by which a value is known everywhere."""

    def __init__(self, pepper: bytes, salt: bytes) -> None:
        # Prepared once and copied: deriving a key costs more than using it, and the standard library's one-shot HMAC
        # lets go of the interpreter's lock each time, for which the server's other threads wait.
        self._keyed = {axis: HMAC(digest_key(pepper, salt, axis), SHA256()) for axis in Axis}

    def digest(self, axis: Axis, raw: str, *, channel: int = 0) -> bytes:
        """The digest of a value as somebody typed it, or as a channel (its id) knows it. Raises BadValue."""
        keyed = self._keyed[axis].copy()
        value = canonical(axis, raw)
        # An account's name is one person's at one partner only: Budi here and Budi there may be two people.
        keyed.update((f"{channel}/{value}" if axis is Axis.ACCOUNT else value).encode())
        return keyed.finalize()[:DIGEST_BYTES]
