"""Measurement of a loss of the gate: how long until a large sale answers again, its Redis emptied or restarted."""

import time
from collections.abc import Callable

from flashsale.gate import bridge, inspect
from flashsale.gate.client import GateDown, gate
from flashsale.gate.sale_card import SaleCard
from flashsale.life.rebuild import rebuild
from flashsale.models import Channel
from simulation.bench import books, scene
from simulation.bench.figures import Figure, at_most
from simulation.isolated_servers import Own

ENTRIES_PER_RESERVATION = 20
FILL_AT_ONCE = 10_000
LIMIT_S = 60


def rebuilds(own: Own, entries: int) -> list[Figure]:
    """Entries through the real script, one reservation for every twenty of them, then the gate is lost twice."""
    where = scene.campaign(["loss"])
    stock = entries // ENTRIES_PER_RESERVATION
    card = scene.sale(where, units={"loss": 2 * stock}, max_entries=entries)
    for start in range(0, entries, FILL_AT_ONCE):
        some = [scene.somebody() for _ in range(min(FILL_AT_ONCE, entries - start))]
        bridge.run(scene.fill(card, card.lines[0], some))
    card = bridge.run(scene.open_now(card))
    books.write(books.winners(card, Channel.objects.get(campaign=where).pk)[:stock])
    note = f"{entries:,} entries, {stock:,} reservations"
    emptied = _seconds(card, stock, lambda: bridge.run(_empty()))
    restarted = _seconds(card, stock, lambda: _restart(own))
    return [
        at_most("loss", "back after FLUSHALL", emptied, unit="s", limit=LIMIT_S, note=note),
        at_most("loss", "back after a restart", restarted, unit="s", limit=LIMIT_S, note="Redis' own loading included"),
    ]


def _seconds(card: SaleCard, reservations: int, lose: Callable[[], None]) -> float:
    """From the loss until the sale answers with everything that was acknowledged."""
    began = time.perf_counter()
    lose()
    while True:
        try:
            rebuild(sale=card.sale)
        except GateDown:
            time.sleep(0.05)  # connections of the dead server fail once each
            continue
        break
    spent = time.perf_counter() - began
    line = card.lines[0]
    found = bridge.run(inspect.counters(card, line))["held"], len(bridge.run(inspect.used_limits(card)))
    if found != (reservations, reservations * len(scene.AXES)):
        raise scene.Unready(f"held and counted after the loss: {found}")
    return spent


async def _empty() -> None:
    await gate().redis.flushall()


def _restart(own: Own) -> None:
    own.redis.kill()
    own.redis.start(seconds=LIMIT_S)
