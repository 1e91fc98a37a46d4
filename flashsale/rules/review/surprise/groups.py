"""The groups of people that are worth a look: who shares what strangers do not share.

Everybody who shares a device, a payment, a mailbox or a private door is a group, and so are phone numbers in a row and
a mail domain that a person can buy. Chains of these are groups. At a shared place (boarding house, office, campus,
pick-up point) people are a group who share the door and something else: a network, a mail domain, a run in the line.
The whole of a shared place is looked at as well, but there only those belong to it whose own facts agree.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from flashsale.rules.review.rule_set import STRONG, Kind
from flashsale.rules.review.surprise.doors import is_registered
from flashsale.rules.review.surprise.people import Crowd, Person

MEMBERS_MIN = 3
# A mail domain of more people belongs to a provider that is not known here.
_OF_ONE_DOMAIN = 100
# A group of more people than this share of the sale is the sale itself.
_SHARE_MAX = 0.25
# Neighbours in the line are a run if they are ten times closer than people of the group would be by chance.
_CLOSER = 10


class Anchor(StrEnum):
    """What brought the people of a group together. The facts do not count it again."""

    PERSONAL = "personal"
    DOOR = "door"
    PHONES = "phones"
    DOMAIN = "domain"
    NETWORK = "network"
    RUN = "run"
    AREA = "area"


@dataclass(frozen=True, slots=True)
class Group:
    """People who share something. `members` are their places in the crowd, sorted."""

    members: tuple[int, ...]
    anchors: frozenset[Anchor]


class Forest:
    """People joined into trees: union-find with path halving."""

    def __init__(self, size: int) -> None:
        self._parent = list(range(size))

    def root(self, member: int) -> int:
        """The one that stands for all who are joined with this one."""
        parent = self._parent
        while parent[member] != member:
            parent[member] = parent[parent[member]]
            member = parent[member]
        return member

    def join(self, members: Sequence[int]) -> None:
        """Joins all of these."""
        first = self.root(members[0])
        for other in members[1:]:
            root = self.root(other)
            self._parent[max(first, root)] = first = min(first, root)

    def trees(self) -> list[list[int]]:
        """The members of each tree with at least two."""
        found: dict[int, list[int]] = defaultdict(list)
        for member in range(len(self._parent)):
            found[self.root(member)].append(member)
        return [tree for tree in found.values() if len(tree) > 1]


def candidates(crowd: Crowd) -> list[Group]:
    """All groups that are worth a look, without repeats."""
    found: dict[tuple[int, ...], frozenset[Anchor]] = {}
    most = max(_SHARE_MAX * len(crowd.people), crowd.rules.private_people)
    for members, anchors in _all(crowd):
        if MEMBERS_MIN <= len(members) <= most:
            key = tuple(sorted(members))
            # What more than one anchor explains is explained by each.
            found[key] = found.get(key, frozenset()) | anchors
    return [Group(members, anchors) for members, anchors in found.items()]


def _all(crowd: Crowd) -> Iterator[tuple[Sequence[int], frozenset[Anchor]]]:
    forest = Forest(len(crowd.people))
    for members, anchor in _personal(crowd):
        forest.join(members)
        yield members, frozenset({anchor})
    for tree in forest.trees():
        yield tree, frozenset({Anchor.PERSONAL})
    yield from _shared_places(crowd)
    for near in _areas(crowd):
        yield near, frozenset({Anchor.AREA})
    for (kind, _value), members in crowd.having.items():
        if kind is Kind.NETWORK and len(members) >= MEMBERS_MIN:
            if len(members) <= crowd.rules.few_people:
                yield members, frozenset({Anchor.NETWORK})
            for run in _runs(crowd, members):
                yield run, frozenset({Anchor.NETWORK, Anchor.RUN})


def _areas(crowd: Crowd) -> Iterator[list[int]]:
    """The people of the busy houses of a quarter, and those of the homes of one street in a neighbourhood."""
    for doors in crowd.doors.quarters():
        if len(doors) > 1:
            yield [at for door in doors for at in crowd.having[Kind.ADDRESS, door] if not crowd.people[at].allowed]
    for members in crowd.lanes.values():
        homes = [at for at in members if not crowd.people[at].allowed and crowd.is_home(crowd.people[at].door)]
        if len({crowd.people[at].door for at in homes}) > 1:
            yield homes


def _personal(crowd: Crowd) -> Iterator[tuple[Sequence[int], Anchor]]:
    """Those who share one thing that strangers do not share."""
    for (kind, value), members in crowd.having.items():
        if len(members) < 2:
            continue
        if kind in STRONG:
            yield members, Anchor.PERSONAL
        if kind in STRONG:
            continue
        free = [at for at in members if not crowd.people[at].allowed]
        if len(free) < 2:
            continue
        if (kind is Kind.ADDRESS and len(free) <= crowd.rules.private_people) or (
            kind is Kind.MAIL_DOMAIN and len(free) <= _OF_ONE_DOMAIN and not is_registered(str(value))
        ):
            yield free, Anchor.DOOR if kind is Kind.ADDRESS else Anchor.DOMAIN
        elif kind is Kind.PHONE_BLOCK:
            yield free, Anchor.PHONES


def _shared_places(crowd: Crowd) -> Iterator[tuple[Sequence[int], frozenset[Anchor]]]:
    for (kind, _value), members in crowd.having.items():
        if kind is not Kind.ADDRESS or len(members) <= crowd.rules.private_people:
            continue
        free = [at for at in members if not crowd.people[at].allowed]
        yield free, frozenset({Anchor.DOOR})
        for other, anchor in ((Kind.NETWORK, Anchor.NETWORK), (Kind.MAIL_DOMAIN, Anchor.DOMAIN)):
            for some in _by_value(crowd, free, other):
                yield some, frozenset({Anchor.DOOR, anchor})
        for run in _runs(crowd, free):
            yield run, frozenset({Anchor.DOOR, Anchor.RUN})


def _by_value(crowd: Crowd, members: Sequence[int], kind: Kind) -> Iterable[list[int]]:
    found: dict[Hashable, list[int]] = defaultdict(list)
    for at in members:
        if kind in crowd.people[at].values:
            found[crowd.people[at].values[kind]].append(at)
    return [some for some in found.values() if MEMBERS_MIN <= len(some) < len(members)]


def _runs(crowd: Crowd, members: Sequence[int]) -> Iterator[list[int]]:
    """Those who stand much closer to each other in their line than chance puts them."""
    lines: dict[Hashable, list[Person]] = defaultdict(list)
    for at in members:
        person = crowd.people[at]
        if person.index is not None and not person.allowed:
            lines[person.line].append(person)
    for line, people in lines.items():
        if len(people) < MEMBERS_MIN:
            continue
        far = crowd.lengths[line] / len(people) / _CLOSER
        people.sort(key=lambda person: (person.index or 0, person.at))
        run = [people[0]]
        for person in people[1:]:
            if (person.index or 0) - (run[-1].index or 0) > far:
                yield from [[one.at for one in run]] if MEMBERS_MIN <= len(run) < len(people) else []
                run = []
            run.append(person)
        yield from [[one.at for one in run]] if MEMBERS_MIN <= len(run) < len(people) else []
