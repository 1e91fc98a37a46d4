"""A storm over all payment providers, with kills: money in = orders + refunds for each reference, and nothing rests."""

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from flashsale.life.reconcile import Money, reconcile
from flashsale.life.waiting_money import ACTIONS
from flashsale.models import DemoCharge, Inbox, PaymentAttempt, Refund, Reservation, ReservationUnit
from flashsale.providers import payments
from flashsale.providers.payments.midtrans import Midtrans
from flashsale.providers.payments.xendit import Xendit
from simulation.gateways.client import Gateway
from tests import soak
from tests.faults.money_storm import PRICE, Storm
from tests.faults.steps import broken

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate"), pytest.mark.slow]
PEOPLE, PEOPLE_LONG = 32, 160
ROUNDS, ROUNDS_LONG = 3, 8


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """Another one for each round of `make soak`."""
    callspec = getattr(request.node, "callspec", None)
    return soak.SEED + int(callspec.params.get("soak_round", 0) if callspec else 0)


@pytest.fixture
def storm(
    midtrans: Gateway, xendit: Gateway, settings: Any, monkeypatch: pytest.MonkeyPatch, seed: int
) -> Iterator[Storm]:
    settings.FLASHSALE_PAYMENT_KEYS = {
        "midtrans": (midtrans.key,), "xendit": (xendit.key,), "xendit.callback": (xendit.token,)
    }  # fmt: skip
    settings.FLASHSALE_PAYMENT_HOSTS = {"midtrans": midtrans.url, "xendit": xendit.url}
    settings.FLASHSALE_PAYMENT_PACES = {"midtrans": 500.0, "xendit": 500.0}
    accounts: Any = {"demo": payments.accounts["demo"], "midtrans": Midtrans(), "xendit": Xendit()}
    monkeypatch.setattr(payments, "configured", accounts)
    monkeypatch.setattr(payments, "accounts", {**accounts, "partner": payments.accounts["partner"]})
    with pytest.MonkeyPatch.context() as deaths:
        people = PEOPLE_LONG if soak.SEED else PEOPLE
        yield Storm(seed, people, {"midtrans": midtrans, "xendit": xendit}, deaths)


def test_over_all_providers_loses_no_money_and_leaves_nothing_without_a_next_step(
    storm: Storm, record_property: Any, seed: int
) -> None:
    record_property("seed", seed)
    rounds = ROUNDS_LONG if soak.SEED else ROUNDS
    storm.reserve_all()
    storm.begin_to_die()
    for _ in range(rounds):
        storm.confirm_all()
        storm.pay()
        storm.hand_over()
        storm.work()
        storm.time_passes(timedelta(seconds=30))
    storm.cancel_some()
    storm.holds_end()
    for _ in range(rounds):
        storm.hand_over()
        storm.work()
        storm.people_act()
        storm.partner_answers()
        storm.time_passes(timedelta(hours=2))
    struck = {name: hits(gateway) for name, gateway in storm.gateways.items()}
    storm.calm()
    for _ in range(20):
        if storm.rests():
            break
        storm.work()
        storm.time_passes(timedelta(hours=6))
        storm.hand_over()
        storm.people_act()
        storm.partner_answers()
    storm.work()
    record_property("words", {str(word): times for word, times in (storm.refused + storm.deaths).items()})
    assert storm.deaths.total() > 0
    assert all(sum(found.values()) > 10 for found in struck.values()), struck
    assert unfinished() == []
    assert money_of_gateways(storm) == []
    assert money_of_demo() + orders_without_money(storm) == []
    units = ReservationUnit.objects.filter(active=True).values_list("unit", flat=True)
    assert max(Counter(units).values()) == 1
    assert broken(storm.sale) == []
    finds_what_is_wrong(storm)


def hits(gateway: Gateway) -> Mapping[str, int]:
    return {rule["kind"]: rule["hits"] for rule in gateway.control.faults() if rule["hits"]}


def unfinished() -> list[str]:
    """Rows that are not final and do not stand on exactly one list with a date, and those that the system owes."""
    now, found = timezone.now(), []
    stands = Counter[tuple[str, int]]()
    for action in ACTIONS:
        for row in action.rows(now):
            stands[type(row).__name__, row.pk] += 1
            if action.until(row) is None or action.name in {"pay", "send", "confirm", "read", "not-taken"}:
                found.append(f"{row} waits for {action.name}")
    final: Mapping[Any, Any] = {
        PaymentAttempt: PaymentAttempt.objects.filter(next_look_at=None, doubt=""),
        Refund: Refund.objects.filter(state__in=["confirmed", "withdrawn"]),
        Inbox: Inbox.objects.exclude(done_at=None),
    }
    decided = ("paid", "late", "mismatch", "reversed")
    for model, settled in final.items():
        for row in model.objects.exclude(pk__in=settled.values("pk")):
            times = stands[model.__name__, row.pk]
            # A decided mismatch and a reversal without an order keep their date, and nothing is left to do.
            at_rest = times == 0 and model is PaymentAttempt and row.state in decided and not row.doubt
            if times != 1 and not at_rest:
                found.append(f"{model.__name__} {row} {row.state} stands on {times} lists")
    return found


