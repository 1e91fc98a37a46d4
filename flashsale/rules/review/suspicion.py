"""Which confirmed orders people should look at, by a rule set that is published before the sale.

Orders are linked into groups. What a person has for themselves (device, card, mailbox) links whoever shares it. What
neighbours share (an address, a network, a firm's numbers in a row) links only together with something of another sort:
a like name, mailboxes by a pattern, or both being faster than people are. So a boarding house, a campus, an office, a
pick-up point or a mobile network is not one person. A score decides nothing; it puts an order before people.
"""

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from flashsale.rules.identity import Axis
from flashsale.rules.review import clues
from flashsale.rules.review.clues import Buyer
from flashsale.rules.review.rule_set import HABITS, RULES, SCORE_MAX, STRONG, Kind, Mark, RuleSet

# Enough for a reviewer to see which orders share a value, far too little to find the value or match it elsewhere.
_TRACE_HEX_CHARS = 4
# What an order says of its person alone; two orders of one person, within the limit, share nothing.
_PERSONS = (Axis.PHONE, Axis.EMAIL, Axis.ACCOUNT, Axis.NATIONAL_ID)
_GROWING = frozenset({Kind.ADDRESS, Kind.MAIL_DOMAIN})
# In a small sale, too, many strangers have these in common.
_OF_CROWDS = frozenset({Kind.NETWORK, Kind.MAIL_DOMAIN})
_CROWD_FROM = 5
_MORE_THAN_A_COUPLE = 3

Person = tuple[bytes | None, ...]
Value = tuple[Kind, Hashable]


@dataclass(frozen=True, slots=True)
class Order:
    """A confirmed order: digests it came with, contact data while it is kept, times in ms, what the books say of it."""

    id: str
    traits: Mapping[Axis, bytes]
    buyer: Buyer | None = None
    made_ms: int = 0
    paid_ms: int = 0
    quantity: int = 1
    bypassed: bool = False


@dataclass(frozen=True, slots=True)
class Reason:
    """A value that other people have too."""

    kind: Kind
    people: int
    trace: str


@dataclass(frozen=True, slots=True)
class Finding:
    """What speaks for looking at one order. `group` numbers the linked orders, `people` counts who is among them.

    `at_address` counts the people at its address, linked or not.
    """

    order_id: str
    score: int
    points: int
    reasons: tuple[Reason, ...]
    marks: tuple[Mark, ...]
    group: int
    people: int
    at_address: int

    def evidence(self, rules: RuleSet, version: str) -> dict[str, Any]:
        """The facts to freeze with a case: categories and counts, nothing of anybody else. Ready for JSON."""
        return {
            "rules": {"version": version, "hash": rules.content_hash(), "threshold": rules.threshold},
            "score": self.score,
            "shared": [
                {"axis": reason.kind.value, "people": reason.people, "trace": reason.trace} for reason in self.reasons
            ],
            "linked": {"people": self.people - 1, "points": self.points},
            "marks": [{"mark": mark.value, "points": rules.marks[mark]} for mark in self.marks],
        }


def score(orders: Iterable[Order], rules: RuleSet = RULES, *, limit: int = 1) -> list[Finding]:
    """A finding for every order, the highest score first; `limit` is the campaign's, in units.

    The same orders give the same findings, in whatever sequence they come.
    """
    crowd = _Crowd(sorted(orders, key=lambda order: order.id), rules)
    forest = _linked(crowd)
    groups = _groups(crowd, forest)
    findings = [_finding(order, crowd, groups[order.id], limit) for order in crowd.orders]
    return sorted(findings, key=lambda finding: (-finding.score, finding.order_id))


def suspicious(findings: Iterable[Finding], rules: RuleSet = RULES) -> list[Finding]:
    """The findings that reach the threshold, for people to look at."""
    return [finding for finding in findings if finding.score >= rules.threshold]


