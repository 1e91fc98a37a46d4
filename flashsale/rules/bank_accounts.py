"""Bank accounts as buyers type them: which ones can be right, and their one spelling."""

import re
import unicodedata
from dataclasses import dataclass

from flashsale.rules.visible import visible

# The page suggests these. A buyer may name any other bank or wallet.
BANKS = (
    "Allo Bank", "Bank BTPN / Jenius", "Bank Jago", "Bank Mega", "Bank Muamalat", "Bank Neo Commerce", "BCA",
    "BCA Digital (blu)", "BJB", "BNI", "BRI", "BSI", "BTN", "CIMB Niaga", "Danamon", "Mandiri", "Maybank Indonesia",
    "OCBC", "Panin", "Permata", "SeaBank",
)  # fmt: skip
BANK_CHARS_MAX, HOLDER_CHARS_MAX = 40, 70
NUMBER_PATTERN = re.compile(r"[0-9]{6,20}")
_BETWEEN_DIGITS = re.compile(r"[\s.\-]")


class BadAccount(ValueError):
    """An account that cannot be right. `fields` are the names of the wrong fields; the values are not kept."""

    def __init__(self, fields: list[str]) -> None:
        super().__init__(", ".join(fields))
        self.fields = fields


@dataclass(frozen=True, slots=True)
class Account:
    """Where money can be transferred to."""

    bank: str
    number: str
    holder: str

    @classmethod
    def typed(cls, *, bank: str, number: str, holder: str) -> "Account":
        """The account that a person typed, in its one spelling. Raises BadAccount with all wrong fields.

        Spaces, dots and hyphens in the number do not count. Bank and holder need a letter, and have no control
        characters.
        """
        account = cls(_words(bank), _BETWEEN_DIGITS.sub("", visible(number)), _words(holder))
        wrong = {
            "bank": not _is_name(account.bank, BANK_CHARS_MAX),
            "number": not NUMBER_PATTERN.fullmatch(account.number),
            "holder": not _is_name(account.holder, HOLDER_CHARS_MAX),
        }
        if any(wrong.values()):
            raise BadAccount([name for name, is_wrong in wrong.items() if is_wrong])
        return account

    @property
    def shown(self) -> str:
        """The account without what a stranger must not learn: the bank and the last three digits."""
        return f"{self.bank} …{self.number[-3:]}"


def _words(text: str) -> str:
    return re.sub(r" +", " ", unicodedata.normalize("NFKC", visible(text))).strip(" ")


def _is_name(text: str, most: int) -> bool:
    categories = [unicodedata.category(character) for character in text]
    has_letter = any(one.startswith("L") for one in categories)
    return has_letter and len(text) <= most and not any(one.startswith(("C", "Zl", "Zp")) for one in categories)
