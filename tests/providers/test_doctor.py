"""The rows of `manage.py doctor` about payment accounts: keys, host, clock, and whether the provider reaches us."""

from collections.abc import Iterator
from datetime import timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from django.utils import timezone

from flashsale.management import doctor_checks
from flashsale.management.doctor.check import Check
from flashsale.providers import payments
from flashsale.providers.payments import ProviderDown
from flashsale.providers.payments.midtrans import Midtrans
from tests.providers.scripted import Scripted, scripted


@pytest.fixture
def server(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scripted]:
    with scripted() as script:
        settings.FLASHSALE_PAYMENT_KEYS = {"midtrans": ("Mid-server-1",)}
        settings.FLASHSALE_PAYMENT_HOSTS = {"midtrans": script.url}
        settings.FLASHSALE_URL = "https://sale.example.co.id"
        monkeypatch.setattr(payments, "configured", {"midtrans": Midtrans()})
        yield script


def row(script: Scripted, code: str = "404", *, seconds_off: float = 0) -> Check:
    date = format_datetime(timezone.now() + timedelta(seconds=seconds_off), usegmt=False)
    script.add({"status_code": code, "status_message": "said so"}, Date=date)
    (found,) = doctor_checks._payments()
    return found


def test_an_account_that_is_set_up_is_fine(server: Scripted) -> None:
    found = row(server)
    assert (found.name, found.ok, found.found) == ("payments: midtrans", True, server.url)


def test_a_key_that_is_refused_is_a_problem(server: Scripted) -> None:
    found = row(server, "401")
    assert (found.ok, "401: said so" in found.found, "FLASHSALE_PAYMENT_KEYS" in found.fix) == (False, True, True)


def test_a_provider_that_does_not_answer_is_a_problem(server: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    (found,) = doctor_checks._payments()
    assert (found.ok, "no answer" in found.found) == (False, True)

    async def down(_: Any) -> Any:
        raise ProviderDown

    monkeypatch.setattr(Midtrans, "check", down)
    assert doctor_checks._payments()[0].found == "does not answer: ProviderDown"


@pytest.mark.parametrize(("seconds", "ok"), [(0, True), (20, True), (-20, True), (45, False), (-45, False)])
def test_a_clock_that_differs_by_more_than_half_a_minute_is_a_problem(
    server: Scripted, seconds: float, *, ok: bool
) -> None:
    found = row(server, seconds_off=seconds)
    assert found.ok is ok
    assert ("its clock differs by 4" in found.found) is not ok


def test_in_production_the_provider_must_reach_us_and_take_real_money(server: Scripted, settings: Any) -> None:
    settings.FLASHSALE_SIGNS_OF_PRODUCTION = ["FLASHSALE_HOSTS names sale.example.co.id"]
    assert row(server).ok
    settings.FLASHSALE_PAYMENT_HOSTS = {"midtrans": "sandbox"}
    assert "a sandbox takes no money" in row(server).found
    settings.FLASHSALE_PAYMENT_HOSTS = {}
    settings.FLASHSALE_URL = "http://10.0.0.1"
    found = row(server)
    assert (found.ok, "it cannot reach http://10.0.0.1/v1/payments/midtrans" in found.found) == (False, True)
    assert found.fix == "set FLASHSALE_URL to the https address of the site, on port 443"


def test_the_rows_are_part_of_doctor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_checks, "_CHECKS", ())
    assert [(check.name, check.ok) for check in doctor_checks.run_checks()] == [("payments: demo", True)]
