"""Audit: checks the promises on live data, Redis (the gate) against PostgreSQL (the books). It changes nothing."""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from django.db.models import Count, F, Q, Sum
from django.utils import timezone

from flashsale.gate import bridge, inspect, scripts
from flashsale.gate.client import GateDown
from flashsale.life.audit_events import unlike_events
from flashsale.life.audit_prices import ACTIVE, priced_wrongly
from flashsale.life.audit_settlement import unlike_settlements
from flashsale.life.rebuild import live_sales
from flashsale.life.sale_card import card_of
from flashsale.models import (
    Allocation,
    Campaign,
    Cancellation,
    LimitSlot,
    Move,
    Notice,
    Record,
    Reservation,
    ReservationUnit,
    Sale,
    Stock,
    Unit,
)
from flashsale.models.draw_secret import SecretUnreadable
from flashsale.rules import lottery, trail
from flashsale.rules.reasons import REASONS
from flashsale.rules.states import NoticeState, ReservationState, SaleState, UnitState

log = logging.getLogger(__name__)


class Verdict(StrEnum):
    """The result of an audit for one promise. Promises about behaviour cannot be checked on data: tests check them."""

    HELD = "held"
    BROKEN = "broken"
    NOT_CHECKABLE = "not checkable here"


@dataclass(frozen=True, slots=True)
class Finding:
    """The verdict for one promise (0: the events, the settlements, or the audit trail).

    `broken` has one line of text for each fault.
    """

    promise: int
    title: str
    verdict: Verdict
    broken: tuple[str, ...] = ()


TITLES = {
    1: "Never oversell", 2: "Conservation of units", 3: "No identity above its limit", 4: "201 means committed",
    5: "Exactly-once effect", 6: "Order of the line", 7: "One place per identity", 8: "Expired holds stay expired",
    9: "Nothing outside the window", 10: "Cancelled once, reallocated once", 11: "No cancellation without due process",
    12: "Degrades closed", 13: "No raw personal data", 14: "Hard bounds",
}  # fmt: skip
EVENTS, SETTLEMENTS, TRAIL = "Events", "Settlements", "Audit trail"
# A message that is on its way to Redis causes a difference that is gone a moment later. A broken promise stays. So only
# a fault that is there in every one of these reads counts.
READS = 4
READ_AGAIN_S = 0.5
# A letter about a cancellation is handed over within this time. Later it counts as missing.
TOLD_WITHIN = timedelta(hours=1)
# How long a check waits for a Redis that is being loaded or does not answer, before the audit gives up.
GATE_WAIT_S = 60.0


def audit(*, campaign: str | None = None, head: str = "") -> list[Finding]:
    """Checks every promise and the events, in one campaign (by its code) or in all, and the audit trail of all.

    `head` ("position:hash") is the end of the trail as an operator noted it earlier (`trail_head`). It must still be in
    it. Raises DatabaseError, and GateDown when Redis is busy for longer than GATE_WAIT_S.
    """
    campaigns = Campaign.objects.filter(code=campaign) if campaign else Campaign.objects.all()
    checks = {
        1: _oversold, 2: _unbalanced, 3: _over_limit, 6: _out_of_order, 7: _two_places, 10: _moved_wrongly,
        11: _without_due_process,
    }  # fmt: skip
    findings = []
    for promise, title in TITLES.items():
        if promise not in checks:
            findings.append(Finding(promise, title, Verdict.NOT_CHECKABLE))
            continue
        broken = tuple(_persistent(checks[promise], list(campaigns)))
        findings.append(_finding(promise, title, broken))
    findings.append(_finding(0, EVENTS, tuple(_persistent(unlike_events, list(campaigns)))))
    findings.append(_finding(0, SETTLEMENTS, tuple(_persistent(unlike_settlements, list(campaigns)))))
    return [*findings, _finding(0, TRAIL, tuple(_trail_broken(list(campaigns), head)))]


def _finding(promise: int, title: str, broken: tuple[str, ...]) -> Finding:
    return Finding(promise, title, Verdict.BROKEN if broken else Verdict.HELD, broken)


def trail_head() -> str:
    """The end of the audit trail, as "position:hash".

    Note it in another place: it shows later whether records at the end were deleted.
    """
    last = Record.objects.order_by("-position").first()
    return f"{last.position}:{last.hash}" if last else f"0:{trail.GENESIS}"


