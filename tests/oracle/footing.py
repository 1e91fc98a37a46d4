"""The base of the random machine: two published sales of one campaign, the same two in the oracle, and a clock."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from hashlib import sha256
from itertools import count
from types import SimpleNamespace
from typing import Any

import redis
from django.conf import settings
from django.db import connection
from django.utils import timezone

from flashsale.gate import bridge, inspect, sale_cards, scripts
from flashsale.life import crowd_backup, schedule
from flashsale.life.sale_card import card_of as card_in_books
from flashsale.models import Allocation, Reservation
from flashsale.models import Sale as Row
from flashsale.rules import lottery
from flashsale.rules.outcomes import Outcome
from tests.factories import AXES, CHANNELS, OFFERS, Shopper, card_of, lobby_sale, poco_campaign, rewrite, tend
from tests.oracle.model import CLAIM_S, HOLD_S, LIMIT, SKUS, Hold, Line, Oracle, Place, Sale

PEOPLE = ("ani", "budi", "cici", "dodi", "edi", "fitri")
PRICES: dict[Any, Any] = {offer["sku"]: offer["price"] for offer in OFFERS}
# By sale: the units of each SKU by line, and the limit of the sale.
SALES = {"first": ({"lazada": (2, 1), "akulaku": (1, 1)}, None), "second": ({"mi-store": (2, 0)}, 1)}
LINES = [(name, code) for name, (lines, _) in SALES.items() for code in lines]


async def forget_kept() -> None:
    """Empties two caches of the web processes.

    Draws are cached by commitment. In production a commitment never occurs twice; here a run can be repeated. Crowd
    backups are written again, because a step must not depend on the second in which it happens.
    """
    sale_cards.DRAWS.entries().clear()
    crowd_backup.WRITTEN.entries().clear()


class Footing:
    """One campaign after its publication."""

    def publish(self, secret: bytes) -> None:
        """Publishes both sales. The secret is a parameter instead of random bytes, so that a run can be repeated."""
        secrets = (sha256(secret + bytes([n])).digest() for n in count())
        module: Any = schedule
        module.os = SimpleNamespace(urandom=lambda _: next(secrets))
        bridge.run(forget_kept())
        with redis.Redis.from_url(settings.REDIS_URL) as inside:
            inside.flushall()
        hard = {axis: kind for axis, kind in AXES.items() if kind.startswith("hard")}
        channels = [{**channel, "payment_accounts": "demo,partner"} for channel in CHANNELS]
        campaign = poco_campaign(axes=hard, limit=LIMIT, channels=channels)
        now = timezone.now()
        self.rows: dict[str, Row] = {}
        sales = []
        for name, (lines, limit) in SALES.items():
            planned = [
                {"code": code, "channels": [code], "stock": dict(zip(SKUS, stock, strict=True))}
                for code, stock in lines.items()
            ]
            self.rows[name] = lobby_sale(
                campaign, lines=planned, limit=limit, claim_s=CLAIM_S, hold_s=HOLD_S, rate_per_s=100_000, offers=OFFERS,
                opens_at=now + timedelta(hours=1), closes_at=now + timedelta(hours=20), max_entries=1000,
            )  # fmt: skip
            known = {
                code: Line(code, n, dict(zip(SKUS, stock, strict=True)))
                for n, (code, stock) in enumerate(lines.items(), 1)
            }
            sales.append(Sale(name, known, limit))
        self.oracle = Oracle(sales)
        self.sales = {sale.name: sale for sale in sales}
        self.shoppers: dict[tuple[str, str], Shopper] = {}

    def teardown(self) -> None:
        """Moves the sales nine days into the past and ends their holds, so that Redis does not get them again."""
        if not hasattr(self, "rows"):
            return
        ids = [row.pk for row in self.rows.values()]
        long_ago = timezone.now() - timedelta(days=9)
        Reservation.objects.filter(sale__in=ids, state="held").update(state="expired", ended_at=long_ago)
        rewrite(
            Row.objects.filter(pk__in=ids), state="published", paused_at=None, lobby_at=long_ago, opens_at=long_ago,
            closes_at=long_ago + timedelta(hours=1),
        )  # fmt: skip

    def somebody(self, pick: int) -> tuple[Shopper, Place, Sale]:
        name, who = sorted(self.shoppers)[pick % len(self.shoppers)]
        return self.shoppers[name, who], self.oracle.places[name, who], self.sales[name]

    def somebodys_hold(self, pick: int) -> tuple[Hold, Shopper]:
        hold = self.oracle.holds[pick % len(self.oracle.holds)]
        return hold, Shopper(self.rows[hold.sale.name], hold.who, channel=hold.place.line.code)

    def committed(self, hold: Hold, made: Any, *, replayed: bool | None) -> None:
        assert replayed is None or made.replayed is replayed
        assert hold.id in {None, made.id}
        hold.id = made.id
        if hold.state == "taken":
            hold.state = "held"

    def tell(self, sale: Sale, **fields: Any) -> None:
        row = self.rows[sale.name]
        row.refresh_from_db()
        card = card_of(row)
        bridge.run(scripts.apply_decision(card, revision=row.revision, **fields))
        bridge.run(sale_cards.store_card(card_in_books(row)))

    def tend(self, sale: Sale) -> None:
        row = self.rows[sale.name]
        tend(row)
        if sale.clock is not None:
            self.oracle.tended(sale)
            sale.drawn = sale.drawn or Row.objects.get(pk=row.pk).frozen_at is not None
        self.number(sale)
        for line in sale.lines.values():
            called = bridge.run(inspect.counters(card_of(row), card_of(row).lines[line.line_id - 1]))["called"]
            self.oracle.called(sale, line, called)

    def claims(self, sale: Sale, place: Place) -> int:
        """How many people of the place's line are called and have not reserved yet."""
        card = card_of(self.rows[sale.name])
        figures = bridge.run(scripts.survey(card, card.lines[place.line.line_id - 1]))
        return 0 if isinstance(figures, Outcome) else figures.open_claims

    def number(self, sale: Sale) -> None:
        if not sale.drawn:
            return
        drawn = {row.code: row for row in Allocation.objects.filter(sale=self.rows[sale.name].pk)}
        for (name, _), place in self.oracle.places.items():
            if name == sale.name and not place.number:
                row = drawn[place.line.code]
                place.number = lottery.number(place.index, row.cohort or 0, bytes.fromhex(row.seed))


@contextmanager
def books_frozen() -> Iterator[None]:
    """Stops the PostgreSQL processes that serve this database."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pid FROM pg_stat_activity WHERE datname = current_database()")
        pids = [pid for (pid,) in cursor.fetchall()]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
