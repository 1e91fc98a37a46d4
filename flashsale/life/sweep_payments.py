"""Sweep: attempts to pay without an answer are looked at when that is due, or end with their holds."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from django.db import Error
from django.utils import timezone

from flashsale.gate import bridge
from flashsale.gate.client import GateDown
from flashsale.life import ask_provider
from flashsale.life.next_look import next_look
from flashsale.life.settle import settle
from flashsale.models import PaymentAttempt
from flashsale.providers import payments
from flashsale.rules.outcomes import Refused
from flashsale.rules.states import OPEN_ATTEMPTS, ReservationState, StandingState

log = logging.getLogger(__name__)


def settle_ended_holds(*, most: int = 100) -> int:
    """Ends attempts under way whose holds have ended; returns how many are settled.

    Each is closed at the provider first, so that no more money comes for it.
    """
    left = PaymentAttempt.objects.filter(state__in=OPEN_ATTEMPTS).exclude(
        reservation__state__in=[ReservationState.HELD, ReservationState.CONFIRMED]
    )
    # Attempts that cannot be settled yet come up at every run. A random order keeps them from blocking the others.
    return bridge.run(_settle_all(list(left.order_by("?")[:most]), ask_provider.close))


def look_due(*, most: int = 100) -> int:
    """Asks the providers about the attempts that are due for a look; returns how many."""
    now = timezone.now()
    due = list(PaymentAttempt.objects.filter(next_look_at__lte=now).order_by("next_look_at")[:most])
    for attempt in due:
        # First, so that an attempt about which nothing can be learned does not come up at every run.
        PaymentAttempt.objects.filter(pk=attempt.pk, next_look_at=attempt.next_look_at).update(
            next_look_at=next_look(attempt, now)
        )
    bridge.run(_settle_all(due, ask_provider.look))
    return len(due)


async def _settle_all(
    attempts: Sequence[PaymentAttempt], ask: Callable[[PaymentAttempt], Awaitable[payments.Standing]]
) -> int:
    """Settles what the providers say about these attempts, many in one commit; returns how many are settled."""
    return sum(await asyncio.gather(*(_settle(attempt, ask) for attempt in attempts)))


async def _settle(attempt: PaymentAttempt, ask: Callable[[PaymentAttempt], Awaitable[payments.Standing]]) -> bool:
    try:
        standing = await ask(attempt)
        if standing.state is StandingState.UNKNOWN and ask_provider.is_lost(attempt):
            # No buyer has its code, and it cannot be begun again. Money that comes for it is late money.
            log.error("the answer about %s was lost; it ends, and its buyer may choose again", attempt.reference)
            standing = payments.Standing(StandingState.CLOSED)
        if standing.state is not StandingState.UNKNOWN:
            await settle(reference=attempt.reference, standing=standing)
    except (payments.ProviderDown, GateDown, Refused, Error) as error:
        log.warning("could not settle %s yet: %s", attempt.reference, error)
        return False
    return True