def unexplained(storm: Storm, name: str) -> dict[str, str]:
    """References for which money in is not orders + refunds + what the bank took back."""
    control = storm.gateways[name].control
    taken_back: Counter[str] = Counter()
    for entry in control.entries():
        taken_back[entry.reference] += entry.amount if entry.why == "reversal" else 0
    rows = PaymentAttempt.objects.filter(account=name).select_related("reservation").prefetch_related("refunds")
    attempts = {row.reference: row for row in rows}
    found: dict[str, str] = {}
    for reference, (came, went) in control.ledger().items():
        row = attempts.get(reference)
        if row is None:
            found[reference] = f"{reference} is not known, and {came} came"
            continue
        order = PRICE if row.state == "paid" and row.reservation.state == "confirmed" else 0
        gone = [one for one in row.refunds.all() if one.state == "confirmed" or one.astray_at]
        by_provider = sum(int(one.amount) for one in gone if one.transferred_by_id is None)
        by_hand = sum(int(one.amount) for one in gone if one.transferred_by_id is not None)
        known = taken_back[reference] if row.state == "reversed" else 0
        if (came, went) != (order + by_provider + by_hand + known, by_provider + known):
            found[reference] = (
                f"{name} {reference} {row.method} {row.state} {row.doubt}, order {row.reservation.state}: {came} came, "
                f"{went} went; order {order}, refunds {by_provider} + {by_hand} by hand, {known} taken back"
            )
    return found


def money_of_gateways(storm: Storm) -> list[str]:
    """What does not add up, and that neither the list of people nor the daily comparison shows."""
    wrong: list[str] = []
    for name, gateway in storm.gateways.items():
        sums = gateway.control.ledger()
        file = {reference: Money(Decimal(came), Decimal(went)) for reference, (came, went) in sums.items()}
        compared = reconcile(account=name, day=timezone.localdate(), file=file).differences
        seen = {one.reference for one in compared}
        seen |= set(PaymentAttempt.objects.exclude(doubt="").values_list("reference", flat=True))
        wrong += [text for reference, text in unexplained(storm, name).items() if reference not in seen]
        counted = PaymentAttempt.objects.filter(account=name, paid__gt=0).values_list("reference", flat=True)
        wrong += [f"{reference} is paid here, and {name} has no money" for reference in set(counted) - sums.keys()]
    return wrong


def money_of_demo() -> list[str]:
    """The bank of the demo: what is paid is an order, or went back."""
    kept = set(
        PaymentAttempt.objects.filter(state="paid", reservation__state="confirmed").values_list("reference", flat=True)
    )
    paid = DemoCharge.objects.filter(state="paid").values_list("reference", "refunded")
    return [f"demo {reference} refunded {refunded}" for reference, refunded in paid if (reference in kept) == refunded]


def orders_without_money(storm: Storm) -> list[str]:
    """Orders that are not paid exactly once, and orders of the partner that it does not know."""
    found = []
    for order in Reservation.objects.filter(sale=storm.sale, state="confirmed").prefetch_related("attempts"):
        paid = [one for one in order.attempts.all() if one.state in {"paid", "reversed"}]
        if len(paid) != 1:
            found.append(f"{order.pk} is confirmed and paid by {paid}")
    unsent = Refund.objects.filter(attempt__account="partner").exclude(state="confirmed")
    return found + [f"the partner has not sent {row} back: {row.state}" for row in unsent]


def finds_what_is_wrong(storm: Storm) -> None:
    """The control of the comparison: an order whose money never came, and money that we do not know."""
    paid = PaymentAttempt.objects.filter(account="midtrans", state="paid", reservation__state="confirmed").first()
    assert paid is not None
    PaymentAttempt.objects.filter(pk=paid.pk).update(reference="fs-unknown")
    found = " | ".join(money_of_gateways(storm) + list(unexplained(storm, "midtrans").values()))
    assert "fs-unknown is paid here, and midtrans has no money" in found
    assert f"{paid.reference} is not known" in found
