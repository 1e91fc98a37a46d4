"""Doors that sell to a crowd while a fault strikes, and the crowd's own record against PostgreSQL afterwards."""

import asyncio
import os
import random
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from itertools import pairwise
from pathlib import Path
from urllib.error import HTTPError

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import close_old_connections

from flashsale.gate.client import GateDown
from flashsale.life import sale_control, schedule
from flashsale.life.audit import Verdict, audit
from flashsale.models import Channel, PartnerKey, Reservation, Sale
from flashsale.models.reservation import ReservationUnit
from flashsale.rules.identity import Axis
from simulation.processes import Process, free_port, wait_http
from simulation.scale.rounds import Fault, Promise, Round, play
from simulation.scale.selling_crowd import Crowd

SKU, CHANNEL = "POCO-M3-4-64", "lazada"
# So many buyers are at work at once.
TOGETHER = 8
DOOR = ("--interface", "asgi", "--loop", "uvloop", "--no-ws", "--http", "1", "--no-access-log", "--workers", "1")
# Up to so many parts of the buyers are served before the fault strikes.
BEFORE = (0.15, 0.5)
PATIENCE_S = 240.0
OPENS_IN_S = (1, 4, 16, 64)


@contextmanager
def doors(count: int, *, folder: Path, env: Mapping[str, str]) -> Iterator[list[str]]:
    """Runs so many doors, each a process of its own. Yields their addresses when they can work."""
    with ExitStack() as stack:
        started = []
        for number in range(count):
            port = free_port()
            where = ["--host", "127.0.0.1", "--port", str(port), *DOOR, "config.asgi:application"]
            process = Process(
                name=f"door-{number}", command=[sys.executable, "-m", "granian", *where],
                log=folder / f"door-{number}.log", cwd=settings.BASE_DIR,
                env={"DJANGO_SETTINGS_MODULE": "config.settings", "FLASHSALE_DB_IDLE_S": "10", **env},
            )  # fmt: skip
            started.append((f"http://127.0.0.1:{port}", stack.enter_context(process)))
        for address, process in started:
            wait_http(f"{address}/readyz", process=process, seconds=120)
        yield [address for address, _ in started]


def publish(code: str, units: int, *, claim_s: int = 600, hold_s: int = 900) -> tuple[Sale, str]:
    """A sale that opens in a few seconds, and the key of the partner that sells in it."""
    now = datetime.now(UTC)
    campaign = schedule.plan_campaign(
        code=code, name=code, limit=1, axes={Axis.PHONE: "hard enter", Axis.EMAIL: "hard enter"},
        channels=[{"code": CHANNEL, "name": "Lazada", "payment_accounts": "partner"}],
    )  # fmt: skip
    sale = schedule.plan_sale(
        campaign=campaign, code=code, name=code, claim_s=claim_s, hold_s=hold_s,
        opens_at=now + timedelta(minutes=30), closes_at=now + timedelta(hours=2),
        offers=[{"sku": SKU, "name": "Phone", "price": 1799000}], rate_per_s=100_000, max_entries=20_000,
        lines=[{"code": CHANNEL, "channels": [CHANNEL], "stock": {SKU: units}}],
    )  # fmt: skip
    for soon in OPENS_IN_S:
        # A busy machine may need longer to publish than the time until the opening.
        Sale.objects.filter(pk=sale.pk).update(opens_at=datetime.now(UTC) + timedelta(seconds=soon))
        sale.refresh_from_db()
        with suppress(ValidationError):
            schedule.publish(sale=sale)
            break
    return sale, PartnerKey.make(Channel.objects.get(campaign=campaign, code=CHANNEL))[1]


def identity(name: str) -> Mapping[str, str]:
    """The phone number and the e-mail address of a buyer."""
    number = int(name.rpartition("-")[2])
    return {"phone": f"0812{number:08d}", "email": f"{name}@example.com"}


def play_round(
    fault: Fault, seed: int, *, code: str, addresses: Sequence[str], buyers: int, together: int, claim_s: int = 600
) -> Round:
    """A crowd of `buyers` buys at these doors, and the fault strikes in the middle. Each buyer finds a unit."""
    sale, key = publish(code, buyers, claim_s=claim_s)
    crowd = Crowd(line=line_of(sale), key=key, doors=addresses, webs=addresses, identity=identity, sku=SKU)
    for address in addresses:
        wait_until_known(f"{address}{crowd.line}/enter", key)
    return play_crowd(fault, seed, sale=sale, crowd=crowd, buyers=buyers, together=together)