def _trail_broken(campaigns: list[Campaign], head: str) -> Iterator[str]:
    """The chain of hashes holds from the first record on, the noted head is in it, and every cancellation has a record.

    One query reads the chain, so that records written meanwhile are either all in it or all missing.
    """
    chain = Record.objects.order_by("position").iterator(chunk_size=2000)
    if broken := trail.first_broken_record((record.content(), record.previous, record.hash) for record in chain):
        yield broken
    position, _, hash_ = head.partition(":")
    if int(position or 0) and not Record.objects.filter(position=int(position), hash=hash_).exists():
        yield f"record {position} is not the one that was noted as the head"
    records = Record.objects.filter(what="cancel", campaign__in=campaigns).values_list("subject", flat=True)
    recorded = set(records)
    for id_ in Cancellation.objects.filter(reservation__sale__campaign__in=campaigns).values_list("reservation_id"):
        if f"reservation:{id_[0]}" not in recorded:
            yield f"the cancellation of reservation {id_[0]} has no record"


def _persistent(check: Callable[[Campaign], Iterator[str]], campaigns: list[Campaign]) -> list[str]:
    """The faults that a check finds in every one of `READS` reads."""
    broken = _read(check, campaigns)
    for _again in range(READS - 1):
        if not broken:
            break
        time.sleep(READ_AGAIN_S)
        again = set(_read(check, campaigns))
        broken = [line for line in broken if line in again]
    return broken


def _read(check: Callable[[Campaign], Iterator[str]], campaigns: list[Campaign]) -> list[str]:
    """The faults that a check finds in one read. Waits while Redis is busy. Raises GateDown after GATE_WAIT_S."""
    give_up = None
    while True:
        try:
            for campaign in campaigns:
                _refuse_half_loaded(campaign)
            return [line for campaign in campaigns for line in check(campaign)]
        except GateDown as error:
            give_up = give_up or time.monotonic() + GATE_WAIT_S
            if time.monotonic() > give_up:
                raise
            log.warning("the audit waits for Redis: %s", error)
            time.sleep(READ_AGAIN_S)


def _refuse_half_loaded(campaign: Campaign) -> None:
    """Raises GateDown while a running sale is being loaded into Redis, because its data there is not complete yet.

    A sale that Redis does not have at all is no reason to wait: nothing there can be wrong.
    """
    live = live_sales()
    for sale in (sale for sale in _sales(campaign) if sale.code in live):
        card = card_of(sale)
        if bridge.run(inspect.has_sale(card)) and not bridge.run(scripts.answers(card.campaign, card.sale)):
            raise GateDown(f"{sale.code} is being loaded")


def _sales(campaign: Campaign) -> list[Sale]:
    return list(Sale.objects.filter(campaign=campaign).exclude(state=SaleState.DRAFT).select_related("campaign"))


def _oversold(campaign: Campaign) -> Iterator[str]:
    """Promise 1. In PostgreSQL every unit has one state, one owner and its official price.

    Redis offers only units that are free there.
    """
    units = Unit.objects.filter(campaign=campaign)
    owners = Count("reservation_units", filter=Q(reservation_units__active=True))
    taken = [UnitState.HELD, UnitState.SOLD]
    for unit in units.annotate(owners=owners).filter(
        Q(state__in=taken) & ~Q(owners=1) | ~Q(state__in=taken) & Q(owners__gt=0)
    ):
        yield f"unit {unit.serial} is {unit.state} and has {unit.owners} active reservations"
    of_ended = ReservationUnit.objects.filter(unit__campaign=campaign, active=True)
    for row in of_ended.exclude(reservation__state__in=ACTIVE):
        yield f"unit {row.unit_id} belongs to reservation {row.reservation_id}, which has ended"
    active = Reservation.objects.filter(sale__campaign=campaign, state__in=ACTIVE)
    owned = Count("reservation_units", filter=Q(reservation_units__active=True))
    for reservation in active.annotate(owned=owned).exclude(owned=F("quantity")):
        yield f"reservation {reservation.pk} of {reservation.quantity} has {reservation.owned} units"
    for sale in _sales(campaign):
        yield from priced_wrongly(sale)
        yield from _offered_wrongly(sale)


def _offered_wrongly(sale: Sale) -> Iterator[str]:
    card = card_of(sale)
    for line in card.lines:
        offered = bridge.run(inspect.offered_units(card, line))
        free = dict(
            Unit.objects.filter(pk__in=offered, allocation=line.id, state=UnitState.FREE).values_list("pk", "version")
        )
        for unit, version in offered.items():
            if free.get(unit) != version:
                yield f"Redis offers unit {unit} at version {version} in {sale.code}/{line.code}, PostgreSQL does not"


