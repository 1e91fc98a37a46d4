"""Contact: checks the data by which a buyer is reached, wherever it enters: our page, partners, the admin."""

import unicodedata
from collections.abc import Mapping

from flashsale.rules.identity import ADDRESS_CHARS_MAX, Axis, BadValue, canonical_value, message_address
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.visible import visible

NAME_CHARS_MAX = 200
CONTACT_FIELDS = ("name", "address", "phone", "email")
_BOUNDS = {"name": NAME_CHARS_MAX, "address": ADDRESS_CHARS_MAX}
# People write an address in several lines. A line break in a name would put text of its own into a letter.
_ALLOWED_CONTROLS = {"name": "", "address": "\n\r\t"}
_CONTROLS = frozenset({"Cc", "Zl", "Zp"})


def checked_contact(contact: Mapping[str, str]) -> dict[str, str]:
    """The CONTACT_FIELDS without spaces around them and without invisible characters.

    A mark of text direction turns around what stands beside a name: in the admin, in a letter, in a file for couriers.
    Refuses BAD_IDENTITY; it names the field, never the value.
    """
    values = {name: visible(contact.get(name, "")).strip() for name in CONTACT_FIELDS}
    missing = [name for name, value in values.items() if not value]
    if missing:
        raise Refused(Outcome.BAD_IDENTITY, f"Missing: {', '.join(missing)}.")
    for name, most in _BOUNDS.items():
        if len(values[name]) > most:
            raise Refused(Outcome.BAD_IDENTITY, f"{name}: {name} is too_long")
        if any(_is_control(character, _ALLOWED_CONTROLS[name]) for character in values[name]):
            raise Refused(Outcome.BAD_IDENTITY, f"{name}: {name} is malformed")
    try:
        canonical_value(Axis.PHONE, values["phone"])
        # With the spaces and line breaks that the caller sent, because the check refuses a line break.
        return values | {"email": message_address(Axis.EMAIL, contact["email"])}
    except BadValue as error:
        raise Refused(Outcome.BAD_IDENTITY, f"{error.axis.value}: {error}") from error


def _is_control(character: str, allowed: str) -> bool:
    return character not in allowed and unicodedata.category(character) in _CONTROLS
