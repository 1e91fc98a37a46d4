"""One spelling for an Indonesian delivery address, and the house that an address names.

The one spelling removes only differences that do not mean another house: case, punctuation, the words for street,
alley and quarter, how RT and RW (neighbourhood numbers) are joined, leading zeros. Every number stays, in its order,
because house 12 and house 14 are two families. Addresses with a typing error or a missing part stay different.
The review, which decides nothing alone, compares :class:`House` instead: there words may be similar, and numbers must
be the same.
"""

import re
import unicodedata
from dataclasses import dataclass

# The spellings of each label. Labels under the empty key are removed, because the place is the same without them.
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

# RT and RW together in either order, or two numbers without labels as on identity cards (005/012).
_QUARTER = re.compile(
    r"\brt\W*(?:rw\W*)?(?P<rt>\d+)\s*(?:[/\\-]\s*|\W*rw\W*)(?P<rw>\d+)"
    r"|\brw\W*(?P<rw2>\d+)\s*[/\\-]?\W*rt\W*(?P<rt2>\d+)"
    r"|\b(?P<rt3>0\d\d) ?/ ?(?P<rw3>0\d\d)\b"
)
_APOSTROPHES = re.compile(r"['`´‘’ʼ]")
_TOKEN = re.compile(r"\d+|[^\W\d_]+")
# Roman numerals count as numbers only before another number: Mawar II No. 5 is Mawar 2 No. 5. In other places these
# letters are a word or the name of a block.
_TENS, _ONES = ("", "x", "xx", "xxx"), ("", "i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix")
_ROMAN = {tens + ones: f"{10 * ten + one}" for ten, tens in enumerate(_TENS) for one, ones in enumerate(_ONES)}
_NUMERAL = re.compile(r"\b(?<!blok )[ivx]+\b(?=(?: [ivx]+)* \d)")


# Labels before a number that is not the house's number, and labels of rooms inside the house.
_OUTSIDE = {"rt", "rw", "blok", "kav", "gg", "km"}
_INSIDE = {"kamar", "kmr", "room", "unit", "lt", "pintu"}
_POSTCODE_DIGITS = 5
_CITIES = re.compile(r"\bjak(?:arta)? ?(sel|tim|bar|ut|pus)[a-z]*\b")


@dataclass(frozen=True, slots=True)
class House:
    """The house to which a parcel goes.

    `number` is the house number after the number of its street or block ("2 5", "1 5"), `labelled` has the other
    numbers by label (rt, rw, blok, …), `street` is the last word of the street, `others` are all other words.
    """

    number: str
    labelled: dict[str, str]
    street: str
    others: tuple[str, ...]

    def numbers_agree_with(self, other: "House") -> bool:
        """Whether both may be the same house by their numbers. A number that only one of them has does not count."""
        if self.number != other.number:
            return False
        return all(other.labelled.get(label, value) == value for label, value in self.labelled.items())


def parse_house(text: str) -> House | None:
    """The house that a text names, without rooms inside it; None when the text has no house number."""
    labelled: dict[str, str] = {}
    words: list[str] = []
    number = street = before = ""
    in_number = False  # the house number may have several parts that stand together: Mawar 2 No. 5, Blok A1/5
    for token in _CITIES.sub(r"jak\1", canonical_address(text)).split():
        if before in _OUTSIDE and (token.isdecimal() or len(token) == 1):
            labelled.setdefault(before, token)
        elif token.isdecimal():
            if in_number and len(token) != _POSTCODE_DIGITS:
                number = f"{number} {token}"
            elif not number and words and before not in _INSIDE and len(token) != _POSTCODE_DIGITS:
                number, street, in_number = token, words.pop(), True
        elif len(token) > 1 and token not in _OUTSIDE | _INSIDE:
            words.append(token)
        in_number &= token.isdecimal()
        before = token
    return House(number, labelled, street, tuple(words)) if number else None


def canonical_address(text: str) -> str:
    """The address as words and numbers, or an empty text when it has no word and no number."""
    plain = _QUARTER.sub(r" rt \g<rt>\g<rt2>\g<rt3> rw \g<rw>\g<rw2>\g<rw3> ", _APOSTROPHES.sub("", _plain(text)))
    tokens = [_token(token) for token in _TOKEN.findall(plain)]
    return _NUMERAL.sub(lambda found: _ROMAN.get(found[0], found[0]), " ".join(token for token in tokens if token))


def _plain(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    return "".join(character for character in decomposed if not unicodedata.combining(character))


def _token(token: str) -> str:
    return str(int(token)) if token.isdecimal() else _SPELLING.get(token, token)
