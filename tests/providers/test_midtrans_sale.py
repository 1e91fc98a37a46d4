"""A sale that is paid through a simulated Midtrans: its notifications come to our door, and the money adds up."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from flashsale.gate import bridge
from flashsale.life import inbox, refund, sweep_payments
from flashsale.life.confirm import Buyer, PaymentChoice, confirm
from flashsale.life.enter import digester
from flashsale.models import Inbox, PaymentAttempt, Refund, Reservation, Trait
from flashsale.providers import payments
from flashsale.providers.payments.midtrans import Midtrans
from flashsale.rules.identity import Axis
from flashsale.rules.outcomes import Outcome, Refused
from simulation.gateways.client import Gateway, GatewayControl, Sums, Webhook
from simulation.gateways.faults import Fault
from tests.factories import identity
from tests.faults.steps import called, come_due, reap, the_payment

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]
PRICE = 1_799_000


class Shop:
    """A sale with one buyer who holds a phone, whose payments go to the simulated Midtrans."""

    def __init__(self, control: GatewayControl) -> None:
        self.control = control
        self.sale, (self.ani,) = called("ani", stock=1)
        self.held = self.ani.reserve().id

    def confirm(self, method: str = "qris") -> Reservation:
        known = identity(self.ani.name)
        contact = {"name": "Ani", "address": "Jl. Melati 1", "phone": known[Axis.PHONE], "email": known[Axis.EMAIL]}
        return bridge.run(
            confirm(
                reservation=self.held,
                channel=self.ani.channel.id,
                buyer=Buyer(identity=known, contact=contact, language="id"),
                payment_choice=PaymentChoice(price=PRICE, method=method, instrument=""),
            )
        )

    def pay(self, **more: Any) -> None:
        assert self.control.pay(self.control.codes(the_payment().reference)[-1].value, **more).accepted

    def notify(self, hook: Webhook | None = None) -> int:
        """Hands a notification of Midtrans to our door, the newest one without a choice, and reads the inbox.

        Returns the HTTP status.
        """
        hook = hook or self.control.webhooks(the_payment().reference)[-1]
        reply = Client().post("/v1/payments/midtrans", hook.body, content_type="application/json")
        inbox.read_inbox()
        return reply.status_code

    def state(self) -> tuple[str, str]:
        return str(Reservation.objects.get().state), str(the_payment().payment_state)

    def money(self) -> dict[str, Sums]:
        return self.control.ledger()


@pytest.fixture
def shop(midtrans: Gateway, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Shop:
    settings.FLASHSALE_PAYMENT_KEYS = {"midtrans": (midtrans.key,)}
    settings.FLASHSALE_PAYMENT_HOSTS = {"midtrans": midtrans.url}
    accounts: Any = {"midtrans": Midtrans()}
    monkeypatch.setattr(payments, "configured", accounts)
    monkeypatch.setattr(payments, "accounts", accounts)
    return Shop(midtrans.control)


def test_a_qr_code_is_shown_paid_and_becomes_an_order_by_its_notification(shop: Shop) -> None:
    assert shop.confirm().state == "held"
    attempt = the_payment()
    assert attempt.instructions["qr"].startswith("000201")
    assert attempt.expires_at is not None
    assert shop.state() == ("held", "started")
    shop.pay()
    assert shop.notify() == 200
    assert shop.state() == ("confirmed", "paid")
    assert the_payment().paid == PRICE
    assert the_payment().instructions is None
    assert shop.notify() == 200
    assert Inbox.objects.get().result == "paid"
    assert shop.money() == {attempt.reference: Sums(PRICE, 0)}


def test_a_buyer_who_confirms_again_keeps_the_code(shop: Shop) -> None:
    shop.confirm()
    shown = the_payment().instructions
    shop.confirm()
    assert (the_payment().instructions, the_payment().number) == (shown, 1)
    assert len(shop.control.codes(the_payment().reference)) == 1


def test_a_notification_that_lies_changes_nothing(shop: Shop) -> None:
    shop.confirm()
    reference = the_payment().reference
    # Midtrans' signature does not cover the state.
    altered = shop.control.forge(reference, {"transaction_status": "settlement"}, signed="altered")
    assert (shop.notify(altered), shop.state()) == (200, ("held", "started"))
    before = Inbox.objects.count()
    forged = shop.control.forge(reference, {"transaction_status": "settlement"}, signed="no")
    assert (shop.notify(forged), shop.state()) == (403, ("held", "started"))
    assert Inbox.objects.count() == before
    reply = Client().post("/v1/payments/midtrans", b"[1]", content_type="application/json")
    assert (reply.status_code, shop.state()) == (400, ("held", "started"))


def test_an_answer_that_is_lost_is_unknown_and_the_same_request_gets_the_code(shop: Shop) -> None:
    shop.control.fault(Fault.DROP, on="begin")
    with pytest.raises(Refused) as caught:
        shop.confirm()
    assert caught.value.outcome is Outcome.UNKNOWN
    assert (shop.state(), the_payment().instructions) == (("held", "started"), None)
    # The sweep looks meanwhile. It learns that a payment waits, and not its code.
    PaymentAttempt.objects.update(next_look_at=timezone.now())
    assert sweep_payments.look_due() == 1
    assert (the_payment().state, the_payment().instructions) == ("waiting", None)
    shop.confirm()
    assert the_payment().instructions["qr"].startswith("000201")
    assert len(shop.control.codes(the_payment().reference)) == 1


def test_another_way_to_pay_closes_the_first_code_before_it_gives_a_second(shop: Shop) -> None:
    shop.confirm("qris")
    first = the_payment().reference
    shop.confirm("va_mandiri")
    second = the_payment()
    assert (second.number, second.instructions["biller"], second.instructions["bank"]) == (2, "70012", "Mandiri")
    assert [code.state for code in shop.control.codes(first)] == ["expire"]
    shop.pay()
    shop.notify()
    assert shop.state() == ("confirmed", "paid")
    assert shop.money() == {second.reference: Sums(PRICE, 0)}


def test_money_that_comes_while_another_way_is_chosen_buys_the_order(shop: Shop) -> None:
    shop.confirm("qris")
    shop.control.fault(Fault.PAID_BEFORE_CLOSE, on="close")
    assert shop.confirm("va_bca").state == "confirmed"
    assert (the_payment().number, shop.money()) == (1, {the_payment().reference: Sums(PRICE, 0)})


def test_money_that_comes_after_the_end_goes_back_and_the_sums_agree(shop: Shop) -> None:
    shop.confirm()
    come_due(shop.sale)
    assert reap(shop.sale) == 1
    assert sweep_payments.settle_ended_holds() == 1
    assert shop.state() == ("expired", "declined")
    shop.pay(force=True)
    assert shop.notify() == 200
    assert shop.state() == ("expired", "refund_due")
    Refund.objects.update(next_look_at=timezone.now())
    assert refund.refund_due() == 1
    assert Refund.objects.get().state == "sent"
    shop.control.advance(timedelta(days=2))
    Refund.objects.update(next_look_at=timezone.now())
    assert refund.refund_due() == 1
    assert shop.state() == ("expired", "refunded")
    assert shop.money() == {the_payment().reference: Sums(PRICE, PRICE)}


def test_too_little_money_makes_no_order(shop: Shop) -> None:
    shop.confirm()
    shop.pay(amount=PRICE - 1, force=True)
    shop.notify()
    assert shop.state() == ("held", "mismatch")


def test_too_much_money_makes_an_order_and_the_rest_goes_back(shop: Shop) -> None:
    shop.confirm()
    shop.pay(amount=PRICE + 4_000, force=True)
    shop.notify()
    assert shop.state() == ("confirmed", "paid")
    Refund.objects.update(next_look_at=timezone.now())
    refund.refund_due()
    shop.control.advance(timedelta(days=2))
    assert shop.money() == {the_payment().reference: Sums(PRICE + 4_000, 4_000)}


def test_money_that_the_bank_takes_back_stops_the_order(shop: Shop) -> None:
    shop.confirm("va_permata")
    shop.pay()
    shop.notify()
    assert shop.control.reverse(shop.control.codes(the_payment().reference)[-1].value, force=True).accepted
    shop.notify()
    assert shop.state() == ("confirmed", "reversed")


def test_a_buyer_of_a_virtual_account_gets_their_money_from_a_person(shop: Shop) -> None:
    shop.confirm("va_bca")
    come_due(shop.sale)
    reap(shop.sale)
    sweep_payments.settle_ended_holds()
    shop.pay(force=True)
    shop.notify()
    Refund.objects.update(next_look_at=timezone.now())
    refund.refund_due()
    row = Refund.objects.get()
    assert (row.state, "refunds nothing" in row.detail) == ("impossible", True)
    assert shop.money() == {the_payment().reference: Sums(PRICE, 0)}


def trait_of(row: Reservation, fingerprint: str) -> bool:
    """Whether the order has the digest of this fingerprint, and no other one of the axis payment."""
    campaign = row.sale.campaign
    digests = digester(bytes(campaign.salt).hex(), campaign.canon_version)
    bank, whole = f"bank:{fingerprint[9:17]}", fingerprint
    parts = digests.digest(Axis.PAYMENT, bank)[:4], digests.digest(Axis.PAYMENT, whole)[4:]
    return list(row.traits.filter(axis="payment").values_list("digest", flat=True)) == [b"".join(parts).hex()]


def test_the_card_that_paid_replaces_what_the_buyer_said_and_is_kept_as_a_digest_only(shop: Shop) -> None:
    shop.confirm("card")
    row = Reservation.objects.get()
    Trait.objects.create(reservation=row, axis="payment", digest="0" * 32)
    page = the_payment().instructions["url"]
    assert shop.control.pay(page, method="credit_card", card="4411111111111118").accepted
    for _again in range(2):
        assert shop.notify() == 200
    assert shop.state() == ("confirmed", "paid")
    assert trait_of(Reservation.objects.get(), "midtrans:44111111-1118")
    stored = str([list(table.objects.values()) for table in (PaymentAttempt, Trait, Reservation)])
    assert "44111111" not in stored


def test_a_qr_code_leaves_nothing_about_the_card_or_wallet(shop: Shop) -> None:
    shop.confirm("qris")
    shop.pay(issuer="gopay")
    shop.notify()
    assert shop.state() == ("confirmed", "paid")
    assert not Trait.objects.filter(axis="payment").exists()