def play_faults(
    faults: Sequence[Fault],
    addresses: Sequence[str],
    *,
    named: Sequence[str],
    rounds: int,
    seed: int,
    size: int,
    claim_s: int,
) -> Iterator[Round]:
    """Plays the faults whose name has one of these texts, each so many times, with a crowd of `size` and a new sale."""

    def one_round(fault: Fault, number: int) -> Round:
        code = f"scale-{number}-{os.urandom(3).hex()}"
        return play_round(
            fault, number, code=code, addresses=addresses, buyers=size, together=TOGETHER, claim_s=claim_s
        )

    chosen = [one for one in faults if any(text in one.name for text in named)]
    yield from play(chosen, rounds, one_round, seed=seed)


def port_of(url: str) -> int:
    """The port that an address of a store names."""
    return int(url.rpartition(":")[2].partition("/")[0])


def line_of(sale: Sale) -> str:
    """The path of the sale's only line."""
    return f"/v1/sales/{sale.code}/lines/{CHANNEL}"


def play_crowd(fault: Fault, seed: int, *, sale: Sale, crowd: Crowd, buyers: int, together: int) -> Round:
    """This crowd buys in this sale, which has a unit for each buyer, and the fault strikes in the middle."""
    buying = threading.Thread(target=lambda: asyncio.run(crowd.buy(together=together, most=buyers)), daemon=True)
    buying.start()
    served = int(random.Random(seed).uniform(*BEFORE) * buyers)
    deadline = time.monotonic() + PATIENCE_S
    while (
        buying.is_alive() and sum(bool(buyer.order) for buyer in crowd.buyers) < served and time.monotonic() < deadline
    ):
        time.sleep(0.01)
    struck = time.monotonic()
    fault.strike()
    buying.join(PATIENCE_S)
    close_old_connections()
    found = Round(fault, sum(bool(buyer.order) for buyer in crowd.buyers), stood_s(crowd.sold_at, struck), {
        Promise.KEPT: list(lost(crowd)),
        Promise.ONCE: list(sold_twice(sale)),
        Promise.ANSWERED: [*crowd.strange, *(f"{one.name} has no order" for one in crowd.buyers if not one.order)],
        Promise.AUDIT: [str(one) for one in audit(campaign=sale.campaign.code) if one.verdict is Verdict.BROKEN],
    })  # fmt: skip
    # Its ticks would cost the next round time.
    with suppress(ValidationError, GateDown):
        sale_control.close_early(sale=sale)
    return found


def wait_until_known(url: str, key: str) -> None:
    """Waits until this door knows a new key; it reads the keys anew every few seconds."""
    request = urllib.request.Request(url, b"{}", {"Authorization": f"Bearer {key}"}, method="POST")  # noqa: S310 - ours
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(request).close()  # noqa: S310 - an address of ours
        except HTTPError as error:
            if error.code not in {HTTPStatus.UNAUTHORIZED, HTTPStatus.SERVICE_UNAVAILABLE}:
                return
        time.sleep(0.1)


def stood_s(sold_at: Sequence[float], struck: float) -> float:
    """The longest time after the strike in which no reservation and no payment was acknowledged; seconds."""
    times = [struck, *sorted(at for at in sold_at if at > struck)]
    return max((later - earlier for earlier, later in pairwise(times)), default=float("inf"))


def lost(crowd: Crowd) -> Iterator[str]:
    """What the crowd was told and PostgreSQL does not have: reservations (201) and orders (confirmed)."""
    states = {str(id_): state for id_, state in Reservation.objects.values_list("id", "state")}
    for buyer in crowd.buyers:
        if buyer.reservation and buyer.reservation not in states:
            yield f"{buyer.name} was told of reservation {buyer.reservation}, which PostgreSQL does not have"
        elif buyer.order and states[buyer.order] != "confirmed":
            yield f"{buyer.name} was told that {buyer.order} is confirmed; it is {states[buyer.order]}"


def sold_twice(sale: Sale) -> Iterator[str]:
    """Units of a sale with more than one active reservation, and buyers with more than one."""
    rows = ReservationUnit.objects.filter(reservation__sale=sale, active=True).values_list("unit", flat=True)
    yield from (f"unit {unit} has {count} owners" for unit, count in Counter(rows).items() if count > 1)
