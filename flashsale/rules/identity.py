"""How a sale knows a person: by the canonical values of some axes (phone, e-mail, …) and their keyed digests.

Two spellings of one phone, mailbox or address have the same canonical value, so they have the same digest and the same
place. Without the pepper, a digest does not reveal its value. Digests of two campaigns cannot be compared, because
each campaign has its own salt.
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
# Raise it when a canonical form changes, so that digests of the old and the new form are never equal by accident.
CANON_VERSION = 1
VALUE_CHARS_MAX = 256
ADDRESS_CHARS_MAX = 512
HOME_REGION = "ID"


class Axis(StrEnum):
    """One property by which a sale knows people. A person has only a few values of each."""

    PHONE = "phone"
    EMAIL = "email"
    PAYMENT = "payment"
    ACCOUNT = "account"
    NATIONAL_ID = "national_id"
    ADDRESS = "address"
    DEVICE = "device"
    NETWORK = "network"


AXIS_ID: dict[Axis, int] = {axis: number for number, axis in enumerate(Axis, start=1)}
"""The byte that stands for an axis in tokens. Tokens live for weeks: add ids, never change one."""


class BadValue(ValueError):
    """The value is not possible for its axis. `why` is empty, too_long or malformed. The value itself is not kept."""

    def __init__(self, axis: Axis, why: str) -> None:
        super().__init__(f"{axis.value} is {why}")
        self.axis = axis
        self.why = why


def canonical_value(axis: Axis, raw: str) -> str:
    """The one spelling of a value, from which its digest is computed. Raises BadValue."""
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


def message_address(axis: Axis, raw: str) -> str:
    """The phone number or mail address to which a message for this value is sent. Raises BadValue.

    The name of a mailbox stays as the person wrote it, because its mail server decides about case, dots and tags. The
    domain is the canonical one. If sending and :func:`canonical_value` read the domain by different rules, a one-time
    code could prove the mailbox of another person.
    """
    value = canonical_value(axis, raw)
    if axis is not Axis.EMAIL:
        return value
    local = unicodedata.normalize("NFKC", raw.strip()).rpartition("@")[0]
    return f"{local}@{value.rpartition('@')[2]}"


# Most people type a mobile number of the home region without decoration. For these the library's own pattern is used
# directly, because its parser is much slower.
_HOME: Any = phonenumbers.PhoneMetadata.metadata_for_region(HOME_REGION)
_HOME_MOBILE = re.compile(rf"(?:\+?62|0)({_HOME.mobile.national_number_pattern})", re.ASCII)


def _phone(text: str) -> str:
    digits = unicodedata.normalize("NFKC", text)
    if plain := _HOME_MOBILE.fullmatch(digits):
        return f"+62{plain[1]}"
    return _any_phone(digits)


def _any_phone(digits: str) -> str:
    # A number copied from a contact list may stand between invisible marks of text direction (category Cf).
    visible = (character for character in digits if unicodedata.category(character) != "Cf")
    digits = "".join(str(unicodedata.decimal(character, character)) for character in visible)
    # No number of the home region begins with 00, so 00 stands for the plus. People also write 62 for the country
    # without plus or 00. The library would read 62 811 123 456 as a landline without its zero: the phone of another
    # person.
    digits = re.sub(r"^\W*(?:0\W*0\W*)?6\W*2", "+62", digits)
    # The library finds a number in any sentence. A typing error must not become the phone of another person.
    if not re.fullmatch(r"\+?[\d\s().\-‐-―−]+", digits):
        return ""
    try:
        number = phonenumbers.parse(digits, HOME_REGION)
    except phonenumbers.NumberParseException:
        return ""
    if not phonenumbers.is_valid_number(number):
        return ""
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


# Domains are the same mailbox only where the provider gives a name to one owner in all of them.
_DOMAINS_OF_ONE = {
    "gmail.com": "googlemail.com",
    "icloud.com": "me.com mac.com",
    "proton.me": "protonmail.com protonmail.ch pm.me",
    "yandex.com": "yandex.ru ya.ru yandex.by yandex.kz yandex.ua",
}
_SAME_MAILBOXES = {other: domain for domain, others in _DOMAINS_OF_ONE.items() for other in others.split()}
_DOTS_IGNORED = {"gmail.com"}
# A tag is removed only where the provider delivers `name+anything` to `name`. At other providers these may be two
# people.
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
    # Yahoo's disposable addresses are `base-anything`. Its ordinary names have no hyphen.
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
    """The one spelling of a mail domain; empty when it is not possible.

    Cached, because most people use a few providers.
    """
    labels = domain.replace("。", ".").removesuffix(".").split(".")
    plain = ".".join(_ascii_label(label) for label in labels)
    plain = _SAME_MAILBOXES.get(plain, plain)
    return plain if _DOMAIN.fullmatch(plain) else ""


def _ascii_label(label: str) -> str:
    if label.isascii():
        return label
    # Encodes as browsers and mail programs do today. Python's own codec follows older rules, in which straße is
    # strasse: the mailbox of another person.
    return f"xn--{label.encode('punycode').decode()}" if label.isprintable() else ""


def _payment(text: str) -> str:
    """A provider's token stays as it is.

    Of a card or account number only the digits stay, because people group them.
    """
    digits = re.sub(r"[\s.‐-―-]", "", unicodedata.normalize("NFKC", text))
    return digits if re.fullmatch(r"[0-9]+", digits) else _opaque(text)


def _account(text: str) -> str:
    # Folding the case can undo the normal form, so the text is normalised again.
    folded = unicodedata.normalize("NFKC", text).casefold()
    return _opaque(unicodedata.normalize("NFKC", folded).strip())


def _national_id(text: str) -> str:
    digits = re.sub(r"[\s.]", "", unicodedata.normalize("NFKC", text))
    return digits if re.fullmatch(r"[0-9]{16}", digits) else ""


def _network(text: str) -> str:
    """The block of addresses that one site or one carrier gives to its users: 24 bits of IPv4, 64 bits of IPv6."""
    try:
        known = ipaddress.ip_address(text)
    except ValueError:
        return ""
    plain = getattr(known, "ipv4_mapped", None) or known
    return str(ipaddress.ip_network((plain, 24 if plain.version == 4 else 64), strict=False))


def _opaque(text: str) -> str:
    """A value that another system made.

    It stays as it is; a value with characters that cannot be printed is refused.
    """
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
    """The 32-byte HMAC key of one axis in one campaign.

    Raises ValueError when the pepper is too short to be a secret.
    """
    if len(pepper) < PEPPER_BYTES_MIN:
        raise ValueError(f"the pepper needs at least {PEPPER_BYTES_MIN} bytes")
    info = f"flashsale/identity/v{version}/{axis.value}".encode()
    return HKDF(algorithm=SHA256(), length=32, salt=salt, info=info).derive(pepper)


class Digester:
    """Makes the digests of one campaign: the 16 bytes by which all parts of the product know a value."""

    def __init__(self, pepper: bytes, salt: bytes) -> None:
        # The HMAC objects are made once and copied, because deriving a key costs more than using it. The standard
        # library's one-shot HMAC is not used: it releases the interpreter's lock at each call, and then the server's
        # other threads take it.
        self._keyed = {axis: HMAC(digest_key(pepper, salt, axis), SHA256()) for axis in Axis}

    def digest(self, axis: Axis, raw: str, *, channel: int = 0) -> bytes:
        """The digest of a value as a person typed it.

        `channel` (an id) counts only for account names. Raises BadValue.
        """
        keyed = self._keyed[axis].copy()
        value = canonical_value(axis, raw)
        # An account name belongs to one person only within its channel: Budi in two channels may be two people.
        keyed.update((f"{channel}/{value}" if axis is Axis.ACCOUNT else value).encode())
        return keyed.finalize()[:DIGEST_BYTES]
