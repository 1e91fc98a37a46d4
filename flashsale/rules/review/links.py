"""Scores orders by links: the first generation of rule sets. Sales that were published with such a set keep it.

How a score comes about:

1. Each order has values (rule_set.py: Kind) and marks (Mark). clues.py finds the values of contact data.
2. Orders are linked into groups. A strong value (device, payment card, mailbox) links all orders that share it. A weak
   value, which neighbours share too (an address, a network, a firm's phone numbers in a row), links two orders only
   together with a second weak value or a habit: a similar name, mailboxes with one pattern, a payment faster than a
   person. A value that a whole crowd shares does not link. So a boarding house, a campus, an office, a pick-up point or
   a mobile network is not taken for one person.
3. Where most orders at an address or mail domain are linked, their groups become one group, with a few more orders of
   that address or domain.
4. A group has points by the number of its people and of its addresses.
5. A value that people have allowed for a time links its orders only by strong values. An order with a value that people
   have blocked for a time always reaches the threshold.
6. The score of an order is the points of its group, plus points for what else it shares with the group, plus points for
   its own marks; at most 100.
"""

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from flashsale.rules.review import clues
from flashsale.rules.review.findings import (
    Finding,
    Order,
    PersonKey,
    SharedValue,
    Value,
    list_entries,
    person_key,
    trace,
)
from flashsale.rules.review.rule_set import HABITS, SCORE_MAX, STRONG, Kind, Mark, RuleSet

_GROWING = frozenset({Kind.ADDRESS, Kind.MAIL_DOMAIN})
# Many strangers share these in a small sale too, so a percentage of the orders bounds them as well.
_OF_CROWDS = frozenset({Kind.NETWORK, Kind.MAIL_DOMAIN})
_CROWD_FROM = 5
_MORE_THAN_A_COUPLE = 3


def score_by_links(orders: Iterable[Order], rule_set: RuleSet, *, limit: int) -> list[Finding]:
    """A finding for every order, the highest score first. `limit` is the campaign's limit per person, in units.

    The sequence of `orders` does not change the findings.
    """
    crowd = _Crowd(sorted(orders, key=lambda order: order.id), rule_set)
    forest = _linked(crowd)
    groups = _groups(crowd, forest)
    findings = [_finding(order, crowd, groups[order.id], limit) for order in crowd.orders]
    return sorted(findings, key=lambda finding: (-finding.score, finding.order_id))


