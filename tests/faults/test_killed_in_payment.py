"""Processes are killed while a crowd pays: the crowd's ledger, the gateway's ledger and PostgreSQL agree afterwards."""

import asyncio
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import redis
from django.db import Error, connection, transaction
from django.utils import timezone

from flashsale.gate import bridge, inspect
from flashsale.gate.client import GateDown
from flashsale.gate.keys import MENDING
from flashsale.life import inbox, refund, sweep_payments, tick
from flashsale.life.crash_points import CRASH_POINTS
from flashsale.models import PaymentAttempt, Refund, Reservation, ReservationUnit, Sale
from flashsale.providers import payments
from flashsale.rules.states import OPEN_ATTEMPTS, RefundState
from simulation.postgres_server import PostgresServer
from simulation.processes import free_port, wait_http
from simulation.redis_server import RedisServer
from tests import servers, soak
from tests.factories import PHONE, Shopper, card_of, identity, lobby_sale, open_now, poco_campaign, tend
from tests.faults.gateway_account import GatewayAccount
from tests.faults.installation import KINDS, WAIT_S, Installation, door, slowness, will
from tests.faults.paying_crowd import PRICE, Buyer, Crowd, some_buyers
from tests.faults.steps import broken, come_due
from tests.loop import in_a_loop
from tests.races.crowd import wish
from tests.web.partner import key_of

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.slow,
    pytest.mark.skipif("connection.vendor == 'sqlite'", reason="SQLite is no server that could be killed"),
]
# Of three buyers, two pay at the gateway and one has paid the partner.
CHANNELS = ("lazada", "lazada", "akulaku")
BUYERS, BUYERS_LONG = 120, 450
POINTS = [point.name for point in CRASH_POINTS if point.name.startswith(("confirm:", "inbox:", "refund:", "cancel:"))]
# Redis hears of a confirmation within this time, also if a process dies in between.
HEARS_S = 10.0
# Of this time, so much is work, and takes longer on a machine that is busy with other things.
WORK_S = 3.0


class Hearing:
    """Watches how long Redis does not know of confirmed orders while both stores answer."""

    def __init__(self, sale: Sale) -> None:
        self.card = card_of(sale)
        self.since: dict[str, float] = {}
        self.longest = 0.0

    def look(self) -> None:
        try:
            orders = [str(pk) for pk in Reservation.objects.filter(state="confirmed").values_list("pk", flat=True)]
            unheard = bridge.run(inspect.still_due(self.card, orders))
        except (GateDown, redis.RedisError, Error):
            connection.close()
            self.since.clear()
            return
        now = time.monotonic()
        self.since = {id_: self.since.get(id_, now) for id_ in unheard}
        self.longest = max([self.longest, *(now - since for since in self.since.values())])


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """Another one for each round of `make soak`."""
    callspec = getattr(request.node, "callspec", None)
    return soak.SEED + int(callspec.params.get("soak_round", 0) if callspec else 0)


@pytest.fixture
def installation(
    own_books: PostgresServer, server: RedisServer, tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Installation]:
    house = Installation(own_books, server, tmp_path, seed)
    monkeypatch.setenv("FLASHSALE_TEST_GATEWAY", house.gateway_url)
    monkeypatch.setitem(payments.accounts, GatewayAccount.account, GatewayAccount())
    with house:
        yield house


def holds(count: int) -> tuple[Sale, dict[str, str], list[tuple[str, str, Mapping[str, str]]]]:
    """A sale in which so many people hold a unit each, the keys of the channels, and the holds."""
    campaign = poco_campaign(channels=[
        {"code": "lazada", "name": "Lazada", "payment_accounts": GatewayAccount.account},
        {"code": "akulaku", "name": "Akulaku", "payment_accounts": "partner"},
    ])  # fmt: skip
    fields: dict[str, Any] = {"stock": {PHONE: count}, "max_entries": 20_000, "rate_per_s": 100_000}
    sale = lobby_sale(campaign, channels=("lazada", "akulaku"), **fields)
    people = [Shopper(sale, f"person-{n}", channel=CHANNELS[n % len(CHANNELS)]) for n in range(count)]
    for number, person in enumerate(people):
        if number % 25 == 0:
            tend(sale)  # extends the block of indexes
        person.enter()
    for _frozen_then_called in range(2):
        open_now(sale)
        tend(sale)
    made = bridge.run(_all([wish(person) for person in people]))
    return (
        sale,
        {code: key_of(campaign, code) for code in set(CHANNELS)},
        [
            (str(held.id), person.channel_code, {axis.value: value for axis, value in identity(person.name).items()})
            for person, held in zip(people, made, strict=True)
        ],
    )


async def _all(calls: list[Callable[[], Any]]) -> list[Any]:
    return await asyncio.gather(*(call() for call in calls))


