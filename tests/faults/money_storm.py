"""A storm over all payment providers: the shop, its buyers, what the gateways do wrong, and kills of our process."""

import asyncio
import inspect as python
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.test import Client

from flashsale.gate import bridge, scripts
from flashsale.gate.client import GateDown
from flashsale.life import (
    ask_provider,
    bank_account,
    cancel,
    confirm,
    inbox,
    refund,
    settle,
    sweep_payments,
    tick,
)
from flashsale.models import DemoCharge, PaymentAttempt, Refund, Reservation, Sale
from flashsale.providers import payments
from flashsale.rules.bank_accounts import Account
from flashsale.rules.outcomes import RETRYABLE, Outcome, Refused
from flashsale.rules.states import OPEN_ATTEMPTS
from simulation.gateways.client import Gateway
from simulation.gateways.faults import Fault
from tests.factories import PHONE, Shopper, lobby_sale, open_now, poco_campaign, tend
from tests.faults.steps import Died, come_due, due_again, reap
from tests.life.buyers import buyer, payment_choice
from tests.races.crowd import wish

PRICE = 1_799_000
CHANNELS = ("demo", "partner", "midtrans", "xendit")
# How often each fault of the simulators strikes a call or a webhook, and the fields that it changes.
FAULTS: Mapping[Fault, float] = {
    Fault.DROP: 0.08, Fault.ERROR: 0.06, Fault.RESET: 0.04, Fault.UNAVAILABLE: 0.04, Fault.RATE_LIMIT: 0.04,
    Fault.SLOW: 0.05, Fault.HUGE: 0.03, Fault.STRINGS: 0.1, Fault.PAID_BEFORE_CLOSE: 0.3, Fault.PAID_AFTER_CLOSE: 0.3,
    Fault.WEBHOOK_EARLY: 0.05, Fault.WEBHOOK_NEVER: 0.15, Fault.WEBHOOK_TWICE: 0.2, Fault.WEBHOOK_REVERSED: 0.15,
    Fault.WEBHOOK_LATE: 0.1, Fault.WEBHOOK_ALTERED: 0.1, Fault.WEBHOOK_STRINGS: 0.1, Fault.REFUND_FAILS: 0.2,
    Fault.REFUND_REFUSED: 0.1, Fault.REFUND_TWICE: 0.2, Fault.REFUND_WINDOW: 0.05, Fault.REFUND_BALANCE: 0.1,
}  # fmt: skip
LIES = {"midtrans": {"transaction_status": "settlement"}, "xendit": {"data.status": "SUCCEEDED"}}
# How the buyers behave. `another`: chooses another way to pay first.
HOW = ("pays",) * 8 + ("twice", "much", "little", "late", "late", "never", "another", "cancels", "cancels", "reversed")
# Where the process may die: the next step is never called.
DEATHS: Sequence[tuple[Any, str]] = (
    (confirm, "settle"), (confirm, "send_refunds"), (ask_provider, "begin"), (ask_provider, "_store_turn"),
    (settle, "_decide_late"), (scripts, "confirm"), (inbox, "_store"), (refund, "_store"), (ask_provider, "look"),
    (sweep_payments, "settle"), (inbox, "settle"), (ask_provider, "refund"),
)  # fmt: skip
DIES = 0.04


@dataclass
class Person:
    """A buyer of the storm."""

    shopper: Shopper
    how: str
    held: UUID
    channel: int
    paid: set[str] = field(default_factory=set)
    done: bool = False
    cancelled: bool = False
    method: str = "qris"

    @property
    def account(self) -> str:
        """The account of the channel."""
        return self.shopper.channel_code


