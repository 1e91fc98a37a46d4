"""Reads a one-time code out of what a person typed or pasted."""

import re
import unicodedata

from flashsale.rules.visible import visible

CODE_DIGITS = 6
# A message with a code has a few hundred characters.
TYPED_CHARS_MAX = 1000

# Digits with a single space or hyphen between two of them are one number: people and phones group the digits of a code.
_NUMBER = re.compile(r"[0-9](?:[ \-‐-―−]?[0-9])*")


def read_code(typed: str) -> str:
    """The six digits of the code, or "" if the text does not say which they are.

    The text may be the code, the code in groups, or a whole message. Exactly one number in it may have six digits or
    more, and it must have six. So a date, a price or a phone number beside the code never becomes the code: either the
    code stands apart from it, or the text is refused. Digits of every script count.
    """
    if len(typed) > TYPED_CHARS_MAX:
        return ""
    # Full-width digits and no-break spaces become the plain ones.
    plain = visible(unicodedata.normalize("NFKC", typed))
    text = "".join(str(unicodedata.decimal(character, character)) for character in plain)
    numbers = {re.sub("[^0-9]", "", number) for number in _NUMBER.findall(text)}
    long = [number for number in numbers if len(number) >= CODE_DIGITS]
    return long[0] if len(long) == 1 and len(long[0]) == CODE_DIGITS else ""
