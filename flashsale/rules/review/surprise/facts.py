"""What the people of a group have in common, as surprise: how much likelier under one buyer than among strangers.

A surprise is a power of ten. 1.0 says that the fact is ten times as likely if one buyer made the orders as if people
met by chance who are like the other people of this sale. Each person of a group has a surprise of their own, measured
against the others of the group: who differs from them lowers it. One person counts tenfold at most, because a single
rare value may be an accident.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from math import exp, log, log10

from flashsale.rules.review.fact_rules import Fact
from flashsale.rules.review.rule_set import Kind
from flashsale.rules.review.surprise.bounds import Where, capped
from flashsale.rules.review.surprise.doors import PEOPLE_AT_A_DOOR
from flashsale.rules.review.surprise.groups import Anchor, Forest, Group
from flashsale.rules.review.surprise.people import Crowd, Person

Terms = list[float]
# One person counts at most tenfold, in both directions.
_TERM_MAX = 1.0
# How far the paces of one operator scatter, in powers of ten: a factor of 1.4. And how often an operator keeps a pace.
_SCATTER, _KEEPS = 0.15, 0.75
_NORMAL = 1 / (_SCATTER * 2.5066)
# Houses of one quarter are more than two homes from so many on. Their number surprises from so much on.
_DOORS_OF_A_QUARTER, _BUSY = 3, 1.5


@dataclass(frozen=True, slots=True)
class Common:
    """What a group has in common: units (tenths of points) by fact, and the own surprise of each member.

    `tied` says which members share a device, a card or a mailbox with another one. `least` is how much the own
    surprise of a member must be.
    """

    units: dict[Fact, float]
    own: list[float]
    tied: list[bool]
    least: float

    @property
    def total(self) -> float:
        """The units of all facts."""
        return sum(self.units.values())


def in_common(crowd: Crowd, group: Group) -> Common:
    """The facts of a group, capped as the rule set says."""
    people = [crowd.people[at] for at in group.members]
    rules = crowd.rules
    where = _where(crowd, group, people)
    terms = _terms(crowd, group, people, where)
    units = {fact: _sum(some, crowd) for fact, some in terms.items()}
    own = [0.0] * len(people)
    for fact, some in terms.items():
        if units[fact] > 0:
            own = [before + term for before, term in zip(own, some, strict=True)]
    tied = [False] * len(people)
    for fact, kinds in _PERSONAL.items():
        units[fact] = _shared(crowd, people, kinds, own, tied)
    units[Fact.GROUP_SIZE] = 0.0 if where.at_home else _size(crowd, people)
    if where.quarter:
        units[Fact.GROUP_SIZE] = _crowded_doors(crowd, people)
        units[Fact.BUSY_QUARTER] = crowd.doors.surprise(people)
        if len({person.door for person in people}) < _DOORS_OF_A_QUARTER and len(people) <= rules.free_size:
            units = {}  # two homes of one quarter are two homes
    elif where.one_door:
        units[Fact.GROUP_SIZE] = max(units[Fact.GROUP_SIZE], _unexplained_place(crowd, people, where))
    busy = units.get(Fact.BUSY_QUARTER, 0.0) > _BUSY
    return Common(
        capped(rules, units, where, len(people)),
        own,
        # Where a place or a run brought people together, a couple's card ties them to each other, not to the group.
        tied if Anchor.PERSONAL in group.anchors else [False] * len(people),
        (rules.place_own_points if busy or (where.wide and where.one_door) else rules.own_points) / 10,
    )


def _where(crowd: Crowd, group: Group, people: Sequence[Person]) -> Where:
    doors = {person.door for person in people}
    one_door = len(doors) == 1 and None not in doors
    quarter = Anchor.AREA in group.anchors
    named = sum(person.door in crowd.doors.named for person in people)
    return Where(
        one_door=one_door,
        at_home=one_door and len(crowd.having[Kind.ADDRESS, people[0].door]) <= crowd.rules.private_people,
        quarter=quarter,
        own_doors=not quarter and 10 * len(doors) >= 9 * len(people),
        acquainted=_know_each_other(crowd, people, one_door=one_door, quarter=quarter),
        wide=(one_door or quarter) and named * 4 < len(people) and len(people) > crowd.rules.free_size,
    )


def _terms(crowd: Crowd, group: Group, people: Sequence[Person], where: Where) -> dict[Fact, Terms]:
    """The surprise of each member by fact, without what the anchor of the group explains."""
    rules = crowd.rules
    terms = {fact: measure(crowd, people) for fact, measure in _MEASURES.items()}
    if where.quarter:
        terms |= {fact: _apart(crowd, people, name) for fact, name in _ACROSS_DOORS.items()}
    terms[Fact.LINE_NEIGHBOURS] = _beside(crowd, people)
    terms[Fact.PAID_TOGETHER] = _paid_together(crowd, people)
    if Anchor.RUN in group.anchors:
        share = rules.run_share / 100
        for fact in (Fact.LINE_NEIGHBOURS, Fact.PAID_TOGETHER):
            terms[fact] = [share * term for term in terms[fact]]
    if where.one_door or Anchor.NETWORK in group.anchors:
        terms[Fact.ONE_NETWORK] = []  # the door or the anchor explains it
    if not where.one_door:
        terms[Fact.ODD_SPELLING] = []
    if not where.at_home:
        terms[Fact.SAME_NAME] = []  # behind a door of many people, some have similar names by chance
    if Anchor.DOMAIN in group.anchors:
        terms[Fact.OWN_DOMAIN] = terms[Fact.ODD_MAILBOX] = []  # a provider of mailboxes that is not known here
    return terms


def _unexplained_place(crowd: Crowd, people: Sequence[Person], where: Where) -> float:
    """Units for more people than a home has, at a place that names no boarding house, office, shop or flats."""
    named = sum(person.door in crowd.doors.named for person in people)
    if crowd.is_small or named * 4 >= len(people) or _is_a_desk(crowd, people):
        return 0.0
    rules, more = crowd.rules, max(0, len(people) - crowd.rules.free_size)
    most = rules.known_place_most if where.acquainted else rules.place_most
    return min(more * rules.place_points, most) / 10


def _is_a_desk(crowd: Crowd, people: Sequence[Person]) -> bool:
    """Whether so many people order to this door that it is a desk at which parcels are fetched, named or not."""
    return len(crowd.having.get((Kind.ADDRESS, people[0].door), ())) > PEOPLE_AT_A_DOOR


def _crowded_doors(crowd: Crowd, people: Sequence[Person]) -> float:
    """The same for the doors of a quarter together, of which each may have as many people as a home."""
    if crowd.is_small:
        return 0.0
    counts = Counter(person.door for person in people if person.door not in crowd.doors.named)
    more = sum(max(0, count - crowd.rules.free_size) for count in counts.values())
    return min(more * crowd.rules.place_points, crowd.rules.known_place_most) / 10


def _know_each_other(crowd: Crowd, people: Sequence[Person], *, one_door: bool, quarter: bool) -> bool:
    """Whether enough of a group show why they would agree: a network, a device, a card, a name, a domain.

    A third is enough; at one address half, because people of one address share their network by chance. The homes of a
    quarter share networks as well.
    """
    tied: set[int] = set()
    for kind in _TIES:
        if quarter and kind is Kind.NETWORK:
            continue
        counts = Counter(person.values[kind] for person in people if kind in person.values)
        # Strangers share a carrier's network or a provider. It ties people only if most of its people are here.
        ties = {value for value, count in counts.items() if count > 1 and 2 * count >= len(crowd.having[kind, value])}
        tied |= {at for at, person in enumerate(people) if person.values.get(kind) in ties}
    return len(tied) * (2 if one_door else 3) >= len(people)


def _sum(terms: Terms, crowd: Crowd) -> float:
    """The surprise of all members, as of `orders_worth` orders at most. The first order has nothing to agree with."""
    return sum(terms) / len(terms) * min(len(terms) - 1, crowd.rules.orders_worth) if terms else 0.0


def _term(likelier: float) -> float:
    return max(-_TERM_MAX, min(_TERM_MAX, log10(likelier)))


def _agreement(name: str) -> Callable[[Crowd, Sequence[Person]], Terms]:
    """Compares one trait. Each member is measured by how many of the others have the same value.

    The others of the group are taken with one order of the sale's average, so that two people agree less than nine.
    """

    def measure(crowd: Crowd, people: Sequence[Person]) -> Terms:
        values = [person.traits.get(name) for person in people]
        own = Counter(value for value in values if value is not None)
        known = own.total()
        if known < 2 or len(crowd.counts[name]) < 2:
            return []
        outside = crowd.counts[name].total() - known
        by_value = {}
        for value, count in own.items():
            share = (crowd.counts[name][value] - count + 0.5) / (outside + 1)
            by_value[value] = _term((count - 1 + share) / (known * share))
        return [by_value.get(value, 0.0) for value in values]

    return measure


def _apart(crowd: Crowd, people: Sequence[Person], name: str) -> Terms:
    """As `_agreement`, with the people of other doors only: that a family agrees says nothing about its quarter."""
    values = [person.traits.get(name) for person in people]
    own = Counter(values)
    doors = Counter(person.door for person in people)
    at_door = Counter((person.door, value) for person, value in zip(people, values, strict=True))
    outside = crowd.counts[name].total() - len(people) + own[None]
    if len(crowd.counts[name]) < 2:
        return []
    found = []
    for person, value in zip(people, values, strict=True):
        share = (crowd.counts[name][value] - own[value] + 0.5) / (outside + 1)
        same, others = own[value] - at_door[person.door, value], len(people) - doors[person.door]
        found.append(0.0 if value is None else _term((same + share) / ((others + 1) * share)))
    return found


def _flag(name: str) -> Callable[[Crowd, Sequence[Person]], Terms]:
    """As `_agreement`, for a trait that only its presence makes odd."""
    agreement = _agreement(name)

    def measure(crowd: Crowd, people: Sequence[Person]) -> Terms:
        flags = [person.traits.get(name) for person in people]
        having = sum(flag is True for flag in flags)
        counts = crowd.counts[name]
        others = counts.total() - len(flags)
        if not having or having * others <= (counts[True] - having) * len(flags):
            return []
        return agreement(crowd, people)

    return measure


def _larger(*measures: Callable[[Crowd, Sequence[Person]], Terms]) -> Callable[[Crowd, Sequence[Person]], Terms]:
    """Facts that are two views of one thing: the more surprising one counts."""

    def measure(crowd: Crowd, people: Sequence[Person]) -> Terms:
        return max((one(crowd, people) for one in measures), key=sum)

    return measure


def _pace(name: str) -> Callable[[Crowd, Sequence[Person]], Terms]:
    """Compares a pace: narrow around the others' median, against the paces of the sale."""

    def measure(crowd: Crowd, people: Sequence[Person]) -> Terms:
        values = [getattr(person, name) for person in people]
        known = sorted(value for value in values if value is not None)
        if len(known) < 2:
            return []
        density = dict(zip(known, crowd.paces[name].densities(known), strict=True))
        return [0.0 if value is None else _alike(value, _median_without(known, value), density) for value in values]

    return measure


