"""Appeals: a third person decides, an order that was cancelled wrongly stands again, or is owed the next unit."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core import mail
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone

from flashsale.admin.action_forms import ReallocateForm
from flashsale.gate import bridge, inspect
from flashsale.life import appeal as appealing
from flashsale.life import audit, notify, notify_again, reallocate, review
from flashsale.life import cancel as cancelling
from flashsale.life.refund import refund_again, refund_due
from flashsale.life.schedule import publish
from flashsale.models import (
    Appeal,
    Cancellation,
    Contact,
    ListEntry,
    Move,
    Notice,
    Reallocation,
    Record,
    Reservation,
    Sale,
    Unit,
)
from flashsale.providers import payments
from flashsale.rules.outcomes import Outcome
from tests.admin.orders import buy
from tests.factories import (
    PHONE,
    Shopper,
    begun,
    card_of,
    draft_sale,
    lobby_sale,
    open_now,
    poco_campaign,
    refusal,
    tend,
)
from tests.faults.steps import buy as pay

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]
RING = "one_person_many_identities"


@pytest.fixture
def staff() -> list[User]:
    return [User.objects.create_user(name) for name in ("sari", "tono", "wati")]


@pytest.fixture
def sale() -> Sale:
    return lobby_sale(poco_campaign(appeal_s=3600), stock={PHONE: 3}, channels=("lazada", "akulaku"))


def cancelled(sale: Sale, staff: list[User], names: list[str], code: str = RING) -> list[Reservation]:
    """Orders of these people, cancelled by the first two of the staff."""
    orders = buy(sale, names)
    for order in orders:
        case = review.open_case(reservation=order)
        review.propose(case=case, code=code, by=staff[0])
        review.approve(case=case, by=staff[1])
    return [fresh(order) for order in orders]


def fresh(order: Reservation) -> Reservation:
    return Reservation.objects.select_related("case", "cancellation").get(pk=order.pk)


def won(order: Reservation, staff: list[User]) -> str:
    appeal = appealing.appeal(case=order.case)
    return appealing.decide(appeal=appeal, overturned=True, by=staff[2]).remedy


def held_promises() -> None:
    assert [(f.promise, f.broken) for f in audit.audit() if f.verdict is audit.Verdict.BROKEN] == []


def counted(sale: Sale) -> tuple[int, list[int]]:
    """What the gate counts: sold in the first line, and used slots."""
    card = card_of(sale)
    return bridge.run(inspect.counters(card, card.lines[0]))["sold"], sorted(
        bridge.run(inspect.used_limits(card)).values()
    )


@pytest.mark.books
def test_an_appeal_that_is_won_restores_order_unit_limit_and_payment(sale: Sale, staff: list[User]) -> None:
    (order,) = cancelled(sale, staff, ["ani"])
    before = counted(sale)
    appeal = appealing.appeal(case=order.case, words="We are two families in one house.")
    assert appealing.appeal(case=order.case, words="Again.") == appeal
    assert Contact.objects.get(reservation=order).read()["appeal"] == "We are two families in one house."
    for part in staff[:2]:
        assert refusal(appealing.decide, appeal=appeal, overturned=True, by=part) is Outcome.FORBIDDEN
    with pytest.raises(IntegrityError, match="a_third_person"), transaction.atomic():
        Appeal.objects.update(state="upheld", decided_by=staff[0], decided_at=timezone.now())
    assert fresh(order).state == "cancelled"
    assert appealing.decide(appeal=appeal, overturned=True, by=staff[2]).remedy == "restored"
    assert refusal(appealing.decide, appeal=appeal, overturned=False, by=staff[2]) is Outcome.FORBIDDEN
    order = fresh(order)
    assert (order.state, order.ended_at, order.payment.payment_state, order.do_not_ship) == (
        "confirmed",
        None,
        "paid",
        False,
    )
    assert Unit.objects.get(reservation_units__reservation=order).state == "sold"
    assert (refund_due(), cancelling.free_limit_slots(), order.limit_slots.count()) == (0, 0, 2)
    assert counted(sale) == before == (1, [1, 1])
    notify.send_due()
    assert "Pesanan Anda dipulihkan" in mail.outbox[-1].body
    held_promises()


@pytest.mark.parametrize("overturned", [False, True])
def test_a_person_who_has_changed_the_buyers_address_decides_no_appeal(
    sale: Sale, staff: list[User], overturned: bool
) -> None:
    """The letter with the link to appeal goes to the new address, so that person may have written the appeal."""
    order, other = cancelled(sale, staff, ["ani", "budi"])
    letter = Notice.objects.get(reservation=order, kind="cancelled")
    notify_again.correct_address(notice=letter, email="wati@example.com", by=staff[2])
    appeal = appealing.appeal(case=order.case)
    before = counted(sale)
    assert refusal(appealing.decide, appeal=appeal, overturned=overturned, by=staff[2]) is Outcome.FORBIDDEN
    appeal.refresh_from_db()
    assert (appeal.state, fresh(order).state, counted(sale)) == ("open", "cancelled", before)
    decided = appealing.decide(appeal=appeal, overturned=overturned, by=User.objects.create_user("dewi"))
    assert decided.state == ("overturned" if overturned else "upheld")
    assert won(other, staff) == "restored", "the address of another order does not count"


def test_a_restored_order_may_still_be_cancelled_by_its_buyer(sale: Sale, staff: list[User]) -> None:
    (order,) = cancelled(sale, staff, ["ani"])
    won(order, staff)
    for _again in range(2):
        cancelling.cancel(reservation=order.pk, channel=order.channel_id, code="buyer_request")
    order = fresh(order)
    assert (order.state, order.cancellation.reason, order.cancellation.case) == ("cancelled", "buyer_request", None)
    assert order.case.appeal.remedy == "restored"
    assert counted(sale) == (0, [0, 0])
    assert refund_due() == 1
    held_promises()


def test_an_appeal_that_is_lost_frees_limit_and_refund(sale: Sale, staff: list[User]) -> None:
    (order,) = cancelled(sale, staff, ["ani"])
    appeal = appealing.appeal(case=order.case)
    Cancellation.objects.update(appeal_until=timezone.now() - timedelta(seconds=1))
    assert (cancelling.free_limit_slots(), refund_due()) == (0, 0), "it waits for the decision"
    appealing.decide(appeal=appeal, overturned=False, by=staff[2])
    assert (fresh(order).state, order.limit_slots.count(), counted(sale)) == ("cancelled", 0, (0, [0, 0]))
    assert refund_due() == 1
    assert fresh(order).payment.refund_reference
    held_promises()


def test_who_comes_too_late_is_refused_and_who_waives_has_the_refund_at_once(sale: Sale, staff: list[User]) -> None:
    ani, budi = cancelled(sale, staff, ["ani", "budi"])
    Cancellation.objects.filter(reservation=ani).update(appeal_until=timezone.now() - timedelta(seconds=1))
    for call in (appealing.appeal, appealing.waive):
        assert refusal(call, case=ani.case) is Outcome.APPEAL_OVER
    for _twice in range(2):
        appealing.waive(case=budi.case)
    assert Record.objects.filter(what="waive").count() == 1
    assert refusal(appealing.appeal, case=budi.case) is Outcome.APPEAL_OVER
    assert (Appeal.objects.count(), budi.limit_slots.count(), ani.limit_slots.count()) == (0, 0, 2)
    assert refund_due() == 1
    assert fresh(budi).payment.payment_state == "refunded"


def test_a_refund_that_fails_is_seen_and_made_due_again(
    sale: Sale, staff: list[User], monkeypatch: pytest.MonkeyPatch
) -> None:
    (order,) = cancelled(sale, staff, ["ani"])
    appealing.waive(case=order.case)

    async def refuse(_back: object) -> payments.RefundStanding:
        return payments.RefundStanding("failed", why="account closed")

    with monkeypatch.context() as patch:
        patch.setattr(payments.provider, "refund", refuse)
        assert refund_due() == 1
    assert (fresh(order).payment.payment_state, refund_due()) == ("refund_failed", 0)
    assert refund_again(reservation=order.pk)
    assert not refund_again(reservation=order.pk)
    assert refund_due() == 1
    assert fresh(order).payment.payment_state == "refunded"


def test_the_reserve_restores_who_wins_and_beyond_it_the_next_units_are_owed(sale: Sale, staff: list[User]) -> None:
    orders = cancelled(sale, staff, ["ani", "budi", "citra"])
    rerun = draft_sale(
        sale.campaign,
        lines=[{"code": "wronged", "channels": ["lazada"], "stock": {PHONE: 1}, "listed": []}],
    )
    target = rerun.allocations.get()
    seen = reallocate.forecast(source=sale, target=target, reserve=1)
    assert (seen.moves, seen.stays, seen.invited) == (2, 1, 0)
    assert not Reallocation.objects.exists(), "a dry run leaves nothing"
    reallocate.reallocate(source=sale, target=target, reserve=1)
    moved = set(Move.objects.values_list("unit_id", flat=True))
    assert won(orders[0], staff) == "restored"
    assert won(orders[1], staff) == "priority"
    first, second, third = (fresh(order) for order in orders)
    assert (first.state, second.state, third.state) == ("confirmed", "cancelled", "cancelled")
    assert [held.unit_id in moved for held in first.items] == [False]
    assert (refund_due(), fresh(second).payment.payment_state) == (1, "refunded")
    invited = Notice.objects.get(kind="invited")
    assert (invited.reservation, invited.line) == (second, target)
    reallocate.reallocate(source=sale, target=target, reserve=1)
    assert Notice.objects.filter(kind="invited").count() == 1
    assert set(ListEntry.objects.values_list("digest", flat=True)) == set(
        second.traits.filter(axis__in=["phone", "email"]).values_list("digest", flat=True)
    )
    held_promises()


def test_an_order_may_be_restored_with_a_unit_of_another_line(sale: Sale, staff: list[User]) -> None:
    (ani,) = cancelled(sale, staff, ["ani"])
    person = Shopper(sale, "budi", channel="akulaku")
    person.enter()
    tend(sale)
    budi = pay(person)
    case = review.propose(case=review.open_case(reservation=budi), code=RING, by=staff[0])
    review.approve(case=case, by=staff[1])
    target = draft_sale(sale.campaign, stock={PHONE: 0}).allocations.get()
    reallocate.reallocate(source=sale, target=target, reserve=1)
    assert won(ani, staff) == "restored"
    order = fresh(ani)
    (held,) = order.items
    assert (held.unit_id, held.unit.allocation) == (budi.reservation_units.get().unit_id, order.allocation)
    assert won(fresh(budi), staff) == "priority"
    held_promises()


def test_only_people_who_are_owed_a_unit_enter_after_the_list_is_published(sale: Sale, staff: list[User]) -> None:
    orders = buy(sale, ["ani", "budi", "citra"])
    for order, code in zip(orders, ("cancelled_by_mistake", RING, RING), strict=True):
        case = review.open_case(reservation=order)
        review.propose(case=case, code=code, by=staff[0])
        review.approve(case=case, by=staff[1])
    lines = [{"code": "wronged", "channels": ["lazada"], "stock": {PHONE: 0}, "listed": []}]
    rerun = draft_sale(sale.campaign, lines=lines)
    for _again in range(2):
        reallocate.reallocate(source=sale, target=rerun.allocations.get(), reserve=0)
    publish(sale=rerun)
    assert Shopper(rerun, "ani", line="wronged").enter().created
    late = Shopper(rerun, "budi", line="wronged")
    assert refusal(late.enter) is Outcome.NOT_ELIGIBLE
    assert won(fresh(orders[1]), staff) == "priority"
    assert late.enter().created
    strangers = [Shopper(rerun, name, line="wronged") for name in ("citra", "eka")]
    assert [refusal(stranger.enter) for stranger in strangers] == [Outcome.NOT_ELIGIBLE] * 2
    open_now(rerun)
    tend(rerun)
    assert late.reserve().amount == 1_799_000
    notify.send_due()
    assert sum("/invitation#" in letter.body for letter in mail.outbox) == 2
    held_promises()


def test_a_plan_sets_the_time_to_appeal_and_is_carried_out_once_when_it_is_due(sale: Sale, staff: list[User]) -> None:
    target = draft_sale(sale.campaign, stock={PHONE: 0}, opens_in_s=90_000).allocations.get()
    due = timezone.now() + timedelta(hours=20)
    plan = reallocate.plan(source=sale, target=target, reserve=None, due_at=due)
    assert reallocate.plan(source=sale, target=target, reserve=None, due_at=due) == plan
    (order,) = cancelled(sale, staff, ["ani"])
    notify.send_due()
    assert fresh(order).cancellation.appeal_until == due - timedelta(hours=12)
    assert (reallocate.carry_out_due(), Move.objects.count()) == (0, 0)
    Cancellation.objects.update(appeal_until=timezone.now() - timedelta(seconds=1))
    Reallocation.objects.update(due_at=timezone.now())
    assert [reallocate.carry_out_due(), reallocate.carry_out_due()] == [1, 0]
    assert Move.objects.get().target == target


def _targets(sale: Sale) -> Any:
    """The lines that the admin offers for the units of a sale."""
    field: Any = ReallocateForm(None, sale=sale).fields["target"]
    return field.queryset


def test_a_plan_is_carried_out_to_a_sale_that_a_pause_keeps_open_past_its_closing_and_to_none_that_is_over(sale: Sale):
    rerun = lobby_sale(sale.campaign)
    now = timezone.now()
    times = {"lobby_at": now - timedelta(hours=5), "opens_at": now - timedelta(hours=2), "closes_at": now}
    Sale._base_manager.filter(pk=begun(rerun).pk).update(**times)
    line, due = rerun.allocations.get(), now - timedelta(minutes=1)
    with pytest.raises(ValidationError):
        reallocate.plan(source=sale, target=line, reserve=None, due_at=due)
    assert _targets(sale).count() == 0
    Sale.objects.filter(pk=rerun.pk).update(paused_ms=30 * 60_000)
    reallocate.plan(source=sale, target=line, reserve=None, due_at=due)
    assert list(_targets(sale)) == [line]
    Sale.objects.filter(pk=rerun.pk).update(paused_ms=0)
    assert reallocate.carry_out_due() == 0
    Sale.objects.filter(pk=rerun.pk).update(paused_ms=30 * 60_000)
    assert reallocate.carry_out_due() == 1


def test_plans_share_a_pool_out_and_cannot_be_changed(sale: Sale, staff: list[User]) -> None:
    cancelled(sale, staff, ["ani", "budi", "citra"])
    rerun = draft_sale(
        sale.campaign,
        lines=[{"code": code, "channels": [code], "stock": {PHONE: 0}} for code in ("lazada", "akulaku")],
    )
    first, second = rerun.allocations.all()
    for _again in range(2):
        reallocate.reallocate(source=sale, target=first, reserve=0, units=1)
    reallocate.reallocate(source=sale, target=second, reserve=0)
    assert [line.units.count() for line in (first, second)] == [1, 2]
    for changed in ({"reserve": 0, "units": 2}, {"reserve": 1, "units": 1}):
        with pytest.raises(ValidationError):
            reallocate.reallocate(source=sale, target=first, **changed)
    assert Move.objects.count() == 3


def test_the_ledger_measures_each_rule_by_its_overturned_decisions(sale: Sale, staff: list[User]) -> None:
    orders = cancelled(sale, staff, ["ani", "budi", "citra"])
    won(orders[0], staff)
    appealing.decide(appeal=appealing.appeal(case=orders[1].case), overturned=False, by=staff[2])
    by_hand, by_reason = appealing.ledger(sale=sale)
    assert (by_hand.rule, by_reason.rule) == ("by hand", f"reason {RING}")
    assert (by_reason.cancelled, by_reason.appealed, by_reason.upheld, by_reason.overturned) == (3, 2, 1, 1)
    # The third cancellation may still be overturned, so it does not count.
    assert (by_reason.decided, by_reason.precision) == (2, 0.5)
