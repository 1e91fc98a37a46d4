"""Each change of state leaves one event in its transaction; the audit compares events with rows."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, connection, transaction
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone

from flashsale.books import events as books
from flashsale.books import reservations
from flashsale.gate import bridge
from flashsale.life import appeal, audit_events, cancel, close, events, refund, review, sale_control
from flashsale.life.audit_scope import Scope
from flashsale.life.reallocate import forecast, reallocate
from flashsale.life.release import release
from flashsale.life.settle import Answer, settle, settle_all
from flashsale.models import Case, Event, PaymentAttempt, Refund, Reservation, Sale, Unit
from flashsale.providers import payments
from flashsale.rules.events import EventType
from flashsale.rules.outcomes import Outcome
from flashsale.rules.states import StandingState
from tests.factories import (
    PHONE,
    Shopper,
    draft_sale,
    end_now,
    lobby_sale,
    move_opening,
    open_now,
    poco_campaign,
    roll_over_now,
    tend,
)
from tests.faults.steps import broken, buy, called, end, paid_elsewhere, pay, the_payment, told
from tests.life.buyers import PRICE
from tests.life.tranches import line, rolling_sale, sale_of
from tests.races.lying_gate import LyingGate

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate"), pytest.mark.books]
ORDER = {"quantity": 1, "amount": PRICE}


def story(row: Any) -> list[tuple[str, dict[str, Any]]]:
    """The types and data of a reservation's events; their sequence has no gap."""
    rows = Event.objects.filter(reservation=row.pk if isinstance(row, Reservation) else row.id).order_by("pk")
    found = list(rows.values_list("sequence", "type", "data"))
    assert [sequence for sequence, _, _ in found] == list(range(1, len(found) + 1))
    return [(type_, data) for _, type_, data in found]


def types(row: Any) -> list[str]:
    return [type_ for type_, _ in story(row)]


def paying(attempt: PaymentAttempt) -> dict[str, Any]:
    return {"payment": attempt.reference, "method": "qris", "amount": PRICE}


def settled(attempt: PaymentAttempt, state: StandingState, **fields: Any) -> None:
    bridge.run(settle(reference=attempt.reference, standing=payments.Standing(state, **fields)))


def test_an_order_that_its_buyer_cancels_leaves_exactly_these_rows() -> None:
    sale, (ani,) = called("ani", stock=1)
    row = buy(ani)
    end_now(sale)
    cancel.cancel(reservation=row.pk, channel=row.channel_id, code="buyer_request")
    assert (refund.refund_due(), refund.refund_due()) == (1, 0)
    paid, back = paying(the_payment(row.pk)), Refund.objects.get()
    money = {"refund": back.reference, "why": "cancelled", "amount": PRICE}
    assert story(row) == [
        ("reservation.held", ORDER), ("payment.started", paid), ("payment.paid", paid),
        ("reservation.confirmed", ORDER),
        ("reservation.cancelled", ORDER | {"reason": "buyer_request"}), ("refund.due", money),
        ("refund.confirmed", money),
    ]  # fmt: skip
    whose = Event.objects.filter(reservation=row.pk).values_list("channel", "sale", "line", "unit").distinct()
    assert list(whose) == [(row.channel_id, row.sale_id, row.allocation_id, None)]
    assert broken(sale) == []


def test_a_hold_that_is_given_back_or_expires_says_so() -> None:
    sale, (ani, budi) = called("ani", "budi")
    given, late = ani.reserve(), budi.reserve()
    release(reservation=given.id, channel=ani.channel.id)
    end(sale)
    assert story(given) == [("reservation.held", ORDER), ("reservation.released", ORDER)]
    assert story(late) == [("reservation.held", ORDER), ("reservation.expired", ORDER)]


def test_a_payment_in_the_app_of_a_bank_waits_and_is_told_once() -> None:
    _, (ani,) = called("ani", stock=1)
    reference = paid_elsewhere(ani)
    assert [told(reference) for _ in range(3)] == ["paid"] * 3
    assert types(Reservation.objects.get()) == [
        "reservation.held", "payment.started", "payment.waiting", "payment.paid", "reservation.confirmed",
    ]  # fmt: skip


