"""When a payment that waits because its provider takes no more calls should ask again."""

import math
import uuid

from flashsale.models import PaymentAttempt
from flashsale.rules import wall_clock
from flashsale.rules.states import OPEN_ATTEMPTS, PaymentState

# A longer wait is asked about in between, so that a buyer sees that it goes on.
ASK_S_MAX = 60
# Callers spread their wait by a fifth. They hear less than the whole wait, so that they do not come after their turn.
SPREAD = 1.2


def seconds_until(attempt: PaymentAttempt | None) -> int:
    """Whole seconds after which the same request asks again, at least 1; 0 for an attempt that waits for no turn."""
    if attempt is None or attempt.turn_at is None or attempt.payment_state != PaymentState.PREPARING:
        return 0
    return min(ASK_S_MAX, max(1, math.ceil((attempt.turn_at - wall_clock.now()).total_seconds() / SPREAD)))


def seconds_until_turn(*, reservation: uuid.UUID) -> int:
    """As `seconds_until`, for the attempt under way of a reservation."""
    return seconds_until(PaymentAttempt.objects.filter(reservation=reservation, state__in=OPEN_ATTEMPTS).first())
