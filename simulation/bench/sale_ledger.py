"""Compares the ledger of a crowd with what PostgreSQL and Redis have: to the unit, and to the millisecond of a call."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from django.db.models import Count

from flashsale.gate import bridge, inspect
from flashsale.gate.sale_card import LineCard, SaleCard
from flashsale.models import PaymentAttempt, Reservation, ReservationUnit, Unit
from flashsale.rules.states import AttemptState, ReservationState, UnitState
from simulation.bench import fixtures

Ledger = Mapping[str, Any]
# So many differences are named. The count is always exact.
NAMED_MAX = 5


class Hearing(NamedTuple):
    """How people heard of their calls: how many, and how late (ms on the line's clock).

    `unheard` people were called, had a tenth of their claim window or more, and did not hear.
    """

    heard: int
    latest_ms: int
    half_ms: int
    unheard: int


class Row(NamedTuple):
    """A reservation in PostgreSQL: its place (line id, index, number), state, and references of attempts that paid."""

    place: tuple[int, int, int]
    state: str
    references: tuple[str, ...]


def differences(card: SaleCard, ledger: Ledger) -> list[str]:
    """Every difference between the crowd's ledger and the stores, as one line of text."""
    rows = _rows(card)
    return [
        *_wrong_places(card, ledger),
        *_wrong_orders(card, ledger, rows),
        *_unknown_orders(ledger, rows),
        *_wrong_units(card, ledger),
    ]


def hearing(card: SaleCard, ledger: Ledger, *, stood_ms: int) -> Hearing:
    """How late people heard, by the waves in Redis. `stood_ms`: how long the line's clock has stood in all."""
    delays, unheard = [], 0
    for at, line in enumerate(card.lines):
        waves = bridge.run(inspect.waves(card, line))
        lasts, end = [last for last, _ in waves], max((made for _, made in waves), default=0)
        for person in range(at, len(ledger["indexes"]), len(card.lines)):
            number, heard = ledger["numbers"][person], ledger["heard"][person]
            if not number or not lasts or number > lasts[-1]:
                continue
            called = waves[bisect_left(lasts, number)][1]
            if heard:
                # The clock of the line is behind the wall clock by what it has stood.
                offset = min(stood_ms, ledger["offsets"][person] or stood_ms)
                delays.append(heard - offset - called)
            elif end - called > card.claim_ms // 10:
                unheard += 1
    delays.sort()
    return Hearing(len(delays), delays[-1] if delays else 0, delays[len(delays) // 2] if delays else 0, unheard)


def _rows(card: SaleCard) -> dict[str, Row]:
    paid: dict[str, list[str]] = {}
    attempts = PaymentAttempt.objects.filter(reservation__sale=card.sale, state=AttemptState.PAID)
    for id_, reference in attempts.values_list("reservation", "reference"):
        paid.setdefault(str(id_), []).append(reference)
    found = Reservation.objects.filter(sale=card.sale).exclude(state=ReservationState.ABANDONED)
    columns = found.values_list("id", "allocation__line_id", "index", "number", "state")
    return {
        str(id_): Row((line_id, index, number), state, tuple(paid.get(str(id_), ())))
        for id_, line_id, index, number, state in columns.iterator()
    }


def _wrong_places(card: SaleCard, ledger: Ledger) -> Iterator[str]:
    """Each person has a place, no two have the same one, and Redis counts as many."""
    count = len(card.lines)
    for at, line in enumerate(card.lines):
        mine = ledger["indexes"][at::count]
        missing, twice = mine.count(0), len(mine) - len(set(mine)) - max(0, mine.count(0) - 1)
        if missing:
            yield f"{line.code}: {missing} people have no place"
        if twice:
            yield f"{line.code}: {twice} people have the place of another"
        figures = bridge.run(fixtures.survey(card, line))
        if figures.entered - figures.gaps != len(mine) - missing:
            yield f"{line.code}: Redis counts {figures.entered - figures.gaps} people, {len(mine) - missing} entered"


def _wrong_orders(card: SaleCard, ledger: Ledger, rows: Mapping[str, Row]) -> Iterator[str]:
    """Each acknowledged reservation and payment is in PostgreSQL, as it was answered."""
    seen: set[str] = set()
    for person, id_ in enumerate(ledger["reservations"]):
        if not id_:
            continue
        reference, row = ledger["references"][person], rows.get(id_)
        if id_ in seen:
            yield f"person {person}: the reservation {id_} of another person"
        seen.add(id_)
        if row is None:
            yield f"person {person}: reservation {id_} was acknowledged and is not in PostgreSQL"
            continue
        line = card.lines[person % len(card.lines)]
        place = line.line_id, ledger["indexes"][person], ledger["numbers"][person]
        if place != row.place:
            yield f"person {person}: reservation {id_} has (line, index, number) {row.place}, expected {place}"
        if reference and (row.state != ReservationState.CONFIRMED or row.references != (reference,)):
            yield f"person {person}: paid {reference}, PostgreSQL has {row.state} with {row.references or 'no payment'}"
        if not reference and (row.state == ReservationState.CONFIRMED or row.references):
            yield f"person {person}: PostgreSQL has {row.state} with {row.references}, and the person was not told"


def _unknown_orders(ledger: Ledger, rows: Mapping[str, Row]) -> Iterator[str]:
    for id_ in rows.keys() - set(filter(None, ledger["reservations"])):
        yield f"reservation {id_} ({rows[id_].state}) is in PostgreSQL, and no person was told"


def _wrong_units(card: SaleCard, ledger: Ledger) -> Iterator[str]:
    """Per line: as many units sold as people have paid, each once, and the others free. Redis counts the same."""
    held = ReservationUnit.objects.filter(reservation__sale=card.sale, active=True)
    sold_once = held.filter(reservation__state=ReservationState.CONFIRMED).values("unit").distinct().count()
    paid = sum(map(bool, ledger["references"]))
    if sold_once != paid:
        yield f"{sold_once} different units belong to confirmed orders, {paid} people have paid"
    for at, line in enumerate(card.lines):
        yield from _wrong_units_of(card, line, sum(map(bool, ledger["references"][at :: len(card.lines)])))


def _wrong_units_of(card: SaleCard, line: LineCard, paid: int) -> Iterator[str]:
    states = Counter(dict(Unit.objects.filter(allocation=line.id).values_list("state").annotate(Count("id"))))
    if states[UnitState.SOLD] != paid:
        yield f"{line.code}: PostgreSQL has {states[UnitState.SOLD]} units sold, {paid} people have paid"
    figures = bridge.run(fixtures.survey(card, line))
    found = figures.sold, figures.held, sum(figures.free.values())
    expected = states[UnitState.SOLD], states[UnitState.HELD], states[UnitState.FREE]
    if found != expected:
        yield f"{line.code}: Redis has (sold, held, free) {found}, PostgreSQL {expected}"


def in_short(found: Sequence[str]) -> str:
    """The first differences, as one text."""
    more = f", and {len(found) - NAMED_MAX:,} more" if len(found) > NAMED_MAX else ""
    return "; ".join(found[:NAMED_MAX]) + more
