"""Ask: calls of the payment providers about our rows, each within its pace and its time."""

import asyncio
from collections.abc import Awaitable
from datetime import timedelta
from typing import TypeVar

from django.utils import timezone

from flashsale.gate.client import GateDown
from flashsale.gate.provider_pace import next_turn
from flashsale.life.db_threads import run_in_db_thread
from flashsale.models import PaymentAttempt, Refund
from flashsale.providers import payments
from flashsale.rules.states import RefundState, StandingState

Answer = TypeVar("Answer")
# The longest answer of a provider. A buyer who waits longer has gone.
ANSWER_S = 10.0
# A turn that comes sooner than this is waited for; a later one is told to the buyer.
WAIT_S = 1.0


async def begin(attempt: PaymentAttempt, instrument: str) -> payments.Standing | None:
    """Starts the payment at the provider. None if it takes no more calls now: the attempt has its turn later.

    Raises ProviderDown.
    """
    provider = payments.account_of(attempt.account)
    wait = await _wait_for_turn(attempt, provider)
    if wait > WAIT_S:
        return None
    if wait > 0:
        await asyncio.sleep(wait)
    try:
        # A row that this process has just written has no id yet, so no process has called the provider for it.
        return await _in_time(provider.begin(asked(attempt, instrument)._replace(fresh=attempt.pk is None)))
    except payments.ProviderRefuses:
        return payments.Standing(StandingState.FAILED)


async def look(attempt: PaymentAttempt) -> payments.Standing:
    """How the provider says that the attempt stands. Raises ProviderDown."""
    return await _in_time(payments.account_of(attempt.account).look(asked(attempt)))


async def close(attempt: PaymentAttempt) -> payments.Standing:
    """Ends the attempt at the provider, unless its money has come. Raises ProviderDown."""
    return await _in_time(payments.account_of(attempt.account).close(asked(attempt)))


async def refund(row: Refund) -> payments.RefundStanding:
    """Asks for a refund, or how it stands if it was sent. Raises ProviderDown.

    A refund that was asked for without an answer is looked at first, because it may have been sent.
    """
    provider = payments.account_of(row.attempt.account)
    back = payments.RefundRequest(row.reference, row.amount, row.currency, asked(row.attempt), row.provider_id)
    if row.state != RefundState.DUE:
        return await _in_time(provider.look_refund(back))
    if row.times and (known := await _in_time(provider.look_refund(back))).state != "unknown":
        return known
    return await _in_time(provider.refund(back))


def asked(attempt: PaymentAttempt, instrument: str = "") -> payments.Attempt:
    """The attempt as providers know it."""
    return payments.Attempt(
        attempt.reference, attempt.amount, attempt.currency, attempt.method, attempt.expires_at, attempt.provider_id,
        instrument,
    )  # fmt: skip


async def _wait_for_turn(attempt: PaymentAttempt, provider: payments.PaymentProvider) -> float:
    """Seconds until the provider may be called for this attempt. A later turn is stored, so that a repeat keeps it."""
    now = timezone.now()
    if attempt.turn_at is not None:
        return (attempt.turn_at - now).total_seconds()
    if attempt.provider_id:
        return 0.0
    try:
        wait = await next_turn(provider.account, pace=provider.pace)
    except GateDown:
        # A buyer can pay while Redis is away. The provider itself refuses what is too much.
        return 0.0
    if wait > WAIT_S:
        attempt.turn_at = now + timedelta(seconds=wait)
        await run_in_db_thread(_store_turn, attempt)
    return wait


def _store_turn(attempt: PaymentAttempt) -> None:
    PaymentAttempt.objects.filter(reference=attempt.reference).update(turn_at=attempt.turn_at)


async def _in_time(call: Awaitable[Answer]) -> Answer:
    try:
        async with asyncio.timeout(ANSWER_S):
            return await call
    except TimeoutError as error:
        raise payments.ProviderDown(f"no answer in {ANSWER_S:.0f} s") from error
