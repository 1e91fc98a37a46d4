"""A rule set of the review: data that is published before a sale, by which its orders are scored afterwards.

It is told by a number and by the hash of its content. Changing it makes another one; a sale keeps the one it was
published with.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from hashlib import sha256
from typing import Any

SCORE_MAX = 100
LIST_MAX = 50
COUNT_MAX = 1_000_000


class Kind(StrEnum):
    """A value that orders can have in common."""

    DEVICE = "device"
    PAYMENT = "payment"
    NATIONAL_ID = "national_id"
    MAILBOX = "mailbox"
    PHONE = "phone"
    EMAIL = "email"
    ACCOUNT = "account"
    ADDRESS = "address"
    NETWORK = "network"
    NAME = "name"
    PHONE_BLOCK = "phone_block"
    MAIL_PATTERN = "mail_pattern"
    MAIL_DOMAIN = "mail_domain"


class Mark(StrEnum):
    """Something seen on one order alone. The first two are hard facts: each suffices to look at the order."""

    BYPASSED_LINE = "bypassed_line"
    OVER_LIMIT = "over_limit"
    INHUMAN_SPEED = "inhuman_speed"
    DISPOSABLE_MAIL = "disposable_mail"
    MINUTE_BURST = "minute_burst"
    ODD_ADDRESS = "odd_address"


STRONG = frozenset({Kind.DEVICE, Kind.PAYMENT, Kind.NATIONAL_ID, Kind.MAILBOX, Kind.PHONE, Kind.EMAIL, Kind.ACCOUNT})
"""A person has these for themselves: whoever shares one is linked."""
HABITS = frozenset({Mark.INHUMAN_SPEED, Mark.DISPOSABLE_MAIL, Mark.ODD_ADDRESS})
"""Habits that strangers have, too; at one address they say more."""
PAIRED: dict[str, Kind | Mark] = {kind.value: kind for kind in Kind if kind not in STRONG}
PAIRED |= {mark.value: mark for mark in Mark if mark in HABITS}
"""What may stand in a pair."""
HARD_FACTS = frozenset({Mark.BYPASSED_LINE, Mark.OVER_LIMIT})


class BadRules(ValueError):
    """What was written down is no rule set; the text says where."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleSet:
    """Whom people look at. A score is the points of the linked group and of what was seen on the order alone."""

    threshold: int
    """From this score on (0 to 100) people look at an order."""
    linked: tuple[int, ...]
    """Points for a group of 2, 3, 4 … linked people; the last for every larger one."""
    spread: tuple[int, ...]
    """Points for a group that goes to 2, 3, 4 … different addresses; the larger of the two counts."""
    besides: Mapping[Kind, int]
    """Points for what an order also has in common with others of its group."""
    marks: Mapping[Mark, int]
    """Points for what is seen on one order."""
    together: tuple[tuple[Kind | Mark, Kind | Mark], ...]
    """What neighbours and colleagues may have in common links only in these pairs."""
    inhuman_ms: int
    """Whoever pays sooner after reserving (milliseconds) is faster than people are."""
    burst_s: int
    burst_people: int
    """So many linked people who pay within so many seconds are a burst."""
    near_address: int
    near_name: int
    """How alike (0 to 100) words of addresses and names must be; numbers must be the same."""
    phone_block: int
    """Phone numbers that follow each other at this distance at most are a block."""
    crowded: Mapping[Kind, int]
    """What more people than this have links nobody: a carrier's network, a public mail provider."""
    crowd_share: int
    """Percent of all people from which on a network or a mail domain is a crowd's, however few they are."""
    majority: int
    """Percent of the people at an address who must be linked for the address to join their groups."""
    growth: int
    """Percent by which such a group may grow by people at its address with whom nothing else links it."""

    def published(self) -> dict[str, Any]:
        """The rules as they are published, kept and hashed."""
        return {name: _plain(getattr(self, name)) for name in _FIELDS}

    def content_hash(self) -> str:
        """SHA-256 of the published rules, in hex: a number says which they are, this what they are."""
        return sha256(json.dumps(self.published(), sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    def points(self, people: int, addresses: int) -> int:
        """What a linked group of so many people at so many addresses gives."""
        return max(_at(self.linked, people), _at(self.spread, addresses))


def _at(scale: Sequence[int], count: int) -> int:
    return scale[min(count, len(scale) + 1) - 2] if count > 1 else 0


_FIELDS = tuple(field.name for field in fields(RuleSet))
_SCALES = ("linked", "spread")
_PERCENT = ("near_address", "near_name", "crowd_share", "majority", "growth", "threshold")
_COUNTS = ("inhuman_ms", "burst_s", "burst_people", "phone_block")


def _plain(value: Any) -> Any:
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): points for key, points in sorted(value.items())}
    return [_plain(part) for part in value] if isinstance(value, tuple) else value