@pytest.mark.parametrize("ended", [StandingState.FAILED, StandingState.EXPIRED, StandingState.CLOSED])
def test_a_payment_that_fails_says_how_and_its_late_money_goes_back(ended: StandingState) -> None:
    sale, (ani,) = called("ani", stock=1)
    held = pay(ani, ani.reserve().id, instrument=payments.DEMO_LATER)
    settled(the_payment(), StandingState.REVIEW)
    for _again in range(2):
        settled(the_payment(), ended)
    settled(the_payment(), StandingState.PAID, paid=Decimal(PRICE), currency="IDR")
    assert types(held)[2:] == ["payment.waiting", "payment.review", f"payment.{ended}", "payment.late", "refund.due"]
    assert broken(sale) == []


def test_late_money_that_buys_restores_the_reservation() -> None:
    sale, (ani,) = called("ani", stock=1)
    reference = paid_elsewhere(ani)
    end(sale)
    assert told(reference) == told(reference) == "paid"
    assert types(Reservation.objects.get())[-3:] == ["reservation.expired", "payment.paid", "reservation.restored"]
    assert broken(sale) == []


def test_money_that_is_wrong_or_taken_back_is_told() -> None:
    sale, (ani, budi) = called("ani", "budi")
    held = pay(ani, ani.reserve().id, instrument=payments.DEMO_LATER)
    for _again in range(2):
        settled(the_payment(), StandingState.PAID, paid=Decimal(1), currency="IDR")
    assert refund.send_mismatch_back(reservation=held.pk)
    assert types(held)[-2:] == ["payment.mismatch", "refund.due"]
    bought = buy(budi)
    settled(the_payment(bought.pk), StandingState.REVERSED)
    assert types(bought)[-1] == "payment.reversed"
    assert broken(sale) == []


def test_a_refund_that_fails_is_due_again_and_one_of_a_reversed_payment_is_withdrawn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sale, (ani, budi) = called("ani", "budi")
    orders = buy(ani), buy(budi)
    for row in orders:
        cancel.cancel(reservation=row.pk, channel=row.channel_id, code="buyer_request")
    settled(the_payment(orders[1].pk), StandingState.REVERSED)
    answers = iter([payments.RefundStanding("failed", why="closed"), payments.RefundStanding("sent", "r-1")])

    async def answer(_back: object) -> payments.RefundStanding:
        return next(answers)

    monkeypatch.setattr(payments.provider, "refund", answer)
    assert refund.refund_due() == 1
    assert [refund.refund_again(reservation=orders[0].pk) for _ in range(2)] == [True, False]
    assert refund.refund_due() == 1
    new = ["refund.withdrawn", "refund.due", "refund.sent"]
    assert types(orders[0])[-5:] == ["refund.due", "refund.failed", *new]
    assert types(orders[1])[-2:] == ["payment.reversed", "refund.withdrawn"]
    assert broken(sale) == []


@pytest.mark.parametrize("overturned", [True, False])
def test_a_review_and_its_appeal_are_told(overturned: bool) -> None:
    sale, (ani, budi) = called("ani", "budi")
    people = [User.objects.create_user(name) for name in ("sari", "tono", "wati")]
    row, other = buy(ani), buy(budi)
    for _again in range(2):
        case = review.open_case(reservation=row)
    review.dismiss(case=review.open_case(reservation=other), by=people[0])
    review.propose(case=case, code="one_person_many_identities", by=people[0])
    review.approve(case=case, by=people[1])
    for _again in range(2):
        filed = appeal.appeal(case=Case.objects.get(pk=case.pk))
    appeal.decide(appeal=filed, overturned=overturned, by=people[2])
    assert story(other)[4:] == [("case.opened", {}), ("case.decided", {"decision": "dismissed"})]
    after = story(row)[4:]
    cancelled = ("reservation.cancelled", ORDER | {"reason": "one_person_many_identities"})
    assert after[:3] == [("case.opened", {}), ("case.decided", {"decision": "cancelled"}), cancelled]
    assert after[4] == ("appeal.filed", {})
    if overturned:
        assert [type_ for type_, _ in after[5:7]] == ["reservation.restored", "refund.withdrawn"]
    assert after[-1] == (
        "appeal.decided",
        {"decision": "overturned", "remedy": "restored"} if overturned else {"decision": "upheld", "remedy": ""},
    )
    assert broken(sale) == []