def _unbalanced(campaign: Campaign) -> Iterator[str]:
    """Promise 2. In each allocation: free + held + sold + returned + moved out = allocated + moved in.

    The counters of Redis agree with PostgreSQL.
    """
    for line in Allocation.objects.filter(sale__in=_sales(campaign)).select_related("sale"):
        present = Unit.objects.filter(allocation=line).count()
        allocated = Stock.objects.filter(allocation=line).aggregate(total=Sum("quantity"))["total"] or 0
        moved_out, moved_in = Move.objects.filter(origin=line).count(), Move.objects.filter(target=line).count()
        if present + moved_out != allocated + moved_in:
            yield f"{line}: {present} present + {moved_out} moved out, but {allocated} allocated + {moved_in} moved in"
    for sale in _sales(campaign):
        yield from _counted_wrongly(sale)


def _counted_wrongly(sale: Sale) -> Iterator[str]:
    card = card_of(sale)
    if not bridge.run(inspect.has_sale(card)):
        return
    for line in card.lines:
        gate = bridge.run(inspect.counters(card, line))
        rows = Reservation.objects.filter(allocation=line.id, limit_slots__isnull=False).distinct()
        held = sum(row.quantity for row in rows if row.state == ReservationState.HELD)
        sold = sum(row.quantity for row in rows if row.state != ReservationState.HELD)
        if (gate["held"], gate["sold"]) != (held, sold):
            where = f"{sale.code}/{line.code}"
            yield f"{where}: Redis counts {gate['held']} held and {gate['sold']} sold, PostgreSQL {held} and {sold}"


def _over_limit(campaign: Campaign) -> Iterator[str]:
    """Promise 3.

    No digest has more slots than the limit, every active reservation has all its slots, and Redis counts no fewer. In
    an erased campaign there is nothing to count, because erasing deletes the digests.
    """
    if campaign.erased_at:
        return
    scopes = {LimitSlot.campaign_scope(campaign.pk): campaign.limit}
    scopes |= {LimitSlot.sale_scope(sale.pk): sale.limit for sale in _sales(campaign) if sale.limit}
    for scope, limit in scopes.items():
        people = LimitSlot.objects.filter(scope=scope).values("axis", "digest").annotate(slots=Count("id"))
        for row in people.filter(slots__gt=limit):
            yield f"{scope}: {row['axis']} {row['digest'][:8]} has {row['slots']} units, the limit is {limit}"
        yield from (
            f"{scope}: a limit slot of reservation {slot.reservation_id} has limit {slot.limit}, not {limit}"
            for slot in LimitSlot.objects.filter(scope=scope).exclude(limit=limit)
        )
    axes = list(campaign.axes.filter(hard=True, checked_at="enter").values_list("axis", flat=True))
    scope = LimitSlot.campaign_scope(campaign.pk)
    slots = Count("limit_slots", filter=Q(limit_slots__scope=scope, limit_slots__axis__in=axes))
    active = Reservation.objects.filter(sale__campaign=campaign, state__in=ACTIVE).annotate(slots=slots)
    for reservation in active.exclude(slots=F("quantity") * len(axes)):
        yield f"reservation {reservation.pk} has {reservation.slots} slots for {reservation.quantity} units"
    yield from _counted_too_low(campaign, scope, axes)


def _counted_too_low(campaign: Campaign, scope: str, axes: list[str]) -> Iterator[str]:
    known = next((sale for sale in _sales(campaign) if bridge.run(inspect.has_sale(card_of(sale)))), None)
    if known is None:
        return
    gate = bridge.run(inspect.used_limits(card_of(known)))
    for row in LimitSlot.objects.filter(scope=scope, axis__in=axes).values("digest").annotate(slots=Count("id")):
        if gate.get(row["digest"], 0) < row["slots"]:
            yield f"Redis counts {gate.get(row['digest'], 0)} units of {row['digest'][:8]}, PostgreSQL {row['slots']}"


def _out_of_order(campaign: Campaign) -> Iterator[str]:
    """Promise 6. Numbers follow from the committed secret, and each reservation has a number that was called."""
    for sale in _sales(campaign):
        if not commitment_holds(sale):
            yield f"{sale.code}: the secret does not match the commitment, or this server's key cannot decrypt it"
        for line in sale.allocations.exclude(cohort=None):
            yield from out_of_order(sale, line, called=max(line.called, _called(sale, line)))


def commitment_holds(sale: Sale) -> bool:
    """Whether the commitment that the sale published belongs to its secret."""
    try:
        return lottery.commitment(sale.draw_secret()).hex() == sale.commitment
    except SecretUnreadable:
        return False


