"""Accounts of payment providers: their names, and whether a provider can reach our address."""

from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.urls import reverse

from flashsale.providers import payments
from flashsale.providers.payments import account_settings

MIDTRANS = "flashsale.providers.payments.midtrans.Midtrans"
DEMO = "flashsale.providers.payments.demo.DemoProvider"


def test_a_shop_may_have_two_accounts_at_one_provider(settings: Any) -> None:
    settings.FLASHSALE_PAYMENT_KEYS = {"midtrans": ("Mid-server-1",), "jakarta-2": ("Mid-server-2",)}
    found = payments._load(f"{MIDTRANS}, jakarta-2:{MIDTRANS},{DEMO}")
    assert list(found) == ["midtrans", "jakarta-2", "demo"]
    assert [one.account for one in found.values()] == list(found)


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        (f"{DEMO},{DEMO}", "two accounts have the name 'demo'"),
        (f"Jakarta:{MIDTRANS}", "'Jakarta' names no account"),
        (f"{'a' * 21}:{MIDTRANS}", "names no account"),
        (f"partner:{MIDTRANS}", "two accounts have the name 'partner'"),
        (f"other:{DEMO}", "cannot be made"),
        (MIDTRANS, "has no key of the payment account 'midtrans'"),
    ],
)
def test_an_account_that_cannot_be_is_named_at_the_start(settings: Any, entries: str, words: str) -> None:
    settings.FLASHSALE_PAYMENT_KEYS = {"partner": ("Mid-server-1",)}
    with pytest.raises(ImproperlyConfigured, match=words):
        payments._load(entries)


def test_the_address_for_notifications_is_the_one_that_answers(settings: Any) -> None:
    settings.FLASHSALE_URL = "https://sale.example.co.id/"
    path = reverse("payment-notification", args=["midtrans"])
    assert account_settings.notification_address("midtrans") == "https://sale.example.co.id" + path


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("https://sale.example.co.id/x", True),
        ("https://sale.example.co.id:443", True),
        ("https://1.1.1.1", True),
        ("http://sale.example.co.id", False),
        ("https://sale.example.co.id:8443", False),
        ("https://localhost", False),
        ("https://sale", False),
        ("https://sale.local", False),
        ("https://sale.internal.", False),
        ("https://127.0.0.1", False),
        ("https://10.1.2.3", False),
        ("https://[::1]", False),
        ("https://192.168.1.5:443", False),
        ("", False),
    ],
)
def test_an_address_is_public_if_a_provider_can_reach_it(address: str, *, public: bool) -> None:
    assert account_settings.is_public(address) is public
