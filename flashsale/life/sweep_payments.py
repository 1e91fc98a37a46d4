"""Sweep: all that waits for payment providers is done when its date has come, the most urgent first.

Each kind of work can also be done alone. The order is: notifications, holds that have ended, attempts whose time is
over, refunds, and the rest of the looks.
"""

import logging
from datetime import datetime
from typing import TYPE_CHECKING

from flashsale.gate import bridge
from flashsale.life import ask_provider
from flashsale.life.inbox import NOTICES
from flashsale.life.next_look import next_look
from flashsale.life.provider_lanes import Kind, Result, work_off
from flashsale.life.refund import REFUNDS
from flashsale.life.settle import settle
from flashsale.models import PaymentAttempt
from flashsale.providers import payments
from flashsale.rules.states import ENDED_UNPAID, OPEN_ATTEMPTS, ReservationState, StandingState

if TYPE_CHECKING:
    from django.db.models import QuerySet

log = logging.getLogger(__name__)
LIVE = [ReservationState.HELD, ReservationState.CONFIRMED]


def work_off_all() -> int:
    """Does all that is due at the payment providers; returns how many rows were asked about."""
    return bridge.run(work_off(KINDS)).total()


def settle_ended_holds() -> int:
    """Ends attempts under way whose holds have ended; returns how many are settled.

    Each is closed at the provider first, so that no more money comes for it.
    """
    return bridge.run(work_off([ENDED_HOLDS]))[Result.DONE]


def look_due() -> int:
    """Asks the providers about the attempts that are due for a look; returns how many."""
    return bridge.run(work_off([DEADLINES, LOOKS])).total()


def _due(now: datetime) -> "QuerySet[PaymentAttempt]":
    # Those with money about which people decide have a date, too, but the provider has nothing to say about it.
    asked = PaymentAttempt.objects.filter(state__in=OPEN_ATTEMPTS + ENDED_UNPAID)
    return asked.filter(next_look_at__lte=now).order_by("next_look_at")


def _ended(now: datetime) -> "QuerySet[PaymentAttempt]":
    return _due(now).filter(state__in=OPEN_ATTEMPTS).exclude(reservation__state__in=LIVE)


def _over(now: datetime) -> "QuerySet[PaymentAttempt]":
    return _due(now).filter(state__in=OPEN_ATTEMPTS, reservation__state__in=LIVE, expires_at__lte=now)


def _rest(now: datetime) -> "QuerySet[PaymentAttempt]":
    open_ones = _due(now).filter(state__in=OPEN_ATTEMPTS)
    return _due(now).exclude(pk__in=open_ones.exclude(reservation__state__in=LIVE).order_by().values("pk"))


async def _close(attempt: PaymentAttempt) -> None:
    standing = await ask_provider.close(attempt)
    await settle(reference=attempt.reference, standing=standing)


async def look_and_settle(attempt: PaymentAttempt) -> None:
    """Asks how an attempt stands, and settles it. Raises ProviderDown, GateDown and Refused."""
    standing = await ask_provider.look(attempt)
    if standing.state is StandingState.UNKNOWN and ask_provider.is_lost(attempt):
        # No buyer has its code, and it cannot be begun again. Money that comes for it is late money.
        log.error("the answer about %s was lost; it ends, and its buyer may choose again", attempt.reference)
        standing = payments.Standing(StandingState.CLOSED)
    if standing.state is not StandingState.UNKNOWN:
        await settle(reference=attempt.reference, standing=standing)


ENDED_HOLDS = Kind(_ended, "account", _close, next_look)
DEADLINES = Kind(_over, "account", look_and_settle, next_look)
LOOKS = Kind(_rest, "account", look_and_settle, next_look)
KINDS = (NOTICES, ENDED_HOLDS, DEADLINES, REFUNDS, LOOKS)
