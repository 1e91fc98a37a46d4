"""Audit: checks the promises on live data, Redis (the gate) against PostgreSQL (the books). It changes nothing."""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet, Subquery, Sum

from flashsale.gate import bridge, inspect, scripts
from flashsale.gate.client import GateDown
from flashsale.gate.sale_card import LineCard, SaleCard
from flashsale.life.audit_after_sale import moved_wrongly, without_due_process
from flashsale.life.audit_events import unlike_events
from flashsale.life.audit_prices import ACTIVE, priced_wrongly
from flashsale.life.audit_scope import Scope, Touched
from flashsale.life.audit_settlement import settlements_unlike_rows
from flashsale.life.draw import seed_of
from flashsale.life.entries import states_in_books
from flashsale.life.rebuild import live_sales
from flashsale.life.sale_card import card_of
from flashsale.life.transcript import commitment_holds, false_of
from flashsale.models import (
    Allocation,
    Campaign,
    Cancellation,
    LimitSlot,
    Move,
    Record,
    Reservation,
    ReservationUnit,
    Sale,
    Stock,
    Unit,
)
from flashsale.rules import lottery, trail
from flashsale.rules.states import ReservationState, UnitState

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
# A check yields a line of text for each fault that it finds in a scope.
Check = Callable[[Scope], Iterator[str]]
ANY = Q()
EVENTS, SETTLEMENTS, TRAIL = "Events", "Settlements", "Audit trail"
# A message that is on its way to Redis causes a difference that is gone a moment later. A broken promise stays. So only
# a fault that is there in every one of these reads counts.
READS = 4
READ_AGAIN_S = 0.5
# How long a check waits for a Redis that is being loaded or does not answer, before the audit gives up.
GATE_WAIT_S = 60.0


def audit(*, campaign: str | None = None, head: str = "") -> list[Finding]:
    """Checks every promise and the events, in one campaign (by its code) or in all, and the audit trail of all.

    `head` ("position:hash") is the end of the trail as an operator noted it earlier (`trail_head`). It must still be in
    it. Raises DatabaseError, and GateDown when Redis is busy for longer than GATE_WAIT_S.
    """
    campaigns = list(Campaign.objects.filter(code=campaign) if campaign else Campaign.objects.all())
    findings = []
    for promise, title in TITLES.items():
        if promise not in CHECKS:
            findings.append(Finding(promise, title, Verdict.NOT_CHECKABLE))
            continue
        findings.append(_finding(promise, title, tuple(_persistent(CHECKS[promise], campaigns))))
    findings.append(_finding(0, EVENTS, tuple(_persistent(unlike_events, campaigns))))
    findings.append(_finding(0, SETTLEMENTS, tuple(_persistent(_settlements_unlike_rows, campaigns))))
    return [*findings, _finding(0, TRAIL, tuple(_trail_broken(campaigns, head)))]


def _settlements_unlike_rows(scope: Scope) -> Iterator[str]:
    return settlements_unlike_rows(scope.campaign)


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


def _persistent(check: Check, campaigns: list[Campaign]) -> list[str]:
    """The faults that a check finds in every one of `READS` reads."""
    broken = _read(check, campaigns)
    for _again in range(READS - 1):
        if not broken:
            break
        time.sleep(READ_AGAIN_S)
        again = set(_read(check, campaigns))
        broken = [line for line in broken if line in again]
    return broken


def _read(check: Check, campaigns: list[Campaign]) -> list[str]:
    """The faults that a check finds in one read. Waits while Redis is busy. Raises GateDown after GATE_WAIT_S."""
    give_up = None
    while True:
        try:
            scopes = [Scope.whole(campaign) for campaign in campaigns]
            for scope in scopes:
                refuse_half_loaded(scope)
            return [line for scope in scopes for line in check(scope)]
        except GateDown as error:
            give_up = give_up or time.monotonic() + GATE_WAIT_S
            if time.monotonic() > give_up:
                raise
            log.warning("the audit waits for Redis: %s", error)
            time.sleep(READ_AGAIN_S)


def refuse_half_loaded(scope: Scope) -> None:
    """Raises GateDown while a running sale is being loaded into Redis, because its data there is not complete yet.

    A sale that Redis does not have at all is no reason to wait: nothing there can be wrong.
    """
    live = live_sales()
    for sale in (sale for sale in scope.sales if sale.code in live):
        card = card_of(sale)
        if bridge.run(inspect.has_sale(card)) and not bridge.run(scripts.answers(card.campaign, card.sale)):
            raise GateDown(f"{sale.code} is being loaded")


