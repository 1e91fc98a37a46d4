"""Turns at a provider: calls keep its pace, also those that come after their turn or were refused together."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from flashsale.gate import bridge
from flashsale.life import ask_provider, payment_turn
from flashsale.life.confirm import confirm
from flashsale.models import DemoCharge, PaymentAttempt
from flashsale.providers import payments
from tests.factories import Shopper
from tests.faults.steps import called, the_payment
from tests.life.buyers import buyer, payment_choice

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]
PEOPLE, PACE = 12, 2.0


@pytest.fixture
def people(gate: Any, monkeypatch: pytest.MonkeyPatch) -> list[Shopper]:
    _, found = called(*(f"person-{n}" for n in range(PEOPLE)), stock=PEOPLE)
    for person in found:
        person.reserve()
    monkeypatch.setattr(payments.provider, "pace", PACE)
    return found


def all_confirm(people: list[Shopper]) -> None:
    """All send their request at once."""
    held = [(person.name, person.channel.id, person.reserve(key="once").id) for person in people]

    async def at_once() -> list[Any]:
        calls = [
            confirm(
                reservation=id_, channel=channel, buyer=buyer(name),
                payment_choice=payment_choice(instrument=payments.DEMO_LATER),
            )
            for name, channel, id_ in held
        ]  # fmt: skip
        return await asyncio.gather(*calls)

    bridge.run(at_once())


def turns() -> list[datetime]:
    return sorted(at for at in PaymentAttempt.objects.values_list("turn_at", flat=True) if at)


@pytest.mark.parametrize("guarded", [False, True])
def test_turns_that_have_passed_do_not_begin_at_once(
    people: list[Shopper], monkeypatch: pytest.MonkeyPatch, guarded: bool
) -> None:
    all_confirm(people)
    begun = DemoCharge.objects.count()
    # No process ran for an hour, and Redis has forgotten the pace by then.
    PaymentAttempt.objects.exclude(turn_at=None).update(turn_at=timezone.now() - timedelta(hours=1))
    if not guarded:
        monkeypatch.setattr(ask_provider, "TURN_S", timedelta(days=1))
    all_confirm(people)
    # Without the guard all of them begin. With it, those whose new turn comes within a second.
    assert DemoCharge.objects.count() - begun <= 1 + PACE if guarded else DemoCharge.objects.count() == PEOPLE
    assert len(turns()) == PEOPLE - DemoCharge.objects.count()
    assert turns() == [] or turns()[0] > timezone.now()


def test_calls_that_were_refused_together_come_back_one_after_the_other(
    people: list[Shopper], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def busy(_: payments.Attempt) -> payments.Standing:
        raise payments.ProviderBusy(after=5.0)

    monkeypatch.setattr(payments.provider, "pace", 1.0)
    monkeypatch.setattr(payments.provider, "begin", busy)
    all_confirm(people)
    apart = [later - earlier for earlier, later in zip(turns(), turns()[1:], strict=False)]
    assert len(turns()) == PEOPLE
    assert min(apart) > timedelta(seconds=0.5)


@pytest.mark.parametrize(("left_s", "told_s"), [(600, 60), (48, 40), (5, 5), (0.5, 1), (-100, 1)])
def test_a_caller_that_spreads_its_wait_by_a_fifth_comes_before_its_turn_is_lost(left_s: float, told_s: int) -> None:
    _, (ani, _) = called("ani", "budi")
    all_confirm([ani])
    attempt = the_payment()
    attempt.state, attempt.turn_at = "asked", timezone.now() + timedelta(seconds=left_s)
    assert payment_turn.seconds_until(attempt) == told_s
    assert left_s < 0 or told_s * payment_turn.SPREAD - left_s < ask_provider.TURN_S.total_seconds()