def test_a_review_run_opens_its_cases_once() -> None:
    sale, people = called(*"abcdefgh", stock=8)
    rows = [buy(person, device="one", address="Jl. Sama 1") for person in people]
    for _again in range(2):
        review.execute(run=review.start(sale=sale).pk)
    opened = set(Case.objects.values_list("reservation", flat=True))
    assert opened
    for row in rows:
        assert types(row).count("case.opened") == (row.pk in opened)


def of_sale(sale: Sale) -> list[tuple[int, str]]:
    rows = Event.objects.filter(sale=sale, reservation=None, unit=None, channel=None, line=None).order_by("pk")
    return list(rows.values_list("sequence", "type"))


def test_a_sale_tells_each_decision_once() -> None:
    sale = lobby_sale(stock={PHONE: 1})
    later = sale.opens_at + timedelta(hours=1)
    for _again in range(2):
        sale_control.postpone(sale=sale, opens_at=later)
    move_opening(sale)
    for _again in range(2):
        tend(sale)
        sale_control.pause(sale=sale)
        sale_control.pause(sale=sale)
    for _again in range(2):
        sale_control.resume(sale=sale)
    sale_control.brake(sale=sale, rate_per_s=7, poll_ms=0)
    sale_control.close_early(sale=sale)
    for _again in range(2):
        assert close.close(sale=sale.pk)
    assert of_sale(sale) == [
        (1, "sale.published"), (2, "sale.rescheduled"), (3, "sale.opened"), (4, "sale.paused"), (5, "sale.resumed"),
        (6, "sale.rescheduled"), (7, "sale.closed"),
    ]  # fmt: skip
    moved = Event.objects.get(sale=sale, sequence=2).data
    assert moved["opens_at"] == later.isoformat()
    other = lobby_sale(stock={PHONE: 1})
    for _again in range(2):
        sale_control.call_off(sale=other, message="No stock.")
    assert of_sale(other) == [(1, "sale.published"), (2, "sale.called_off")]
    assert broken(sale) == broken(other) == []


def test_a_unit_that_a_plan_moves_is_told_to_the_line_that_gets_it() -> None:
    sale, (ani,) = called("ani", stock=1)
    row = buy(ani)
    end_now(sale)
    cancel.cancel(reservation=row.pk, channel=row.channel_id, code="buyer_request")
    line = lobby_sale(sale.campaign, stock={PHONE: 0}).allocations.get()
    assert forecast(source=sale, target=line, reserve=0).moves == 1
    assert not Event.objects.exclude(unit=None).exists()
    for _again in range(2):
        reallocate(source=sale, target=line, reserve=0)
    told_of = Event.objects.get(unit__isnull=False)
    unit = told_of.unit
    assert unit is not None
    assert (told_of.type, told_of.sequence, told_of.channel_id) == ("unit.reallocated", unit.version, None)
    assert (told_of.sale_id, told_of.line_id) == (line.sale_id, line.pk)
    assert told_of.data == {"serial": unit.serial, "sku": PHONE, "from": sale.code}
    assert broken(sale) == []


