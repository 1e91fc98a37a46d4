"""What an outsider has observed of the sales: answers, transcripts and the history of the units, nothing else."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from flashsale.rules.identity import Axis, canonical_value
from flashsale.rules.lottery import QUICKNET_CHAIN, Chain
from simulation.journal import CONFIRM, PAYMENT, Answer, Journal

FOREVER = 1 << 62


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check. `promise` is the number of the promise in README.md; 0 means none of them."""

    promise: int
    title: str
    held: bool
    found: str
    expected: str
    act: str = ""


@dataclass(slots=True)
class Observations:
    """All observations: answers, announced units and times, transcripts by sale, and the history of the units."""

    journal: Journal
    limit: int
    units: dict[tuple[str, str], int] = field(default_factory=dict)
    """Announced units by (sale, line)."""
    rolling: set[tuple[str, str]] = field(default_factory=set)
    """Lines whose units roll over to another line during the sale. Their `units` is the largest number they had."""
    windows: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    """Opening, closing and length of a hold by sale, all in ms."""
    transcripts: dict[str, dict[str, Any]] = field(default_factory=dict)
    chain: Chain = QUICKNET_CHAIN
    """The chain of drand that the site has declared."""
    unit_history: list[dict[str, Any]] = field(default_factory=list)
    """Rows as `simulation.lineage` makes them."""


@dataclass(frozen=True, slots=True)
class ObservedReservation:
    """A reservation as the client saw it. It surely used its units from `from_ms` to `upto_ms`."""

    id: str
    sale: str
    line: str
    who: str
    from_ms: int
    deadline_ms: int
    upto_ms: int
    confirmed: bool


def make_check(promise: int, title: str, broken: Iterable[str], counted: str, expected: str) -> Check:
    """A check that holds if `broken` has no fault. `counted` says what was checked, and is shown if it holds."""
    faults = list(broken)
    found = f"{len(faults)} broken: {'; '.join(faults[:3])}" if faults else counted
    return Check(promise, title, not faults, found, expected)


def observed_reservations(observed: Observations) -> Iterator[ObservedReservation]:
    """The reservations that the site granted, each once. An unpaid one counts until its deadline."""
    confirmed = {reservation_of(answer) for answer in confirmations(observed)}
    cancelled = {row["reservation"]: int(row["cancelled_ms"]) for row in observed.unit_history if row["cancelled_ms"]}
    known = set()
    for answer in observed.journal.answers_to("reserve"):
        id_ = str(answer.body.get("reservation"))
        if not answer.ok or id_ in known:
            continue
        known.add(id_)
        deadline = int(answer.body["deadline"])
        paid = id_ in confirmed
        upto = cancelled.get(id_, FOREVER) if paid else deadline
        yield ObservedReservation(id_, answer.sale, answer.line, answer.who, answer.at_ms, deadline, upto, paid)


def confirmations(observed: Observations, sale: str = "") -> Iterator[Answer]:
    """The answers that say that an order is confirmed: to a partner that charged its buyer, or after a payment."""
    for answer in observed.journal.answers_to(CONFIRM, PAYMENT, sale=sale):
        state = answer.body.get("state") or str(answer.body.get("mark", "")).partition(" ")[0]
        if answer.ok and (answer.verb == CONFIRM or state == "confirmed"):
            yield answer


def reservation_of(answer: Answer) -> str:
    """The id of the reservation that a confirmation names."""
    return str(answer.sent.get("reservation") or answer.body.get("id") or answer.body.get("reservation"))


def max_concurrent(reservations: Iterable[ObservedReservation]) -> int:
    """The largest number of reservations that used units at the same moment."""
    moments = sorted(
        edge for one in reservations for edge in ((one.from_ms, 1), (max(one.from_ms, one.upto_ms), -1))
    )  # at the same moment, an end counts before a start
    most = now = 0
    for _, step in moments:
        now += step
        most = max(most, now)
    return most


def group_by(
    reservations: Iterable[ObservedReservation], key: Callable[[ObservedReservation], Any]
) -> Mapping[Any, list[ObservedReservation]]:
    groups: dict[Any, list[ObservedReservation]] = defaultdict(list)
    for one in reservations:
        groups[key(one)].append(one)
    return groups


def identities(observed: Observations) -> dict[str, tuple[str, str]]:
    """Phone and e-mail by the code of the person, in one canonical spelling."""
    people = {}
    for answer in observed.journal.answers_to("enter", "codes"):
        identity = answer.sent.get("identity", answer.sent)
        if identity.get("phone"):
            people[answer.who] = (
                canonical_value(Axis.PHONE, identity["phone"]),
                canonical_value(Axis.EMAIL, identity["email"]),
            )
    return people
