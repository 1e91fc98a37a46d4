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

# RT and RW, together in either order, or bare as identity cards have them.
_QUARTER = re.compile(
    r"\brt\W*(?:rw\W*)?(?P<rt>\d+)\s*(?:[/\\-]\s*|\W*rw\W*)(?P<rw>\d+)"
    r"|\brw\W*(?P<rw2>\d+)\s*[/\\-]?\W*rt\W*(?P<rt2>\d+)"
    r"|\b(?P<rt3>0\d\d) ?/ ?(?P<rw3>0\d\d)\b"
)
_APOSTROPHES = re.compile(r"['`´‘’ʼ]")
_TOKEN = re.compile(r"\d+|[^\W\d_]+")
# Mawar II No. 5 is Mawar 2 No. 5; elsewhere such letters are a word, or those of a block.
_TENS, _ONES = ("", "x", "xx", "xxx"), ("", "i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix")
_ROMAN = {tens + ones: f"{10 * ten + one}" for ten, tens in enumerate(_TENS) for one, ones in enumerate(_ONES)}
_NUMERAL = re.compile(r"\b(?<!blok )[ivx]+\b(?=(?: [ivx]+)* \d)")


# What stands before a number that is not the house's, and what leads to a room behind the door.
_OUTSIDE = {"rt", "rw", "blok", "kav", "gg", "km"}
_INSIDE = {"kamar", "kmr", "room", "unit", "lt", "pintu"}
_POSTCODE_DIGITS = 5
_CITIES = re.compile(r"\bjak(?:arta)? ?(sel|tim|bar|ut|pus)[a-z]*\b")


@dataclass(frozen=True, slots=True)
class Door:
    """Where a parcel goes: the house's number (after its street's or block's), others by label, the street's last word,
    all other words.
    """

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
    within = False  # the house's numbers, which stand together: Mawar 2 No. 5, Blok A1/5
    for token in _CITIES.sub(r"jak\1", canonical_address(text)).split():
        if before in _OUTSIDE and (token.isdecimal() or len(token) == 1):
            labelled.setdefault(before, token)
        elif token.isdecimal():
            if within and len(token) != _POSTCODE_DIGITS:
                house = f"{house} {token}"
            elif not house and words and before not in _INSIDE and len(token) != _POSTCODE_DIGITS:
                house, street, within = token, words.pop(), True
        elif len(token) > 1 and token not in _OUTSIDE | _INSIDE:
            words.append(token)
        within &= token.isdecimal()
        before = token
    return Door(house, labelled, street, tuple(words)) if house else None


def canonical_address(text: str) -> str:
    """The address as words and numbers, or nothing when it has no word or no number to find a door by."""
    plain = _QUARTER.sub(r" rt \g<rt>\g<rt2>\g<rt3> rw \g<rw>\g<rw2>\g<rw3> ", _APOSTROPHES.sub("", _plain(text)))
    tokens = [_token(token) for token in _TOKEN.findall(plain)]
    return _NUMERAL.sub(lambda found: _ROMAN.get(found[0], found[0]), " ".join(token for token in tokens if token))


def _plain(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    return "".join(character for character in decomposed if not unicodedata.combining(character))


def _token(token: str) -> str:
    return str(int(token)) if token.isdecimal() else _SPELLING.get(token, token)
