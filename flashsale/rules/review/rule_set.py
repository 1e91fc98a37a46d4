"""A rule set of the review: numbers that are published before a sale and by which its orders are scored afterwards.

This is the first generation, by which links.py scores; fact_rules.py has the second one.

A rule set is named by a version and by the hash of its content. A changed rule set is a new one. A sale keeps the rule
set with which it was published. docs/review.md explains the scoring.
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
    """A kind of value that orders can have in common."""

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
    """What is suspicious about one order alone. Each of the first two (hard facts) is enough to look at the order."""

    BYPASSED_LINE = "bypassed_line"
    OVER_LIMIT = "over_limit"
    INHUMAN_SPEED = "inhuman_speed"
    DISPOSABLE_MAIL = "disposable_mail"
    MINUTE_BURST = "minute_burst"
    ODD_ADDRESS = "odd_address"


STRONG = frozenset({Kind.DEVICE, Kind.PAYMENT, Kind.NATIONAL_ID, Kind.MAILBOX, Kind.PHONE, Kind.EMAIL, Kind.ACCOUNT})
"""A person does not share these with strangers, so a shared value alone links two orders."""
HABITS = frozenset({Mark.INHUMAN_SPEED, Mark.DISPOSABLE_MAIL, Mark.ODD_ADDRESS})
"""Marks that strangers have too. They link two orders only together with a shared value, such as an address."""
PAIRED: dict[str, Kind | Mark] = {kind.value: kind for kind in Kind if kind not in STRONG}
PAIRED |= {mark.value: mark for mark in Mark if mark in HABITS}
"""The words that a pair of `together` may have: every weak kind and every habit."""
HARD_FACTS = frozenset({Mark.BYPASSED_LINE, Mark.OVER_LIMIT})


class InvalidRuleSet(ValueError):
    """The content is not a rule set. The message says which field is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleSet:
    """Which orders people look at.

    The score of an order is the points of its linked group, plus the points for what it also shares with that group,
    plus the points for its own marks; at most 100.
    """

    threshold: int
    """People look at an order with this score (1 to 100) or a higher one."""
    linked: tuple[int, ...]
    """Points for a group of 2, 3, 4 … linked people. The last number counts for every larger group."""
    spread: tuple[int, ...]
    """Points for a group with orders to 2, 3, 4 … different addresses. The larger of `linked` and `spread` counts."""
    besides: Mapping[Kind, int]
    """Points for a value that the order also shares with another order of its group, by kind."""
    marks: Mapping[Mark, int]
    """Points for each mark of an order."""
    together: tuple[tuple[Kind | Mark, Kind | Mark], ...]
    """Two orders that share only weak values, as neighbours do, are linked when they share both values of a pair."""
    inhuman_ms: int
    """A payment sooner after the reservation than this (milliseconds) is faster than a person can pay."""
    burst_s: int
    burst_people: int
    """This many linked people who pay within `burst_s` seconds are a burst."""
    near_address: int
    near_name: int
    """How similar (0 to 100) words of addresses and names must be. Numbers must be equal."""
    phone_block: int
    """Phone numbers are a block when each is at most this far from the next one."""
    crowded: Mapping[Kind, int]
    """A value that more people than this share does not link them: a carrier's network, a public mail provider."""
    crowd_share: int
    """A network or a mail domain does not link either when its people are more than this percentage of all orders."""
    majority: int
    """The groups at an address are joined when at least this percentage of its orders is linked."""
    growth: int
    """Such a joined group may also take orders at its address that nothing else links; at most this percentage more."""

    def published(self) -> dict[str, Any]:
        """The rule set as JSON data: so it is published, stored and hashed."""
        return {name: _plain(getattr(self, name)) for name in _FIELDS}

    def content_hash(self) -> str:
        """SHA-256 of the published data, in hex. It proves the content; the version is only a name."""
        return sha256(json.dumps(self.published(), sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    def points(self, people: int, addresses: int) -> int:
        """The points of a linked group with so many people at so many addresses."""
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


def parse_rule_set(content: Any) -> RuleSet:
    """Reads the data that :meth:`RuleSet.published` makes. Raises InvalidRuleSet."""
    if not isinstance(content, Mapping) or set(content) != set(_FIELDS):
        raise InvalidRuleSet(f"a rule set has exactly these fields: {', '.join(_FIELDS)}")
    for name in _PERCENT:
        _number(name, content[name], SCORE_MAX)
    for name in _COUNTS:
        _number(name, content[name], COUNT_MAX)
    if content["threshold"] < 1:
        raise InvalidRuleSet("threshold: 1 to 100")
    known = {**content, **{name: _scale(name, content[name]) for name in _SCALES}}
    known["marks"] = _by_word("marks", content["marks"], Mark)
    known["besides"] = _by_word("besides", content["besides"], Kind)
    known["crowded"] = _by_word("crowded", content["crowded"], Kind, most=COUNT_MAX)
    known["together"] = tuple(_pair(pair) for pair in _list("together", content["together"]))
    if set(known["marks"]) != set(Mark):
        raise InvalidRuleSet(f"marks: points for each of {', '.join(Mark)}")
    if min(known["marks"][fact] for fact in HARD_FACTS) < content["threshold"]:
        raise InvalidRuleSet("marks: a hard fact reaches the threshold by itself")
    return RuleSet(**known)


def _list(name: str, content: Any) -> Sequence[Any]:
    if not isinstance(content, list) or not 1 <= len(content) <= LIST_MAX:
        raise InvalidRuleSet(f"{name}: a list of 1 to {LIST_MAX}")
    return content


def _pair(content: Any) -> tuple[Kind | Mark, Kind | Mark]:
    if not isinstance(content, list) or len(content) != 2 or not set(map(str, content)) <= PAIRED.keys():
        raise InvalidRuleSet(f"together: pairs of {', '.join(PAIRED)}")
    return PAIRED[content[0]], PAIRED[content[1]]


def _scale(name: str, content: Any) -> tuple[int, ...]:
    for points in _list(name, content):
        _number(name, points, SCORE_MAX)
    if list(content) != sorted(content):
        raise InvalidRuleSet(f"{name}: a larger group cannot give fewer points")
    return tuple(content)


def _number(name: str, value: Any, most: int) -> None:
    if type(value) is not int or not 0 <= value <= most:
        raise InvalidRuleSet(f"{name}: a whole number from 0 to {most}")


def _by_word(name: str, content: Any, words: type[StrEnum], most: int = SCORE_MAX) -> dict[Any, int]:
    if not isinstance(content, Mapping) or not set(content) <= {word.value for word in words}:
        raise InvalidRuleSet(f"{name}: numbers by any of {', '.join(words)}")
    for number in content.values():
        _number(name, number, most)
    return {words(word): points for word, points in content.items()}


DEFAULT_RULE_SET = RuleSet(
    threshold=60,
    # Eight people who pay with one card may be a family. Nine people reach the threshold, and so do fewer people who
    # have more in common.
    linked=(10, 25, 35, 40, 40, 45, 55, 65, 75),
    # A person who pays or types for relatives at other addresses does so for about three of them, hardly for more.
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
"""The numbers with which a set of the first generation begins."""