def _oversold(scope: Scope) -> Iterator[str]:
    """Promise 1. In PostgreSQL every unit has one state, one owner and its official price.

    Redis offers only units that are free there.
    """
    scope = _wider(scope, per_unit=1, counted=ReservationUnit.objects.filter(active=True))
    units = Unit.objects.filter(scope.units(), allocation__sale__in=scope.sales)
    owners = Count("reservation_units", filter=Q(reservation_units__active=True))
    taken = [UnitState.HELD, UnitState.SOLD]
    for unit in units.annotate(owners=owners).filter(
        Q(state__in=taken) & ~Q(owners=1) | ~Q(state__in=taken) & Q(owners__gt=0)
    ):
        yield f"unit {unit.serial} is {unit.state} and has {unit.owners} active reservations"
    own = scope.reservations("reservation")
    of_ended = ReservationUnit.objects.filter(own, reservation__sale__in=scope.sales, active=True)
    for row in of_ended.exclude(reservation__state__in=ACTIVE):
        yield f"unit {row.unit_id} belongs to reservation {row.reservation_id}, which has ended"
    active = Reservation.objects.filter(scope.reservations(), sale__in=scope.sales, state__in=ACTIVE)
    owned = Count("reservation_units", filter=Q(reservation_units__active=True))
    for reservation in active.annotate(owned=owned).exclude(owned=F("quantity")):
        yield f"reservation {reservation.pk} of {reservation.quantity} has {reservation.owned} units"
    for sale in scope.sales:
        yield from priced_wrongly(sale, own)
        yield from _offered_wrongly(sale, scope.touched)


def _wider(scope: Scope, *, per_unit: int, counted: "QuerySet[Any]") -> Scope:
    """The scope; or everything in it, if its active reservations have another sum of `counted` rows than they need.

    A row that is deleted is touched by no transaction. One statement reads both sums, so they are of one moment.
    """
    if scope.touched is None:
        return scope
    active = Reservation.objects.filter(sale=OuterRef("pk"), state__in=ACTIVE).order_by()
    units = active.values("sale").annotate(sum=Sum("quantity")).values("sum")
    of_sale = counted.filter(reservation__sale=OuterRef("pk"), reservation__state__in=ACTIVE).order_by()
    rows = of_sale.values("reservation__sale").annotate(count=Count("pk")).values("count")
    sums = Sale.objects.filter(pk__in=[sale.pk for sale in scope.sales]).values_list(Subquery(units), Subquery(rows))
    return scope if all((needed or 0) * per_unit == (found or 0) for needed, found in sums) else scope.everything()


def _offered_wrongly(sale: Sale, touched: Touched | None) -> Iterator[str]:
    card = card_of(sale)
    for line in card.lines:
        free = Unit.objects.filter(allocation=line.id, state=UnitState.FREE)
        # Redis never offers more units than are free. If it does, all of them are compared.
        if touched is None or sum(bridge.run(inspect.count_offered(_offers(card, line)))) > free.count():
            offered = bridge.run(inspect.offered_units(card, line))
        else:
            offered = bridge.run(inspect.offered_among(card, line, touched.units))
        versions = dict(free.filter(pk__in=offered).values_list("pk", "version"))
        for unit, version in offered.items():
            if versions.get(unit) != version:
                yield f"Redis offers unit {unit} at version {version} in {sale.code}/{line.code}, PostgreSQL does not"


def _offers(card: SaleCard, line: LineCard) -> list[tuple[tuple[int, int], int, str]]:
    return [((card.campaign, card.sale), line.line_id, sku) for sku in line.skus]


def _unbalanced(scope: Scope) -> Iterator[str]:
    """Promise 2. In each allocation: free + held + sold + returned + moved out = allocated + moved in.

    The counters of Redis agree with PostgreSQL.
    """
    for line in Allocation.objects.filter(sale__in=scope.sales).select_related("sale"):
        present = Unit.objects.filter(allocation=line).count()
        allocated = Stock.objects.filter(allocation=line).aggregate(total=Sum("quantity"))["total"] or 0
        moved_out, moved_in = Move.objects.filter(origin=line).count(), Move.objects.filter(target=line).count()
        if present + moved_out != allocated + moved_in:
            yield f"{line}: {present} present + {moved_out} moved out, but {allocated} allocated + {moved_in} moved in"
    for sale in scope.sales:
        yield from _counted_wrongly(sale)


def _counted_wrongly(sale: Sale) -> Iterator[str]:
    card = card_of(sale)
    if not bridge.run(inspect.has_sale(card)):
        return
    for line in card.lines:
        gate = bridge.run(inspect.counters(card, line))
        rows = Reservation.objects.filter(Exists(LimitSlot.objects.filter(reservation=OuterRef("pk"))))
        rows = rows.filter(allocation=line.id).order_by()
        sums = dict(rows.values_list("state").annotate(Sum("quantity")))
        held = sums.pop(ReservationState.HELD, 0)
        sold = sum(sums.values())
        if (gate["held"], gate["sold"]) != (held, sold):
            where = f"{sale.code}/{line.code}"
            yield f"{where}: Redis counts {gate['held']} held and {gate['sold']} sold, PostgreSQL {held} and {sold}"