def test_a_unit_that_rolls_over_is_told_to_both_lines_once() -> None:
    sale = open_now(rolling_sale(2))
    tend(sale)
    first, public = (sale.allocations.get(code=code) for code in ("first", "public"))
    assert not Event.objects.exclude(unit=None).exists()
    for _again in range(3):
        roll_over_now(sale)
    moved = list(Event.objects.filter(unit__isnull=False).order_by("pk"))
    units = list(Unit.objects.order_by("pk"))
    assert [(one.type, one.line_id, one.unit_id, one.sequence) for one in moved] == [
        ("unit.moved", public.pk, unit.pk, unit.version) for unit in units
    ]
    assert moved[0].data == {"serial": units[0].serial, "sku": PHONE, "from": "first"}
    for one in (first, public):
        page = events.read_events(channel=one.channels.get().pk, after="", limit=100)
        assert [event.type for event in page.events].count("unit.moved") == 2
    elsewhere = sale_of(line("first", 1, channel="mi-store"), campaign=sale.campaign)
    page = events.read_events(channel=elsewhere.allocations.get().channels.get().pk, after="", limit=100)
    assert [event.type for event in page.events] == ["sale.published"]
    assert broken(sale) == []
    moved[0].delete()
    assert audit_of(sale) == [f"unit {units[0].serial} came to another line, and no event says it"]
    MigrationRecorder.Migration.objects.filter(name=audit_events.MOVES_TOLD).update(applied=timezone.now())
    assert audit_of(sale) == []


def test_a_unit_that_an_appeal_brings_from_another_line_is_told_to_both() -> None:
    sale = sale_of(line("first", 1), line("second", 1, channel="akulaku"))
    people = Shopper(sale, "ani", line="first"), Shopper(sale, "budi", channel="akulaku", line="second")
    for person in people:
        person.enter()
    open_now(sale)
    tend(sale)
    rows = [buy(person) for person in people]
    staff = [User.objects.create_user(name) for name in ("sari", "tono", "wati")]
    for row in rows:
        review.propose(case=review.open_case(reservation=row), code="one_person_many_identities", by=staff[0])
        review.approve(case=Case.objects.get(reservation=row.pk), by=staff[1])
    own, other = (Unit.objects.get(allocation__code=code) for code in ("first", "second"))
    # As after a reallocation: the unit of the order has another owner.
    Unit.objects.filter(pk=own.pk).update(state="sold")
    filed = appeal.appeal(case=Case.objects.get(reservation=rows[0].pk))
    appeal.decide(appeal=filed, overturned=True, by=staff[2])
    told_of = Event.objects.get(type="unit.moved")
    other.refresh_from_db()
    assert (told_of.unit_id, told_of.sequence, told_of.line_id) == (other.pk, other.version, rows[0].allocation_id)
    assert told_of.data == {"serial": other.serial, "sku": PHONE, "from": "second"}
    for person in people:
        page = events.read_events(channel=person.channel.id, after="", limit=100)
        assert [event.type for event in page.events].count("unit.moved") == 1


def test_a_request_that_postgresql_never_had_leaves_no_event() -> None:
    gate = LyingGate()
    answers = reservations.commit([gate.winner(0), gate.winner(1, unit=0), gate.winner(2)])
    assert sorted(answers.values()) == sorted([Outcome.RESERVED, Outcome.OFFER_GONE, Outcome.RESERVED])
    kept = {id_ for id_, answer in answers.items() if answer is Outcome.RESERVED}
    assert set(Event.objects.filter(type="reservation.held").values_list("reservation", flat=True)) == kept
    assert Event.objects.filter(type__startswith="reservation.").count() == 2


def test_a_bad_row_of_a_batch_of_payments_keeps_only_its_own_event() -> None:
    sale, people = called("ani", "budi", "cici", stock=3)
    held = [pay(person, person.reserve().id, instrument=payments.DEMO_LATER) for person in people]
    held[1].reservation_units.all().delete()  # PostgreSQL cannot sell what is not held
    before = {row.pk: types(row) for row in held}
    from_bank = payments.Standing(StandingState.PAID, paid=Decimal(PRICE), currency="IDR")
    results = settle_all_of(held, from_bank)
    assert [isinstance(result, Exception) for result in results] == [False, True, False]
    assert types(held[1]) == before[held[1].pk]
    for row in (held[0], held[2]):
        assert types(row) == [*before[row.pk], "payment.paid", "reservation.confirmed"]
    assert audit_of(sale) == []


def settle_all_of(rows: list[Reservation], standing: payments.Standing) -> list[Any]:
    return settle_all([Answer(the_payment(row.pk).reference, standing) for row in rows])


def audit_of(sale: Sale) -> list[str]:
    return list(audit_events.unlike_events(Scope.whole(sale.campaign)))


