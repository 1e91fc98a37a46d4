"""Look now: asks the payment provider about all attempts and refunds of one order at once, for a person who waits.

What it answers takes effect as it does in the sweep (settle.py, refund.py), so to ask again is safe at any time.
"""

import asyncio
import time
from typing import Any

from django.db import Error, transaction

from flashsale.gate import bridge
from flashsale.gate.client import GateDown
from flashsale.gate.provider_pace import background_wait
from flashsale.life.refund import ask_about_refund, refunds_to_look_at
from flashsale.life.sweep_payments import look_and_settle
from flashsale.models import PaymentAttempt, Record, Refund, Reservation
from flashsale.providers import payments
from flashsale.rules.outcomes import Refused
from flashsale.rules.states import AttemptState, RefundState

# A page waits no longer for its turn at the provider.
WAIT_S = 5.0


def look_now(*, order: Reservation, by: Any) -> tuple[int, int]:
    """How many attempts and refunds the provider was asked about, and how many of them got no answer. Safe to repeat.

    The trail notes who has asked. A refund that waits for an appeal or for people is not sent by this.
    """
    attempts = list(PaymentAttempt.objects.filter(reservation=order).exclude(state=AttemptState.MISMATCH))
    sent = refunds_to_look_at().filter(attempt__reservation=order, state=RefundState.SENT)
    known = [attempt for attempt in attempts if attempt.account in payments.accounts]
    refunds = [row for row in sent if row.attempt.account in payments.accounts]
    results = bridge.run(_ask_all(known, refunds))
    with transaction.atomic():
        facts = {"asked": len(results), "no_answer": results.count(False)}
        Record.write("look_now", by=by, sale=order.sale, subject=order, facts=facts)
    return len(results), results.count(False)


async def _ask_all(attempts: list[PaymentAttempt], refunds: list[Refund]) -> list[bool]:
    rows: list[PaymentAttempt | Refund] = [*attempts, *refunds]
    return [await _answered(row) for row in rows]


async def _may_ask(account: str) -> bool:
    """Waits until no buyer's call needs the pace of the account; False if that takes too long."""
    until = time.monotonic() + WAIT_S
    while wait := await background_wait(account, pace=payments.account_of(account).pace):
        if time.monotonic() + wait > until:
            return False
        await asyncio.sleep(wait)
    return True


async def _answered(row: PaymentAttempt | Refund) -> bool:
    account = row.account if isinstance(row, PaymentAttempt) else row.attempt.account
    try:
        if not await _may_ask(account):
            return False
        if isinstance(row, PaymentAttempt):
            await look_and_settle(row)
        else:
            await ask_about_refund(row)
    except (payments.ProviderDown, GateDown, Refused, Error):
        return False
    return True