class _Crowd:
    """All orders, the values and marks of each, and which orders share a value."""

    def __init__(self, orders: Sequence[Order], rule_set: RuleSet) -> None:
        self.rule_set = rule_set
        self.orders = orders
        self.person: dict[str, PersonKey] = {}
        self.values: dict[str, dict[Kind, Hashable]] = {}
        self.having: dict[Value, list[str]] = defaultdict(list)
        self.marks: dict[str, set[Mark]] = {}
        self.units = {order.id: order.quantity for order in orders}
        self.paid_ms = {order.id: order.paid_ms for order in orders}
        self.allowed = {order.id for order in orders if order.allowed}
        buyers = {order.id: order.buyer for order in orders if order.buyer}
        alike = clues.clusters(buyers, rule_set)
        self._odd = clues.odd_addresses(buyers)
        for order in orders:
            self.person[order.id] = person_key(order)
            values: dict[Kind, Hashable] = {Kind(axis.value): digest for axis, digest in order.traits.items()}
            values |= {kind: found[order.id] for kind, found in alike.items() if order.id in found}
            self.values[order.id] = values
            for value in values.items():
                self.having[value].append(order.id)
            self.marks[order.id] = set(self._own_marks(order))
        self.people = {value: len({self.person[id_] for id_ in ids}) for value, ids in self.having.items()}

    def _own_marks(self, order: Order) -> Iterator[Mark]:
        if order.bypassed_line:
            yield Mark.BYPASSED_LINE
        if order.made_ms and 0 <= order.paid_ms - order.made_ms < self.rule_set.inhuman_ms:
            yield Mark.INHUMAN_SPEED
        if order.buyer and clues.is_disposable(order.buyer.email.rpartition("@")[2]):
            yield Mark.DISPOSABLE_MAIL
        if order.id in self._odd:
            yield Mark.ODD_ADDRESS

    def shared(self, id_: str) -> Iterator[Value]:
        """The values of an order that other people have too, without those that a whole crowd has."""
        return (value for value in self.values[id_].items() if 1 < self.people[value] <= self.most(value[0]))

    def most(self, kind: Kind) -> int:
        """The largest number of people that a shared value may link. More people are a crowd."""
        most = self.rule_set.crowded.get(kind, len(self.orders))
        return min(most, self.rule_set.crowd_share * len(self.orders) // 100) if kind in _OF_CROWDS else most

    def weak(self, id_: str) -> dict[Kind | Mark, Hashable]:
        """The weak values of an order and its habits; none for an order with an allowed value."""
        if id_ in self.allowed:
            return {}
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
    id: int
    orders: list[str] = field(default_factory=list)
    people: set[PersonKey] = field(default_factory=set)
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
        for pair in crowd.rule_set.together:
            if pair[0] in weak and pair[1] in weak:
                both = (pair, weak[pair[0]], weak[pair[1]])
                forest.join(first.setdefault(both, order.id), order.id)
    _grow(crowd, forest)
    return forest


def _grow(crowd: _Crowd, forest: _Forest) -> None:
    """Where most orders at an address or mail domain are linked, joins their groups and a few more orders there."""
    places = [value for value in crowd.having if value[0] in _GROWING and crowd.people[value] <= crowd.most(value[0])]
    for value in sorted(places, key=str):
        ids = [id_ for id_ in crowd.having[value] if id_ not in crowd.allowed]
        sizes = Counter(forest.root(id_) for id_ in ids)
        linked = [id_ for id_ in ids if sizes[forest.root(id_)] >= _MORE_THAN_A_COUPLE]
        if len(linked) < _CROWD_FROM or len(linked) * 100 < crowd.rule_set.majority * len(ids):
            continue
        more = sorted(set(ids) - set(linked))[: len(linked) * crowd.rule_set.growth // 100]
        for id_ in (*linked, *more):
            forest.join(linked[0], id_)


def _groups(crowd: _Crowd, forest: _Forest) -> dict[str, _Group]:
    by_root: dict[str, _Group] = {}
    groups: dict[str, _Group] = {}
    for order in crowd.orders:
        root = forest.root(order.id)
        group = by_root.setdefault(root, _Group(id=len(by_root) + 1))
        group.orders.append(order.id)
        group.people.add(crowd.person[order.id])
        groups[order.id] = group
    for group in by_root.values():
        addresses = {crowd.values[id_].get(Kind.ADDRESS) for id_ in group.orders} - {None}
        group.points = crowd.rule_set.points(len(group.people), len(addresses))
        group.values = Counter(value for id_ in group.orders for value in crowd.shared(id_)) if group.points else {}
        if len(group.people) >= crowd.rule_set.burst_people:
            group.bursts = clues.bursts(
                sorted(crowd.paid_ms[id_] for id_ in group.orders),
                seconds=crowd.rule_set.burst_s,
                people=crowd.rule_set.burst_people,
            )
    return groups


def _finding(order: Order, crowd: _Crowd, group: _Group, limit: int) -> Finding:
    marks = set(crowd.marks[order.id])
    if not group.points:
        # An odd word in the address means nothing while no other order is linked to this one.
        marks.discard(Mark.ODD_ADDRESS)
    if order.paid_ms in group.bursts:
        marks.add(Mark.MINUTE_BURST)
    mailbox = (Kind.MAILBOX, crowd.values[order.id].get(Kind.MAILBOX))
    if crowd.people.get(mailbox, 0) > 1 and sum(crowd.units[id_] for id_ in crowd.having[mailbox]) > limit:
        marks.add(Mark.OVER_LIMIT)
    besides = sum(
        points
        for kind, points in crowd.rule_set.besides.items()
        if group.values.get((kind, crowd.values[order.id].get(kind)), 0) > 1 and order.id not in crowd.allowed
    )
    total = group.points + besides + sum(crowd.rule_set.marks[mark] for mark in marks)
    if order.blocked:
        total = max(total, crowd.rule_set.threshold)
    address = (Kind.ADDRESS, crowd.values[order.id].get(Kind.ADDRESS))
    return Finding(
        order_id=order.id, score=min(total, SCORE_MAX), points=group.points,
        shared=tuple(_shared_values(order.id, crowd)), marks=tuple(sorted(marks)), group=group.id,
        people=len(group.people), people_at_address=crowd.people.get(address, 1),
        listed=list_entries(order),
    )  # fmt: skip


def _shared_values(id_: str, crowd: _Crowd) -> Iterator[SharedValue]:
    for kind, value in sorted(crowd.shared(id_), key=lambda value: (value[0] not in STRONG, value[0])):
        yield SharedValue(kind, crowd.people[kind, value] - 1, trace(value))