def _over_limit(scope: Scope) -> Iterator[str]:
    """Promise 3.

    No digest has more slots than the limit, every active reservation has all its slots, and Redis counts no fewer. In
    an erased campaign there is nothing to count, because erasing deletes the digests.
    """
    campaign = scope.campaign
    if campaign.erased_at:
        return
    axes = list(campaign.axes.filter(hard=True, checked_at="enter").values_list("axis", flat=True))
    where = LimitSlot.campaign_scope(campaign.pk)
    scope = _wider(scope, per_unit=len(axes), counted=LimitSlot.objects.filter(scope=where, axis__in=axes))
    touched = scope.reservations("reservation")
    # All slots of these people, also those of other reservations.
    people_of = Q() if scope.touched is None else Q(digest__in=LimitSlot.objects.filter(touched).values("digest"))
    limits = {where: campaign.limit}
    limits |= {LimitSlot.sale_scope(sale.pk): sale.limit for sale in scope.sales if sale.limit}
    for limited, limit in limits.items():
        people = LimitSlot.objects.filter(people_of, scope=limited).values("axis", "digest").annotate(slots=Count("id"))
        for row in people.filter(slots__gt=limit):
            yield f"{limited}: {row['axis']} {row['digest'][:8]} has {row['slots']} units, the limit is {limit}"
        yield from (
            f"{limited}: a limit slot of reservation {slot.reservation_id} has limit {slot.limit}, not {limit}"
            for slot in LimitSlot.objects.filter(touched, scope=limited).exclude(limit=limit)
        )
    slots = Count("limit_slots", filter=Q(limit_slots__scope=where, limit_slots__axis__in=axes))
    active = Reservation.objects.filter(scope.reservations(), sale__in=scope.sales, state__in=ACTIVE)
    for reservation in active.annotate(slots=slots).exclude(slots=F("quantity") * len(axes)):
        yield f"reservation {reservation.pk} has {reservation.slots} slots for {reservation.quantity} units"
    yield from _counted_too_low(scope, LimitSlot.objects.filter(people_of, scope=where, axis__in=axes))


def _counted_too_low(scope: Scope, slots: "QuerySet[LimitSlot]") -> Iterator[str]:
    known = next((sale for sale in scope.sales if bridge.run(inspect.has_sale(card_of(sale)))), None)
    if known is None:
        return
    used = dict(slots.order_by().values_list("digest").annotate(Count("id")))
    gate = bridge.run(inspect.used_limits(card_of(known), None if scope.touched is None else list(used)))
    for digest, times in used.items():
        if gate.get(digest, 0) < times:
            yield f"Redis counts {gate.get(digest, 0)} units of {digest[:8]}, PostgreSQL {times}"


def _out_of_order(scope: Scope) -> Iterator[str]:
    """Promise 6. Numbers follow from the committed secret, and each reservation has a number that was called."""
    for sale in scope.sales:
        if not commitment_holds(sale):
            yield f"{sale.code}: the secret does not match the commitment, or this server's key cannot decrypt it"
        for check in false_of(sale, leaves=scope.touched is None):
            # The lines above report the secret, and out_of_order reports the seeds.
            if check.name not in {"secret", "seeds"}:
                yield f"{sale.code}: not true: {check.statement}"
        for line in sale.allocations.exclude(cohort=None):
            yield from out_of_order(
                sale, line, called=max(line.called, _called(sale, line)), among=scope.reservations()
            )


def out_of_order(sale: Sale, line: Allocation, *, called: int, among: Q = ANY) -> Iterator[str]:
    """The faults in the order of a line that is drawn and called up to the number `called`, by PostgreSQL.

    Looks at the reservations `among` and at all that reserved before they were called.
    """
    seed = seed_of(sale, line)
    if seed.hex() != line.seed:
        yield f"{line}: the seed does not follow from secret and cohort"
    states = states_in_books(line) if sale.commits_entries else b""
    # An empty condition is true for all rows, but Django drops it from an "or".
    looked_at = among | Q(number__gt=called) if among else among
    rows = Reservation.objects.filter(looked_at, allocation=line)
    rows = rows.exclude(state=ReservationState.ABANDONED)
    for index, number in rows.values_list("index", "number").iterator():
        if lottery.number(index, line.cohort or 0, seed) != number:
            yield f"{line}: index {index} reserved as number {number}"
        if number > called:
            yield f"{line}: number {number} reserved before it was called"
        if index <= len(states) and states[index - 1] != lottery.LeafState.ENTERED:
            yield f"{line}: index {index} reserved, and its line has committed that it had not entered"


def _called(sale: Sale, line: Allocation) -> int:
    card = card_of(sale)
    return bridge.run(inspect.counters(card, next(x for x in card.lines if x.id == line.pk)))["called"]


def _two_places(scope: Scope) -> Iterator[str]:
    """Promise 7.

    Redis stores one place for each digest, so a person cannot have two. No place has an index that was not given.
    """
    for sale in scope.sales:
        card = card_of(sale)
        entered = {line.line_id: bridge.run(inspect.counters(card, line))["entered"] for line in card.lines}
        for line_id, index in bridge.run(inspect.places(card)):
            if index > entered.get(line_id, 0):
                yield f"{sale.code}: index {index} of line {line_id} was never given"


# The promises that can be checked on data.
CHECKS: dict[int, Check] = {
    1: _oversold, 2: _unbalanced, 3: _over_limit, 6: _out_of_order, 7: _two_places, 10: moved_wrongly,
    11: without_due_process,
}  # fmt: skip
