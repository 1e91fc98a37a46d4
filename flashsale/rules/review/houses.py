"""Finds the addresses that name one house, although people write them in different ways.

The house number must be the same. Its letter, the block, the number of the street, the neighbourhood (RT, RW) and the
region of the postcode must not differ where both texts have them. The street may have a typing error. The other words
must agree by weight: a word that few addresses of the sale have weighs more than the name of a city.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from heapq import nsmallest
from itertools import islice
from math import log
from typing import Any

from rapidfuzz import fuzz

from flashsale.rules.address import ROMAN, plain_address

# An address is compared with at most this many houses of one number and one street. More of them are nonsense, and the
# work would grow with the square of their number.
COMPARED_MAX = 100
# Typing errors are sought in this many words of an address, the heaviest ones. The work for each pair of houses grows
# with the square of this number.
_MISSPELT_MAX = 6
# The share of the weight of the words that must agree: of the shorter text, or of the longer one if there is no house
# number. The second rule is stricter, because a neighbourhood has fifty houses.
_AGREE, _AGREE_WITHOUT_NUMBER = 0.5, 0.8
# A word of at most this many letters has no typing errors: with another letter it is another word.
_SHORT = 4
_POSTCODE_DIGITS = 5

_TOKEN = re.compile(r"\d+[a-z]?(?![^\W_])|\d+|[^\W\d_]+\d*|[#/]")
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_ROOM = {"kamar", "kmr", "room", "unit", "lantai", "lt", "pintu", "km", "lot"}
_NUMBER = {"no", "nomor", "nomer", "nmr", "nmor", "num", "#"}
_BLOCK = {"blok", "blk", "block", "kav", "kavling", "kaveling", "kapling"}
_BEFORE_NUMBER = _NUMBER | _BLOCK
_OTHERS = (
    "jl jln jalan jlan gg gang gng kel kelurahan ds desa kec kecamatan kota kotamadya kab kabupaten prov provinsi "
    "propinsi komplek kompleks komp kompl kplk kpl perum perumahan rt rw kp kampung kmp dsn dusun"
)
_LABELS = _ROOM | _NUMBER | _BLOCK | set(_OTHERS.split())
# These words tell the courier what stands near the house. The word after each of them is left out as well.
_NEAR = (
    "titip up dekat dkt deket depan dpn samping smpg sebelah sblh belakang blkg seberang sebrang pagar pager cat warna "
    "patokan ada masuk"
)
HINTS = frozenset(_NEAR.split())
# Many streets have such a part, so it does not tell them apart.
_PARTS = {"raya", "dalam", "utara", "selatan", "timur", "barat", "tengah"}


@dataclass(frozen=True, slots=True)
class House:
    """What an address says about its house. A part that the address does not name is empty.

    `letter` follows the number (9B). A missing letter agrees with every letter, because resellers add letters, and few
    neighbours differ by the letter alone. `street` is the last word before the number. `street_number` belongs to the
    street (Kamboja 1 No. 14).
    """

    number: str = ""
    letter: str = ""
    block: str = ""
    street: str = ""
    street_number: str = ""
    rt: str = ""
    rw: str = ""
    postcode: str = ""
    words: frozenset[str] = frozenset()

    def may_be(self, other: "House") -> bool:
        """Whether the house numbers are the same, and no other number or letter differs that both texts have.

        Of a postcode, only the first two digits count: they are a region.
        """
        return self.number == other.number and not (
            (self.rt != other.rt and self.rt and other.rt)
            or (self.rw != other.rw and self.rw and other.rw)
            or (self.block != other.block and self.block and other.block)
            or (self.letter != other.letter and self.letter and other.letter)
            or (self.street_number != other.street_number and self.street_number and other.street_number)
            or (self.postcode[:2] != other.postcode[:2] and self.postcode and other.postcode)
        )

    def with_rest_of(self, other: "House") -> "House":
        """This house, with what only the other text says."""
        own = {field.name: getattr(self, field.name) or getattr(other, field.name) for field in fields(self)}
        return House(**own | {"words": self.words | other.words})

    def fullness(self) -> tuple[Any, ...]:
        """A key that sorts houses by how much their texts say, the fullest first."""
        said = [getattr(self, field.name) for field in fields(self)]
        return (-sum(map(bool, said)), -len(self.words), *said[:-1], sorted(self.words))


def parse_house(text: str) -> House:
    """Reads an address as people write it."""
    return _Reader([part for found in _TOKEN.findall(plain_address(text)) for part in _parts(found)]).house()


def _parts(token: str) -> tuple[str, ...]:
    """A label and its number (RT006, Blok12) are two tokens. A name that ends in a number (Cell47) is one."""
    letters = token.rstrip("0123456789")
    return (letters, token[len(letters) :]) if letters != token and letters in _LABELS else (token,)


class _Reader:
    """Reads the tokens of one address from left to right. A number with a label is preferred to one without."""

    def __init__(self, tokens: Sequence[str]) -> None:
        self._tokens = tokens
        self._known: dict[str, str] = {}
        self._words: list[str] = []
        self._labelled = False
        self._pair: tuple[str, str] | None = None
        self._number_at = -1  # how many words stood before the number
        self._number_end = -1  # the place of the token after it

    def house(self) -> House:
        at = 0
        while at < len(self._tokens):
            at = self._read(at)
        if self._pair and "rt" not in self._known:
            if self._known.get("number"):
                self._known |= {"rt": self._pair[0], "rw": self._pair[1]}
            else:
                self._known["number"] = self._pair[0]
        if "number" not in self._known and self._known.get("block", "")[:1].isdecimal():
            self._known["number"] = self._known.pop("block")  # Kav. 25
        street = next((word for word in reversed(self._words[: max(self._number_at, 0)]) if word not in _PARTS), "")
        if not street:
            street = next((word for word in self._words if word not in _PARTS), "")
        return House(**self._known, street=street, words=frozenset(self._words) - {street})

    def _read(self, at: int) -> int:
        """Reads one token and what belongs to it. Returns the place of the next one."""
        token = self._tokens[at]
        if token in _LABELS or token in HINTS:
            return self._after_label(at)
        if token[:1].isdecimal():
            return self._free_number(at)
        if self._is_block(at):
            return self._block(at)
        if ROMAN.get(token) and self._words and (len(token) > 1 or self._starts_number(at + 1)):
            return self._street_number(ROMAN[token], at)
        if len(token) > 1:
            self._words.append(token)
        return at + 1

    def _after_label(self, at: int) -> int:
        token, after = self._tokens[at], self._token(at + 1)
        if token in {"rt", "rw"}:
            return self._quarter(at)
        if token in _NUMBER and after[:1].isdecimal():
            return self._number(at + 1, labelled=True)
        if token in _BLOCK and after:
            return self._block(at + 1)
        if token in HINTS:
            return at + (2 if after.isalpha() and after not in _LABELS else 1)
        return at + (2 if token in _ROOM and after[:1].isdecimal() else 1)

    def _token(self, at: int) -> str:
        return self._tokens[at] if at < len(self._tokens) else ""

    def _starts_number(self, at: int) -> bool:
        return self._token(at)[:1].isdecimal() or self._token(at) in _BEFORE_NUMBER

    def _is_block(self, at: int) -> bool:
        """Whether a block stands here, not a word: a letter before a number (J16 No. 19, K22 22C, H/7, C 12)."""
        token = self._tokens[at]
        letters = token.rstrip("0123456789")
        if not letters.isalpha() or len(letters) > 2 or (letters == token and (len(token) > 1 or not self._words)):
            return False
        after = self._token(at + 1)
        if len(token) == 1 and token in ROMAN and after != "/":
            return False
        return after[:1].isdecimal() or (after in _NUMBER | {"/"} and self._token(at + 2)[:1].isdecimal())

    def _quarter(self, at: int) -> int:
        label, at = self._tokens[at], at + 1
        while self._token(at) in {"/", "rw", "rt"}:  # RT/RW 5/14
            at += 1
        if not self._token(at).isdecimal():
            return at
        self._known.setdefault(label, f"{int(self._token(at))}")
        other = "rw" if label == "rt" else "rt"
        if self._token(at + 1) == "/" and self._token(at + 2).isdecimal():
            self._known.setdefault(other, f"{int(self._token(at + 2))}")
            return at + 3
        return at + 1

    def _block(self, at: int) -> int:
        block = self._token(at)
        at += 1
        if block.isalpha() and len(block) > 2:
            return at - 1  # a name, read as a word
        if len(block) == 1 and block.isalpha() and self._token(at).isdecimal() and self._starts_number(at + 1):
            block, at = block + self._token(at), at + 1  # Blok C 12 No. 3
        self._known.setdefault("block", block)
        self._number_at = self._number_at if self._labelled else len(self._words)
        self._keep_street_number()
        while self._token(at) in _NUMBER | {"/"}:
            at += 1
        return self._number(at, labelled=True) if self._token(at)[:1].isdecimal() else at

    def _number(self, at: int, *, labelled: bool) -> int:
        """Reads the number of the house and its letter (9B, 9 B). A number after a slash is a room inside the house."""
        number = self._tokens[at].rstrip(_LETTERS)
        letter, at = self._tokens[at][len(number) :], at + 1
        if not letter and self._is_letter(at):
            letter, at = self._tokens[at], at + 1
        if not self._labelled:
            self._keep_street_number()
            self._known |= {"number": number.lstrip("0") or "0", "letter": letter}
            self._labelled = labelled
            self._number_at, self._number_end = len(self._words), at
        return at + 2 if self._token(at) == "/" and self._token(at + 1)[:1].isdecimal() else at

    def _is_letter(self, at: int) -> bool:
        token = self._token(at)
        return len(token) == 1 and token.isalpha() and self._token(at + 1) != "/" and not self._starts_number(at + 1)

    def _free_number(self, at: int) -> int:
        """A number without a label: a postcode, RT and RW, the number of the street, or that of the house."""
        token = self._tokens[at]
        if token.isdecimal() and len(token) == _POSTCODE_DIGITS:
            self._known["postcode"] = token
            return at + 1
        after = self._token(at + 2)
        if token.isdecimal() and self._token(at + 1) == "/" and after.isdecimal() and len(after) < _SHORT:
            if "0" in {token[0], after[0]}:
                self._known |= {
                    "rt": f"{int(token)}",
                    "rw": f"{int(after)}",
                } | self._known  # as on identity cards: 08/05
            else:
                self._pair = self._pair or (token, after)
            return at + 3
        if self._labelled:
            return at + 1
        if "number" in self._known and self._number_end == at:
            return self._number(at, labelled=False)
        if "number" not in self._known and self._words:
            return self._number(at, labelled=False)
        return at + 1

    def _street_number(self, number: str, at: int) -> int:
        if "number" not in self._known:
            self._known["number"], self._number_at, self._number_end = number, len(self._words), at + 1
        return at + 1

    def _keep_street_number(self) -> None:
        """Gives the number found so far to the street, because the number of the house comes after it."""
        if "number" in self._known and not self._labelled:
            self._known["street_number"] = self._known.pop("number")


def group_by_house(houses: Mapping[str, House], near_word: int) -> dict[str, Hashable]:
    """The house of each address, as a number. A part that an address does not name agrees, but for number and street.

    `near_word` (0 to 100) says how similar two words must be. The order of the addresses does not change the result.
    """
    return _Groups(houses.values(), near_word).of(houses)


def group_by_lane(houses: Mapping[str, House], near_word: int) -> dict[str, Hashable]:
    """The street and neighbourhood of each address that names street, RT and RW, as a number. The house is ignored."""
    lanes = {
        id_: replace(house, number=f"{house.rt}/{house.rw}", letter="", block="")
        for id_, house in houses.items()
        if house.rt and house.rw and house.street
    }
    return _Groups(lanes.values(), near_word).of(lanes)


class _Groups:
    """The different houses so far, each with all that its texts say."""

    def __init__(self, houses: Iterable[House], near_word: int) -> None:
        self._near = near_word
        texts = set(houses)
        counts = Counter(word for house in texts for word in house.words)
        self._weights = {word: log((len(texts) + 1) / count) + 0.1 for word, count in counts.items()}
        self._houses: list[House] = []
        self._at: dict[tuple[str, str], list[int]] = defaultdict(list)

    def of(self, houses: Mapping[str, House]) -> dict[str, Hashable]:
        """The position of each address's house. The fullest texts come first: the others are compared with them."""
        found = {house: self._add(house) for house in sorted(set(houses.values()), key=House.fullness)}
        return {id_: found[house] for id_, house in houses.items()}

    def _add(self, house: House) -> int:
        """The position of the house that this text names. If no known house agrees, the house is new."""
        best, most = -1, 0.0
        for at in self._candidates(house):
            agreement = self._agreement(house, self._houses[at])
            if agreement > most:
                best, most = at, agreement
        if best < 0:
            best = len(self._houses)
            self._houses.append(house)
            for key in _misspellings(house.street):
                self._at[house.number, key].append(best)
        else:
            self._houses[best] = self._houses[best].with_rest_of(house)
        return best

    def _candidates(self, house: House) -> Iterable[int]:
        found = (at for key in _misspellings(house.street) for at in self._at.get((house.number, key), ()))
        return dict.fromkeys(islice(found, COMPARED_MAX))

    def _agreement(self, one: House, other: House) -> float:
        """The share of the weight of the words that agrees. 0 if the share is too small, or if a number differs."""
        if not one.may_be(other) or not self._are_alike(one.street, other.street):
            return 0.0
        if not one.words or not other.words:
            return 0.01 if one.number else 0.0
        both = sum(self._weights[word] for word in one.words & other.words)
        left, right = self._heaviest(one.words - other.words), self._heaviest(other.words - one.words)
        both += sum(self._weights[word] for word in left if any(self._are_alike(word, near) for near in right))
        sizes = [sum(self._weights[word] for word in house.words) for house in (one, other)]
        exact = bool(one.number) or bool(one.rt and one.rt == other.rt and one.rw == other.rw)
        share = both / (min(sizes) if exact else max(sizes))
        return share if share >= (_AGREE if exact else _AGREE_WITHOUT_NUMBER) else 0.0

    def _heaviest(self, words: frozenset[str]) -> list[str]:
        return nsmallest(_MISSPELT_MAX, words, key=lambda word: (-self._weights[word], word))

    def _are_alike(self, one: str, other: str) -> bool:
        if one == other:
            return True
        return min(len(one), len(other)) > _SHORT and fuzz.ratio(one, other) >= self._near


def _misspellings(word: str) -> Iterator[str]:
    """The word, and the word without each one of its letters. Two words that differ by one letter share such a text."""
    yield word
    if len(word) > _SHORT:
        for at in range(len(word)):
            yield word[:at] + word[at + 1 :]
