"""Measures a loss of Redis (the gate): the time until a large sale answers again after a flush or a restart."""

import time
from collections.abc import Callable

from flashsale.gate import bridge, inspect
from flashsale.gate.client import GateDown, gate
from flashsale.gate.sale_card import SaleCard
from flashsale.life.rebuild import rebuild
from flashsale.models import Channel
from simulation.bench import books, fixtures
from simulation.bench.figures import Figure, at_most
from simulation.isolated_servers import IsolatedServers

ENTRIES_PER_RESERVATION = 20
FILL_AT_ONCE = 10_000
LIMIT_S = 60


def rebuilds(servers: IsolatedServers, entries: int) -> list[Figure]:
    """Fills a sale through the real script, with one reservation per 20 entries. Then loses Redis twice."""
    where = fixtures.campaign(["loss"])
    stock = entries // ENTRIES_PER_RESERVATION
    card = fixtures.sale(where, units={"loss": 2 * stock}, max_entries=entries)
    for start in range(0, entries, FILL_AT_ONCE):
        some = [fixtures.random_person() for _ in range(min(FILL_AT_ONCE, entries - start))]
        bridge.run(fixtures.fill(card, card.lines[0], some))
    card = bridge.run(fixtures.open_now(card))
    books.write(books.new_reservations(card, Channel.objects.get(campaign=where).pk)[:stock])
    note = f"{entries:,} entries, {stock:,} reservations"
    emptied = _seconds(card, stock, lambda: bridge.run(_empty()))
    restarted = _seconds(card, stock, lambda: _restart(servers))
    return [
        at_most("loss", "back after FLUSHALL", emptied, unit="s", limit=LIMIT_S, note=note),
        at_most("loss", "back after a restart", restarted, unit="s", limit=LIMIT_S, note="Redis' own loading included"),
    ]


def _seconds(card: SaleCard, reservations: int, lose_redis: Callable[[], None]) -> float:
    """Seconds from the loss until the sale answers with everything that was acknowledged."""
    began = time.perf_counter()
    lose_redis()
    while True:
        try:
            rebuild(sale=card.sale)
        except GateDown:
            time.sleep(0.05)  # each connection to the old server fails once
            continue
        break
    spent = time.perf_counter() - began
    line = card.lines[0]
    found = bridge.run(inspect.counters(card, line))["held"], len(bridge.run(inspect.used_limits(card)))
    if found != (reservations, reservations * len(fixtures.AXES)):
        raise fixtures.FixtureError(f"held and counted after the loss: {found}")
    return spent


async def _empty() -> None:
    await gate().redis.flushall()


def _restart(servers: IsolatedServers) -> None:
    servers.redis.kill()
    servers.redis.start(seconds=LIMIT_S)