class _Crowd:
    """All orders, what each has, and who else has it."""

    def __init__(self, orders: Sequence[Order], rules: RuleSet) -> None:
        self.rules = rules
        self.orders = orders
        self.person: dict[str, Person] = {}
        self.values: dict[str, dict[Kind, Hashable]] = {}
        self.having: dict[Value, list[str]] = defaultdict(list)
        self.marks: dict[str, set[Mark]] = {}
        self.units = {order.id: order.quantity for order in orders}
        self.paid_ms = {order.id: order.paid_ms for order in orders}
        buyers = {order.id: order.buyer for order in orders if order.buyer}
        alike = clues.clusters(buyers, rules)
        self._odd = clues.odd_addresses(buyers)
        for order in orders:
            known = [order.traits.get(axis) for axis in _PERSONS]
            # Without anything of their own, nobody knows that two orders are one person's.
            self.person[order.id] = tuple(known) if any(known) else (order.id.encode(),)
            values: dict[Kind, Hashable] = {Kind(axis.value): digest for axis, digest in order.traits.items()}
            values |= {kind: found[order.id] for kind, found in alike.items() if order.id in found}
            self.values[order.id] = values
            for value in values.items():
                self.having[value].append(order.id)
            self.marks[order.id] = set(self._own_marks(order))
        self.people = {value: len({self.person[id_] for id_ in ids}) for value, ids in self.having.items()}

    def _own_marks(self, order: Order) -> Iterator[Mark]:
        if order.bypassed:
            yield Mark.BYPASSED_LINE
        if order.made_ms and 0 <= order.paid_ms - order.made_ms < self.rules.inhuman_ms:
            yield Mark.INHUMAN_SPEED
        if order.buyer and clues.is_disposable(order.buyer.email.rpartition("@")[2]):
            yield Mark.DISPOSABLE_MAIL
        if order.id in self._odd:
            yield Mark.ODD_ADDRESS

    def shared(self, id_: str) -> Iterator[Value]:
        """The values of an order that other people have too, unless a whole crowd has them."""
        return (value for value in self.values[id_].items() if 1 < self.people[value] <= self.most(value[0]))

    def most(self, kind: Kind) -> int:
        """From how many people on a value is a crowd's."""
        most = self.rules.crowded.get(kind, len(self.orders))
        return min(most, self.rules.crowd_share * len(self.orders) // 100) if kind in _OF_CROWDS else most

    def weak(self, id_: str) -> dict[Kind | Mark, Hashable]:
        """What neighbours may have in common."""
        found: dict[Kind | Mark, Hashable] = {kind: value for kind, value in self.shared(id_) if kind not in STRONG}
        return found | {mark: mark for mark in self.marks[id_] & HABITS}


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
    orders: list[str] = field(default_factory=list)
    people: set[Person] = field(default_factory=set)
    bursts: set[int] = field(default_factory=set)
    values: Mapping[Value, int] = field(default_factory=dict)
    points: int = 0


def _linked(crowd: _Crowd) -> _Forest:
    forest = _Forest()
    first: dict[Hashable, str] = {}
    for order in crowd.orders:
        for value in crowd.shared(order.id):
            if value[0] in STRONG:
                forest.join(first.setdefault(value, order.id), order.id)
        weak = crowd.weak(order.id)
        for pair in crowd.rules.together:
            if pair[0] in weak and pair[1] in weak:
                both = (pair, weak[pair[0]], weak[pair[1]])
                forest.join(first.setdefault(both, order.id), order.id)
    _grow(crowd, forest)
    return forest


def _grow(crowd: _Crowd, forest: _Forest) -> None:
    """Joins the groups at a place where most people are linked, and then a few more of its people, never all."""
    places = [value for value in crowd.having if value[0] in _GROWING and crowd.people[value] <= crowd.most(value[0])]
    for value in sorted(places, key=str):
        ids = crowd.having[value]
        sizes = Counter(forest.root(id_) for id_ in ids)
        linked = [id_ for id_ in ids if sizes[forest.root(id_)] >= _MORE_THAN_A_COUPLE]
        if len(linked) < _CROWD_FROM or len(linked) * 100 < crowd.rules.majority * len(ids):
            continue
        more = sorted(set(ids) - set(linked))[: len(linked) * crowd.rules.growth // 100]
        for id_ in (*linked, *more):
            forest.join(linked[0], id_)


def _groups(crowd: _Crowd, forest: _Forest) -> dict[str, _Group]:
    by_root: dict[str, _Group] = {}
    groups: dict[str, _Group] = {}
    for order in crowd.orders:
        root = forest.root(order.id)
        group = by_root.setdefault(root, _Group(number=len(by_root) + 1))
        group.orders.append(order.id)
        group.people.add(crowd.person[order.id])
        groups[order.id] = group
    for group in by_root.values():
        addresses = {crowd.values[id_].get(Kind.ADDRESS) for id_ in group.orders} - {None}
        group.points = crowd.rules.points(len(group.people), len(addresses))
        group.values = Counter(value for id_ in group.orders for value in crowd.shared(id_)) if group.points else {}
        if len(group.people) >= crowd.rules.burst_people:
            group.bursts = clues.bursts(sorted(crowd.paid_ms[id_] for id_ in group.orders), crowd.rules)
    return groups


def _finding(order: Order, crowd: _Crowd, group: _Group, limit: int) -> Finding:
    marks = set(crowd.marks[order.id])
    if not group.points:
        # Whoever stands alone may write their address as they like.
        marks.discard(Mark.ODD_ADDRESS)
    if order.paid_ms in group.bursts:
        marks.add(Mark.MINUTE_BURST)
    mailbox = (Kind.MAILBOX, crowd.values[order.id].get(Kind.MAILBOX))
    if crowd.people.get(mailbox, 0) > 1 and sum(crowd.units[id_] for id_ in crowd.having[mailbox]) > limit:
        marks.add(Mark.OVER_LIMIT)
    besides = sum(
        points
        for kind, points in crowd.rules.besides.items()
        if group.values.get((kind, crowd.values[order.id].get(kind)), 0) > 1
    )
    total = group.points + besides + sum(crowd.rules.marks[mark] for mark in marks)
    address = (Kind.ADDRESS, crowd.values[order.id].get(Kind.ADDRESS))
    return Finding(
        order_id=order.id, score=min(total, SCORE_MAX), points=group.points,
        reasons=tuple(_reasons(order.id, crowd)), marks=tuple(sorted(marks)), group=group.number,
        people=len(group.people), at_address=crowd.people.get(address, 1),
    )  # fmt: skip


def _reasons(id_: str, crowd: _Crowd) -> Iterator[Reason]:
    for kind, value in sorted(crowd.shared(id_), key=lambda value: (value[0] not in STRONG, value[0])):
        trace = sha256(repr(value).encode()).hexdigest()[:_TRACE_HEX_CHARS]
        yield Reason(kind, crowd.people[kind, value] - 1, trace)
