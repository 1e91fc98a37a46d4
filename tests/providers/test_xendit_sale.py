"""A sale that is paid through a simulated Xendit, which finds no payment by our reference."""

import asyncio
import json
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from flashsale.gate import bridge
from flashsale.gate.provider_pace import next_turn
from flashsale.life import ask_provider, inbox, refund, sweep_payments
from flashsale.life.confirm import Buyer, PaymentChoice, confirm
from flashsale.life.enter import digester
from flashsale.models import Inbox, PaymentAttempt, Refund, Reservation, Trait
from flashsale.providers import payments
from flashsale.providers.payments.xendit import Xendit
from flashsale.rules.identity import Axis
from flashsale.rules.outcomes import Outcome, Refused
from simulation.gateways.client import Gateway, Sums, Webhook
from simulation.gateways.faults import Fault
from tests.factories import identity
from tests.faults.steps import called, come_due, reap, the_payment
from tests.gateways import request_id
from tests.life.refunds import waits_for
from tests.privacy.canary import in_books

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]
PRICE = 1_799_000


class Shop:
    """A sale with one buyer who holds a phone, whose payments go to the simulated Xendit."""

    def __init__(self, gateway: Gateway) -> None:
        self.control, self.token = gateway.control, gateway.token
        self.sale, (self.ani,) = called("ani", stock=1)
        self.held = self.ani.reserve().id

    def confirm(self, *, times: int = 1, method: str = "qris") -> list[Any]:
        """Confirms `times` times at once."""
        known, channel = identity(self.ani.name), self.ani.channel.id
        contact = {"name": "Ani", "address": "Jl. Melati 1", "phone": known[Axis.PHONE], "email": known[Axis.EMAIL]}

        async def at_once() -> list[Any]:
            calls = [
                confirm(
                    reservation=self.held,
                    channel=channel,
                    buyer=Buyer(identity=known, contact=contact, language="id"),
                    payment_choice=PaymentChoice(price=PRICE, method=method, instrument=""),
                )
                for _ in range(times)
            ]
            return await asyncio.gather(*calls, return_exceptions=True)

        return bridge.run(at_once())

    def loses_the_answer(self) -> None:
        self.control.fault(Fault.DROP, on="begin")
        (error,) = self.confirm()
        assert isinstance(error, Refused)
        assert error.outcome is Outcome.UNKNOWN

    def codes(self, reference: str) -> list[str]:
        return [code.state for code in self.control.codes(reference)]

    def pay(self, reference: str, **more: Any) -> None:
        assert self.control.pay(self.control.codes(reference)[-1].value, issuer="DANA", **more).accepted

    def notify(self, reference: str, hook: Webhook | None = None, token: str = "") -> int:
        """Hands a notification to our door, the newest one without a choice, reads the inbox, returns the status."""
        hook = hook or self.control.webhooks(reference)[-1]
        headers = {"X-Callback-Token": token or self.token}
        reply = Client(headers=headers).post("/v1/payments/xendit", hook.body, content_type="application/json")
        inbox.read_inbox()
        return reply.status_code

    def state(self) -> tuple[str, str]:
        return str(Reservation.objects.get().state), str(the_payment().payment_state)


