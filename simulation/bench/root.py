"""The root of a long line: what it costs after the freeze to commit to all entries, and what Redis keeps for them."""

import time

from flashsale.gate import bridge, scripts
from flashsale.life import entries as committing
from flashsale.models import Entries, EntriesTile
from flashsale.rules.lottery import VERSION_2
from simulation.bench import fixtures
from simulation.bench.figures import Figure, at_most
from simulation.bench.gate import fill_line, redis_cpu_s

ROOT_LIMIT_S = 10


def root(entries: int) -> list[Figure]:
    """Fills a line of a sale of version 2, freezes it, and commits to its entries as a tick does."""
    where = fixtures.campaign(["root"])
    card = fixtures.sale(where, units={"root": 1}, max_entries=entries, draw_version=VERSION_2)
    bytes_each, _ = bridge.run(fill_line(card, card.lines[0], entries))
    card = bridge.run(fixtures.open_in(card, ms=0))
    cohorts = bridge.run(scripts.freeze(card))
    if not isinstance(cohorts, dict):
        raise fixtures.FixtureError(f"freeze: {cohorts}")
    redis_before, cpu, wall = bridge.run(redis_cpu_s()), time.process_time(), time.perf_counter()
    found = bridge.run(committing.commit(card=card, cohorts=cohorts))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    redis_s = bridge.run(redis_cpu_s()) - redis_before
    row = Entries.objects.get(allocation=card.lines[0].id)
    if not found or row.entered != entries:
        raise fixtures.FixtureError(f"commit: {found}, {row.entered} entered")
    stored = sum(map(len, EntriesTile.objects.filter(entries=row).values_list("leaves", flat=True).iterator()))
    group, note = f"root of {entries:,} entries", f"{stored / 1e6:,.0f} MB of leaves in PostgreSQL"
    return [
        at_most(group, "from the freeze to the root in PostgreSQL", wall, unit="s", limit=ROOT_LIMIT_S, note=note),
        Figure(group, "CPU of the web process", cpu, "s", note=f"{cpu / entries * 1e6:.1f} µs an entry"),
        Figure(group, "CPU of Redis", redis_s, "s"),
        at_most(group, "Redis memory a shopper, 3 axes", bytes_each, unit="bytes", limit=100),
    ]