class Storm:
    """A sale with one channel for each provider, and all that happens to it."""

    def __init__(self, seed: int, people: int, gateways: Mapping[str, Gateway], patch: pytest.MonkeyPatch) -> None:
        self.chance, self.gateways, self.patch = random.Random(seed), gateways, patch
        self.deaths: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.handed: Counter[tuple[str, int]] = Counter()
        self.staff = [User.objects.create_user(name) for name in ("dewi", "agus")]
        self.sale = self._sale(people // len(CHANNELS))
        self.people = [self._person(n) for n in range(people)]
        for name, gateway in gateways.items():
            gateway.control.pace(1_000_000)
            for kind, rate in FAULTS.items():
                changed = LIES[name] if kind is Fault.WEBHOOK_ALTERED else {}
                how: dict[str, Any] = {"rate": rate, "seed": seed, "times": None, "fields": changed}
                gateway.control.fault(kind, seconds=0.2 if kind is Fault.SLOW else 0.0, **how)

    def _sale(self, stock: int) -> Sale:
        channels = [{"code": name, "name": name, "payment_accounts": name} for name in CHANNELS]
        fields: dict[str, Any] = {"stock": {PHONE: stock}, "max_entries": 20_000, "rate_per_s": 100_000}
        return lobby_sale(poco_campaign(channels=channels), channels=CHANNELS, **fields)

    def _person(self, number: int) -> Person:
        shopper = Shopper(self.sale, f"person-{number}", channel=CHANNELS[number % len(CHANNELS)])
        shopper.enter()
        method = "partner" if shopper.channel_code == "partner" else "qris"
        if shopper.channel_code in self.gateways and self.chance.random() < 0.25:
            method = "va_bca"
        return Person(shopper, self.chance.choice(HOW), UUID(int=0), shopper.channel.id, method=method)

    def reserve_all(self) -> None:
        """All people hold a unit each; they ask at the same time."""
        for _frozen_then_called in range(2):
            open_now(self.sale)
            tend(self.sale)

        wishes = [wish(one.shopper) for one in self.people]

        async def at_once() -> list[Any]:
            return await asyncio.gather(*(make() for make in wishes))

        for one, held in zip(self.people, bridge.run(at_once()), strict=True):
            one.held = held.id

    # --- deaths

    def begin_to_die(self) -> None:
        """From now on each step after which our rows and another server differ may be the last of its process."""
        for where, name in DEATHS:
            self.patch.setattr(where, name, self._mortal(getattr(where, name), f"{where.__name__}.{name}"))

    def _mortal(self, real: Callable[..., Any], name: str) -> Callable[..., Any]:
        def dies() -> None:
            if self.chance.random() < DIES:
                self.deaths[name.rpartition("life.")[2]] += 1
                raise Died

        if python.iscoroutinefunction(real):

            async def later(*args: Any, **fields: Any) -> Any:
                dies()
                return await real(*args, **fields)

            return later

        def now(*args: Any, **fields: Any) -> Any:
            dies()
            return real(*args, **fields)

        return now

    def survives(self, act: Callable[[], Any]) -> Any:
        """Calls what a worker does. If its process dies, another worker continues in a later round."""
        try:
            return act()
        except (Died, payments.ProviderDown, GateDown) as error:
            self.refused[type(error).__name__] += 1
            return None

    # --- buyers

    def confirm_all(self) -> None:
        """All buyers who do not know how to pay yet send their request, all at once."""

        async def at_once() -> None:
            await asyncio.gather(*(self._confirm(one) for one in self.people if not one.done))

        bridge.run(at_once())

    async def _confirm(self, one: Person) -> None:
        instrument = {"partner": f"P-{one.held}", "demo": payments.DEMO_LATER}.get(one.account, "")
        method = one.method
        if one.how == "another" and one.account in self.gateways and not one.paid:
            method = {"qris": "va_bni", "va_bca": "qris"}.get(method, method) if self.chance.random() < 0.5 else method
        choice = payment_choice(method=method, instrument=instrument)
        try:
            row = await confirm.confirm(
                reservation=one.held, channel=one.channel, buyer=buyer(one.shopper.name),
                payment_choice=choice,
            )  # fmt: skip
        except (Died, GateDown) as error:
            self.refused[type(error).__name__] += 1
        except Refused as error:
            self.refused[error.outcome] += 1
            one.done = error.outcome not in {*RETRYABLE, Outcome.PAYMENT_DECLINED}
        else:
            one.done = row.state == "confirmed"

    def pay(self, *, late: bool = False) -> None:
        """Buyers who see how to pay do so, each in their way."""
        for one in self.people:
            attempt = PaymentAttempt.objects.filter(reservation=one.held).order_by("number").last()
            if attempt is None or attempt.reference in one.paid or one.how == "never" or one.account == "partner":
                continue
            if (one.how == "late") != late or not (attempt.instructions or late):
                continue
            if one.account == "demo":
                payments.DemoProvider().pay(reference=attempt.reference)
            elif codes := self.gateways[one.account].control.codes(attempt.reference):
                self._pay_code(one, codes[-1].value, late=late)
            one.paid.add(attempt.reference)

    def _pay_code(self, one: Person, code: str, *, late: bool) -> None:
        control = self.gateways[one.account].control
        amount = {"much": PRICE + 5_000, "little": PRICE - 5_000}.get(one.how)
        issuer = self.chance.choice(("DANA", "DANA", "SEABANK")) if one.account == "xendit" else ""
        for _ in range(2 if one.how == "twice" else 1):
            control.pay(code, amount=amount, force=late or one.how in {"twice", "much", "little"}, issuer=issuer)
        if one.how == "reversed" and one.account == "midtrans" and self.chance.random() < 0.7:
            control.reverse(code, force=True)

    def cancel_some(self) -> None:
        """Some buyers give their order back after the sale."""
        for one in self.people:
            order = Reservation.objects.get(pk=one.held)
            if one.how in {"cancels", "reversed"} and order.state == "confirmed" and not one.cancelled:
                given: dict[str, Any] = {"reservation": order.pk, "channel": order.channel_id, "code": "buyer_request"}
                self.survives(lambda: cancel.cancel(**given))  # noqa: B023
                one.cancelled = Reservation.objects.get(pk=one.held).state == "cancelled"

    def partner_answers(self) -> None:
        """The partner sends money back, and says so."""
        for row in Refund.objects.filter(attempt__account="partner", state="sent").select_related(
            "attempt__reservation"
        ):
            order = row.attempt.reservation
            refund.partner_refunded(
                reservation=order.pk, channel=order.channel_id, refund=row.reference, reference=f"R-{row.pk}"
            )

    # --- the other side, and our workers

    def hand_over(self) -> None:
        """The webhooks that the gateways have made come to our door, some of them once more."""
        for name, gateway in self.gateways.items():
            for hook in gateway.control.webhooks():
                fresh = not self.handed[name, hook.number]
                if not fresh and self.chance.random() > 0.03:
                    continue
                self.handed[name, hook.number] += 1
                headers = {key: value for key, value in hook.headers.items() if key.lower() == "x-callback-token"}
                reply = Client(headers=headers).post(f"/v1/payments/{name}", hook.body, content_type="application/json")
                assert reply.status_code == 200, (reply.status_code, hook)
        for charge in DemoCharge.objects.all():
            if self.chance.random() < 0.3:
                body, headers = payments.DemoProvider().signed_notification(reference=charge.reference)
                inbox.store(account="demo", references=[charge.reference], body=body, headers=headers)

    def work(self) -> None:
        """One round of our workers; all that is not final is due."""
        due_again()
        acts = [inbox.read_inbox, sweep_payments.settle_ended_holds, sweep_payments.look_due, refund.refund_due]
        self.chance.shuffle(acts)
        for act in acts:
            self.survives(act)
        self.survives(lambda: bridge.run(tick.mend_all()))

    def time_passes(self, by: timedelta) -> None:
        """The clocks of the gateways go on; what falls due there happens."""
        for gateway in self.gateways.values():
            gateway.control.advance(by)

    def holds_end(self) -> None:
        """The time of all holds is over, and late buyers pay."""
        come_due(self.sale)
        reap(self.sale)
        self.pay(late=True)

    def people_act(self) -> None:
        """Staff do what the list of waiting money asks of them."""
        for row in Refund.objects.filter(state="failed").select_related("attempt"):
            if self.chance.random() < 0.5:
                refund.refund_again(reservation=row.attempt.reservation_id, by=self.staff[0])
            else:
                refund.send_by_hand(refund=row.pk, by=self.staff[0])
        for row in Refund.objects.filter(state="impossible"):
            bank_account.give(refund=row.pk, account=Account("BCA", "5471190033", "Ani Wijaya"))
            bank_account.list_transfers(by=self.staff[0])
            refund.transferred(refund=row.pk, reference=f"BCA-{row.pk}", by=self.staff[0])
            refund.confirm_transfer(refund=row.pk, by=self.staff[1], arrived=True)
        for attempt in PaymentAttempt.objects.filter(state="mismatch"):
            refund.send_mismatch_back(reservation=attempt.reservation_id, by=self.staff[0])

    def calm(self) -> None:
        """The faults and the deaths end."""
        self.patch.undo()
        for gateway in self.gateways.values():
            gateway.control.clear_faults()

    @staticmethod
    def rests() -> bool:
        """Whether nothing waits for the system."""
        return not (
            PaymentAttempt.objects.filter(state__in=OPEN_ATTEMPTS).exists()
            or Refund.objects.exclude(state__in=["confirmed", "withdrawn"]).exists()
        )
