"""The payment accounts of the story: Midtrans and Xendit as a shop uses them, with bounds that suit short holds.

A hold of the story lasts seconds, and both gateways let a code live for longer. So the codes get no end of ours, and we
close them when the hold ends, as with all methods whose end cannot be set.
"""

from collections.abc import Sequence
from datetime import timedelta

from flashsale.providers.payments import Attempt, Method, Standing
from flashsale.providers.payments.midtrans import Midtrans
from flashsale.providers.payments.xendit import Xendit

LIFE_MIN, GUARD = timedelta(seconds=0.5), timedelta(seconds=0.3)


def _quick(methods: Sequence[Method]) -> list[Method]:
    return [method._replace(life_min=LIFE_MIN, guard=GUARD, expiry_settable=False) for method in methods]


class StoryMidtrans(Midtrans):
    """Midtrans for holds of some seconds."""

    def methods(self) -> Sequence[Method]:
        """Those of Midtrans, also for short holds."""
        return _quick(super().methods())

    async def begin(self, asked: Attempt) -> Standing:
        """As Midtrans does, without an end of the code."""
        return await super().begin(asked._replace(expires_at=None))


class StoryXendit(Xendit):
    """Xendit for holds of some seconds."""

    def methods(self) -> Sequence[Method]:
        """Those of Xendit, also for short holds."""
        return _quick(super().methods())

    async def begin(self, asked: Attempt) -> Standing:
        """As Xendit does, without an end of the code."""
        return await super().begin(asked._replace(expires_at=None))
