"""The steps of the random machine that move money: many payments in one batch, or one by one, with the same results."""

from collections import defaultdict
from collections.abc import Callable
from decimal import Decimal
from math import ceil
from typing import Any

from django.db.models import F
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from flashsale.gate import bridge, scripts
from flashsale.life import refund, settle, start_payment, sweep_payments
from flashsale.life.confirm import PaymentChoice
from flashsale.life.payment_request import Started, StartRequest
from flashsale.life.tell_gate import tell_gate
from flashsale.models import PaymentAttempt, Refund, ReservationUnit
from flashsale.providers import payments
from flashsale.rules.outcomes import Refused
from flashsale.rules.states import UnitState
from tests.factories import Shopper, card_of
from tests.life.buyers import buyer, confirm_now
from tests.oracle.footing import PRICES, Footing
from tests.oracle.model import Hold
from tests.oracle.money import SAID, WAYS, Attempt

some_hold = st.integers(0, 1000)


class Paying(Footing):
    """Part of the machine. `batched`: whether several payments are started and settled in one call."""

    batched: bool
    word: Callable[[Callable[[], Any]], tuple[str | None, Any]]

    @precondition(lambda self: self.oracle.holds)
    @rule(pick=some_hold, way=st.sampled_from(WAYS))
    def pays(self, pick: int, way: str) -> None:
        hold, shopper = self.somebodys_hold(pick)
        if hold.id is None:
            return
        foretold = self.oracle.confirm(hold, way)
        said, row = self.word(
            lambda: confirm_now(
                reservation=hold.id, channel=shopper.channel.id, buyer=buyer(hold.who), payment_choice=choice(hold, way)
            )
        )
        assert said == foretold
        assert said or row.state == hold.state

    @precondition(lambda self: self.oracle.holds)
    @rule(way=st.sampled_from(("wallet", "demo-later")))
    def all_begin_to_pay(self, way: str) -> None:
        """All buyers press the button. Their attempts start in one batch or one by one, and no bank is asked yet."""
        holds = [hold for hold in self.oracle.holds if hold.id and hold.state == "held" and not hold.attempts]
        requests = []
        for hold in holds:
            channel = Shopper(self.rows[hold.sale.name], hold.who, channel=hold.place.line.code).channel.id
            requests.append(StartRequest(hold.id, channel, buyer(hold.who), choice(hold, way), None))
        answers = self._work(start_payment.start_all, requests)
        for hold, answer in zip(holds, answers, strict=True):
            assert hold.sale.clock is not None
            if hold.sale.clock >= hold.deadline:
                assert isinstance(answer, Refused)
                assert answer.outcome == "expired"
                continue
            assert isinstance(answer, Started)
            attempt = PaymentAttempt.objects.get(reservation=hold.id)
            bridge.run(payments.DemoProvider().begin(asked(attempt)))
            hold.attempts.append(Attempt("demo-later", "asked"))

    @precondition(lambda self: any(hold.attempts for hold in self.oracle.holds))
    @rule(pick=some_hold, said=st.lists(st.sampled_from(SAID), min_size=1, max_size=6))
    def providers_say(self, pick: int, said: list[tuple[str, int, str]]) -> None:
        """What providers say about the last attempts of some holds takes effect, in one batch or one by one."""
        paying = [hold for hold in self.oracle.holds if hold.attempts]
        first = pick % len(paying)
        some = list(zip((paying[first:] + paying[:first]), said, strict=False))
        some = [(hold, word) for hold, word in some if self._is_decided(hold.attempts[-1], word)]
        late = [(hold, word) for hold, word in some if self._is_late(hold, word)]
        for hold, word in late:
            self._settles_late(hold, word)
        rest = [one for one in some if one not in late]
        answers = self._work(settle.settle_all, [settle.Answer(*standing(hold, word)) for hold, word in rest])
        for (hold, word), answer in zip(rest, answers, strict=True):
            before = hold.state
            hold.hear(hold.attempts[-1], *word, honoured=False)
            assert (answer.row.state, answer.attempt.state) == (hold.state, hold.attempts[-1].state)
            if before == "held" and hold.state == "confirmed":
                bridge.run(tell_gate(answer.row))

    @staticmethod
    def _is_decided(attempt: Attempt, word: tuple[str, int, str]) -> bool:
        """Whether the documents say what follows. They do not for more money, or none, after money that came."""
        more = attempt.state in {"paid", "reversed"} and word[0] == "paid"
        return attempt.state not in {"late", "mismatch"} and not more

    @staticmethod
    def _is_late(hold: Hold, word: tuple[str, int, str]) -> bool:
        exact = word[0] == "paid" and word[1] >= 0 and word[2] == "IDR"
        return exact and hold.attempts[-1].is_open and hold.state == "expired"

    def _settles_late(self, hold: Hold, word: tuple[str, int, str]) -> None:
        """Money comes for an expired hold. Redis tells how much is promised, PostgreSQL whether its units are free."""
        row = self.rows[hold.sale.name]
        card = card_of(row)
        line = card.line_of_allocation(next(x.id for x in card.lines if x.line_id == hold.place.line.line_id))
        figures: Any = bridge.run(scripts.survey(card, line))
        units = ReservationUnit.objects.filter(reservation=hold.id).values_list("unit__state", flat=True)
        honours = self.oracle.honours(
            hold, units_free=set(units) == {UnitState.FREE}, promised=ceil(figures.open_claims * figures.expected)
        )
        reference, says = standing(hold, word)
        told, answer = self.word(lambda: bridge.run(settle.settle(reference=reference, standing=says)))
        if hold.sale.paused and not hold.sale.closed and set(units) == {UnitState.FREE}:
            assert told == "unknown"
            return
        assert told is None
        hold.hear(hold.attempts[-1], *word, honoured=honours)
        if honours:
            self.oracle.honoured(hold)
        assert (answer.row.state, answer.attempt.state) == (hold.state, hold.attempts[-1].state)

    @rule()
    def the_sweep_runs(self) -> None:
        sweep_payments.settle_ended_holds()
        refund.refund_due()
        for hold in self.oracle.holds:
            if hold.state not in {"held", "confirmed"}:
                hold.close()
            hold.refunded()

    @precondition(lambda self: any("sent" in a.refunds.values() for h in self.oracle.holds for a in h.attempts))
    @rule(pick=some_hold)
    def a_partner_has_refunded(self, pick: int) -> None:
        sent = list(
            Refund.objects.filter(state="sent", attempt__reservation__sale__in=self.rows.values()).order_by("pk")
        )
        row = sent[pick % len(sent)]
        hold = next(hold for hold in self.oracle.holds if hold.id == row.attempt.reservation_id)
        for reference in ("R-1", "R-2"):
            refund.partner_refunded(
                reservation=hold.id, channel=row.attempt.reservation.channel_id, refund=row.reference,
                reference=reference,
            )  # fmt: skip
        row.refresh_from_db()
        assert row.provider_id == "R-1"
        hold.attempts[row.attempt.number - 1].refunds[row.why] = "confirmed"

    def _work(self, work: Callable[[Any], list[Any]], items: list[Any]) -> list[Any]:
        return work(items) if self.batched else [work([item])[0] for item in items]

    def money_in_books(self) -> dict[Any, list[Any]]:
        """The state of each attempt and its refunds, by reservation."""
        found: dict[Any, list[Any]] = defaultdict(list)
        attempts = PaymentAttempt.objects.filter(reservation__sale__in=self.rows.values()).order_by("number")
        for attempt in attempts.prefetch_related("refunds"):
            refunds = tuple(sorted((row.why, row.state) for row in attempt.refunds.all()))
            found[attempt.reservation_id].append((attempt.state, refunds))
        return dict(found)


def choice(hold: Hold, way: str) -> PaymentChoice:
    """The payment of a hold by this way."""
    method = "partner" if way.startswith("partner") else "qris"
    return PaymentChoice(price=price(hold), method=method, instrument=way)


def price(hold: Hold) -> int:
    """The official price of a hold's units."""
    return sum(PRICES[sku] * quantity for sku, quantity in hold.items)


def asked(attempt: PaymentAttempt) -> payments.Attempt:
    """The attempt as the demo's bank gets it: it is paid later."""
    return payments.Attempt(
        attempt.reference, attempt.amount, attempt.currency, attempt.method, attempt.expires_at, "", payments.DEMO_LATER
    )  # fmt: skip


def standing(hold: Hold, word: tuple[str, int, str]) -> tuple[str, payments.Standing]:
    """The reference of a hold's last attempt, and what its provider says."""
    said, over, currency = word
    attempt = PaymentAttempt.objects.filter(reservation=hold.id).order_by(F("number").desc())[0]
    paid = Decimal(price(hold) + over if said == "paid" else 0)
    return attempt.reference, payments.Standing(payments.StandingState(said), "", paid, currency)
