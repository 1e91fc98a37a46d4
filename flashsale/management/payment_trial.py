"""Tries a payment account step by step, with the keys of this server: begin, show, look until it ends, close."""

import io
import time
from collections.abc import Callable
from datetime import timedelta

import segno
from django.db import DatabaseError
from django.utils import timezone

from flashsale.gate import bridge
from flashsale.models import Inbox
from flashsale.models.payment import new_reference
from flashsale.providers import payments
from flashsale.rules.states import StandingState

Say = Callable[[str], None]
OPEN = {StandingState.WAITING, StandingState.REVIEW}
NOTIFIED_S = 20.0


class Trial:
    """One payment of a trial. It writes no row, so PostgreSQL does not know its reference."""

    def __init__(
        self, provider: payments.PaymentProvider, method: payments.Method, say: Say, *, every_s: float
    ) -> None:
        self._provider, self._method, self._say, self._every_s = provider, method, say, every_s

    def run(self, *, amount: int, minutes: float, wait_s: float, refund: bool) -> bool:
        """Plays all steps, and says what happened in each. Returns whether they all went well.

        `amount` is in whole rupiah. `minutes` is how long the code can be paid, and `wait_s` how many seconds the trial
        waits for the money before it closes the payment.
        """
        ends = timezone.now() + timedelta(minutes=minutes)
        asked = payments.Attempt(new_reference(1, kind="try"), amount, "IDR", self._method.name, ends, fresh=True)
        try:
            standing = self._begin(asked)
            asked = asked._replace(provider_id=standing.provider_id, fresh=False)
            standing = self._look_until_over(asked, standing, wait_s)
            if standing.state is StandingState.PAID:
                return self._paid(asked, standing) and (not refund or self._refund(asked, standing))
            return self._close(asked, standing)
        except payments.ProviderRefuses as error:
            self._say(f"REFUSED  {error.detail}")
        except payments.ProviderBusy as error:
            self._say(f"BUSY     run the command again in {error.after:g} s")
        except payments.ProviderDown as error:
            self._say(f"DOWN     {error}: run the command again")
        return False

    def _begin(self, asked: payments.Attempt) -> payments.Standing:
        self._say(f"begin    {asked.reference}: IDR {asked.amount} by {asked.method}")
        standing = bridge.run(self._provider.begin(asked))
        self._say(f"         {standing.state}, {standing.provider_id}")
        if standing.instructions:
            self._show(standing.instructions)
        return standing

    def _show(self, shown: payments.Instructions) -> None:
        for name, value in shown._asdict().items():
            if value and name != "kind":
                self._say(f"         {name}: {value}")
        if shown.qr:
            picture = io.StringIO()
            segno.make(shown.qr, error="m").terminal(picture, border=2, compact=True)
            self._say(picture.getvalue())

    def _look_until_over(
        self, asked: payments.Attempt, standing: payments.Standing, wait_s: float
    ) -> payments.Standing:
        ends = time.monotonic() + wait_s
        self._say(f"look     every {self._every_s:g} s for {wait_s:g} s: pay it now, or press Ctrl-C to close it")
        try:
            while standing.state in OPEN and time.monotonic() < ends:
                time.sleep(self._every_s)
                before, standing = standing.state, bridge.run(self._provider.look(asked))
                if standing.state is not before:
                    self._say(f"         {standing.state}")
        except KeyboardInterrupt:
            self._say("         stopped")
        return standing

    def _paid(self, asked: payments.Attempt, standing: payments.Standing) -> bool:
        exact = standing.paid == asked.amount and standing.currency == asked.currency
        when = f" at {standing.paid_at.isoformat()}" if standing.paid_at else ""
        fee = f", fee on top {standing.fee}" if standing.fee else ""
        self._say(f"PAID     {standing.currency} {standing.paid}{when}{fee}{'' if exact else ': NOT what was asked'}")
        self._say(f"notified {self._notified(asked)}")
        return exact

    def _notified(self, asked: payments.Attempt) -> str:
        """Whether the provider's notification reached this site, which stores it although its reference is unknown."""
        ends = time.monotonic() + NOTIFIED_S
        try:
            rows = Inbox.objects.filter(account=self._provider.account, reference=asked.reference)
            while not rows.exists():
                if time.monotonic() > ends:
                    return f"no, not within {NOTIFIED_S:.0f} s: does the provider know the address of this site?"
                time.sleep(min(1.0, self._every_s))
        except DatabaseError:
            return "not known, because PostgreSQL does not answer"
        return "yes, and its signature is right"

    def _refund(self, asked: payments.Attempt, standing: payments.Standing) -> bool:
        back = payments.RefundRequest(new_reference(1, kind="tryrf"), standing.paid, asked.currency, asked)
        self._say(f"refund   {back.reference}: {back.amount}")
        answer = bridge.run(self._provider.refund(back))
        self._say(f"         {answer.state} {answer.provider_id} {answer.why}".rstrip())
        return answer.state in {"sent", "confirmed"}

    def _close(self, asked: payments.Attempt, standing: payments.Standing) -> bool:
        if standing.state not in OPEN:
            self._say(f"OVER     {standing.state}")
            return False
        self._say("close")
        standing = bridge.run(self._provider.close(asked))
        self._say(f"         {standing.state}: {'paid after all' if standing.paid else 'it takes no money any more'}")
        again = bridge.run(self._provider.begin(asked))
        code = "A SECOND CODE" if again.instructions else "no second code"
        self._say(f"         begin once more: {again.state}, {code}")
        return standing.state is StandingState.CLOSED and again.instructions is None