def test_a_transaction_that_is_undone_leaves_no_event_and_none_is_written_outside_of_one() -> None:
    _, (ani,) = called("ani", stock=1)
    held = ani.reserve()
    new = books.of_order(Reservation.objects.get(), EventType.RESERVATION_RELEASED)
    with transaction.atomic():
        books.record([new], timezone.now())
        transaction.set_rollback(True)
    with pytest.raises(AssertionError, match="belongs to the transaction"):
        books.record([new], timezone.now())
    assert types(held) == ["reservation.held"]
    with transaction.atomic():
        books.record([], timezone.now())


def test_two_events_of_one_object_never_have_one_sequence() -> None:
    _, (ani,) = called("ani", stock=1)
    ani.reserve()
    again = books.of_order(Reservation.objects.get(), EventType.RESERVATION_RELEASED)._replace(sequence=1)
    with pytest.raises(IntegrityError), transaction.atomic():
        books.record([again], timezone.now())
    assert Event.objects.filter(type__startswith="reservation.").count() == 1


def test_a_batch_is_written_in_one_statement(django_assert_num_queries: Any) -> None:
    gate = LyingGate()
    winners = [gate.winner(n) for n in range(8)]
    now = timezone.now()
    with transaction.atomic(), django_assert_num_queries(2 if connection.vendor == "postgresql" else 1):
        books.record([reservations._held(new) for new in winners], now)
        transaction.set_rollback(True)
    assert set(reservations.commit(winners).values()) == {Outcome.RESERVED}
    with transaction.atomic(), django_assert_num_queries(3 if connection.vendor == "postgresql" else 2):
        more = [reservations._held(new)._replace(sequence=0, type=EventType.RESERVATION_EXPIRED) for new in winners]
        books.record(more, now)


class TestTheAuditFinds:
    def _damage(self) -> tuple[Sale, Reservation]:
        sale, (ani,) = called("ani", stock=1)
        row = buy(ani)
        assert audit_of(sale) == []
        return sale, row

    def test_a_state_without_its_event(self) -> None:
        sale, row = self._damage()
        Event.objects.filter(reservation=row.pk, type="reservation.confirmed").delete()
        assert audit_of(sale) == [f"reservation {row.pk} is confirmed, its events say held"]

    def test_an_object_without_events(self) -> None:
        sale, row = self._damage()
        Event.objects.filter(reservation=row.pk).delete()
        reference = the_payment().reference
        assert audit_of(sale) == [
            f"reservation {row.pk} is confirmed, its events say nothing",
            f"payment {reference} is paid, its events say nothing",
        ]
        long_ago = timezone.now() - timedelta(days=31)
        Reservation.objects.update(confirmed_at=long_ago)
        PaymentAttempt.objects.update(settled_at=long_ago)
        assert audit_of(sale) == []

    def test_a_gap_and_an_event_of_nothing(self) -> None:
        sale, row = self._damage()
        Event.objects.filter(reservation=row.pk, sequence=2).delete()
        assert audit_of(sale) == [f"event 3 of {row.pk} comes after 1"]
        Event.objects.filter(reservation=row.pk).update(data={"payment": "fs-X", "quantity": 1})
        assert "payment fs-X has events and does not exist" in audit_of(sale)

    def test_a_sale_and_a_move_without_their_events(self) -> None:
        sale, row = self._damage()
        end_now(sale)
        cancel.cancel(reservation=row.pk, channel=row.channel_id, code="buyer_request")
        reallocate(source=sale, target=lobby_sale(sale.campaign, stock={PHONE: 0}).allocations.get(), reserve=0)
        Event.objects.exclude(unit=None).delete()
        Event.objects.filter(sale=sale, type="sale.published").update(type="sale.paused")
        Event.objects.filter(sale=sale, type="sale.opened").delete()
        serial = f"{sale.code}/lazada/{PHONE}/000001"
        assert audit_of(sale) == [
            f"sale {sale.pk} is published, its events say paused",
            f"unit {serial} came to another line, and no event says it",
        ]


def test_a_draft_tells_nothing() -> None:
    draft_sale(poco_campaign())
    assert not Event.objects.exists()
