"""Scores orders by surprise.

How a score comes about:

1. People who share what strangers do not share are groups (groups.py). One person may be in several.
2. A group has a number of facts in common (facts.py). Each gives points by how much likelier it is if one buyer made
   the orders than if strangers of this very sale did. Ten points are ten times as likely.
3. Who has nothing in common with the group but the place does not belong to it. Leaving people out costs as many points
   as there are ways to choose the rest, so that no crowd becomes a ring by choosing.
4. An order has the points of its best group. Then a device, a payment, a mailbox or a small network that it shares
   with orders of which most reach the threshold gives it a few points more. At a house without a name of a shared
   place, of which nearly all orders reach the threshold, the rest reaches it too.
5. With few orders to compare with, each group has fewer points, and step 4 adds nothing for the rest of a house.
6. A value that people have allowed for a time groups its orders only by what strangers do not share. An order with a
   value that people have blocked for a time always reaches the threshold, and so does an order with a hard fact.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import comb, log10

from flashsale.rules.review.fact_rules import Fact, FactRuleSet
from flashsale.rules.review.findings import FactPoints, Finding, Order, SharedValue, list_entries, trace
from flashsale.rules.review.rule_set import SCORE_MAX, Kind, Mark
from flashsale.rules.review.surprise.facts import Common, in_common
from flashsale.rules.review.surprise.groups import MEMBERS_MIN, Anchor, Forest, Group, candidates
from flashsale.rules.review.surprise.people import Crowd, Person

# People leave a group in so many steps at most.
_STEPS = 3
_ASSOCIATING = (Kind.DEVICE, Kind.PAYMENT, Kind.MAILBOX, Kind.NATIONAL_ID, Kind.NETWORK)


@dataclass(frozen=True, slots=True)
class Scored:
    """A group with what it has in common. `members` belong to it; `others` were left out."""

    members: tuple[int, ...]
    others: tuple[int, ...]
    common: Common
    units: float


def score_by_surprise(orders: Iterable[Order], rules: FactRuleSet, *, limit: int) -> list[Finding]:
    """A finding for every order, the highest score first. `limit` is the campaign's limit per person, in units.

    The sequence of `orders` does not change the findings.
    """
    crowd = Crowd(sorted(orders, key=lambda order: order.id), rules, limit)
    best: dict[int, Scored] = {}
    flagged_groups: list[Scored] = []
    for group in candidates(crowd):
        scored = _scored(crowd, group)
        if scored is None:
            continue
        for at in scored.members:
            if at not in best or _rank(scored) > _rank(best[at]):
                best[at] = scored
        if _points(scored) >= rules.threshold:
            flagged_groups.append(scored)
    rest = _rest_of_houses(crowd, best)
    besides: dict[int, list[FactPoints]] = {
        at: [FactPoints(Fact.KNOWN_RING, points)] for at, points in _known_rings(crowd, best).items()
    }
    for at in rest:
        besides.setdefault(at, []).append(FactPoints(Fact.REST_OF_HOUSE, rules.most[Fact.REST_OF_HOUSE]))
    ids = _group_ids(crowd, flagged_groups, best, rest)
    findings = [
        finding for person in crowd.people for finding in _findings(crowd, person, best.get(person.at), besides, ids)
    ]
    return sorted(findings, key=lambda finding: (-finding.score, finding.order_id))


def _rank(scored: Scored) -> tuple[float, int, tuple[int, ...]]:
    return scored.units, len(scored.members), scored.members


def _points(scored: Scored) -> int:
    return round(scored.units * 10)


def _scored(crowd: Crowd, group: Group) -> Scored | None:
    """The group without those who have nothing in common with it; None if too few are left."""
    best: Scored | None = None
    members, size = group.members, len(group.members)
    fewer = crowd.rules.few_points / 10 if crowd.is_small else 0.0
    for _step in range(_STEPS + 1):
        common = in_common(crowd, replace(group, members=members))
        worth = min(len(members) - 1, crowd.rules.orders_worth) / len(members)
        units = common.total - log10(comb(size, len(members))) * worth - fewer
        kept = _belonging(members, common, crowd.rules.own_share)
        if len(kept) >= 2 and units > (best.units if best else 0):
            best = Scored(kept, tuple(sorted(set(group.members) - set(kept))), common, units)
        if len(kept) < MEMBERS_MIN or len(kept) == len(members):
            break
        members = kept
    return best


def _belonging(members: Sequence[int], common: Common, share: int) -> tuple[int, ...]:
    """The members whose own facts agree with the group, or who share something with one that strangers do not share."""
    agree = max(common.least, sum(common.own) / len(common.own) * share / 100)
    each = zip(members, common.own, common.tied, strict=True)
    return tuple(at for at, own, tied in each if tied or own >= agree)


def _rest_of_houses(crowd: Crowd, best: dict[int, Scored]) -> dict[int, int]:
    """Who orders to a house of which most others reach the threshold, with one of those others.

    Left out are a house that says in its address that people share it, and people whose own facts disagree with those
    of the house: there may be a boarding house behind the door.
    """
    rules, found = crowd.rules, dict[int, int]()
    if crowd.is_small or not rules.house_share:
        return found
    for (kind, door), people in crowd.having.items():
        if kind is not Kind.ADDRESS or door in crowd.doors.named:
            continue
        reached = [at for at in people if at in best and _points(best[at]) >= rules.threshold]
        if len(reached) < MEMBERS_MIN or len(reached) * 100 < rules.house_share * len(people):
            continue
        own = in_common(crowd, Group(tuple(people), frozenset({Anchor.DOOR}))).own
        for at, agrees in zip(people, own, strict=True):
            if at not in reached and not crowd.people[at].allowed and agrees >= -rules.house_apart / 10:
                found[at] = reached[0]
    return found


def _known_rings(crowd: Crowd, best: dict[int, Scored]) -> dict[int, int]:
    """Points for people who share something personal with others of whom most reach the threshold."""
    rules = crowd.rules
    flagged = {at for at, scored in best.items() if _points(scored) >= rules.threshold}
    found: Counter[int] = Counter()
    for (kind, _value), people in crowd.having.items():
        if kind not in _ASSOCIATING or len(people) < MEMBERS_MIN:
            continue
        if kind is Kind.NETWORK and len(people) > rules.few_people:
            continue
        reached = sum(at in flagged for at in people)
        if reached * 2 > len(people):
            for at in people:
                if at not in flagged and not crowd.people[at].allowed:
                    found[at] += rules.association_points
    return {at: min(points, rules.most[Fact.KNOWN_RING]) for at, points in found.items()}


def _group_ids(crowd: Crowd, flagged: Sequence[Scored], best: dict[int, Scored], rest: Mapping[int, int]) -> list[int]:
    """The id of each person's ring: those of overlapping groups over the threshold, then each best group's."""
    forest = Forest(len(crowd.people))
    for scored in flagged:
        forest.join(scored.members)
    for at, other in rest.items():
        forest.join((other, at))
    sizes = Counter(forest.root(at) for at in range(len(crowd.people)))
    for scored in {id(one): one for one in best.values()}.values():
        # The rest of a ring: those who were left out, or whose best group is below the threshold.
        alone = [at for at in scored.members if sizes[forest.root(at)] == 1 and best[at] is scored]
        if len(alone) > 1:
            forest.join(alone)
    return [forest.root(at) + 1 for at in range(len(crowd.people))]


def _findings(
    crowd: Crowd, person: Person, scored: Scored | None, besides: Mapping[int, list[FactPoints]], ids: Sequence[int]
) -> Iterator[Finding]:
    rules = crowd.rules
    facts = (_facts(scored) if scored else []) + besides.get(person.at, [])
    group_points = sum(one.points for one in facts)
    shared = tuple(_shared_values(crowd, person, scored)) if scored else ()
    for order in person.orders:
        marks = _marks(crowd, person, order)
        total = group_points + sum(rules.marks[mark] for mark in marks)
        if order.blocked:
            total = max(total, rules.threshold)
        yield Finding(
            order_id=order.id,
            score=min(total, SCORE_MAX),
            points=group_points,
            shared=shared,
            marks=marks,
            group=ids[person.at],
            people=len(scored.members) if scored else 1,
            people_at_address=len(crowd.having.get((Kind.ADDRESS, person.door), ())) or 1,
            listed=list_entries(order),
            facts=tuple(facts),
        )


def _facts(scored: Scored) -> list[FactPoints]:
    """The facts in whole points that add up to the group's points, the largest first."""
    total, points = _points(scored), []
    left = scored.common.total
    for fact, units in sorted(scored.common.units.items(), key=lambda item: (-item[1], item[0])):
        # What choosing the members has cost is taken from each fact alike, and so are the points of few orders.
        share = round(total * units / left) if left > 0 else 0
        left -= units
        total -= share
        points += [FactPoints(fact, share)] if share > 0 else []
    return points


def _marks(crowd: Crowd, person: Person, order: Order) -> tuple[Mark, ...]:
    found = [Mark.BYPASSED_LINE] if order.bypassed_line else []
    mailbox = crowd.having.get((Kind.MAILBOX, person.values.get(Kind.MAILBOX)), ())
    units = sum(one.quantity for at in mailbox for one in crowd.people[at].orders)
    if len(mailbox) > 1 and units > crowd.limit:
        found.append(Mark.OVER_LIMIT)
    return tuple(found)


def _shared_values(crowd: Crowd, person: Person, scored: Scored) -> Iterator[SharedValue]:
    for kind, value in sorted(person.values.items(), key=lambda item: item[0]):
        people = sum(crowd.people[at].values.get(kind) == value for at in scored.members)
        if people > 1:
            yield SharedValue(kind, people - 1, trace((kind, value)))
