"""Review, cancellation, notices, and units that come back: two people decide, each unit moves once."""

from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.core import mail
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone

from flashsale.gate import bridge, inspect
from flashsale.life import cancel as cancelling
from flashsale.life import notify, reallocate, review
from flashsale.life.appeal import appeal
from flashsale.life.confirm import Buyer, PaymentChoice
from flashsale.life.refund import refund_due
from flashsale.models import Cancellation, Case, LimitSlot, Move, Notice, PaymentAttempt, Reservation, Unit
from flashsale.rules.identity import Axis
from flashsale.rules.outcomes import Outcome
from tests.factories import (
    PHONE,
    Shopper,
    card_of,
    draft_sale,
    identity,
    lobby_sale,
    open_now,
    poco_campaign,
    refusal,
    tend,
)
from tests.life.buyers import confirm_now

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("gate", "first_rules"),
    pytest.mark.books,
]

RING = {Axis.DEVICE: "the reseller's tablet", Axis.ADDRESS: "Gudang Jl. Anggrek No. 9, Bekasi"}


def buy(person: Shopper, **traits) -> Reservation:
    known = identity(person.name)
    soft = traits.get("soft") or {Axis.DEVICE: person.name, Axis.ADDRESS: f"Jl. Mawar {sum(map(ord, person.name))}"}
    contact = {"name": person.name, "address": soft[Axis.ADDRESS]}
    contact |= {"phone": known[Axis.PHONE], "email": known[Axis.EMAIL]}
    return confirm_now(
        reservation=person.reserve().id,
        channel=person.channel.id,
        buyer=Buyer(identity=known | soft, contact=contact, language=traits.get("language", "id")),
        payment_choice=PaymentChoice(price=1_799_000, method="card", instrument=f"card of {person.name}"),
    )


@pytest.fixture
def reviewers():
    make = get_user_model().objects.create_user
    return make("sari"), make("tono")


@pytest.fixture
def sold():
    """A sale of six units: a ring of four behind one tablet, and two honest buyers."""
    sale = lobby_sale(poco_campaign(appeal_s=60), stock={PHONE: 6}, channels=("lazada", "akulaku"))
    people = [Shopper(sale, f"ring-{n}") for n in range(4)] + [Shopper(sale, f"honest-{n}") for n in range(2)]
    for person in people:
        person.enter()
    open_now(sale)
    tend(sale)
    rows = [buy(person, soft=RING if person.name.startswith("ring") else None) for person in people]
    return sale, rows


@pytest.fixture
def reviewed(sold):
    sale, rows = sold
    review.execute(run=review.start(sale=sale).pk)
    return sale, rows


def cancel_all(reviewers, code="one_person_many_identities"):
    for case in Case.objects.all():
        review.propose(case=case, code=code, by=reviewers[0])
        review.approve(case=case, by=reviewers[1])


def let_appeals_lapse():
    Cancellation.objects.update(appeal_until=timezone.now() - timedelta(seconds=1))


def test_the_review_finds_the_ring_and_leaves_the_honest_alone(reviewed):
    _, rows = reviewed
    assert set(Case.objects.values_list("reservation_id", flat=True)) == {row.pk for row in rows[:4]}
    case = Case.objects.first()
    assert {shared["axis"] for shared in case.evidence["shared"]} >= {"device", "address"}
    assert Reservation.objects.get(pk=case.reservation_id).do_not_ship
    assert not Reservation.objects.get(pk=rows[5].pk).do_not_ship


def test_a_review_carried_out_twice_opens_each_case_once(sold):
    sale, _ = sold
    run = review.start(sale=sale)
    assert review.start(sale=sale) == run
    assert [review.execute(run=run.pk), review.execute(run=run.pk)] == [4, 0]
    again = review.start(sale=sale)
    assert again != run
    assert review.execute(run=again.pk) == 0
    assert Case.objects.count() == 4


def test_the_proposer_cannot_approve_and_the_table_refuses_it_too(reviewed, reviewers):
    case = review.propose(case=Case.objects.first(), code="one_person_many_identities", by=reviewers[0])
    assert refusal(review.approve, case=case, by=reviewers[0]) is Outcome.FORBIDDEN
    with pytest.raises(IntegrityError, match="two_people_decide"), transaction.atomic():
        Case.objects.filter(pk=case.pk).update(state="cancelled", decided_by=reviewers[0], decided_at=timezone.now())
    assert Reservation.objects.get(pk=case.reservation_id).state == "confirmed"


def test_an_approved_case_ends_order_refund_and_notice_together(reviewed, reviewers):
    case = Case.objects.first()
    review.propose(case=case, code="one_person_many_identities", by=reviewers[0])
    review.approve(case=case, by=reviewers[1])
    row = Reservation.objects.get(pk=case.reservation_id)
    assert (row.state, row.payment.payment_state, row.cancellation.reason) == (
        "cancelled", "refund_due", "one_person_many_identities",
    )  # fmt: skip
    assert Unit.objects.filter(state="returned").count() == 1
    assert LimitSlot.objects.filter(reservation=row).count() == 2, "the limit stays used until the appeal is final"
    assert refusal(review.approve, case=case, by=reviewers[1]) is Outcome.FORBIDDEN
    assert refund_due() == 0, "an appeal may still restore the order with its payment"
    let_appeals_lapse()
    assert cancelling.free_limit_slots() == 1
    assert refund_due() == 1
    attempt = PaymentAttempt.objects.get(reservation=row)
    assert attempt.refund_reference == f"refund-{attempt.reference}"


