"""One spelling for an Indonesian delivery address, and the house that an address names.

The one spelling removes only differences that do not mean another house: case, punctuation, the words for street,
alley and quarter, how RT and RW (neighbourhood numbers) are joined, leading zeros. Every number stays, in its order,
because house 12 and house 14 are two families. Addresses with a typing error or a missing part stay different.
The review compares houses instead (review/houses.py). There, similar words are enough, because people decide.
"""

import re
import unicodedata

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
ROMAN = {tens + ones: f"{10 * ten + one}" for ten, tens in enumerate(_TENS) for one, ones in enumerate(_ONES)}
_NUMERAL = re.compile(r"\b(?<!blok )[ivx]+\b(?=(?: [ivx]+)* \d)")


def canonical_address(text: str) -> str:
    """The address as words and numbers, or an empty text when it has no word and no number."""
    plain = _QUARTER.sub(r" rt \g<rt>\g<rt2>\g<rt3> rw \g<rw>\g<rw2>\g<rw3> ", plain_address(text))
    tokens = [_token(token) for token in _TOKEN.findall(plain)]
    return _NUMERAL.sub(lambda found: ROMAN.get(found[0], found[0]), " ".join(token for token in tokens if token))


def plain_address(text: str) -> str:
    """The text in small letters, without accents and apostrophes."""
    plain = text.casefold()
    if not plain.isascii():
        decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
        plain = "".join(character for character in decomposed if not unicodedata.combining(character))
    return _APOSTROPHES.sub("", plain)


def _token(token: str) -> str:
    return str(int(token)) if token.isdecimal() else _SPELLING.get(token, token)