def test_of_each_kind_while_a_crowd_pays_loses_no_order_and_no_money(installation: Installation, seed: int) -> None:
    sale, keys, held = holds(BUYERS_LONG if soak.SEED else BUYERS)
    crowd = Crowd(some_buyers(held, seed), doors=installation.addresses, keys=keys, seed=seed)
    plan = list(KINDS) + (list(KINDS) + POINTS if soak.SEED else [])
    installation.chance.shuffle(plan)
    hearing = Hearing(sale)
    with ThreadPoolExecutor(1) as thread:
        paying = thread.submit(asyncio.run, crowd.pay())
        for place, what in enumerate(plan, 1):
            wait_for(paying, hearing, lambda: crowd.done >= place * len(held) // (len(plan) + 2))  # noqa: B023
            installation.kill(what)
            hearing.since.clear()  # the promise is about one fault, so the time begins anew
        wait_for(paying, hearing, paying.done)
        paying.result()
    ends_late(installation, sale, crowd)
    sweep(hearing)
    in_a_loop(crowd.refund())
    agrees(installation, sale, crowd)
    assert hearing.longest <= hears_s()
    finds_what_is_wrong(installation)


def hears_s() -> float:
    """Within how many seconds Redis must hear of an order on this machine now."""
    return HEARS_S + WORK_S * max(0.0, slowness() - 1)


def wait_for(paying: "Future[None]", hearing: Hearing, reached: Callable[[], bool]) -> None:
    until = time.monotonic() + WAIT_S
    while not reached():
        assert time.monotonic() < until, "the crowd does not go on"
        if paying.done():
            return
        hearing.look()
        time.sleep(0.1)


def ends_late(installation: Installation, sale: Sale, crowd: Crowd) -> None:
    """The time of all holds is over. Every second buyer who has left a payment open pays it all the same."""
    connection.close()
    come_due(sale)
    for buyer in [buyer for buyer in crowd.buyers if buyer.left_open][::2]:
        installation.pays_in_the_app(buyer.left_open)


def sweep(hearing: Hearing) -> None:
    """Does what is due, with the worker and its beat, until nothing is due any more."""
    until = time.monotonic() + WAIT_S
    waits = [RefundState.DUE, RefundState.SENT]
    of_gateway = {"attempt__account": GatewayAccount.account, "state__in": waits}
    while (
        PaymentAttempt.objects.filter(state__in=OPEN_ATTEMPTS).exists()
        or Refund.objects.filter(**of_gateway).exists()
        or Refund.objects.filter(state=RefundState.DUE).exists()
        or hearing.since
    ):
        assert time.monotonic() < until, "payments stay open"
        now = timezone.now()
        PaymentAttempt.objects.filter(next_look_at__gt=now).update(next_look_at=now)
        with transaction.atomic():
            # A refund that a worker settles meanwhile has no next look.
            later = Refund.objects.filter(**of_gateway, next_look_at__gt=now).select_for_update(of=("self",))
            Refund.objects.filter(pk__in=[row.pk for row in later]).update(next_look_at=now)
        for work in (inbox.read_inbox, sweep_payments.settle_ended_holds, sweep_payments.look_due, refund.refund_due):
            work()
        hearing.look()


def agrees(installation: Installation, sale: Sale, crowd: Crowd) -> None:
    """Compares the three ledgers, reference by reference."""
    assert crowd.strange == []
    orders = {str(row.pk): row for row in Reservation.objects.prefetch_related("attempts__refunds")}
    faults = [fault for buyer in crowd.buyers for fault in unlike(buyer, orders[buyer.reservation])]
    assert faults == []
    assert money(installation) == []
    units = ReservationUnit.objects.filter(active=True).values_list("unit", flat=True)
    assert max(Counter(units).values()) == 1
    shown = [
        item["serial"] for buyer in crowd.buyers if buyer.order and not buyer.cancelled for item in buyer.order["items"]
    ]
    assert max(Counter(shown).values()) == 1, "one unit was sold to two buyers"
    assert broken(sale) == []


def finds_what_is_wrong(installation: Installation) -> None:
    """The control of the comparison: a charge too many, and an order whose money never came."""
    with installation.ledger.open("a", encoding="utf-8") as file:
        paid = PaymentAttempt.objects.filter(account=GatewayAccount.account, state="paid").order_by("pk")
        first, second = paid[0].reference, paid[1].reference
        file.write(json.dumps({"what": "charged", "reference": first, "amount": PRICE}) + "\n")
    PaymentAttempt.objects.filter(reference=second).update(reference="fs-unknown")
    found = " | ".join(money(installation))
    assert f"{first} was charged 2 times" in found
    assert "fs-unknown is paid" in found
    assert f"money for {second}, which we do not know" in found


def unlike(buyer: Buyer, row: Reservation) -> Iterator[str]:
    """How PostgreSQL differs from what a buyer was told."""
    paid = [attempt for attempt in row.attempts.all() if attempt.state == "paid"]
    if buyer.order:
        expected = "cancelled" if buyer.cancelled else "confirmed"
        told = (buyer.order["id"], buyer.order["payment"]["reference"], buyer.order["payment"]["state"])
        if row.state != expected or [(str(row.pk), one.reference, "paid") for one in paid] != [told]:
            yield f"{buyer.reservation} was told {told} and is {row.state}, paid by {paid}"
        serials = sorted(held.unit.serial for held in row.items)
        if serials != sorted(item["serial"] for item in buyer.order["items"]):
            yield f"{buyer.reservation} was told other units than {serials}"
    if buyer.refused and row.state == "confirmed":
        yield f"{buyer.reservation} was told {buyer.refused} and is confirmed"
    if buyer.charged and not buyer.order and paid:
        yield f"{buyer.reservation}: the partner was not told that its payment counts"
    if row.state == "confirmed" and len(paid) != 1:
        yield f"{buyer.reservation} is confirmed and paid by {paid}"


def money(installation: Installation) -> list[str]:
    """How PostgreSQL and the gateway differ: money in = orders + refunds, for each reference."""
    got: Counter[str] = Counter()
    back: Counter[str] = Counter()
    refunds: Counter[str] = Counter()
    charges: Counter[str] = Counter()
    for line in installation.moved():
        if line["what"] == "charged":
            charges[line["reference"]] += 1
            got[line["reference"]] += line["amount"]
        else:
            refunds[line["refund"]] += 1
            back[line["reference"]] += line["amount"]
    faults = [f"{reference} was charged {times} times" for reference, times in charges.items() if times > 1]
    faults += [f"{name} was sent {times} times" for name, times in refunds.items() if times > 1]
    known: set[str] = set()
    attempts = PaymentAttempt.objects.filter(account=GatewayAccount.account)
    for attempt in attempts.select_related("reservation").prefetch_related("refunds"):
        known.add(attempt.reference)
        ours = sum(int(row.amount) for row in attempt.refunds.all() if row.state == RefundState.CONFIRMED)
        order = PRICE if attempt.state == "paid" and attempt.reservation.state == "confirmed" else 0
        if (got[attempt.reference], back[attempt.reference]) != (order + ours, ours):
            faults.append(
                f"{attempt} is {attempt.state}, its order {attempt.reservation.state}: the gateway got "
                f"{got[attempt.reference]} and sent {back[attempt.reference]} back; we refunded {ours}"
            )
    faults += [f"the gateway has money for {reference}, which we do not know" for reference in got.keys() - known]
    return faults


def test_a_door_between_postgresql_and_redis_lets_redis_hear_within_ten_seconds(
    gate: redis.Redis, tmp_path: Path
) -> None:
    sale = lobby_sale(poco_campaign(), stock={PHONE: 2}, max_entries=20_000)
    ani = Shopper(sale, "ani")
    ani.enter()
    for _frozen_then_called in range(2):
        open_now(sale)
        tend(sale)
    held = str(ani.reserve().id)
    gate.delete(MENDING)
    ports = [free_port(), free_port()]
    env = {"DATABASE_URL": servers.books_url(), "REDIS_URL": os.environ["REDIS_URL"]}
    with door(ports[0], tmp_path, env) as first, door(ports[1], tmp_path / "other", env) as second:
        for port, process in zip(ports, (first, second), strict=True):
            wait_http(f"http://127.0.0.1:{port}/livez", process=process)
        wait_for_mending(gate)
        will(tmp_path).write_text("confirm: confirmed", encoding="utf-8")
        who = {axis.value: value for axis, value in identity("ani").items()}
        crowd = Crowd(
            [Buyer(held, "lazada", who, "pays", cancels=False)], doors=[f"http://127.0.0.1:{ports[0]}"],
            keys={"lazada": key_of(sale.campaign, "lazada")}, seed=1,
        )  # fmt: skip
        assert in_a_loop(crowd.try_once()) is None
        died = time.monotonic()
        first.kill()
        # The process that died had also just begun to mend.
        gate.set(MENDING, 1, px=round(tick.MEND_S * 1000))
        assert Reservation.objects.get().state == "confirmed"
        assert bridge.run(inspect.still_due(card_of(sale), [held])) == [held]
        while bridge.run(inspect.still_due(card_of(sale), [held])):
            assert time.monotonic() - died <= WAIT_S
            time.sleep(0.1)
        assert time.monotonic() - died <= hears_s()
    assert broken(sale) == []


def wait_for_mending(gate: redis.Redis) -> None:
    """A door begins to mend at its start."""
    until = time.monotonic() + WAIT_S
    while not gate.exists(MENDING):
        assert time.monotonic() < until, "no door mends"
        time.sleep(0.05)
