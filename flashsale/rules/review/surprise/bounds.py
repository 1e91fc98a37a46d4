"""The bounds of facts: of each fact, and of facts with one honest explanation together."""

from collections.abc import Collection
from dataclasses import dataclass

from flashsale.rules.review.fact_rules import Fact, FactRuleSet

ONE_OF = (
    (Fact.LINE_NEIGHBOURS, Fact.PAID_TOGETHER),
    (Fact.PAID_ALIKE, Fact.PAID_TOO_FAST),
    (Fact.OWN_DOMAIN, Fact.MAIL_PATTERN),
)
"""Two views of one thing, of which the larger counts: who comes to the line together is also called and pays
together, who pays faster than a person does so at one pace, and who owns a domain forms its mailboxes by one scheme."""
OF_A_HOME = frozenset({Fact.ONE_DEVICE, Fact.ONE_PAYMENT, Fact.ONE_NETWORK, Fact.SAME_NAME})
"""What people of one home share."""
OF_A_FIRM = frozenset({Fact.OWN_DOMAIN, Fact.ONE_NETWORK, Fact.PHONES_IN_A_ROW})
"""What a firm or a school hands out: mailboxes, a network, telephone numbers."""
OF_FRIENDS = frozenset({Fact.SAME_MODEL, Fact.SAME_CHANNEL, Fact.ONE_NETWORK, Fact.LINE_NEIGHBOURS, Fact.PAID_TOGETHER})
"""What people agree on who know each other."""
OF_RELATIVES = (
    OF_FRIENDS
    | OF_A_HOME
    | {
        Fact.RESERVED_ALIKE,
        Fact.PAID_ALIKE,
        Fact.ONE_MAILBOX,
        Fact.GROUP_SIZE,
    }
)
"""What one person causes who orders for a few relatives."""


@dataclass(frozen=True, slots=True)
class Where:
    """Where the parcels of a group go, and whether its people show that they know each other.

    `own_doors`: nearly every parcel goes to another home, so a neighbour or a phone shop may have ordered for all.
    `quarter`: the people have only a quarter of a city in common. `wide`: they are more people than a home has, and
    their address names no shared place.
    """

    one_door: bool
    at_home: bool
    quarter: bool
    own_doors: bool
    acquainted: bool
    wide: bool


def capped(rules: FactRuleSet, units: dict[Fact, float], where: Where, size: int) -> dict[Fact, float]:
    """Units within the bounds."""
    found = {fact: min(value, rules.most[fact] / 10) for fact, value in units.items() if value > 0}
    for one, other in ONE_OF:
        if one in found and other in found:
            del found[min((one, other), key=lambda fact: found[fact])]
    if not where.at_home and not where.quarter:
        _bound(found, OF_A_FIRM, rules.office_most)
    if where.quarter and Fact.PHONES_IN_A_ROW in found:
        found[Fact.PHONES_IN_A_ROW] = min(found[Fact.PHONES_IN_A_ROW], rules.office_most / 10)
    if where.at_home:
        _bound(found, OF_A_HOME, rules.home_most)
    if where.acquainted:
        _bound(found, OF_FRIENDS, rules.place_friends_most if where.wide else rules.friends_most)
    if (where.at_home and where.acquainted) or size <= rules.free_size:
        _bound(found, OF_RELATIVES, rules.home_relatives_most if where.at_home else rules.relatives_most)
    if where.own_doors:
        _bound(found, OF_RELATIVES, rules.home_relatives_most)
    return found


def _bound(found: dict[Fact, float], facts: Collection[Fact], most: int) -> None:
    """Lowers these facts in proportion, so that together they are worth `most` points."""
    total = sum(units for fact, units in found.items() if fact in facts)
    if total > most / 10:
        found |= {fact: units * most / 10 / total for fact, units in found.items() if fact in facts}
