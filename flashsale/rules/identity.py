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
from typing import Any

import phonenumbers
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from flashsale.rules import mailbox
from flashsale.rules.address import canonical_address
from flashsale.rules.visible import visible

DIGEST_BYTES = 16
PEPPER_BYTES_MIN = 16
# The newest version of the canonical forms. A change of a form is a new version, and the old one stays in the code: a
# campaign keeps the version that it was made with, so that one person never gets two digests in it.
CANON_VERSION = 3
CANON_VERSIONS = frozenset({1, 2, 3})
VALUE_CHARS_MAX = 256
ADDRESS_CHARS_MAX = 512
HOME_REGION = "ID"
# SMTP's bound of an address.
EMAIL_CHARS_MAX = 254
# Categories of characters that end a line, and of other control characters.
_LINE_BREAKS = frozenset({"Cc", "Zl", "Zp"})


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


def canonical_value(axis: Axis, raw: str, version: int = CANON_VERSION) -> str:
    """The one spelling of a value, under a version of the canonical forms. Raises BadValue.

    The bound holds for the value as it was typed and for what Unicode makes of it: one character may stand for
    eighteen, and the work grows with them.
    """
    bound = ADDRESS_CHARS_MAX if axis is Axis.ADDRESS else VALUE_CHARS_MAX
    if len(raw) > bound or (not raw.isascii() and len(unicodedata.normalize("NFKC", raw)) > bound):
        raise BadValue(axis, "too_long")
    text = raw.strip()
    if not text:
        raise BadValue(axis, "empty")
    value = _VERSIONED[axis](text, version) if axis in _VERSIONED else _CANONICAL[axis](text)
    if not value:
        raise BadValue(axis, "malformed")
    return value


def message_address(axis: Axis, raw: str) -> str:
    """Where a message goes that is for the person whose digest the value gives. Raises BadValue.

    A mailbox keeps the name that its owner typed, because a mail server has rules of its own about case, dots and
    tags. Its domain is read as :func:`canonical_value` reads it, because another reading is the mailbox of another
    person. A mailbox that no mail server can deliver to, or that our e-mails cannot name, is refused, although it has a
    canonical value.
    """
    value = canonical_value(axis, raw)
    if axis is not Axis.EMAIL:
        return value
    local, _, domain = mailbox.split(raw.strip())
    if len(local) + 1 + len(domain) > EMAIL_CHARS_MAX:
        raise BadValue(axis, "too_long")
    has_top_domain = not domain.rpartition(".")[2].isdigit()
    if not local.isascii() or not has_top_domain or any(unicodedata.category(c) in _LINE_BREAKS for c in raw):
        raise BadValue(axis, "malformed")
    return f"{local}@{domain}"


# Types of numbers that a code may go to. Some countries, such as the USA, do not distinguish mobiles from fixed lines.
_MOBILE_TYPES = frozenset({phonenumbers.PhoneNumberType.MOBILE, phonenumbers.PhoneNumberType.FIXED_LINE_OR_MOBILE})
COUNTRIES = frozenset(phonenumbers.SUPPORTED_REGIONS)


def mobile_country(phone: str) -> str:
    """The country (ISO 3166, two letters) of a canonical mobile number; empty for every other type of number.

    Premium, shared-cost, fixed-line, satellite and pager numbers are of other types: a message to them costs money, or
    reaches no person.
    """
    number = phonenumbers.parse(phone)
    if phonenumbers.number_type(number) not in _MOBILE_TYPES:
        return ""
    country = phonenumbers.region_code_for_number(number) or ""
    return country if country in COUNTRIES else ""


# Most people type a mobile number of the home region without decoration. For these the library's own pattern is used
# directly, because its parser is much slower.
_HOME: Any = phonenumbers.PhoneMetadata.metadata_for_region(HOME_REGION)
_HOME_MOBILE = re.compile(rf"(?:\+?62|0)({_HOME.mobile.national_number_pattern})", re.ASCII)


_BRACKETS = str.maketrans("[]", "()")


def _phone(text: str, version: int = CANON_VERSION) -> str:
    digits = unicodedata.normalize("NFKC", text)
    if plain := _HOME_MOBILE.fullmatch(digits):
        return f"+62{plain[1]}"
    return _any_phone(digits, version)


# A phone number that was copied from a spreadsheet (an apostrophe) or from a link begins with this.
_AROUND = re.compile(r"\A(?:['’]|tel:)")
# A number cell of a spreadsheet comes as 6281234567011.0; read as a digit, the zero makes the phone of another person.
_DECIMALS = re.compile(r"[^.]*\.\W*(?:\d\d|0+)\W*|.*\.\W*\d\W*")


# From version 3 on, each of these is refused, because its digits together are the phone of another person:
# something else than digits and separators (a price, a percentage), brackets behind the area code (a second number, a
# note), a whole mobile number with one or two digits behind it (a count, an extension, the decimals of a cell).
_SEPARATED = re.compile(r"[+\d\s().\-‐-―−]+")
_LATE_BRACKET = re.compile(r"(?:\d\D*){6}\(")
_WHOLE_AND_MORE = re.compile(rf"\D*(?:62|0)?{_HOME.mobile.national_number_pattern}\D+\d\d?\D*", re.ASCII)
# A number without country and without zero can only be a mobile number of the home region, which begins with 8.
_HOME_OR_FULL = re.compile(r"[^\d+]*(?:\+|0|6\D*2|8)")


def _is_one_number(digits: str) -> bool:
    """Whether a text is one phone number for certain, and no number with something behind it."""
    return bool(
        _SEPARATED.fullmatch(digits)
        and _HOME_OR_FULL.match(digits)
        and not _LATE_BRACKET.search(digits)
        and not _WHOLE_AND_MORE.fullmatch(digits)
    )


def _any_phone(digits: str, version: int = CANON_VERSION) -> str:
    digits = "".join(str(unicodedata.decimal(character, character)) for character in visible(digits))
    digits = _AROUND.sub("", digits).translate(_BRACKETS)
    if _DECIMALS.fullmatch(digits) or (version >= 3 and not _is_one_number(digits)):
        return ""
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


_VERSIONED: dict[Axis, Callable[[str, int], str]] = {Axis.PHONE: _phone, Axis.EMAIL: mailbox.canonical_mailbox}
_CANONICAL: dict[Axis, Callable[[str], str]] = {
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

    def __init__(self, pepper: bytes, salt: bytes, version: int = CANON_VERSION) -> None:
        if version not in CANON_VERSIONS:
            raise ValueError(f"canonical forms of version {version} are unknown; known: {sorted(CANON_VERSIONS)}")
        self._version = version
        # Prepared once and copied: deriving a key costs more than using it, and the standard library's one-shot HMAC
        # lets go of the interpreter's lock each time, for which the server's other threads wait.
        self._keyed = {axis: HMAC(digest_key(pepper, salt, axis, version), SHA256()) for axis in Axis}

    def digest(self, axis: Axis, raw: str, *, channel: int = 0) -> bytes:
        """The digest of a value as a person typed it.

        `channel` (an id) counts only for account names. Raises BadValue.
        """
        keyed = self._keyed[axis].copy()
        value = canonical_value(axis, raw, self._version)
        # An account's name is one person's at one partner only: Budi here and Budi there may be two people.
        keyed.update((f"{channel}/{value}" if axis is Axis.ACCOUNT else value).encode())
        return keyed.finalize()[:DIGEST_BYTES]
