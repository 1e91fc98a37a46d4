"""Damages of a sale in Redis or PostgreSQL, each with the promises that it breaks."""

from collections.abc import Callable
from typing import Any

import redis
from django.db.models import F

from flashsale.gate.keys import SaleKeys
from flashsale.life import cancel
from flashsale.life.reallocate import reallocate
from flashsale.models import Allocation, Cancellation, LimitSlot, Reservation, ReservationUnit, Sale, Unit
from tests.factories import PHONE, end_now, lobby_sale
from tests.faults.steps import buy, called


class Damaged:
    """A sale with one unit bought, one held and two free. A test then damages it in Redis or PostgreSQL."""

    def __init__(self, gate: redis.Redis) -> None:
        self.sale, (self.ani, self.budi, _) = called("ani", "budi", "cici", stock=4, max_entries=500)
        buy(self.ani)
        self.held = Reservation.objects.get(pk=self.budi.reserve().id)
        self.bought = Reservation.objects.get(state="confirmed")
        self.line = Allocation.objects.get(sale=self.sale)
        self.keys = SaleKeys(self.sale.campaign_id, self.sale.pk)
        self.gate = gate

    def unit(self, state: str) -> Unit:
        return Unit.objects.filter(state=state).order_by("pk")[0]

    def free_zset(self) -> str:
        return self.keys.free(1, PHONE)


def _update(rows: Any, **fields: Any) -> None:
    assert rows.update(**fields) > 0


def two_owners(it: Damaged) -> None:
    ReservationUnit.objects.create(reservation=it.held, unit=it.unit("sold"), sku=PHONE, price=1)


def owner_of_a_free_unit(it: Damaged) -> None:
    _update(Unit.objects.filter(state="held"), state="free")


def unit_of_an_ended_reservation(it: Damaged) -> None:
    _update(Reservation.objects.filter(pk=it.held.pk), state="expired", ended_at=it.sale.opens_at)


def unit_taken_away(it: Damaged) -> None:
    it.held.reservation_units.all().delete()


def gate_offers_a_held_unit(it: Damaged) -> None:
    it.gate.zadd(it.free_zset(), {str(it.unit("held").pk): 2})


def gate_offers_another_version(it: Damaged) -> None:
    it.gate.zadd(it.free_zset(), {str(it.unit("free").pk): 9})


def gate_offers_what_never_was(it: Damaged) -> None:
    it.gate.zadd(it.free_zset(), {"987654": 1})


def lost_unit(it: Damaged) -> None:
    it.gate.zrem(it.free_zset(), it.unit("free").pk)
    it.unit("free").delete()


def unit_out_of_nowhere(it: Damaged) -> None:
    Unit.objects.create(campaign=it.sale.campaign, serial="x", sku=PHONE, allocation=it.line, state="returned")


def gate_counts_fewer_held(it: Damaged) -> None:
    it.gate.hincrby(it.keys.line(1), "held", -1)


def gate_counts_fewer_sold(it: Damaged) -> None:
    it.gate.hincrby(it.keys.line(1), "sold", -1)


def one_slot_too_many(it: Damaged) -> None:
    digest = it.held.limit_slots.get(axis="phone").digest
    scope = LimitSlot.campaign_scope(it.sale.campaign_id)
    it.gate.hset(it.keys.used_campaign, digest, 2)
    LimitSlot.objects.create(scope=scope, axis="phone", digest=digest, slot=2, limit=1, reservation=it.bought)


def slot_under_another_limit(it: Damaged) -> None:
    _update(it.held.limit_slots.filter(axis="phone"), limit=5)


def slot_lost(it: Damaged) -> None:
    it.held.limit_slots.filter(axis="phone").delete()


def gate_forgot_a_person(it: Damaged) -> None:
    it.gate.hset(it.keys.used_campaign, it.bought.limit_slots.get(axis="phone").digest, 0)


def another_number(it: Damaged) -> None:
    _update(Reservation.objects.filter(pk=it.held.pk), number=F("number") + 10)


def reserved_before_called(it: Damaged) -> None:
    _update(Allocation.objects.filter(pk=it.line.pk), called=0)
    it.gate.hset(it.keys.line(1), "called", 0)


def another_secret(it: Damaged) -> None:
    _update(Sale.objects.filter(pk=it.sale.pk), secret=b"another".ljust(32))


def another_cohort(it: Damaged) -> None:
    _update(Allocation.objects.filter(pk=it.line.pk), cohort=F("cohort") + 1)


def place_never_given(it: Damaged) -> None:
    it.gate.hset(it.keys.buckets([0])[0], b"0" * 16, 77 * 2048 + 1)


def returned_without_a_cancellation(it: Damaged) -> None:
    _update(Unit.objects.filter(pk=it.unit("free").pk), state="returned")
    it.gate.delete(it.free_zset())


def moved(it: Damaged) -> Unit:
    """The bought unit, correctly cancelled and moved to a follow-up sale."""
    end_now(it.sale)
    cancel.cancel(reservation=it.bought.pk, channel=it.ani.channel.id, code="buyer_request")
    follow_up = lobby_sale(it.sale.campaign, stock={PHONE: 0}, max_entries=500)
    reallocate(source=it.sale, target=follow_up.allocations.get(), reserve=0)
    return Unit.objects.get(allocation__sale=follow_up)


def not_where_it_was_moved(it: Damaged) -> None:
    unit = moved(it)
    it.gate.delete(SaleKeys(it.sale.campaign_id, unit.allocation.sale_id).free(1, PHONE))
    _update(Unit.objects.filter(pk=unit.pk), allocation=it.line)


def moved_for_another_cancellation(it: Damaged) -> None:
    moved(it)
    _update(Cancellation.objects.all(), reservation=it.held)


def cancelled_by_nobody(it: Damaged) -> None:
    moved(it)
    _update(Cancellation.objects.all(), reason="automated_order")


DAMAGES: dict[Callable[[Damaged], object], set[int]] = {
    two_owners: {1}, owner_of_a_free_unit: {1}, unit_of_an_ended_reservation: {0, 1, 2}, unit_taken_away: {1},
    gate_offers_a_held_unit: {1}, gate_offers_another_version: {1}, gate_offers_what_never_was: {1},
    lost_unit: {2}, unit_out_of_nowhere: {2, 10}, gate_counts_fewer_held: {2}, gate_counts_fewer_sold: {2},
    one_slot_too_many: {3}, slot_under_another_limit: {3}, slot_lost: {3}, gate_forgot_a_person: {3},
    another_number: {6}, reserved_before_called: {6}, another_secret: {6}, another_cohort: {6},
    place_never_given: {7},
    returned_without_a_cancellation: {10}, not_where_it_was_moved: {2, 10}, moved_for_another_cancellation: {0, 10},
    cancelled_by_nobody: {11},
}  # fmt: skip
REFUSED_BY = {
    two_owners: (ReservationUnit, "one_active_reservation_per_unit"),
    one_slot_too_many: (LimitSlot, "limit_slot_within_limit"),
}
