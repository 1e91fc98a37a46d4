"""A buyer whose payment is under way pays another way: the first is closed, and no money is taken twice or lost."""

from dataclasses import replace
from typing import Any, ClassVar

import pytest

from flashsale.models import Contact, DemoCharge, LimitSlot, PaymentAttempt, Reservation, Trait
from flashsale.providers import payments
from flashsale.rules.identity import Axis
from flashsale.rules.outcomes import Outcome
from tests.factories import PHONE, Shopper, lobby_sale, open_now, poco_campaign, refusal, tend
from tests.faults.steps import money_astray, nth, paid_by, told
from tests.life.buyers import buyer, confirmed, payment_choice

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]


def bank() -> Any:
    """The demo's payment provider, with which a buyer can also pay outside of our pages."""
    return payments.provider


class TestWhileABuyerPaysElsewhere:
    """A payment waits at the provider. A retry never leaves two open charges, also with other values."""

    AXES: ClassVar = {
        Axis.PHONE: "hard enter", Axis.EMAIL: "hard enter", Axis.PAYMENT: "hard confirm", Axis.ADDRESS: "soft confirm",
    }  # fmt: skip
    LATER = payment_choice(instrument=payments.DEMO_LATER)

    @pytest.fixture
    def paying(self):
        """Ani's hold, paid for by card-1 in the app of her bank, and Budi's, not yet paid for."""
        sale = lobby_sale(poco_campaign(axes=self.AXES), stock={PHONE: 2})
        ani, budi = Shopper(sale, "ani"), Shopper(sale, "budi")
        ani.enter(), budi.enter()
        open_now(sale)
        tend(sale)
        held = ani.reserve(), budi.reserve()
        mine = buyer(payment="card-1", address="Jl. Melati No. 5")
        assert confirmed(ani, held[0], buyer=mine, payment_choice=self.LATER).state == "held"
        return (ani, held[0]), (budi, held[1])

    @staticmethod
    def _kept():
        """What the books know of the buyers: limit slots, traits, contact data, payments, charges."""
        models = LimitSlot, Trait, Contact, PaymentAttempt, DemoCharge
        return [list(model.objects.order_by("pk").values()) for model in models]

    def test_another_instrument_is_asked_once_the_first_can_take_no_more(self, paying):
        (ani, held), (budi, other) = paying
        slots = LimitSlot.objects.count()
        for attempt, card in enumerate(("card-2", "card-3"), 2):
            row = confirmed(ani, held, buyer=buyer(payment=card, address="Jl. Mawar 1"), payment_choice=self.LATER)
            assert (row.state, paid_by(row).reference) == ("held", nth(held.id, attempt))
            assert (LimitSlot.objects.count(), Contact.objects.count()) == (slots, 1)
        assert [bank().pay(reference=nth(held.id, n)) for n in (1, 2)] == [payments.Charge.DECLINED] * 2
        assert confirmed(budi, other, buyer=buyer("budi", payment="card-1")).state == "confirmed"
        assert bank().pay(reference=nth(held.id, 3)) is payments.Charge.PAID
        assert told(nth(held.id, 3)) == "paid"
        assert Reservation.objects.filter(state="confirmed").count() == 2
        assert money_astray() == []

    def test_another_method_is_asked_with_the_same_instrument_too(self, paying):
        (ani, held), _ = paying
        row = confirmed(ani, held, buyer=buyer(payment="card-1"), payment_choice=payment_choice(method="card"))
        assert (row.state, paid_by(row).method, paid_by(row).reference) == ("confirmed", "card", nth(held.id, 2))
        assert money_astray() == []

    def test_money_that_had_come_by_the_first_instrument_buys_and_the_second_pays_nothing(self, paying):
        (ani, held), (budi, other) = paying
        assert bank().pay(reference=nth(held.id, 1)) is payments.Charge.PAID
        row = confirmed(ani, held, buyer=buyer(payment="card-2"))
        assert (row.state, paid_by(row).reference) == ("confirmed", nth(held.id, 1))
        assert refusal(confirmed, budi, other, buyer=buyer("budi", payment="card-1")) is Outcome.LIMIT_REACHED
        assert confirmed(budi, other, buyer=buyer("budi", payment="card-2")).state == "confirmed"
        assert money_astray() == []

    def test_somebody_else_who_sends_an_instrument_closes_nothing(self, paying):
        (ani, held), _ = paying
        before = self._kept()
        stranger = {"buyer": buyer("budi", payment="card-2"), "payment_choice": payment_choice(method="card")}
        assert refusal(confirmed, ani, held, **stranger) is Outcome.WRONG_IDENTITY
        assert self._kept() == before

    def test_a_provider_that_does_not_close_keeps_everything_as_it_was(self, paying, monkeypatch):
        (ani, held), _ = paying
        before = self._kept()
        with monkeypatch.context() as patch:
            patch.setattr(payments.provider, "close", _down)
            assert refusal(confirmed, ani, held, buyer=buyer(payment="card-2")) is Outcome.UNKNOWN
        assert self._kept() == before
        assert confirmed(ani, held, buyer=buyer(payment="card-2")).state == "confirmed"

    def test_the_same_again_goes_on_with_a_corrected_address(self, paying):
        (ani, held), _ = paying
        slots, known = LimitSlot.objects.count(), dict(Trait.objects.values_list("axis", "digest"))
        wish = buyer(payment="card-1", address="Jl. Melati No. 6")
        wish = replace(wish, contact={**wish.contact, "address": "Jl. Melati No. 6"})
        row = confirmed(ani, held, buyer=wish, payment_choice=self.LATER)
        assert (row.state, paid_by(row).reference) == ("held", nth(held.id, 1))
        assert (LimitSlot.objects.count(), DemoCharge.objects.count()) == (slots, 1)
        assert Contact.objects.get().read()["address"] == "Jl. Melati No. 6"
        now = dict(Trait.objects.values_list("axis", "digest"))
        assert {axis for axis in known if now[axis] != known[axis]} == {"address"}
        assert bank().pay(reference=paid_by(row).reference) is payments.Charge.PAID
        assert confirmed(ani, held, buyer=wish).state == "confirmed"

    def test_another_instrument_may_follow_once_the_bank_has_declined(self, paying):
        (ani, held), (budi, other) = paying
        assert bank().decline(reference=nth(held.id, 1)) is payments.Charge.DECLINED
        assert told(nth(held.id, 1)) == "declined"
        assert paid_by(confirmed(ani, held, buyer=buyer(payment="card-2"))).reference == nth(held.id, 2)
        assert confirmed(budi, other, buyer=buyer("budi", payment="card-1")).state == "confirmed"


