"""Paying for held units, letting them go, and what happens when a deadline comes first."""

import asyncio

import pytest
from django.db import connection
from django.db.models import F
from django.utils import timezone

from flashsale.gate import bridge, inspect
from flashsale.life.forget_contacts import forget_unneeded
from flashsale.life.next_look import LATE_FOR
from flashsale.life.refund import refund_due
from flashsale.life.release import release
from flashsale.life.sweep_payments import settle_ended_holds
from flashsale.models import Contact, DemoCharge, LimitSlot, PaymentAttempt, Refund, Reservation, Trait, Unit
from flashsale.providers import payments
from flashsale.rules.identity import Axis
from flashsale.rules.outcomes import Outcome
from tests.factories import PHONE, Shopper, card_of, lobby_sale, open_now, poco_campaign, refusal, tend
from tests.faults.steps import Died, come_due, money_astray, nth, the_payment, told
from tests.life.buyers import buyer, confirmed, payment_choice

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate"), pytest.mark.books]


def holder(sale, name="ani"):
    person = Shopper(sale, name)
    person.enter()
    open_now(sale)
    tend(sale)
    return person, person.reserve()


def states():
    return sorted(Unit.objects.values_list("state", flat=True))


def test_a_confirmed_unit_is_sold_and_paid_and_the_gate_knows():
    sale = lobby_sale(stock={PHONE: 2})
    ani, held = holder(sale)
    row = confirmed(ani, held, buyer=buyer(address="Jl. Melati No. 5", device="tablet"))
    assert (row.state, row.do_not_ship) == ("confirmed", False)
    assert states() == ["free", "sold"]
    assert the_payment().payment_state == "paid"
    assert set(Trait.objects.values_list("axis", flat=True)) == {"phone", "email", "address", "device"}
    assert Contact.objects.get().read()["name"] == "ani"
    assert "ani" not in Contact.objects.get().sealed
    card = card_of(sale)
    counters = bridge.run(inspect.counters(card, card.lines[0]))
    assert (counters["held"], counters["sold"]) == (0, 1)


def test_confirming_again_answers_the_same_and_charges_nothing():
    ani, held = holder(lobby_sale(stock={PHONE: 2}))
    first, again = confirmed(ani, held), confirmed(ani, held)
    assert first.confirmed_at == again.confirmed_at
    assert PaymentAttempt.objects.count() == 1


@pytest.mark.parametrize(
    ("fields", "outcome"),
    [
        ({"payment_choice": payment_choice(price=1)}, Outcome.WRONG_PRICE),
        ({"payment_choice": payment_choice(method="barter")}, Outcome.MALFORMED),
        ({"buyer": buyer("budi")}, Outcome.WRONG_IDENTITY),
        ({"payment_choice": payment_choice(instrument="demo-declined")}, Outcome.PAYMENT_DECLINED),
        ({"channel": 10**6}, Outcome.NOT_FOUND),
    ],
)
def test_a_refused_confirmation_leaves_the_hold_as_it_was(fields, outcome):
    ani, held = holder(lobby_sale(stock={PHONE: 2}))
    assert refusal(confirmed, ani, held, **fields) is outcome
    assert Reservation.objects.get().state == "held"
    assert states() == ["free", "held"]
    # Money of a payment that was declined may come within a day. Then its buyer must be known.
    assert Contact.objects.count() == (outcome is Outcome.PAYMENT_DECLINED)
    assert confirmed(ani, held).state == "confirmed"
    assert Contact.objects.count() == 1


def test_an_expired_hold_goes_to_the_next_number_and_can_never_be_confirmed():
    sale = lobby_sale(stock={PHONE: 1})
    budi = Shopper(sale, "budi")
    ani = Shopper(sale, "ani")
    ani.enter(), budi.enter()
    open_now(sale)
    tend(sale)
    first, second = sorted((ani, budi), key=lambda person: person.number())
    held = first.reserve()
    come_due(sale)
    assert refusal(confirmed, first, held) is Outcome.EXPIRED
    tend(sale)
    tend(sale)
    row = Reservation.objects.get(pk=held.id)
    assert (row.state, LimitSlot.objects.count(), states()) == ("expired", 0, ["free"])
    again = second.reserve()
    assert refusal(confirmed, first, held) is Outcome.EXPIRED
    assert confirmed(second, again).state == "confirmed"
    assert not PaymentAttempt.objects.filter(reservation=held.id).exists()


def test_a_payment_that_was_never_made_is_closed_once_the_hold_has_ended(monkeypatch):
    sale = lobby_sale(stock={PHONE: 1})
    ani, held = holder(sale)

    async def die(*_args, **_fields):
        raise Died

    with monkeypatch.context() as patch:
        patch.setattr("flashsale.providers.payments.demo.DemoProvider.begin", die)
        with pytest.raises(Died):
            confirmed(ani, held)
    assert (the_payment().payment_state, settle_ended_holds()) == ("started", 0)
    come_due(sale)
    tend(sale)
    assert [settle_ended_holds(), settle_ended_holds()] == [1, 0]
    assert (the_payment().payment_state, DemoCharge.objects.get().state) == ("declined", "declined")
    assert refusal(confirmed, ani, held) is Outcome.EXPIRED
    PaymentAttempt.objects.update(settled_at=F("settled_at") - LATE_FOR)
    forget_unneeded()
    assert not Contact.objects.exists()
    assert not Trait.objects.exists()