def out_of_order(sale: Sale, line: Allocation, *, called: int) -> Iterator[str]:
    """The faults in the order of a line that is drawn and called up to the number `called`, by PostgreSQL."""
    seed = lottery.seed(sale.draw_secret(), line.code, line.cohort or 0)
    if seed.hex() != line.seed:
        yield f"{line}: the seed does not follow from secret and cohort"
    rows = Reservation.objects.filter(allocation=line).exclude(state=ReservationState.ABANDONED)
    for index, number in rows.values_list("index", "number").iterator():
        if lottery.number(index, line.cohort or 0, seed) != number:
            yield f"{line}: index {index} reserved as number {number}"
        if number > called:
            yield f"{line}: number {number} reserved before it was called"


def _called(sale: Sale, line: Allocation) -> int:
    card = card_of(sale)
    return bridge.run(inspect.counters(card, next(x for x in card.lines if x.id == line.pk)))["called"]


def _two_places(campaign: Campaign) -> Iterator[str]:
    """Promise 7.

    Redis stores one place for each digest, so a person cannot have two. No place has an index that was not given.
    """
    for sale in _sales(campaign):
        card = card_of(sale)
        entered = {line.line_id: bridge.run(inspect.counters(card, line))["entered"] for line in card.lines}
        for line_id, index in bridge.run(inspect.places(card)):
            if index > entered.get(line_id, 0):
                yield f"{sale.code}: index {index} of line {line_id} was never given"


def _without_due_process(campaign: Campaign) -> Iterator[str]:
    """Promise 11.

    A cancellation whose reason needs a case was decided by two people, with a notice and a time to appeal. The buyer
    was told: the letter has not failed, and it was handed over within TOLD_WITHIN.
    """
    reasons = [code for code, reason in REASONS.items() if reason.needs_case]
    rows = Cancellation.objects.filter(reservation__sale__campaign=campaign, reason__in=reasons)
    cancelled = Q(reservation__notices__kind=Notice.Kind.CANCELLED)
    for row in rows.select_related("case").annotate(notices=Count("reservation__notices", filter=cancelled)):
        people = {row.case.proposed_by_id, row.case.decided_by_id} - {None} if row.case else set()
        required = {
            "two people": len(people) == 2,
            "a notice": row.notices == 1,
            "a way to appeal": row.case,
        }
        missing = [name for name, present in required.items() if not present]
        if missing:
            yield f"reservation {row.reservation_id} was cancelled without {' and '.join(missing)}"
    yield from _untold(campaign)


def _untold(campaign: Campaign) -> Iterator[str]:
    """Letters about cancellations by a case that did not reach the mail server, unless the buyer has acted already."""
    letters = Notice.objects.filter(kind=Notice.Kind.CANCELLED, reservation__sale__campaign=campaign)
    letters = letters.filter(
        reservation__cancellation__case__isnull=False, reservation__cancellation__case__appeal=None
    )
    letters = letters.filter(reservation__restriction=None)  # a buyer who wants no letters; the time to appeal waits
    late = Q(state=NoticeState.DUE, reservation__cancellation__at__lte=timezone.now() - TOLD_WITHIN)
    for letter in letters.filter(late | Q(state=NoticeState.FAILED)):
        order = f"reservation:{letter.reservation_id}"
        if not Record.objects.filter(what="waive", subject=order).exists():
            why = f"{letter.failure or 'no attempt yet'}, {letter.attempts} attempts"
            yield f"the buyer of reservation {letter.reservation_id} was not told of the cancellation ({why})"


def _moved_wrongly(campaign: Campaign) -> Iterator[str]:
    """Promise 10.

    Each move names the cancellation that freed its unit, and each unit is where its last move took it.
    """
    moves = Move.objects.filter(unit__campaign=campaign).select_related("unit", "cancellation")
    for move in moves:
        if (
            move.cancellation
            and not ReservationUnit.objects.filter(
                unit=move.unit, reservation=move.cancellation.reservation_id
            ).exists()
        ):
            yield f"unit {move.unit} moved for cancellation {move.cancellation_id}, which did not free it"
        last = Move.objects.filter(unit=move.unit).order_by("pk").last()
        if last and last.pk == move.pk and move.unit.allocation_id != move.target_id:
            yield f"unit {move.unit} is not where it was moved to"
    returned = Unit.objects.filter(campaign=campaign, state=UnitState.RETURNED)
    for unit in returned.exclude(reservation_units__reservation__state=ReservationState.CANCELLED):
        yield f"unit {unit} is returned without a cancellation"
