"""Many calls to providers at once: in order, within the pace, and one account holds up no other one."""

import asyncio
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from flashsale.gate import bridge
from flashsale.gate.provider_pace import background_wait, next_turn
from flashsale.life import inbox, provider_lanes, sweep_payments
from flashsale.life.next_look import next_look
from flashsale.life.refund import refund_due
from flashsale.models import Inbox, PaymentAttempt, Refund, Reservation
from flashsale.models.payment import new_reference
from flashsale.providers import payments
from flashsale.providers.payments import RefundStanding, Standing, StandingState
from tests.faults.steps import buy, called, due_again, paid_elsewhere, the_payment

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]


class Bank(payments.DemoProvider):
    """A provider that takes its time, or never answers."""

    def __init__(self, account: str, *, seconds: float = 0.0, pace: float = 5000.0) -> None:
        self.account, self.pace, self.seconds = account, pace, seconds
        self.down = False
        self.says = StandingState.CLOSED
        self.asked: list[str] = []
        self.at_once = self.most_at_once = 0

    async def refund(self, back: payments.RefundRequest) -> RefundStanding:
        await self._answer(back.reference)
        return RefundStanding("confirmed", f"back-{back.reference}")

    async def look_refund(self, back: payments.RefundRequest) -> RefundStanding:  # noqa: ARG002
        return RefundStanding("unknown")

    async def look(self, asked: payments.Attempt) -> Standing:
        await self._answer(asked.reference)
        return Standing(self.says)

    close = look

    async def _answer(self, reference: str) -> None:
        self.asked.append(reference)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(3600 if self.down else self.seconds)
        finally:
            self.at_once -= 1


@pytest.fixture
def banks(monkeypatch: pytest.MonkeyPatch) -> dict[str, Bank]:
    """Two accounts besides that of the demo."""
    made = {name: Bank(name) for name in ("a", "b")}
    monkeypatch.setattr(payments, "accounts", {**payments.accounts, **made})
    return made


@pytest.fixture
def order() -> Reservation:
    _, (ani, _) = called("ani", "budi")
    return buy(ani)


def attempts(order: Reservation, account: str, count: int, **fields: Any) -> list[PaymentAttempt]:
    """Attempts that ended without money, each with its own reference."""
    now, first = timezone.now(), PaymentAttempt.objects.filter(reservation=order).count() + 1
    values: dict[str, Any] = {
        "account": account, "method": "qris", "amount": 5, "currency": "IDR", "made_at": now, "settled_at": now,
        "state": "closed", "expires_at": now,
    } | fields  # fmt: skip
    made = [
        PaymentAttempt(reservation=order, number=number, reference=new_reference(number), **values)
        for number in range(first, first + count)
    ]
    return PaymentAttempt.objects.bulk_create(made)


def owe(order: Reservation, account: str, count: int) -> list[str]:
    """Refunds that are due, the first one since the longest time."""
    now = timezone.now()
    late = attempts(order, account, count, state="late", paid=5)
    rows = [
        Refund(
            attempt=attempt, reference=new_reference(attempt.number, kind="fr"), amount=Decimal(5), why="late",
            made_at=now, next_look_at=now - timedelta(seconds=count - place),
        )
        for place, attempt in enumerate(late)
    ]  # fmt: skip
    return [row.reference for row in Refund.objects.bulk_create(rows)]


def test_two_thousand_refunds_of_300_ms_are_sent_in_seconds_and_each_once(
    order: Reservation, banks: dict[str, Bank], monkeypatch: pytest.MonkeyPatch
) -> None:
    banks["b"].seconds = 0.3
    owed = owe(order, "b", 2000)
    began = time.monotonic()
    monkeypatch.setattr(provider_lanes, "WORK_FOR_S", 300.0)
    assert [refund_due(), refund_due()] == [2000, 0]
    seconds = time.monotonic() - began
    # One after the other would take ten minutes. About ten seconds on an idle machine with two cores.
    assert seconds < 120, seconds
    print(f"2000 refunds at 300 ms: {seconds:.1f} s, {banks['b'].most_at_once} at once")  # noqa: T201 - a measurement
    assert sorted(banks["b"].asked) == sorted(owed)
    assert set(Refund.objects.values_list("state", flat=True)) == {"confirmed"}
    assert banks["b"].most_at_once <= provider_lanes.OPEN_CALLS