def test_a_released_hold_frees_unit_and_limit_at_once():
    sale = lobby_sale(stock={PHONE: 1})
    ani, held = holder(sale)
    assert release(reservation=held.id, channel=ani.channel.id).state == "released"
    assert release(reservation=held.id, channel=ani.channel.id).state == "released"
    assert (states(), LimitSlot.objects.count()) == (["free"], 0)
    assert refusal(confirmed, ani, held) is Outcome.NOT_HELD
    card = card_of(sale)
    assert list(bridge.run(inspect.used_limits(card)).values()) == [0, 0]
    assert list(bridge.run(inspect.offered_units(card, card.lines[0])).values()) == [3]


def test_an_axis_first_known_at_confirm_carries_the_limit_too():
    axes = {Axis.PHONE: "hard enter", Axis.EMAIL: "hard enter", Axis.PAYMENT: "hard confirm"}
    sale = lobby_sale(poco_campaign(axes=axes), stock={PHONE: 2})
    ani, budi = Shopper(sale, "ani"), Shopper(sale, "budi")
    ani.enter(), budi.enter()
    open_now(sale)
    tend(sale)
    first, second = ani.reserve(), budi.reserve()
    assert confirmed(ani, first, buyer=buyer("ani", payment="card-1")).state == "confirmed"
    assert refusal(confirmed, budi, second, buyer=buyer("budi", payment="card-1")) is Outcome.LIMIT_REACHED
    assert PaymentAttempt.objects.count() == 1
    assert confirmed(budi, second, buyer=buyer("budi", payment="card-2")).state == "confirmed"


class TestMoneyOfADeclinedAttempt:
    """The bank declines and takes the money after all, while the buyer still holds the units."""

    @pytest.fixture
    def owed(self):
        person, held = holder(lobby_sale())
        declined = payment_choice(instrument=payments.DEMO_DECLINED)
        assert refusal(confirmed, person, held, payment_choice=declined) is Outcome.PAYMENT_DECLINED
        DemoCharge.objects.update(state="paid")
        assert told(nth(held.id, 1)) == "refund_due"
        return person, held

    def test_goes_back_and_another_attempt_buys(self, owed):
        person, held = owed
        assert confirmed(person, held).state == "confirmed"
        assert [refund_due(), refund_due()] == [1, 0]
        charges = DemoCharge.objects.order_by("pk").values_list("reference", "state", "refunded")
        assert list(charges) == [(nth(held.id, 1), "paid", True), (nth(held.id, 2), "paid", False)]
        assert money_astray() == []

    @pytest.mark.parametrize(
        ("answer", "left", "state"),
        [
            (payments.ProviderDown(), "due", "refund_due"),
            (payments.RefundStanding("unknown"), "due", "refund_due"),
            (payments.RefundStanding("failed", why="closed"), "failed", "refund_failed"),
            (payments.RefundStanding("impossible", why="closed"), "impossible", "refund_due"),
        ],
    )
    def test_is_not_forgotten_where_it_cannot_go_back(self, owed, monkeypatch, answer, left, state):
        async def fails(*_):
            if isinstance(answer, Exception):
                raise answer
            return answer

        monkeypatch.setattr(payments.provider, "refund", fails)
        assert [refund_due(), refund_due()] == [1, 0]
        row = Refund.objects.get()
        assert (row.state, row.times, row.next_look_at > timezone.now()) == (left, 1, True)
        assert confirmed(*owed).state == "confirmed"
        assert PaymentAttempt.objects.get(number=1).payment_state == state

    def test_leaves_no_trace_of_its_refund_on_the_next_attempt(self, owed):
        assert confirmed(*owed).state == "confirmed"
        assert (the_payment().payment_state, the_payment().refund_reference) == ("paid", "")

    def test_whose_refund_is_answered_late_settles_no_other_attempts(self, owed, monkeypatch):
        person, held = owed
        refund = payments.provider.refund

        async def meanwhile(back):
            """While the first is sent back, the second one is declined and paid after all, too."""
            monkeypatch.setattr(payments.provider, "refund", refund)
            await asyncio.to_thread(second_one)
            return await refund(back)

        def second_one():
            refusal(confirmed, person, held, payment_choice=payment_choice(instrument=payments.DEMO_DECLINED))
            DemoCharge.objects.filter(reference=nth(held.id, 2)).update(state="paid")
            assert told(nth(held.id, 2)) == "refund_due"
            connection.close()

        monkeypatch.setattr(payments.provider, "refund", meanwhile)
        assert [refund_due(), refund_due()] == [2, 0]
        states = [PaymentAttempt.objects.get(number=number).payment_state for number in (1, 2)]
        assert states == ["refunded", "refunded"]
        assert the_payment().refund_reference == f"refund-{nth(held.id, 2)}"
        assert money_astray() == []
