"""What is known about each buyer of a sale, and how often the sale has each value."""

from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from math import log10

from flashsale.rules.review import clues
from flashsale.rules.review.fact_rules import FactRuleSet
from flashsale.rules.review.findings import Order, PersonKey, Value, person_key
from flashsale.rules.review.houses import group_by_lane
from flashsale.rules.review.rule_set import Kind
from flashsale.rules.review.surprise import mailboxes
from flashsale.rules.review.surprise.doors import Doors, is_registered

_OF_ONE_PERSON = (Kind.DEVICE, Kind.PAYMENT, Kind.MAIL_DOMAIN)
_STRANGERS_MIN = 3
# A value that more people share says nothing about them. The first bound is for networks, the second for other kinds.
_FEW, _MANY = 40, 200
# The quickest of those who are called together reserve about so much later.
_QUICKEST_MS = 2000


@dataclass(slots=True, eq=False)
class Person:
    """One buyer, with the orders of all their identities that are equal. The first order speaks for them.

    Numbers that are not known are None; texts that are not known are empty.
    """

    at: int
    orders: list[Order]
    values: dict[Kind, Hashable] = field(default_factory=dict)
    traits: dict[str, Hashable] = field(default_factory=dict)
    """What the facts compare: the model, the channel, marks of the mailbox …"""
    line: Hashable = None
    index: int | None = None
    reserve: float | None = None
    """Log10 of the seconds from the call to the reservation. The call is not stored, so it is estimated."""
    pay: float | None = None
    """Log10 of the seconds from the reservation to the payment."""
    paid_rank: int = 0
    allowed: bool = False

    @property
    def door(self) -> Hashable:
        """The house to which the parcel goes; None if it is not known."""
        return self.values.get(Kind.ADDRESS)