def _alike(value: float, middle: float, density: dict[float, float]) -> float:
    near = _NORMAL * exp(-(((value - middle) / _SCATTER) ** 2) / 2)
    return _term(_KEEPS * near / density[value] + 1 - _KEEPS)


def _median_without(ordered: Sequence[float], value: float) -> float:
    rest = list(ordered)
    rest.remove(value)
    return (rest[(len(rest) - 1) // 2] + rest[len(rest) // 2]) / 2


def _closeness(places: Sequence[int], total: float, household_share: int) -> list[float]:
    """How much closer each place is to its nearest neighbour than chance explains, households included."""
    ordered = sorted(places)
    at = {place: number for number, place in enumerate(ordered)}
    chance = 2 * (len(places) - 1) / max(total, 1)
    far = max(3 / chance, 3)
    together = household_share / 100
    found = []
    for place in places:
        number = at[place]
        gaps = [abs(ordered[near] - place) for near in (number - 1, number + 1) if 0 <= near < len(ordered)]
        gap = max(1, min(gaps))
        by_chance = chance * exp(-chance * gap)
        one_buyer = 1 / (gap * log(far)) if gap <= far else by_chance
        found.append(_term(one_buyer / ((1 - together) * by_chance + together * one_buyer)))
    return found


def _beside(crowd: Crowd, people: Sequence[Person]) -> Terms:
    """Neighbours in a line. Each line is compared with itself."""
    lines: dict[Hashable, list[int]] = {}
    for at, person in enumerate(people):
        if person.index is not None:
            lines.setdefault(person.line, []).append(at)
    found = [0.0] * len(people)
    for line, members in lines.items():
        if len(members) > 1:
            places = [people[at].index or 0 for at in members]
            for at, term in zip(
                members, _closeness(places, crowd.lengths[line], crowd.rules.household_share), strict=True
            ):
                found[at] = term
    return found if any(found) else []


def _paid_together(crowd: Crowd, people: Sequence[Person]) -> Terms:
    return _closeness([person.paid_rank for person in people], len(crowd.people), crowd.rules.household_share)


def _with_neighbour(kind: Kind) -> Callable[[Crowd, Sequence[Person]], Terms]:
    """Compares whether a member shares a value with another member; outside of the group, with anybody."""

    def measure(crowd: Crowd, people: Sequence[Person]) -> Terms:
        values = [person.values.get(kind) for person in people]
        own = Counter(value for value in values if value is not None)
        flags = [value is not None and own[value] > 1 for value in values]
        having = sum(flags)
        if not having:
            return []
        outside = len(crowd.people) - len(people)
        share = (crowd.sharing[kind] - having + 0.5) / (outside + 1)
        share = min(max(share, 0.5 / (outside + 1)), 0.9)
        size = len(people)
        yes, no = (having - 1 + share) / (size * share), (size - having - 1 + 1 - share) / (size * (1 - share))
        return [_term(yes) if flag else _term(max(no, 0.01)) for flag in flags]

    return measure


def _network(crowd: Crowd, people: Sequence[Person]) -> Terms:
    """Compares networks. People of one door, and people on one device, share their network anyway."""
    having: dict[Hashable, list[Person]] = {}
    for person in people:
        if "network" in person.traits:
            having.setdefault(person.traits["network"], []).append(person)
    known, counts = sum(map(len, having.values())), crowd.counts["network"]
    if known < 2:
        return []
    outside = counts.total() - known
    found = []
    for person in people:
        network = person.traits.get("network")
        same = having.get(network, [])
        share = (counts[network] - len(same) + 0.5) / (outside + 1)
        device = person.values.get(Kind.DEVICE)
        others = sum(one.door != person.door and one.values.get(Kind.DEVICE) != device for one in same)
        found.append(_term((others + share) / (known * share)) if same else 0.0)
    return found


def _shared(crowd: Crowd, people: Sequence[Person], kinds: Sequence[Kind], own: list[float], tied: list[bool]) -> float:
    """Units for those who share a device, a card or a mailbox, beyond the number that relatives share."""
    rules, found = crowd.rules, 0.0
    for kind in kinds:
        values = [person.values.get(kind) for person in people]
        counts = Counter(value for value in values if value is not None)
        found += sum(max(0, count - rules.free_people) for count in counts.values()) * rules.shared_points / 10
        for at, value in enumerate(values):
            if value is not None and counts[value] > rules.free_people:
                own[at] += rules.own_points / 10
            tied[at] |= value is not None and counts[value] > 1
    return found


def _size(crowd: Crowd, people: Sequence[Person]) -> float:
    """Units for the people and the addresses that what strangers do not share links, beyond those of relatives."""
    forest = Forest(len(people))
    for kinds in _PERSONAL.values():
        for kind in kinds:
            first: dict[Hashable, int] = {}
            for at, person in enumerate(people):
                if kind in person.values:
                    forest.join((first.setdefault(person.values[kind], at), at))
    linked = max(forest.trees(), key=len, default=[])
    doors = {people[at].door for at in linked}
    free = crowd.rules.free_size
    return (max(0, len(linked) - free) + max(0, len(doors) - free)) * crowd.rules.size_points / 10


_MEASURES: dict[Fact, Callable[[Crowd, Sequence[Person]], Terms]] = {
    Fact.SAME_MODEL: _agreement("sku"),
    Fact.SAME_CHANNEL: _agreement("channel"),
    Fact.UNITS_AT_LIMIT: _flag("at_limit"),
    Fact.RESERVED_ALIKE: _pace("reserve"),
    Fact.PAID_ALIKE: _pace("pay"),
    Fact.PAID_TOO_FAST: _flag("fast"),
    Fact.ODD_MAILBOX: _flag("odd_mailbox"),
    Fact.MAIL_PATTERN: _larger(_agreement("shape"), _with_neighbour(Kind.MAIL_PATTERN)),
    Fact.DISPOSABLE_MAILS: _flag("disposable"),
    Fact.OWN_DOMAIN: _agreement("own_domain"),
    Fact.PHONES_IN_A_ROW: _with_neighbour(Kind.PHONE_BLOCK),
    Fact.ONE_NETWORK: _network,
    Fact.SAME_NAME: _with_neighbour(Kind.NAME),
    Fact.ODD_SPELLING: _flag("odd_spelling"),
}
_PERSONAL: dict[Fact, tuple[Kind, ...]] = {
    Fact.ONE_DEVICE: (Kind.DEVICE,),
    Fact.ONE_PAYMENT: (Kind.PAYMENT,),
    Fact.ONE_MAILBOX: (Kind.MAILBOX, Kind.NATIONAL_ID, Kind.PHONE, Kind.EMAIL, Kind.ACCOUNT),
}
_ACROSS_DOORS = {Fact.SAME_MODEL: "sku", Fact.SAME_CHANNEL: "channel"}
_TIES = (Kind.NETWORK, Kind.DEVICE, Kind.PAYMENT, Kind.NAME, Kind.MAIL_DOMAIN)
MEASURED = {*_MEASURES, *_PERSONAL, Fact.LINE_NEIGHBOURS, Fact.PAID_TOGETHER, Fact.GROUP_SIZE, Fact.BUSY_QUARTER}
MEASURED |= {Fact.KNOWN_RING, Fact.REST_OF_HOUSE}
"""The facts that a score may have. scoring.py finds the last two."""
