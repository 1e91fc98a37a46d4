"""One spelling for an Indonesian delivery address.

Only what people write differently without meaning another door is levelled: case, punctuation, the words for street,
alley and quarter, how RT and RW are joined, leading zeros. Every number stays, in its order, because house 12 and
house 14 are two families. Typing errors and left-out parts stay different here; a review, which decides nothing,
compares :class:`Door`, where words may be alike and numbers must be the same.
"""

import re
import unicodedata
from dataclasses import dataclass

# How each label is written by one word. An empty word is a label that people leave out without changing the place.
_WORDS = {
    "": "jl jln jalan jlan no nomor nomer nmr num kel kelurahan ds desa kec kecamatan kota kotamadya",
    "gg": "gang gng",
    "kab": "kabupaten",
    "prov": "provinsi propinsi",
    "blok": "blk block",
    "komplek": "kompleks komp kompl kplk kpl perum perumahan",
    "apt": "apartemen apartment apart",
    "lt": "lantai",
    "kav": "kavling kaveling kapling",
    "kp": "kampung kmp kampong",
    "dsn": "dusun",
}
_SPELLING = {spelling: word for word, spellings in _WORDS.items() for spelling in spellings.split()}

_TOGETHER = re.compile(r"\brt\W*(?:rw\W*)?(\d+)\s*(?:[/\\-]\s*|\W*rw\W*)(\d+)")
_REVERSED = re.compile(r"\brw\W*(\d+)\s*[/\\-]?\W*rt\W*(\d+)")
_APOSTROPHES = re.compile(r"['`´‘’ʼ]")
_TOKEN = re.compile(r"\d+|[^\W\d_]+")


# What stands before a number that is not the house's, and what leads to a room behind the door.
_OUTSIDE = {"rt", "rw", "blok", "kav", "gg", "km"}
_INSIDE = {"kamar", "kmr", "room", "unit", "lt", "pintu"}
_POSTCODE_DIGITS = 5
_CITIES = re.compile(r"\bjak(?:arta)? ?(sel|tim|bar|ut|pus)[a-z]*\b")


@dataclass(frozen=True, slots=True)
class Door:
    """Where a parcel goes: the house's number, other numbers by label, the last word of the street, all other words."""

    house: str
    labelled: dict[str, str]
    street: str
    others: tuple[str, ...]

    def may_be(self, other: "Door") -> bool:
        """Whether no number speaks against their being the same door; what one of them leaves out does not."""
        if self.house != other.house:
            return False
        return all(other.labelled.get(label, value) == value for label, value in self.labelled.items())


def door(text: str) -> Door | None:
    """The door that a text leads to, without the rooms behind it; None where no number says which house."""
    labelled: dict[str, str] = {}
    words: list[str] = []
    house = street = before = ""
    for token in _CITIES.sub(r"jak\1", canonical_address(text)).split():
        if before in _OUTSIDE and (token.isdecimal() or len(token) == 1):
            labelled.setdefault(before, token)
        elif token.isdecimal():
            if not house and words and before not in _INSIDE and len(token) != _POSTCODE_DIGITS:
                house, street = token, words.pop()
        elif len(token) > 1 and token not in _OUTSIDE | _INSIDE:
            words.append(token)
        before = token
    return Door(house, labelled, street, tuple(words)) if house else None


def canonical_address(text: str) -> str:
    """The address as words and numbers, or nothing when it has no word or no number to find a door by."""
    plain = _APOSTROPHES.sub("", _plain(text))
    plain = _REVERSED.sub(r" rt \2 rw \1 ", _TOGETHER.sub(r" rt \1 rw \2 ", plain))
    tokens = [_token(token) for token in _TOKEN.findall(plain)]
    return " ".join(token for token in tokens if token)


def _plain(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    return "".join(character for character in decomposed if not unicodedata.combining(character))


def _token(token: str) -> str:
    return str(int(token)) if token.isdecimal() else _SPELLING.get(token, token)