class Crowd:
    """All buyers of a sale. `having` has the buyers with each value, `counts` how many have each trait."""

    def __init__(self, orders: Sequence[Order], rules: FactRuleSet, limit: int) -> None:
        self.rules, self.limit = rules, limit
        self.orders = orders
        self.is_small = len(orders) < rules.few_orders
        """Whether there are too few orders to tell which houses are unusual."""
        by_person: dict[PersonKey, list[Order]] = {}
        for order in orders:
            by_person.setdefault(person_key(order), []).append(order)
        self.people = [Person(at, own) for at, own in enumerate(by_person.values())]
        self.having: dict[Value, list[int]] = defaultdict(list)
        self.lanes: dict[Hashable, list[int]] = defaultdict(list)
        """The buyers in each street of a neighbourhood, in all its houses."""
        self.counts: dict[str, Counter[Hashable]] = defaultdict(Counter)
        self.lengths: Counter[Hashable] = Counter()
        self._of_a_house: dict[str, bool] = {}
        self._read_values()
        self._forget_what_strangers_share()
        # How many people share a value of each kind with somebody.
        self.sharing = Counter[Kind]()
        for (kind, _value), people in self.having.items():
            self.sharing[kind] += len(people) if len(people) > 1 else 0
        self.doors = Doors(self.people, self.having)
        self._read_traits()
        self._read_times()

    def _read_values(self) -> None:
        buyers = {own.orders[0].id: own.orders[0].buyer for own in self.people}
        known = {id_: buyer for id_, buyer in buyers.items() if buyer}
        houses = clues.houses(known)
        alike = clues.clusters(known, self.rules, houses)
        self.odd = clues.odd_addresses(known)
        lanes = group_by_lane(houses, self.rules.near_address)
        for person in self.people:
            first = person.orders[0]
            person.values = {Kind(axis.value): digest for axis, digest in first.traits.items()}
            person.values |= {kind: found[first.id] for kind, found in alike.items() if first.id in found}
            if first.buyer and clues.is_disposable(first.buyer.email.rpartition("@")[2]):
                person.values.pop(Kind.MAIL_DOMAIN, None)  # strangers share it
            person.allowed = any(order.allowed for order in person.orders)
            for value in person.values.items():
                self.having[value].append(person.at)
            if first.id in lanes:
                self.lanes[lanes[first.id]].append(person.at)

    def _forget_what_strangers_share(self) -> None:
        """Removes devices, payments and mail domains that do not lead to one person in this sale.

        Many phones may have the same fingerprint, and a domain may be that of a mail provider. Most people with such a
        value share nothing else. One such value may belong to a ring that hides everything else. If the sale has three
        of one kind, strangers share values of this kind.
        """
        for kind in _OF_ONE_PERSON:
            strangers: dict[Hashable, set[int]] = {}
            for (one, value), people in self.having.items():
                if one is kind and _STRANGERS_MIN <= len(people) <= _MANY:
                    alone = {at for at in people if not self._shares_more(at, people, kind)}
                    if 2 * len(alone) > len(people):
                        strangers[value] = alone
            if len(strangers) < _STRANGERS_MIN:
                continue
            for value, alone in strangers.items():
                for at in alone:
                    del self.people[at].values[kind]
                self.having[kind, value] = [at for at in self.having[kind, value] if at not in alone]

    def _shares_more(self, at: int, people: Sequence[int], kind: Kind) -> bool:
        """Whether a person shares a value of another kind, too, with one of these people."""
        own = self.people[at].values
        for other in people:
            if other == at:
                continue
            values = self.people[other].values
            for shared, value in own.items():
                if shared is not kind and values.get(shared) == value and self._is_personal(shared, value):
                    return True
        return False

    def _is_personal(self, kind: Kind, value: Hashable) -> bool:
        """Whether so few people share a value that it says something about them."""
        return len(self.having[kind, value]) <= (_FEW if kind is Kind.NETWORK else _MANY)

    def _read_traits(self) -> None:
        alphabet = mailboxes.Alphabet(own.orders[0].buyer.name for own in self.people if own.orders[0].buyer)
        for person in self.people:
            order = person.orders[0]
            units = sum(one.quantity for one in person.orders)
            traits: dict[str, Hashable] = {"sku": order.sku, "channel": order.channel}
            traits |= {"at_limit": units >= self.limit, "network": person.values.get(Kind.NETWORK)}
            if order.made_ms and order.paid_ms >= order.made_ms:
                traits["fast"] = order.paid_ms - order.made_ms < self.rules.inhuman_ms
            if order.buyer:
                own_domain = str(person.values.get(Kind.MAIL_DOMAIN, ""))
                of_the_house = bool(own_domain) and self._is_of_a_house(own_domain)
                traits |= {
                    "disposable": clues.is_disposable(order.buyer.email.rpartition("@")[2]),
                    "odd_spelling": order.id in self.odd,
                    # Strangers share a provider, and colleagues share the domain of their house.
                    "own_domain": "" if of_the_house else own_domain,
                }
                relayed = clues.is_relayed(order.buyer.email)
                if not is_registered(own_domain) and not relayed:
                    traits["odd_mailbox"] = mailboxes.is_odd(order.buyer, alphabet)
                if of_the_house or relayed:
                    person.values.pop(Kind.MAIL_PATTERN, None)
                else:
                    traits["shape"] = mailboxes.shape(order.buyer.email)
            person.traits = {name: value for name, value in traits.items() if value not in {None, ""}}
            for name, value in person.traits.items():
                self.counts[name][value] += 1

    def _read_times(self) -> None:
        called: dict[Hashable, int] = {}
        in_line = [own for own in self.people if own.orders[0].number]
        # People are called by number. So a person with a higher number who has reserved was not called before them.
        for person in sorted(in_line, key=lambda own: -own.orders[0].number):
            order = person.orders[0]
            person.line, person.index = order.line, order.index or None
            self.lengths[order.line] = max(self.lengths[order.line], order.index)
            if order.made_ms:
                at = called[order.line] = min(called.get(order.line, order.made_ms), order.made_ms)
                person.reserve = log10((order.made_ms - at + _QUICKEST_MS) / 1000)
        ranked = sorted(self.people, key=lambda own: (own.orders[0].paid_ms, own.orders[0].id))
        for rank, person in enumerate(ranked, 1):
            order = person.orders[0]
            person.paid_rank = rank
            if order.made_ms and order.paid_ms >= order.made_ms:
                person.pay = log10((order.paid_ms - order.made_ms + 100) / 1000)
        self.paces = {
            "reserve": Paces([own.reserve for own in self.people if own.reserve is not None]),
            "pay": Paces([own.pay for own in self.people if own.pay is not None]),
        }

    def is_home(self, door: Hashable) -> bool:
        """Whether no more people than a home has order to a door, and the door is no shared place."""
        return len(self.having[Kind.ADDRESS, door]) <= self.rules.private_people and door not in self.doors.named

    def _is_of_a_house(self, domain: str) -> bool:
        """Whether a mail domain is that of a firm or a school: registered, or most of its people are at one door.

        Such a house gives out the mailboxes, so that they say nothing about the people.
        """
        known = self._of_a_house.get(domain)
        if known is None:
            doors = Counter(self.people[at].door for at in self.having[Kind.MAIL_DOMAIN, domain])
            ((door, most),) = doors.most_common(1)
            known = is_registered(domain) or (door is not None and most > 1 and most * 2 > doors.total())
            self._of_a_house[domain] = known
        return known


class Paces:
    """How often each pace occurs in the sale: a histogram in tenths of a power of ten, smoothed."""

    STEP = 0.1

    def __init__(self, values: Sequence[float]) -> None:
        self._counts = Counter(round(value / self.STEP) for value in values)
        self._total = len(values)

    def densities(self, values: Sequence[float]) -> list[float]:
        """The probability of each of these paces, for each power of ten, among the people who are not in the group."""
        places = [round(value / self.STEP) for value in values]
        own, others = Counter(places), self._total - len(places)
        return [self._near(at, own) / (others + 20) / self.STEP for at in places]

    def _near(self, at: int, own: Counter[int]) -> float:
        steps = (-2, -1, 0, 1, 2)
        return 0.5 + sum((self._counts[at + step] - own[at + step]) * (3 - abs(step)) for step in steps) / 9
