"""`manage.py payments try`: what a shop sees when it tries its account, played with a simulated Midtrans."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from flashsale.management.commands import payments as command
from flashsale.models import Inbox, PaymentAttempt
from flashsale.providers import payments
from flashsale.providers.payments.midtrans import Midtrans
from simulation.gateways.client import Gateway
from simulation.gateways.faults import Fault

pytestmark = pytest.mark.django_db(transaction=True)


class Shop:
    """A person at the terminal who acts when a line is printed. `acts` maps the start of a line to what they do."""

    def __init__(self, gateway: Gateway) -> None:
        self.control = gateway.control
        self.lines: list[str] = []
        self.acts: dict[str, Callable[[], object]] = {}
        self.reference = ""

    def write(self, text: str) -> None:
        self.lines.append(text)
        if text.startswith("begin"):
            self.reference = text.split()[1].rstrip(":")
        for start, act in self.acts.items():
            if text.startswith(start):
                act()

    def pay(self) -> None:
        assert self.control.pay(self.control.codes(self.reference)[-1].value).accepted

    def notify(self) -> None:
        hook = self.control.webhooks(self.reference)[-1]
        now = timezone.now()
        Inbox.objects.create(
            account="midtrans",
            body=hook.body,
            headers={},
            hash="x",
            reference=self.reference,
            seen_at=now,
            next_look_at=now,
        )

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


@pytest.fixture
def shop(midtrans: Gateway, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Shop:
    settings.FLASHSALE_PAYMENT_KEYS = {"midtrans": (midtrans.key,)}
    settings.FLASHSALE_PAYMENT_HOSTS = {"midtrans": midtrans.url}
    accounts: Mapping[str, Any] = {"midtrans": Midtrans()}
    monkeypatch.setattr(payments, "configured", accounts)
    monkeypatch.setattr(command, "EVERY_S", 0.02)
    return Shop(midtrans)


def tried(shop: Shop, *options: str) -> int:
    try:
        call_command("payments", "try", "midtrans", *options, stdout=shop)
    except SystemExit as ended:
        return int(str(ended.code))
    return 0


def test_a_payment_that_is_made_and_notified_is_shown_step_by_step_and_goes_back(shop: Shop) -> None:
    shop.acts = {"look": lambda: (shop.pay(), shop.notify())}
    assert tried(shop, "--method", "qris", "--amount", "1000", "--refund") == 0
    assert "PAID     IDR 1000.00 at " in shop.text
    assert "qr: 000201" in shop.text
    # The QR code as text: blocks of a terminal.
    assert any("▄" in line or "█" in line or "\033[" in line for line in shop.lines)
    assert "notified yes, and its signature is right" in shop.text
    assert "sent" in shop.lines[-1]
    assert not PaymentAttempt.objects.exists()


def test_a_notification_that_does_not_come_is_said(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flashsale.management.payment_trial.NOTIFIED_S", 0.05)
    shop.acts = {"look": shop.pay}
    assert tried(shop, "--method", "va_bca") == 0
    assert "notified no, not within" in shop.text
    assert "number: " in shop.text


def test_a_payment_that_is_not_made_is_closed_and_gets_no_second_code(shop: Shop) -> None:
    assert tried(shop, "--wait", "0.05") == 0
    assert "closed: it takes no money any more" in shop.text
    assert "no second code" in shop.text
    assert [code.state for code in shop.control.codes(shop.reference)] == ["expire"]


def test_another_amount_than_asked_is_a_failure(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flashsale.management.payment_trial.NOTIFIED_S", 0.05)
    shop.acts = {"look": lambda: shop.control.pay(shop.control.codes(shop.reference)[-1].value, amount=999, force=True)}
    assert tried(shop) == 1
    assert "PAID     IDR 999.00" in shop.text
    assert "NOT what was asked" in shop.text


def test_a_key_that_is_refused_and_a_provider_that_is_down_are_said(shop: Shop) -> None:
    shop.control.fault(Fault.ERROR, on="begin")
    assert tried(shop) == 1
    assert "DOWN     Midtrans answers 500" in shop.text
    shop.control.rotate(key="SB-Mid-server-another")
    assert tried(shop) == 1
    assert "REFUSED  401" in shop.text


@pytest.mark.parametrize(
    ("options", "hosts", "words"),
    [
        ({"method": "ovo"}, {}, "midtrans has no method 'ovo'. It has: qris, gopay"),
        ({"amount": 20_000_000}, {}, "qris takes 1 to 10000000"),
        ({}, {"midtrans": "live"}, "money is real"),
    ],
)
def test_what_cannot_be_tried_is_refused_without_a_call(
    shop: Shop, settings: Any, options: dict[str, Any], hosts: dict[str, str], words: str
) -> None:
    settings.FLASHSALE_PAYMENT_HOSTS = settings.FLASHSALE_PAYMENT_HOSTS | hosts
    settings.FLASHSALE_DEMO = False
    with pytest.raises(CommandError, match=words):
        call_command("payments", "try", "midtrans", stdout=shop, **options)
    assert shop.control.calls() == {}