def test_the_notice_says_why_in_the_buyers_language_and_goes_out_once(reviewed, reviewers):
    cancel_all(reviewers)
    assert notify.send_due() == 4
    assert notify.send_due() == 0
    assert len(mail.outbox) == 4
    letter = mail.outbox[0]
    assert letter.to[0].startswith("ring-")
    assert "Rp\xa01.799.000" in letter.body
    assert f"(versi {Case.objects.first().rules_version})" in letter.body
    assert set(Notice.objects.values_list("state", flat=True)) == {"sent"}


def test_units_rest_while_an_appeal_is_possible_and_then_move_once(reviewed, reviewers):
    sale, _ = reviewed
    rerun = draft_sale(sale.campaign, stock={PHONE: 0}, opens_in_s=7200)
    target = rerun.allocations.get()
    cancel_all(reviewers)
    reallocate.reallocate(source=sale, target=target, reserve=None)
    assert Move.objects.count() == 0
    let_appeals_lapse()
    for _again in range(2):
        reallocate.reallocate(source=sale, target=target, reserve=None)
    assert Move.objects.count() == 4
    assert target.units.filter(state="free").count() == 4
    assert {move.cancellation.reservation_id for move in Move.objects.all()} == set(
        Case.objects.values_list("reservation_id", flat=True)
    )


def test_a_published_reserve_keeps_so_many_contested_units(reviewed, reviewers):
    sale, _ = reviewed
    target = draft_sale(sale.campaign, stock={PHONE: 0}, opens_in_s=7200).allocations.get()
    cancel_all(reviewers)
    reallocate.reallocate(source=sale, target=target, reserve=1)
    assert Move.objects.count() == 3
    with pytest.raises(ValidationError):
        reallocate.reallocate(source=sale, target=target, reserve=0)
    assert Move.objects.count() == 3


def test_an_appealed_unit_stays_in_the_pool(reviewed, reviewers):
    sale, _ = reviewed
    target = draft_sale(sale.campaign, stock={PHONE: 0}, opens_in_s=7200).allocations.get()
    cancel_all(reviewers)
    appealed = Cancellation.objects.first()
    assert appeal(case=appealed.case) == appeal(case=appealed.case)
    let_appeals_lapse()
    reallocate.reallocate(source=sale, target=target, reserve=None)
    assert Move.objects.count() == 3
    assert not Move.objects.filter(cancellation=appealed).exists()


def test_the_gate_offers_moved_units_in_the_follow_up_sale_and_nowhere_else(reviewed, reviewers):
    sale, _ = reviewed
    rerun = lobby_sale(sale.campaign, stock={PHONE: 0})
    other = lobby_sale(sale.campaign, stock={PHONE: 2})
    cancel_all(reviewers)
    let_appeals_lapse()
    reallocate.reallocate(source=sale, target=rerun.allocations.get(), reserve=None)
    offered = [len(bridge.run(inspect.offered_units(card_of(x), card_of(x).lines[0]))) for x in (rerun, other, sale)]
    assert offered == [4, 2, 0]


def test_only_those_wronged_are_invited_and_their_limit_is_free_again(reviewed, reviewers):
    sale, _ = reviewed
    rerun = lobby_sale(sale.campaign, stock={PHONE: 0})
    wronged, *rest = Case.objects.all()
    review.propose(case=wronged, code="cancelled_by_mistake", by=reviewers[0])
    review.approve(case=wronged, by=reviewers[1])
    for case in rest:
        review.propose(case=case, code="one_person_many_identities", by=reviewers[0])
        review.approve(case=case, by=reviewers[1])
    let_appeals_lapse()
    reallocate.reallocate(source=sale, target=rerun.allocations.get(), reserve=None)
    invited = Notice.objects.filter(kind="invited")
    assert [notice.reservation_id for notice in invited] == [wronged.reservation_id]
    assert not LimitSlot.objects.filter(reservation=wronged.reservation_id).exists()
    notify.send_due()
    letter = next(letter for letter in mail.outbox if "/invitation#" in letter.body)
    assert letter.to == [f"ring-{wronged.reservation.index - 1}@example.com"]


def test_limits_of_final_cancellations_are_given_back(reviewed, reviewers):
    sale, _ = reviewed
    cancel_all(reviewers)
    assert cancelling.free_limit_slots() == 0
    let_appeals_lapse()
    assert cancelling.free_limit_slots() == 4
    assert cancelling.free_limit_slots() == 0
    assert LimitSlot.objects.filter(reservation__state="cancelled").count() == 0
    assert sorted(bridge.run(inspect.used_limits(card_of(sale))).values()) == [0] * 8 + [1] * 4


def test_buyers_cancel_only_for_reasons_of_their_own(sold):
    _, rows = sold
    row = rows[5]
    assert (
        refusal(cancelling.cancel, reservation=row.pk, channel=row.channel_id, code="bypassed_line")
        is Outcome.FORBIDDEN
    )
    for _again in range(2):
        assert cancelling.cancel(reservation=row.pk, channel=row.channel_id, code="buyer_request").state == "cancelled"
    assert Cancellation.objects.count() == 1
    assert not LimitSlot.objects.filter(reservation=row).exists()
