"""All orders of events for two buyers and one unit: the model keeps the promises, and the code does as the model."""

import os
import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import pytest

from flashsale.gate import bridge, scripts
from flashsale.gate.client import gate as redis_of
from flashsale.life import cancel, clock_lease, expire, places, refund, release, sweep_payments
from flashsale.models import DemoCharge, PaymentAttempt, Reservation, Sale, Unit
from flashsale.providers.payments import DEMO_LATER, DemoProvider
from flashsale.rules.outcomes import Refused
from tests.factories import PHONE, Shopper, card_of, lobby_sale, open_now, poco_campaign, tend
from tests.faults.steps import broken, money_astray, pay, told
from tests.races.two_buyers import Buyer, Step, World, after, explore, mirrored, possible, walks

# Thirteen steps reach all worlds. The code takes each possible step in the worlds that fewer steps than this reach.
DEPTH = int(os.environ.get("TWO_BUYERS_DEPTH", "4"))
LINES = 12


class TestTheModel:
    def test_gives_the_unit_to_one_at_most_and_loses_it_in_no_order_of_events(self) -> None:
        for world in explore():
            owners = [buyer for buyer in world.buyers if buyer.held in {"held", "confirmed"}]
            assert len(owners) + world.free == 1

    def test_honours_an_expired_hold_only_while_no_other_person_has_or_was_promised_its_unit(self) -> None:
        honoured = 0
        for world in explore():
            for step in possible(world):
                then, _ = after(world, step)
                for who, buyer in enumerate(world.buyers):
                    if buyer.held == "expired" and then.buyers[who].held == "confirmed":
                        assert world.free
                        assert world.buyers[1 - who].held
                        honoured += 1
        assert honoured > 0

    def test_ends_with_all_money_honoured_or_sent_back_never_both_never_lost(self) -> None:
        for world in explore():
            settled, _ = after(after(world, ("reap", 0))[0], ("sweep", 0))
            for buyer in settled.buyers:
                honoured = (buyer.held, buyer.payment) == ("confirmed", "paid")
                assert not (honoured and buyer.sent_back)
                if buyer.bank == "paid" and buyer.held != "held":
                    assert honoured != buyer.sent_back

    def test_takes_no_money_after_the_hold_has_ended_and_changes_nothing_when_asked_again(self) -> None:
        for world in explore():
            for step in possible(world):
                then, answer = after(world, step)
                for before, buyer in zip(world.buyers, then.buyers, strict=True):
                    assert not (before.ended and not before.bank and buyer.bank == "paid")
                if step[0] in {"reserve", "release", "cancel", "notify", "reap", "sweep"}:
                    assert after(then, step) == (then, answer)

    def test_knows_no_difference_between_the_two(self) -> None:
        found = explore()
        assert len(found) == 291
        for world in found:
            for what, who in possible(world):
                there = mirrored(after(world, (what, who))[0])
                assert after(mirrored(world), (what, 1 - who if what not in {"reap", "sweep"} else 0))[0] == there


class Cell:
    """In the code: a line with one unit and two buyers, who are both called."""

    def __init__(self, sale: Sale, line: str) -> None:
        self.sale = sale
        self.buyers = [Shopper(sale, f"{line}-{name}-{sale.pk}", channel=line) for name in ("ani", "budi")]
        self.indexes = [buyer.enter().index for buyer in self.buyers]
        self.allocation = sale.allocations.get(code=line).pk

    def take(self, step: Step) -> str:
        what, who = step
        try:
            return str(ACTS[what](self, self.buyers[who]) or "")
        except Refused as refused:
            return refused.outcome.value

    def id(self, buyer: Shopper) -> UUID:
        rows = Reservation.objects.filter(allocation=self.allocation, index=self.indexes[self.buyers.index(buyer)])
        return rows.values_list("pk", flat=True).get()

    def seen(self) -> World:
        """The state in PostgreSQL and at the bank, in the words of the model."""
        rows = Reservation.objects.filter(sale=self.sale, allocation=self.allocation).prefetch_related(
            "attempts__refunds"
        )
        known = {row.index: row for row in rows}
        banks = {bank.reference: bank for bank in DemoCharge.objects.filter(reference__in=_references(known))}
        paying = {row.payment.pk: index for index, row in known.items() if row.payment}
        first = self.indexes.index(paying[min(paying)]) if paying else -1
        buyers = [_buyer(known.get(index), banks) for index in self.indexes]
        taken = {"held", "confirmed"} & {buyer.held for buyer in buyers}
        assert (Unit.objects.get(allocation=self.allocation).state == "free") is not bool(taken)
        return World((buyers[0], buyers[1]), first)


