"""Which confirmed orders people should look at, by a rule set that is published before the sale.

Orders are linked where different people share a value. A device or a card behind many people is strong, an address is
weak: a family, a boarding house and an office share one. So an address never reaches the threshold alone, and it joins
only orders that share something strong already. A score decides nothing; it puts an order before people.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from typing import Any

from flashsale.rules.identity import Axis

SCORE_MAX = 100
# Enough for a reviewer to see which orders share a value, far too little to find the value or match it elsewhere.
_TRACE_HEX_CHARS = 4


class Mark(StrEnum):
    """Something seen on one order alone."""

    BYPASSED_LINE = "bypassed_line"
    INHUMAN_SPEED = "inhuman_speed"
    MINUTE_BURST = "minute_burst"
    DISPOSABLE_MAIL = "disposable_mail"


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleSet:
    """Points for what is seen. The entry at position n of a scale is for n + 1 other people, the last for more."""

    version: str
    threshold: int
    shared: Mapping[Axis, tuple[int, ...]]
    linked: tuple[int, ...]
    marks: Mapping[Mark, int]
    strong: frozenset[Axis]
    persons: tuple[Axis, ...]

    def published(self) -> dict[str, Any]:
        """The rules as they are published and hashed."""
        return {
            "version": self.version,
            "threshold": self.threshold,
            "shared": {axis.value: list(scale) for axis, scale in sorted(self.shared.items())},
            "linked": list(self.linked),
            "marks": {mark.value: points for mark, points in sorted(self.marks.items())},
            "strong": sorted(self.strong),
            "persons": list(self.persons),
        }

    def content_hash(self) -> str:
        """SHA-256 of the published rules, in hex: the version says which they are, this what they were."""
        return sha256(json.dumps(self.published(), sort_keys=True, separators=(",", ":")).encode()).hexdigest()


RULES = RuleSet(
    version="2021-01",
    threshold=60,
    shared={
        # A couple with one tablet and one card stays below the threshold; a third person on either does not.
        Axis.DEVICE: (25, 60),
        Axis.PAYMENT: (25, 60),
        Axis.NATIONAL_ID: (60,),
        Axis.PHONE: (20, 40),
        Axis.EMAIL: (20, 40),
        Axis.ACCOUNT: (20, 40),
        Axis.ADDRESS: (5, 10, 15, 20),
    },
    # Three people linked pair by pair are a family; six are not.
    linked=(0, 0, 10, 25, 40),
    marks={Mark.BYPASSED_LINE: 60, Mark.INHUMAN_SPEED: 30, Mark.MINUTE_BURST: 10, Mark.DISPOSABLE_MAIL: 10},
    strong=frozenset({Axis.DEVICE, Axis.PAYMENT, Axis.NATIONAL_ID}),
    persons=(Axis.PHONE, Axis.EMAIL, Axis.ACCOUNT, Axis.NATIONAL_ID),
)


@dataclass(frozen=True, slots=True)
class Order:
    """A confirmed order: the digests it came with and what was seen on it."""

    id: str
    traits: Mapping[Axis, bytes]
    marks: frozenset[Mark] = field(default_factory=frozenset)


@dataclass(frozen=True, slots=True)
class Reason:
    """A value that other people used too."""

    axis: Axis
    shared_with: int
    points: int
    trace: str


@dataclass(frozen=True, slots=True)
class Finding:
    """What speaks for looking at one order. `component` numbers the linked group, `people` counts who is in it."""

    order_id: str
    score: int
    reasons: tuple[Reason, ...]
    marks: tuple[Mark, ...]
    component: int
    people: int

    def evidence(self, rules: RuleSet) -> dict[str, Any]:
        """The facts to freeze with a case: categories and counts, nothing of anybody else. Ready for JSON."""
        return {
            "rules": {"version": rules.version, "hash": rules.content_hash(), "threshold": rules.threshold},
            "score": self.score,
            "shared": [
                {
                    "axis": reason.axis.value,
                    "people": reason.shared_with,
                    "points": reason.points,
                    "trace": reason.trace,
                }
                for reason in self.reasons
            ],
            "linked": {"people": self.people - 1, "points": _points(rules.linked, self.people - 1)},
            "marks": [{"mark": mark.value, "points": rules.marks[mark]} for mark in self.marks],
        }


def score(orders: Sequence[Order], rules: RuleSet = RULES) -> list[Finding]:
    """A finding for every order that something speaks against, the highest score first.

    The same orders give the same findings, in whatever sequence they come.
    """
    ordered = sorted(orders, key=lambda order: order.id)
    sharing = _Sharing(ordered, rules)
    groups = _groups(ordered, rules, sharing)
    findings = [_finding(order, rules, sharing, groups[order.id]) for order in ordered]
    seen = [finding for finding in findings if finding.reasons or finding.marks]
    return sorted(seen, key=lambda finding: (-finding.score, finding.order_id))


def suspicious(findings: Iterable[Finding], rules: RuleSet = RULES) -> list[Finding]:
    """The findings that reach the threshold, for people to look at."""
    return [finding for finding in findings if finding.score >= rules.threshold]


Person = tuple[bytes | None, ...]


class _Sharing:
    """Who uses each value. Two orders of one person, within the limit, share nothing."""

    def __init__(self, orders: Sequence[Order], rules: RuleSet) -> None:
        self._rules = rules
        self._people: dict[tuple[Axis, bytes], set[Person]] = defaultdict(set)
        for order in orders:
            for trait in order.traits.items():
                self._people[trait].add(self.person(order))

    def person(self, order: Order) -> Person:
        return tuple(order.traits.get(axis) for axis in self._rules.persons)

    def others(self, axis: Axis, digest: bytes) -> int:
        return len(self._people[axis, digest]) - 1

    def is_strong(self, order: Order) -> bool:
        traits = order.traits.items()
        return any(self.others(axis, digest) for axis, digest in traits if axis in self._rules.strong)


class _Forest:
    """Orders joined into trees: union-find with path halving."""

    def __init__(self) -> None:
        self._parent: dict[str, str] = {}

    def root(self, member: str) -> str:
        parent = self._parent
        parent.setdefault(member, member)
        while parent[member] != member:
            parent[member] = parent[parent[member]]
            member = parent[member]
        return member

    def join(self, one: str, other: str) -> None:
        first, second = sorted((self.root(one), self.root(other)))
        self._parent[second] = first


@dataclass(slots=True)
class _Group:
    number: int
    people: set[Person] = field(default_factory=set)


def _groups(ordered: Sequence[Order], rules: RuleSet, sharing: _Sharing) -> dict[str, _Group]:
    forest = _joined(ordered, rules, sharing)
    groups: dict[str, _Group] = {}
    for order in ordered:
        root = forest.root(order.id)
        group = groups.setdefault(root, _Group(number=len(groups) + 1))
        group.people.add(sharing.person(order))
        groups[order.id] = group
    return groups


def _joined(ordered: Sequence[Order], rules: RuleSet, sharing: _Sharing) -> _Forest:
    forest = _Forest()
    first: dict[tuple[Axis, bytes], str] = {}
    for order in ordered:
        # A weak value joins only those who share something strong: a boarding house is not one person.
        joining = rules.shared if sharing.is_strong(order) else rules.strong
        for trait in order.traits.items():
            if trait[0] in joining:
                forest.join(first.setdefault(trait, order.id), order.id)
    return forest


def _finding(order: Order, rules: RuleSet, sharing: _Sharing, group: _Group) -> Finding:
    reasons = tuple(_reasons(order, rules, sharing))
    marks = tuple(sorted(order.marks))
    linked = _points(rules.linked, len(group.people) - 1)
    total = sum(reason.points for reason in reasons) + sum(rules.marks[mark] for mark in marks) + linked
    return Finding(order.id, min(total, SCORE_MAX), reasons, marks, group.number, len(group.people))


def _reasons(order: Order, rules: RuleSet, sharing: _Sharing) -> Iterator[Reason]:
    for axis, scale in rules.shared.items():
        digest = order.traits.get(axis)
        if digest is not None and (others := sharing.others(axis, digest)):
            yield Reason(axis, others, _points(scale, others), digest.hex()[:_TRACE_HEX_CHARS])


def _points(scale: tuple[int, ...], others: int) -> int:
    return scale[min(others, len(scale)) - 1] if others > 0 else 0
