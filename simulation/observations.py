"""What an outsider has seen of the sales: answers, transcripts and the units' ways, nothing else."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from flashsale.rules.identity import Axis, canonical_value
from simulation.journal import Answer, Journal

FOREVER = 1 << 62


@dataclass(frozen=True, slots=True)
class Check:
    """One promise, by its number in the list of promises (0: none of them), and whether it held."""

    promise: int
    title: str
    held: bool
    found: str
    expected: str
    act: str = ""


@dataclass(slots=True)
class Seen:
    """What an outsider has: the answers, the transcripts by sale, what was announced, and the units' ways."""

    journal: Journal
    limit: int
    units: dict[tuple[str, str], int] = field(default_factory=dict)
    """Announced units by (sale, line)."""
    rolling: set[tuple[str, str]] = field(default_factory=set)
    """Lines whose units roll over while the sale runs: `units` is what each has had at most."""
    windows: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    """Opening, closing, hold in ms, by sale."""
    transcripts: dict[str, dict[str, Any]] = field(default_factory=dict)
    ways: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Held:
    """A reservation as answered, and until when it surely counted."""

    id: str
    sale: str
    line: str
    who: str
    from_ms: int
    deadline_ms: int
    upto_ms: int
    confirmed: bool


def judged(promise: int, title: str, broken: Iterable[str], counted: str, expected: str) -> Check:
    faults = list(broken)
    found = f"{len(faults)} broken: {'; '.join(faults[:3])}" if faults else counted
    return Check(promise, title, not faults, found, expected)


def reservations(seen: Seen) -> Iterator[Held]:
    confirmed = {reservation_of(answer) for answer in seen.journal.of("confirm") if answer.ok}
    cancelled = {way["reservation"]: int(way["cancelled_ms"]) for way in seen.ways if way["cancelled_ms"]}
    known = set()
    for answer in seen.journal.of("reserve"):
        id_ = str(answer.body.get("reservation"))
        if not answer.ok or id_ in known:
            continue
        known.add(id_)
        deadline = int(answer.body["deadline"])
        paid = id_ in confirmed
        upto = cancelled.get(id_, FOREVER) if paid else deadline
        yield Held(id_, answer.sale, answer.line, answer.who, answer.at_ms, deadline, upto, paid)


def reservation_of(answer: Answer) -> str:
    """The reservation that a confirmation was about."""
    return str(answer.sent.get("reservation") or answer.body.get("id") or answer.body.get("reservation"))


def most_at_once(held: Iterable[Held]) -> int:
    """The largest number of reservations that counted at one moment."""
    moments = sorted(
        edge for one in held for edge in ((one.from_ms, 1), (max(one.from_ms, one.upto_ms), -1))
    )  # an end at the same moment comes first
    most = now = 0
    for _, step in moments:
        now += step
        most = max(most, now)
    return most


def grouped(held: Iterable[Held], key: Callable[[Held], Any]) -> Mapping[Any, list[Held]]:
    groups: dict[Any, list[Held]] = defaultdict(list)
    for one in held:
        groups[key(one)].append(one)
    return groups


def people_of(seen: Seen) -> dict[str, tuple[str, str]]:
    """Phone and e-mail of everybody who gave them to a door, in one spelling."""
    people = {}
    for answer in seen.journal.of("enter", "codes"):
        told = answer.sent.get("identity", answer.sent)
        if told.get("phone"):
            people[answer.who] = (
                canonical_value(Axis.PHONE, told["phone"]),
                canonical_value(Axis.EMAIL, told["email"]),
            )
    return people
