"""What a review reads about an order, and what it finds. Both generations of rule sets use these."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from flashsale.rules.identity import Axis
from flashsale.rules.review.clues import BuyerContact
from flashsale.rules.review.fact_rules import AnyRuleSet, Fact
from flashsale.rules.review.rule_set import Kind, Mark

# A reviewer sees by the trace which orders share a value. It is too short to find the value or to match it elsewhere.
_TRACE_HEX_CHARS = 4
# Orders that are equal in these axes belong to one person. Such orders, within the limit, do not count as shared
# values.
PERSON_AXES = (Axis.PHONE, Axis.EMAIL, Axis.ACCOUNT, Axis.NATIONAL_ID)

PersonKey = tuple[bytes | None, ...]
Value = tuple[Kind, Hashable]


def trace(value: Hashable) -> str:
    """A short sign of a value: equal values have equal signs."""
    return sha256(repr(value).encode()).hexdigest()[:_TRACE_HEX_CHARS]


def person_key(order: "Order") -> PersonKey:
    """Equal for orders of one person. An order without any of the axes of a person counts as a person of its own."""
    known = [order.traits.get(axis) for axis in PERSON_AXES]
    return tuple(known) if any(known) else (order.id.encode(),)


@dataclass(frozen=True, slots=True)
class Order:
    """A confirmed order: the digests of its buyer by axis, contact data while it is kept, times in ms.

    `bypassed_line` is true when its index was never given or its number does not follow from the draw. What is not
    known is empty or 0: then it gives no points.
    """

    id: str
    traits: Mapping[Axis, bytes]
    buyer: BuyerContact | None = None
    made_ms: int = 0
    paid_ms: int = 0
    quantity: int = 1
    bypassed_line: bool = False
    allowed: Mapping[Axis, int] = field(default_factory=dict)
    """The axes of which this order has a value on the allow list, with the ids of the entries."""
    blocked: Mapping[Axis, int] = field(default_factory=dict)
    """The same for the block list."""
    sku: str = ""
    """The model; of several, the first one."""
    channel: str = ""
    line: str = ""
    """The queue in which the index and the number stand."""
    index: int = 0
    """The order of entering the line, from 1."""
    number: int = 0
    """The order of calling, from 1."""


@dataclass(frozen=True, slots=True)
class SharedValue:
    """A value of an order that other people have too. `people` counts the others."""

    kind: Kind
    people: int
    trace: str


@dataclass(frozen=True, slots=True)
class FactPoints:
    """Points that a fact gives to the group of an order."""

    fact: Fact
    points: int


@dataclass(frozen=True, slots=True)
class Finding:
    """The score of one order and the facts behind it.

    `points` are those of its group. `group` is the id of the group, `people` the number of people in it.
    `people_at_address` counts the people at the address of the order, linked or not.
    """

    order_id: str
    score: int
    points: int
    shared: tuple[SharedValue, ...]
    marks: tuple[Mark, ...]
    group: int
    people: int
    people_at_address: int
    listed: tuple[tuple[str, Axis, int], ...] = ()
    """The entries of lists that the order met: "allow" or "block", axis, id."""
    facts: tuple[FactPoints, ...] = ()
    """What the orders of the group have in common, by a rule set of the second generation."""

    def evidence(self, rule_set: AnyRuleSet, version: str, published: str = "") -> dict[str, Any]:
        """The facts that a case keeps: categories and counts, no data of other people. Ready for JSON.

        `rule_set` has scored the order; `published` is the hash of the published set, if that is another one.
        """
        lists = [{"list": name, "axis": axis.value, "entry": entry} for name, axis, entry in self.listed]
        facts = [{"fact": one.fact.value, "points": one.points} for one in self.facts]
        return (
            ({"lists": lists} if lists else {})
            | ({"facts": facts} if facts else {})
            | {
                "rules": {
                    "version": version,
                    "hash": published or rule_set.content_hash(),
                    "threshold": rule_set.threshold,
                },
                "score": self.score,
                "shared": [
                    {"axis": value.kind.value, "people": value.people, "trace": value.trace} for value in self.shared
                ],
                "linked": {"people": self.people - 1, "points": self.points},
                "marks": [{"mark": mark.value, "points": rule_set.marks[mark]} for mark in self.marks],
            }
        )


def list_entries(order: Order) -> tuple[tuple[str, Axis, int], ...]:
    """The entries of lists that an order met, in order."""
    listed = [("allow", axis, entry) for axis, entry in order.allowed.items()]
    listed += [("block", axis, entry) for axis, entry in order.blocked.items()]
    return tuple(sorted(listed))