def _references(known: dict[int, Reservation]) -> list[str]:
    return [row.payment.reference for row in known.values() if row.payment]


def _buyer(row: Reservation | None, banks: dict[str, DemoCharge]) -> Buyer:
    if row is None:
        return Buyer()
    late = row.state == "held" and row.deadline_ms == 1
    if row.payment is None:
        return Buyer(row.state, late)
    bank = banks.get(row.payment.reference)
    return Buyer(
        row.state, late, row.payment.payment_state, bank.state if bank else "", bank is not None and bank.refunded
    )


def _reserve(cell: Cell, buyer: Shopper) -> str:
    buyer.reserve((PHONE, 1))
    return "reserved"


def _late(cell: Cell, buyer: Shopper) -> None:
    id_ = cell.id(buyer)
    Reservation.objects.filter(pk=id_).update(deadline_ms=1)
    due = scripts.keys_of(buyer.card).due

    async def in_gate() -> None:
        await redis_of().redis.zadd(due, {str(id_): 1})

    bridge.run(in_gate())


def _reference(cell: Cell, buyer: Shopper) -> str:
    return PaymentAttempt.objects.get(reservation=cell.id(buyer)).reference


def _sweep(*_: Any) -> None:
    sweep_payments.settle_ended_holds()
    refund.refund_due()


ACTS: dict[str, Callable[[Cell, Shopper], Any]] = {
    "reserve": _reserve,
    "confirm": lambda cell, buyer: pay(buyer, cell.id(buyer)).state,
    "confirm later": lambda cell, buyer: pay(buyer, cell.id(buyer), instrument=DEMO_LATER).state,
    "pay": lambda cell, buyer: DemoProvider().pay(reference=_reference(cell, buyer)) and None,
    "notify": lambda cell, buyer: told(_reference(cell, buyer)),
    "late": _late,
    "release": lambda cell, buyer: release.release(reservation=cell.id(buyer), channel=buyer.channel.id).state,
    "cancel": lambda cell, buyer: (
        cancel.cancel(reservation=cell.id(buyer), channel=buyer.channel.id, code="buyer_request").state
    ),
    "reap": lambda cell, _: bridge.run(expire.expire(card=card_of(cell.sale))) and None,
    "sweep": _sweep,
}


def cells() -> Iterator[Cell]:
    """New cells without end, a dozen lines in each sale."""
    while True:
        codes = [f"line-{n}" for n in range(LINES)]
        lines = [{"code": code, "channels": [code], "stock": {PHONE: 1}} for code in codes]
        campaign = poco_campaign(channels=[{"code": code, "name": code} for code in codes])
        sale = lobby_sale(campaign, lines=lines, max_entries=1000, overbooking=2, rate_per_s=100_000)
        some = [Cell(sale, code) for code in codes]
        open_now(sale)
        tend(sale)
        for cell in some:
            bridge.run(_run_on(sale))
            yield cell
        assert broken(sale) == []


async def _run_on(sale: Sale) -> None:
    """Renews the clock lease of the sale, so that its clock runs on."""
    card, asked_at = await places.sale_card(code=sale.code), time.monotonic()
    figures: Any = await scripts.survey(card, card.lines[0])
    await clock_lease.renew_clock_lease(card=card, figures=figures, asked_at=asked_at)


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("gate")
def test_the_code_does_what_the_model_says_in_every_order() -> None:
    fresh = cells()
    for walk in walks(DEPTH):
        cell, world = next(fresh), World()
        for at, step in enumerate([*walk, *to_the_end(walk)]):
            world, answer = after(world, step)
            assert (cell.take(step), cell.seen()) == (answer, world), walk[: at + 1]
        assert money_astray() == []


def to_the_end(walk: list[Step]) -> list[Step]:
    """Lets all deadlines pass and runs all work that is due."""
    world = World()
    for step in walk:
        world, _ = after(world, step)
    held = [who for who, buyer in enumerate(world.buyers) if buyer.held == "held" and not buyer.late]
    return [*(("late", who) for who in held), ("reap", 0), ("sweep", 0)]
