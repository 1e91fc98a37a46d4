"""A payment gateway that takes its time, for the bench: it pays everything, and stores nothing."""

import asyncio
import os
from decimal import Decimal

from flashsale.providers.payments import Attempt, DemoProvider, Standing, StandingState

LATENCY_S = float(os.environ.get("FLASHSALE_BENCH_GATEWAY_MS", "0")) / 1000


class SlowBank(DemoProvider):
    """Answers after FLASHSALE_BENCH_GATEWAY_MS."""

    pace = 1e6

    async def begin(self, asked: Attempt) -> Standing:
        """Paid, after the latency."""
        await asyncio.sleep(LATENCY_S)
        return Standing(StandingState.PAID, asked.reference, Decimal(asked.amount), asked.currency)
