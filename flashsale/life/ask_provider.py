"""Ask: calls of the payment providers about our rows, each within its pace and its time. Answers are checked."""

import asyncio
import time
from collections.abc import Awaitable
from datetime import timedelta
from typing import TypeVar

from flashsale import metrics
from flashsale.gate.client import GateDown
from flashsale.gate.provider_pace import next_turn
from flashsale.life.db_threads import run_in_db_thread
from flashsale.life.next_look import FIRST
from flashsale.models import PaymentAttempt, Refund
from flashsale.providers import payments
from flashsale.providers.payments.checked import checked_refund, checked_standing
from flashsale.rules import wall_clock
from flashsale.rules.states import AttemptState, RefundState, StandingState

Answer = TypeVar("Answer")
# The longest answer of a provider. A buyer who waits longer has gone.
ANSWER_S = 10.0
# The request waits for a turn that comes within this time. For a later turn, it answers that the payment is prepared.
WAIT_S = 1.0
# How long after its time a turn may be used. A buyer's browser and a partner's server come a little late.
TURN_S = timedelta(seconds=3)


async def begin(attempt: PaymentAttempt, instrument: str) -> payments.Standing | None:
    """Starts the payment at the provider. None if it takes no more calls now: the attempt has its turn later.

    Raises ProviderDown, also for an attempt whose answer was lost at a provider that does not find it by our reference:
    it must not be charged again, and the sweep ends it.
    """
    provider = payments.account_of(attempt.account)
    if is_lost(attempt):
        raise payments.ProviderDown("its first call has no answer yet, and the provider does not find it")
    wait = await _wait_for_turn(attempt, provider)
    if wait > WAIT_S:
        return None
    if wait > 0:
        await asyncio.sleep(wait)
    # A row that this process has just written has no id yet, so no process has called the provider for it.
    fresh = attempt.pk is None
    if not (fresh or attempt.provider_id or provider.looks_by_reference):
        fresh = await run_in_db_thread(_take_turn, attempt)
        if not fresh:
            raise payments.ProviderDown("another process calls the provider for this attempt")
    try:
        begun = provider.begin(asked(attempt, instrument)._replace(fresh=fresh))
        return checked_standing(await _in_time(begun, attempt.account, "begin"))
    except payments.ProviderRefuses:
        return payments.Standing(StandingState.FAILED)
    except payments.ProviderBusy as busy:
        if not fresh:
            raise
        # Nothing happened, so the attempt is as if no call was made. Calls that were refused together get turns that
        # are as far apart as the pace wants.
        wait = busy.after + await _next_turn(provider)
        attempt.turn_at = wall_clock.now() + timedelta(seconds=wait)
        await run_in_db_thread(_store_turn, attempt)
        return None


def is_lost(attempt: PaymentAttempt) -> bool:
    """Whether the answer of its first call is missing at a provider that does not find the attempt by our reference.

    The call may still be under way. It ends within ANSWER_S.
    """
    called = attempt.pk is not None and attempt.state == AttemptState.ASKED and attempt.turn_at is None
    if not called or attempt.provider_id:
        return False
    return not payments.account_of(attempt.account).looks_by_reference


async def look(attempt: PaymentAttempt) -> payments.Standing:
    """How the provider says that the attempt stands. Raises ProviderDown."""
    return await look_at(attempt.account, asked(attempt))


async def look_at(account: str, asked_for: payments.Attempt) -> payments.Standing:
    """As `look`, for what no row of ours is about. Raises ProviderDown."""
    return checked_standing(await _in_time(payments.account_of(account).look(asked_for), account, "look"))


async def close(attempt: PaymentAttempt) -> payments.Standing:
    """Ends the attempt at the provider, unless its money has come. Raises ProviderDown."""
    closed = payments.account_of(attempt.account).close(asked(attempt))
    return checked_standing(await _in_time(closed, attempt.account, "close"))


async def refund(row: Refund) -> payments.RefundStanding:
    """Asks for a refund, or how it stands if it was sent. Raises ProviderDown.

    A refund that was asked for without an answer is looked at first, because it may have been sent.
    """
    provider = payments.account_of(row.attempt.account)
    back = payments.RefundRequest(row.reference, row.amount, row.currency, asked(row.attempt), row.provider_id)
    if row.state != RefundState.DUE:
        return checked_refund(await _in_time(provider.look_refund(back), provider.account, "look_refund"))
    if row.times:
        known = await _in_time(provider.look_refund(back), provider.account, "look_refund")
        if known.state != "unknown":
            return checked_refund(known)
    return checked_refund(await _in_time(provider.refund(back), provider.account, "refund"))


def asked(attempt: PaymentAttempt, instrument: str = "") -> payments.Attempt:
    """The attempt as providers know it."""
    return payments.Attempt(
        attempt.reference, attempt.amount, attempt.currency, attempt.method, attempt.expires_at, attempt.provider_id,
        instrument, parts=tuple(attempt.parts or ()),
    )  # fmt: skip


async def _wait_for_turn(attempt: PaymentAttempt, provider: payments.PaymentProvider) -> float:
    """Seconds until the provider may be called for this attempt. A later turn is stored, so that a repeat keeps it.

    A turn is lost TURN_S after its time. Otherwise all turns that passed while no process ran would begin at once.
    """
    now = wall_clock.now()
    if attempt.turn_at is not None and attempt.turn_at > now - TURN_S:
        return (attempt.turn_at - now).total_seconds()
    if attempt.provider_id:
        return 0.0
    wait = await _next_turn(provider)
    if wait > WAIT_S:
        attempt.turn_at = now + timedelta(seconds=wait)
        await run_in_db_thread(_store_turn, attempt)
    return wait


async def _next_turn(provider: payments.PaymentProvider) -> float:
    try:
        return await next_turn(provider.account, pace=provider.pace)
    except GateDown:
        # A buyer can pay while Redis is away. The provider itself refuses what is too much.
        return 0.0


def _store_turn(attempt: PaymentAttempt) -> None:
    PaymentAttempt.objects.filter(reference=attempt.reference, state=AttemptState.ASKED).update(turn_at=attempt.turn_at)


def _take_turn(attempt: PaymentAttempt) -> bool:
    """Takes the turn of an attempt, in the one process that may make its first call. False in all others.

    The first look comes after that call has ended, because a look that finds nothing ends the attempt.
    """
    mine = PaymentAttempt.objects.filter(reference=attempt.reference, state=AttemptState.ASKED, turn_at__isnull=False)
    return mine.update(turn_at=None, next_look_at=wall_clock.now() + FIRST) == 1


async def _in_time(call: Awaitable[Answer], account: str, name: str) -> Answer:
    """The answer to a call of this name. Raises ProviderDown after ANSWER_S, and what the call raises."""
    began, result = time.perf_counter(), "down"
    try:
        async with asyncio.timeout(ANSWER_S):
            answer = await call
        result = "ok"
    except TimeoutError as error:
        raise payments.ProviderDown(f"no answer in {ANSWER_S:.0f} s") from error
    except payments.ProviderBusy:
        result = "busy"
        raise
    except (payments.ProviderRefuses, payments.NotYet):
        result = "refused"
        raise
    else:
        return answer
    finally:
        metrics.PAYMENT_SECONDS.observe(time.perf_counter() - began, account, name)
        metrics.PAYMENT_CALLS.add(account, name, result)