class TestWhereAnInstrumentIsNoLimit:
    """A review compares instruments. So what is kept of a buyer is the instrument that the provider charges."""

    @pytest.fixture
    def paying(self):
        """Ani's hold, paid for by card-1 in the app of her bank."""
        axes = TestWhileABuyerPaysElsewhere.AXES | {Axis.PAYMENT: "soft confirm"}
        sale = lobby_sale(poco_campaign(axes=axes), stock={PHONE: 2})
        ani = Shopper(sale, "ani")
        ani.enter()
        open_now(sale)
        tend(sale)
        held = ani.reserve()
        wish = payment_choice(instrument=payments.DEMO_LATER)
        assert confirmed(ani, held, buyer=buyer(payment="card-1"), payment_choice=wish).state == "held"
        return ani, held, wish

    @staticmethod
    def _instrument():
        return Trait.objects.get(axis="payment").digest

    def test_a_second_one_does_not_hide_the_one_that_is_charged(self, paying):
        ani, held, wish = paying
        first = self._instrument()
        for card in ("card-2", "", "card-3"):
            known = buyer(payment=card, address="Jl. Mawar 1")
            assert confirmed(ani, held, buyer=known, payment_choice=wish).state == "held"
            assert (self._instrument(), PaymentAttempt.objects.count()) == (first, 1)
        assert bank().pay(reference=nth(held.id, 1)) is payments.Charge.PAID
        assert told(nth(held.id, 1)) == "paid"
        assert (self._instrument(), Reservation.objects.get().state) == (first, "confirmed")

    def test_another_payment_has_its_own(self, paying):
        ani, held, _ = paying
        first = self._instrument()
        other = payment_choice(method="card")
        assert confirmed(ani, held, buyer=buyer(payment="card-2"), payment_choice=other).state == "confirmed"
        assert self._instrument() != first
        assert money_astray() == []


async def _down(*_):
    raise payments.ProviderDown