@pytest.fixture
def shop(xendit: Gateway, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Shop:
    settings.FLASHSALE_PAYMENT_KEYS = {"xendit": (xendit.key,), "xendit.callback": (xendit.token,)}
    settings.FLASHSALE_PAYMENT_HOSTS = {"xendit": xendit.url}
    accounts: Any = {"xendit": Xendit()}
    monkeypatch.setattr(payments, "configured", accounts)
    monkeypatch.setattr(payments, "accounts", accounts)
    return Shop(xendit)


def look_now() -> None:
    PaymentAttempt.objects.exclude(next_look_at=None).update(next_look_at=timezone.now())
    sweep_payments.look_due()


def refund_now() -> None:
    Refund.objects.exclude(next_look_at=None).update(next_look_at=timezone.now())
    refund.refund_due()


def test_a_qr_code_is_shown_paid_and_becomes_an_order_by_its_notification(shop: Shop) -> None:
    shop.confirm()
    attempt = the_payment()
    assert (attempt.instructions["qr"].startswith("000201"), attempt.state) == (True, "waiting")
    shop.confirm()
    assert shop.codes(attempt.reference) == ["REQUIRES_ACTION"]
    shop.pay(attempt.reference)
    assert (shop.notify(attempt.reference), shop.state()) == (200, ("confirmed", "paid"))
    assert shop.control.ledger() == {attempt.reference: Sums(PRICE, 0)}


def test_a_notification_without_the_token_or_with_a_lie_changes_nothing(shop: Shop) -> None:
    shop.confirm()
    reference = the_payment().reference
    lie = shop.control.forge(reference, {"status": "SUCCEEDED"}, signed="altered")
    assert (shop.notify(reference, lie, token="wrong"), Inbox.objects.count()) == (403, 0)
    assert (shop.notify(reference, lie), shop.state()) == (200, ("held", "started"))


def test_what_a_notification_says_of_the_payer_and_the_token_beside_it_stand_in_no_table(shop: Shop) -> None:
    shop.confirm()
    reference = the_payment().reference
    payer = {"payment_details": {"payer_name": "Ani Kenari", "payer_account_number": "+6281298765432"}}
    hook = shop.control.forge(reference, payer, signed="altered")
    assert (shop.notify(reference, hook), shop.state()) == (200, ("held", "started"))
    told = Inbox.objects.get()
    assert told.as_it_came() == (hook.body, {"X-Callback-Token": shop.token})
    stored = in_books()
    assert reference.encode() in stored
    assert [text for text in (shop.token, "Ani Kenari", "81298765432") if text.encode() in stored] == []


def test_a_notification_of_the_release_before_is_read_as_it_was_stored(shop: Shop) -> None:
    shop.loses_the_answer()
    reference = the_payment().reference
    hook = shop.control.forge(reference, {}, signed="altered")
    now = timezone.now()
    Inbox.objects.create(
        account="xendit", reference=reference, body=hook.body, headers={"X-Callback-Token": shop.token}, hash="x",
        seen_at=now, next_look_at=now,
    )  # fmt: skip
    inbox.read_inbox()
    assert (the_payment().state, Inbox.objects.get().result) == ("waiting", "waiting")


def test_an_attempt_whose_answer_is_lost_is_begun_once_and_ends_in_the_books(shop: Shop) -> None:
    shop.loses_the_answer()
    lost = the_payment().reference
    # The same request again makes no second code, and nothing is decided before the first call has ended for certain.
    (error,) = shop.confirm()
    assert (error.outcome, shop.codes(lost)) == (Outcome.UNKNOWN, ["REQUIRES_ACTION"])
    assert sweep_payments.look_due() == 0
    look_now()
    assert (PaymentAttempt.objects.get().state, shop.state()) == ("closed", ("held", "declined"))
    # Then the buyer gets another code, which buys the order.
    shop.confirm()
    second = PaymentAttempt.objects.get(number=2)
    assert (second.state, second.instructions["qr"][:6]) == ("waiting", "000201")
    shop.pay(second.reference)
    shop.notify(second.reference)
    assert Reservation.objects.get().state == "confirmed"
    assert shop.control.ledger() == {second.reference: Sums(PRICE, 0)}


def test_money_for_a_lost_code_is_found_by_its_notification_and_goes_back(shop: Shop) -> None:
    shop.loses_the_answer()
    lost = the_payment().reference
    look_now()
    shop.pay(lost)
    assert shop.notify(lost) == 200
    attempt = PaymentAttempt.objects.get()
    assert (attempt.state, attempt.paid, attempt.provider_id[:3]) == ("late", Decimal(PRICE), "pr-")
    refund_now()
    shop.control.advance(timedelta(days=2))
    refund_now()
    assert shop.state() == ("held", "refunded")
    assert shop.control.ledger() == {lost: Sums(PRICE, PRICE)}


def test_a_notification_before_the_attempt_has_ended_brings_the_lost_code_back(shop: Shop) -> None:
    shop.loses_the_answer()
    reference = the_payment().reference
    hook = shop.control.forge(reference, {}, signed="altered")
    assert shop.notify(reference, hook) == 200
    assert (the_payment().state, the_payment().instructions["qr"][:6]) == ("waiting", "000201")
    shop.confirm()
    assert shop.codes(reference) == ["REQUIRES_ACTION"]


def with_id(shop: Shop, reference: str, id_: str) -> Webhook:
    """A notification about our reference that names another payment request. Xendit signs no body."""
    hook = shop.control.forge(reference, {}, signed="altered")
    fields = json.loads(hook.body)
    fields["data"]["payment_request_id"] = id_
    return hook._replace(body=json.dumps(fields).encode())


def test_an_id_that_has_not_our_reference_is_never_stored(shop: Shop, xendit: Gateway) -> None:
    shop.loses_the_answer()
    mine = the_payment().reference
    of_another_shop = request_id(xendit)
    for id_ in (of_another_shop, "pr-1102feb0-bb79-47ae-9d1e-e69394d3949c"):
        assert shop.notify(mine, with_id(shop, mine, id_)) == 200
        assert (the_payment().state, the_payment().provider_id) == ("asked", "")


def test_a_second_id_for_a_reference_is_told_to_people(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.confirm()
    mine, known = the_payment().reference, the_payment().provider_id
    told: list[str] = []
    monkeypatch.setattr(inbox.log, "error", lambda text, *values: told.append(text % values))
    assert shop.notify(mine, with_id(shop, mine, "pr-2")) == 200
    assert (the_payment().provider_id, the_payment().state) == (known, "waiting")
    assert told == [f"{mine} has a second payment at its provider: pr-2"]


def test_a_buyer_does_not_wait_for_a_lost_answer_to_choose_another_way(shop: Shop) -> None:
    shop.loses_the_answer()
    assert [one.state for one in shop.confirm(method="va_bca")] == ["held"]
    assert list(PaymentAttempt.objects.order_by("number").values_list("state", flat=True)) == ["closed", "waiting"]


def waits_for_its_turn(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> str:
    """An attempt that Xendit was never called for, because its turn is later; now its turn has come."""
    monkeypatch.setattr(payments.accounts["xendit"], "pace", 0.05)
    bridge.run(next_turn("xendit", pace=0.05))
    shop.confirm()
    assert (the_payment().payment_state, shop.codes(the_payment().reference)) == ("preparing", [])
    PaymentAttempt.objects.update(turn_at=timezone.now())
    return str(the_payment().reference)


def test_an_attempt_that_waits_for_its_turn_is_not_lost(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    reference = waits_for_its_turn(shop, monkeypatch)
    look_now()
    assert (the_payment().state, shop.codes(reference)) == ("asked", [])
    shop.confirm()
    assert (the_payment().state, shop.codes(reference)) == ("waiting", ["REQUIRES_ACTION"])


@pytest.mark.parametrize("guarded", [False, True])
def test_two_processes_whose_turn_has_come_make_one_code(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, *, guarded: bool
) -> None:
    reference = waits_for_its_turn(shop, monkeypatch)
    if not guarded:
        monkeypatch.setattr(ask_provider, "_take_turn", lambda _: True)
    answers = shop.confirm(times=3)
    assert all(isinstance(one, Reservation) or one.outcome is Outcome.UNKNOWN for one in answers)
    # Without the guard the race happens.
    assert len(shop.codes(reference)) == (1 if guarded else 3)
    assert (the_payment().state, the_payment().reference) == ("waiting", reference)


def test_a_call_that_was_too_much_waits_for_a_later_turn_and_is_not_lost(shop: Shop) -> None:
    shop.control.fault(Fault.RATE_LIMIT, on="begin")
    (held,) = shop.confirm()
    assert (held.state, the_payment().payment_state) == ("held", "preparing")
    assert shop.codes(the_payment().reference) == []
    PaymentAttempt.objects.update(turn_at=timezone.now())
    shop.confirm()
    assert (the_payment().state, shop.codes(the_payment().reference)) == ("waiting", ["REQUIRES_ACTION"])


def test_a_qr_code_without_an_end_is_closed_with_the_hold_and_late_money_goes_back(shop: Shop) -> None:
    shop.confirm()
    reference = the_payment().reference
    come_due(shop.sale)
    assert reap(shop.sale) == 1
    assert sweep_payments.settle_ended_holds() == 1
    assert (shop.state(), shop.codes(reference)) == (("expired", "declined"), ["CANCELED"])
    shop.pay(reference, force=True)
    assert (shop.notify(reference), shop.state()) == (200, ("expired", "refund_due"))
    refund_now()
    shop.control.advance(timedelta(days=2))
    # The notification of a refund has the reference of the refund. The refund itself is looked at.
    assert shop.notify(reference) == 200
    refund_now()
    assert shop.state() == ("expired", "refunded")
    assert shop.control.ledger() == {reference: Sums(PRICE, PRICE)}


@pytest.mark.parametrize("order", [(0, 1), (1, 0), ("look", 1)])
def test_two_payments_of_one_reference_are_both_seen_and_the_second_goes_back(
    shop: Shop, order: tuple[int | str, int]
) -> None:
    shop.confirm()
    reference = the_payment().reference
    if order[0] == "look":
        shop.pay(reference)
        look_now()
        shop.pay(reference, force=True)
    else:
        shop.pay(reference)
        shop.pay(reference, force=True)
    hooks = shop.control.webhooks(reference)
    for which in order:
        if isinstance(which, int):
            assert shop.notify(reference, hooks[which]) == 200
    attempt = the_payment()
    assert (int(attempt.paid or 0), len(attempt.parts), attempt.state) == (2 * PRICE, 2, "paid")
    assert Refund.objects.get().amount == PRICE
    refund_now()
    shop.control.advance(timedelta(days=2))
    refund_now()
    for hook in hooks:
        shop.notify(reference, hook)
    assert (Refund.objects.get().state, shop.state()) == ("confirmed", ("confirmed", "paid"))
    assert shop.control.ledger() == {reference: Sums(2 * PRICE, PRICE)}


def test_a_failed_try_after_a_payment_does_not_hide_the_payment(shop: Shop) -> None:
    shop.confirm()
    reference = the_payment().reference
    shop.pay(reference)
    shop.notify(reference)
    lie = shop.control.forge(reference, {"data.payment_id": "py-of-another-shop"}, signed="altered")
    assert shop.notify(reference, lie) == 200
    assert (int(the_payment().paid or 0), the_payment().state, len(the_payment().parts)) == (PRICE, "paid", 1)


def test_a_paid_second_request_of_our_reference_is_for_people(shop: Shop, xendit: Gateway) -> None:
    shop.confirm()
    mine = the_payment().reference
    shop.pay(mine)
    shop.notify(mine)
    request_id(xendit, reference=mine)
    shop.pay(mine)
    assert shop.notify(mine) == 200
    attempt = PaymentAttempt.objects.get()
    assert (attempt.state, int(attempt.paid or 0), waits_for(attempt)) == ("paid", PRICE, ["doubt-second"])


@pytest.mark.parametrize(("account", "count"), [("081234567890", 1), ("", 0)])
def test_the_wallet_that_paid_is_kept_as_a_digest_if_xendit_tells_it(shop: Shop, account: str, count: int) -> None:
    shop.confirm(method="dana")
    reference = the_payment().reference
    shop.pay(reference, account=account)
    assert (shop.notify(reference), shop.state()) == (200, ("confirmed", "paid"))
    row = Reservation.objects.get()
    digests = digester(bytes(row.sale.campaign.salt).hex(), row.sale.campaign.canon_version)
    told = [digests.digest(Axis.PAYMENT, f"xendit:DANA:{account}").hex()] * count
    assert list(row.traits.filter(axis="payment").values_list("digest", flat=True)) == told
    assert "081234567890" not in str(list(PaymentAttempt.objects.values()) + list(Trait.objects.values()))