def read(content: Any) -> RuleSet:
    """The rule set that was published in this form. Raises BadRules."""
    if not isinstance(content, Mapping) or set(content) != set(_FIELDS):
        raise BadRules(f"a rule set has exactly these fields: {', '.join(_FIELDS)}")
    for name in _PERCENT:
        _number(name, content[name], SCORE_MAX)
    for name in _COUNTS:
        _number(name, content[name], COUNT_MAX)
    if content["threshold"] < 1:
        raise BadRules("threshold: 1 to 100")
    known = {**content, **{name: _scale(name, content[name]) for name in _SCALES}}
    known["marks"] = _by_word("marks", content["marks"], Mark)
    known["besides"] = _by_word("besides", content["besides"], Kind)
    known["crowded"] = _by_word("crowded", content["crowded"], Kind, most=COUNT_MAX)
    known["together"] = tuple(_pair(pair) for pair in _list("together", content["together"]))
    if set(known["marks"]) != set(Mark):
        raise BadRules(f"marks: points for each of {', '.join(Mark)}")
    if min(known["marks"][fact] for fact in HARD_FACTS) < content["threshold"]:
        raise BadRules("marks: a hard fact reaches the threshold by itself")
    return RuleSet(**known)


def _list(name: str, content: Any) -> Sequence[Any]:
    if not isinstance(content, list) or not 1 <= len(content) <= LIST_MAX:
        raise BadRules(f"{name}: a list of 1 to {LIST_MAX}")
    return content


def _pair(content: Any) -> tuple[Kind | Mark, Kind | Mark]:
    if not isinstance(content, list) or len(content) != 2 or not set(map(str, content)) <= PAIRED.keys():
        raise BadRules(f"together: pairs of {', '.join(PAIRED)}")
    return PAIRED[content[0]], PAIRED[content[1]]


def _scale(name: str, content: Any) -> tuple[int, ...]:
    for points in _list(name, content):
        _number(name, points, SCORE_MAX)
    if list(content) != sorted(content):
        raise BadRules(f"{name}: a larger group cannot give fewer points")
    return tuple(content)


def _number(name: str, value: Any, most: int) -> None:
    if type(value) is not int or not 0 <= value <= most:
        raise BadRules(f"{name}: a whole number from 0 to {most}")


def _by_word(name: str, content: Any, words: type[StrEnum], most: int = SCORE_MAX) -> dict[Any, int]:
    if not isinstance(content, Mapping) or not set(content) <= {word.value for word in words}:
        raise BadRules(f"{name}: numbers by any of {', '.join(words)}")
    for number in content.values():
        _number(name, number, most)
    return {words(word): points for word, points in content.items()}


RULES = RuleSet(
    threshold=60,
    # Eight people on one card may be a family; nine, or fewer who have more in common, make people look.
    linked=(10, 25, 35, 40, 40, 45, 55, 65, 75),
    # Who pays or types for relatives elsewhere does so for three of them, hardly for more.
    spread=(10, 25, 40, 60, 70, 80),
    besides={Kind.MAIL_PATTERN: 15, Kind.PHONE_BLOCK: 10, Kind.NAME: 5},
    marks={
        Mark.BYPASSED_LINE: 100, Mark.OVER_LIMIT: 100, Mark.INHUMAN_SPEED: 30, Mark.DISPOSABLE_MAIL: 10,
        Mark.MINUTE_BURST: 5, Mark.ODD_ADDRESS: 10,
    },
    together=(
        (Kind.ADDRESS, Kind.NAME), (Kind.ADDRESS, Kind.MAIL_PATTERN), (Kind.ADDRESS, Mark.INHUMAN_SPEED),
        (Kind.ADDRESS, Mark.DISPOSABLE_MAIL), (Kind.ADDRESS, Mark.ODD_ADDRESS), (Kind.PHONE_BLOCK, Kind.MAIL_PATTERN),
        (Kind.PHONE_BLOCK, Mark.INHUMAN_SPEED), (Kind.PHONE_BLOCK, Mark.DISPOSABLE_MAIL),
        (Kind.PHONE_BLOCK, Mark.ODD_ADDRESS), (Kind.MAIL_DOMAIN, Mark.INHUMAN_SPEED),
        (Kind.MAIL_DOMAIN, Mark.ODD_ADDRESS), (Kind.NETWORK, Kind.MAIL_PATTERN),
    ),
    inhuman_ms=2_000, burst_s=60, burst_people=3, near_address=80, near_name=90, phone_block=20,
    crowded={Kind.NETWORK: 10, Kind.MAIL_PATTERN: 100, Kind.MAIL_DOMAIN: 100}, crowd_share=10, majority=50, growth=25,
)  # fmt: skip
"""The rule set of a fresh installation."""
