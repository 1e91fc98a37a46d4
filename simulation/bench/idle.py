"""Measures an idle installation with many scheduled sales: its CPU time, and the recovery after a loss of Redis.

The doors run as in production. No shopper sends a request.
"""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from django.db import close_old_connections

from flashsale.gate import bridge
from flashsale.gate.client import gate
from flashsale.gate.keys import SaleKeys
from flashsale.life import schedule
from flashsale.models import Campaign, Sale
from simulation.bench import doors, fixtures
from simulation.bench.cpu import cpu_seconds
from simulation.bench.figures import Figure, at_most
from simulation.isolated_servers import IsolatedServers

SALES_PER_CAMPAIGN = 25
SETTLE_S, MEASURED_S = 15.0, 30.0
CPU_LIMIT = 5.0
# Seconds until all sales are back, by the number of sales.
BACK_LIMITS = {1: 10.0, 100: 10.0, 1000: 60.0}
BACK_LIMIT = 60.0
PATIENCE_S = 300.0
UNITS = 10


def idle(servers: IsolatedServers, counts: Sequence[int], show_progress: Callable[[str], None]) -> list[Figure]:
    """Schedules more and more sales. Measures after each number of `counts`, which must grow."""
    figures: list[Figure] = []
    for count in sorted(counts):
        _schedule(count, show_progress)
        for workers in (1, doors.WORKERS):
            with doors.doors(servers, workers=workers) as door:
                time.sleep(SETTLE_S)
                figures.append(_cpu(servers, door, count, workers))
                if workers == doors.WORKERS:
                    figures.append(_back_after_a_loss(count))
    return figures


def _schedule(count: int, show_progress: Callable[[str], None]) -> None:
    began, present = time.perf_counter(), Sale.objects.filter(code__startswith="idle-").count()
    for number in range(present, count):
        if number % SALES_PER_CAMPAIGN == 0:
            where = fixtures.campaign(["idle"])
        else:
            where = Sale.objects.get(code=f"idle-{number - 1}").campaign
        _publish(where, number)
    seconds = time.perf_counter() - began
    if count > present:
        show_progress(f"{count - present:,} sales published, {seconds / (count - present) * 1000:,.0f} ms each ...")


def _publish(where: Campaign, number: int) -> None:
    opens = datetime.now(UTC) + timedelta(hours=2, seconds=number)
    sale = schedule.plan_sale(
        campaign=where,
        code=f"idle-{number}",
        name="Idle",
        # Half of them have an open lobby.
        lobby_at=opens - timedelta(hours=3 if number % 2 else 1),
        opens_at=opens,
        closes_at=opens + timedelta(hours=1),
        offers=[{"sku": fixtures.SKU, "name": "Phone", "price": 1_799_000}],
        lines=[{"code": "idle", "channels": ["idle"], "stock": {fixtures.SKU: UNITS}}],
    )
    schedule.publish(sale=sale)


def _cpu(servers: IsolatedServers, door: doors.Server, count: int, workers: int) -> Figure:
    """The CPU time of doors, Redis and PostgreSQL without any request, in percent of a core."""
    pids = {"doors": door.process.pid, "Redis": servers.redis.pid}
    if servers.postgres:
        pids["PostgreSQL"] = servers.postgres.pid
    before = {name: cpu_seconds(pid) for name, pid in pids.items()}
    time.sleep(MEASURED_S)
    spent = {name: 100 * (cpu_seconds(pid) - before[name]) / MEASURED_S for name, pid in pids.items()}
    note = ", ".join(f"{name} {percent:.1f}" for name, percent in spent.items())
    what = f"{count:,} sales, {workers} door process" + ("es" if workers > 1 else "")
    return at_most("idle", what, sum(spent.values()), unit="% of a core", limit=CPU_LIMIT, note=note)


def _back_after_a_loss(count: int) -> Figure:
    """Erases Redis and waits until the doors have loaded every sale again."""
    rows = list(Sale.objects.filter(code__startswith="idle-").order_by("opens_at").values_list("campaign_id", "id"))
    close_old_connections()
    bridge.run(_erase())
    began, first = time.perf_counter(), 0.0
    while True:
        missing = bridge.run(_missing(rows))
        if missing < len(rows) and not first:
            first = time.perf_counter() - began
        if not missing:
            break
        if time.perf_counter() - began > PATIENCE_S:
            break
        time.sleep(0.05)
    seconds = time.perf_counter() - began
    note = f"the first after {first:.1f} s" + (f", {missing:,} still missing" if missing else "")
    limit = BACK_LIMITS.get(count, BACK_LIMIT)
    return at_most("idle", f"{count:,} sales, back after a loss of Redis", seconds, unit="s", limit=limit, note=note)


async def _erase() -> None:
    await gate().redis.flushall()


async def _missing(rows: Sequence[tuple[int, int]]) -> int:
    pipe = gate().redis.pipeline(transaction=False)
    for campaign, sale in rows:
        pipe.hget(SaleKeys(campaign, sale).state, "run")
    return sum(run is None for run in await pipe.execute())