def test_an_account_that_never_answers_does_not_hold_up_another_one(
    order: Reservation, banks: dict[str, Bank], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flashsale.life.ask_provider.ANSWER_S", 2.0)
    banks["a"].down = True
    owe(order, "a", 500)
    owe(order, "b", 500)
    done_at: list[float] = []
    answer = banks["b"].refund

    async def timed(back: payments.RefundRequest) -> RefundStanding:
        done_at.append(time.monotonic())
        return await answer(back)

    monkeypatch.setattr(banks["b"], "refund", timed)
    refund_due()
    states = {account: Refund.objects.filter(attempt__account=account) for account in "ab"}
    assert set(states["b"].values_list("state", flat=True)) == {"confirmed"}
    assert set(states["a"].values_list("state", flat=True)) == {"due"}
    assert banks["a"].most_at_once <= provider_lanes.FIRST_CALLS, "few calls are open until one is answered"
    assert len(banks["a"].asked) < 3 * provider_lanes.FIRST_CALLS
    assert done_at[-1] - done_at[0] < 60


def test_the_rows_of_a_provider_that_is_down_are_due_again_soon_and_then_done(
    order: Reservation, banks: dict[str, Bank], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flashsale.life.ask_provider.ANSWER_S", 0.05)
    banks["a"].down = True
    owe(order, "a", 20)
    refund_due()
    dates = Refund.objects.values_list("next_look_at", flat=True)
    soon = timezone.now() + provider_lanes.AGAIN
    assert all(timezone.now() < at <= soon for at in dates if at)
    banks["a"].down = False
    due_again()
    assert [refund_due(), refund_due()] == [20, 0]
    assert set(Refund.objects.values_list("state", flat=True)) == {"confirmed"}


def test_ten_thousand_due_rows_are_worked_off_hints_first_then_deadlines_then_refunds_then_the_rest_by_date(
    order: Reservation, banks: dict[str, Bank], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(banks["b"], "pace", 1e6)
    banks["b"].says = StandingState.UNKNOWN
    now = timezone.now()
    rest = attempts(order, "b", 9940)
    # The oldest dates have the highest numbers, so that the order of the ids is wrong.
    for place, attempt in enumerate(rest):
        attempt.next_look_at = now - timedelta(seconds=1 + place)
    PaymentAttempt.objects.bulk_update(rest, ["next_look_at"], batch_size=2000)
    owed = owe(order, "b", 30)
    hinted = attempts(order, "b", 30)
    for attempt in hinted:
        inbox.store(account="b", references=[attempt.reference], body=b"", headers={})
    bridge.run(provider_lanes.work_off(sweep_payments.KINDS, accounts=["b"], seconds=300))
    wanted = [
        *(attempt.reference for attempt in hinted),
        *owed,
        *(attempt.reference for attempt in reversed(rest)),
    ]
    # Calls of one claim begin in the order of their dates, and a claim is never before an earlier kind.
    assert banks["b"].asked == wanted
    assert not PaymentAttempt.objects.filter(next_look_at__lte=timezone.now()).exists()
    assert not Inbox.objects.filter(done_at=None).exists()


def test_an_attempt_whose_time_is_over_comes_before_refunds_and_the_rest(
    order: Reservation, banks: dict[str, Bank]
) -> None:
    past = timezone.now() - timedelta(seconds=5)
    (rest,) = attempts(order, "b", 1, next_look_at=past - timedelta(hours=1))
    (owed,) = owe(order, "b", 1)
    (over,) = attempts(order, "b", 1, state="waiting", settled_at=None, expires_at=past, next_look_at=past)
    bridge.run(provider_lanes.work_off(sweep_payments.KINDS, accounts=["b"]))
    assert banks["b"].asked == [over.reference, owed, rest.reference]


def test_two_processes_at_once_ask_about_each_row_once(order: Reservation, banks: dict[str, Bank]) -> None:
    owed = owe(order, "b", 300)
    banks["b"].seconds = 0.02

    async def two() -> Sequence[Any]:
        return await asyncio.gather(*(provider_lanes.work_off(sweep_payments.KINDS, accounts=["b"]) for _ in range(2)))

    counts = bridge.run(two())
    assert sum(count.total() for count in counts) == 300
    assert sorted(banks["b"].asked) == sorted(owed)


def test_a_row_whose_answer_is_a_fault_stops_no_other_row(
    order: Reservation, banks: dict[str, Bank], monkeypatch: pytest.MonkeyPatch
) -> None:
    owed = owe(order, "b", 50)
    answer = banks["b"].refund

    async def faulty(back: payments.RefundRequest) -> RefundStanding:
        if back.reference == owed[0]:
            raise KeyError("a field is missing")
        return await answer(back)

    monkeypatch.setattr(banks["b"], "refund", faulty)
    with pytest.raises(KeyError):
        refund_due()
    assert list(Refund.objects.exclude(state="confirmed").values_list("reference", flat=True)) == [owed[0]]


def test_background_calls_keep_the_pace_and_let_buyers_come_first() -> None:
    async def calls(count: int) -> float:
        began = time.monotonic()
        for _ in range(count):
            while (wait := await background_wait("x", pace=100)) > 0:  # noqa: ASYNC110 - Redis gives no event
                await asyncio.sleep(wait)
        return time.monotonic() - began

    assert bridge.run(calls(30)) >= 0.26

    async def with_buyers() -> tuple[float, float]:
        turns = [await next_turn("y", pace=20) for _ in range(100)]
        waits = [await background_wait("y", pace=20) for _ in range(10)]
        return turns[-1], max(waits)

    last, wait = bridge.run(with_buyers())
    assert last > 0.3, "a hundred buyers have their turns"
    assert wait <= 0.1, "the background has half of the pace, and does not wait for all buyers"


class TestAHint:
    @pytest.fixture
    def reference(self) -> str:
        _, (ani, _) = called("ani", "budi")
        return paid_elsewhere(ani)

    def test_wakes_a_process_that_settles_the_payment(self, reference: str) -> None:
        body, headers = payments.DemoProvider().signed_notification(reference=reference)
        inbox.store(account="demo", references=[reference], body=body, headers=headers)
        assert the_payment().payment_state == "started", "not in the request"

        async def awake() -> None:
            await inbox.read_hinted()
            await inbox._reading["demo"]
            await inbox.read_hinted()

        bridge.run(awake())
        assert (the_payment().payment_state, Inbox.objects.get().result) == ("paid", "paid")

    def test_that_is_lost_leaves_the_row_to_the_sweep(self, reference: str, gate: Any) -> None:
        body, headers = payments.DemoProvider().signed_notification(reference=reference)
        inbox.store(account="demo", references=[reference], body=body, headers=headers)
        gate.delete("fs:notifications")
        bridge.run(inbox.read_hinted())
        assert the_payment().payment_state == "started"
        assert sweep_payments.work_off_all() == 1
        assert the_payment().payment_state == "paid"


@pytest.mark.parametrize(
    ("state", "age", "until_end", "wanted"),
    [
        ("waiting", 0, 600, 30),
        ("waiting", 30, 600, 90),
        ("waiting", 121, 600, 600),
        ("waiting", 121, 86_400, 3600),
        ("waiting", 800, 0, 120),
        ("waiting", 800, -120, 3600),
        ("waiting", 90_000, -86_401, 86_400),
        ("closed", 100, 600, 3600),
    ],
)
def test_an_attempt_is_looked_at_soon_at_first_then_at_its_end_then_hourly(
    state: str, age: int, until_end: int, wanted: int
) -> None:
    now = datetime.fromisoformat("2027-01-26T10:00:00+07:00")
    attempt = PaymentAttempt(
        account="demo", state=state, made_at=now - timedelta(seconds=age),
        expires_at=now + timedelta(seconds=until_end), settled_at=now,
    )  # fmt: skip
    found = next_look(attempt, now)
    assert found is not None
    assert (found - now).total_seconds() == wanted


def test_a_closed_attempt_is_not_looked_at_after_a_day() -> None:
    now = timezone.now()
    attempt = PaymentAttempt(account="demo", state="closed", made_at=now, settled_at=now - timedelta(hours=24))
    assert next_look(attempt, now) is None
