"""One spelling for an Indonesian delivery address.

Only what people write differently without meaning another door is levelled: case, punctuation, the words for street,
alley and quarter, how RT and RW are joined, leading zeros. Every number stays, in its order, because house 12 and
house 14 are two families. Typing errors and left-out parts stay different: that is for a review by people.
"""

import re
import unicodedata

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
