"""People who enter through the door: how long all of them take, and the latency at 80 % of their rate."""

from collections.abc import Callable

from flashsale.gate import bridge
from flashsale.gate.sale_card import SaleCard
from simulation.bench import doors, fixtures, load
from simulation.bench.doors import Server
from simulation.bench.figures import Figure, at_least, at_most
from simulation.isolated_servers import IsolatedServers

CLIENTS, AT_ONCE = 64, 20_000
PART, PACED_S, PACED_CLIENTS = 0.8, 20.0, 512
P99_LIMIT_MS, MILLION_LIMIT_S = 100, 120


def entering(servers: IsolatedServers, people: int, show_progress: Callable[[str], None]) -> list[Figure]:
    """Lets so many people enter as fast as they can, and then more of them at a steady rate."""
    where = fixtures.campaign(["enter"])
    fast_card, paced_card = (fixtures.sale(where, units={"enter": 1}, max_entries=1_000_000) for _ in range(2))
    key = fixtures.key_of(where, "enter")
    seconds, cpu = 0.0, 0.0
    with doors.doors(servers) as door:
        for start in range(0, people, AT_ONCE):
            most = min(AT_ONCE, people - start)
            requests = doors.enters(fast_card, fast_card.lines[0], key, most=most, first=start)
            cost = door.cost(requests, seconds=load.SECONDS_MAX, expect=201, connections=CLIENTS, warm_up=0)
            seconds, cpu = seconds + cost.load_result.seconds, cpu + cost.server_s + cost.redis_s
            show_progress(f"{start + most:,} people have entered ...")
        entered = bridge.run(fixtures.survey(fast_card, fast_card.lines[0])).entered
        rate = people / seconds
        paced = _paced(door, paced_card, key, PART * rate, show_progress)
    group, micros = f"{people:,} people enter", cpu / people * 1e6
    note = f"{rate:,.0f}/s, {CLIENTS} clients; door and Redis {micros:.0f} µs CPU each"
    return [
        at_most(group, "seconds", seconds, unit="s", limit=MILLION_LIMIT_S * people / 1e6, note=note),
        at_least(group, "in the line", entered, unit="", limit=people),
        at_most(group, "99 of 100 within, at 80 % of this rate", paced.p99, unit="ms", limit=P99_LIMIT_MS,
                note=f"{PART * rate:,.0f}/s for {paced.seconds:.0f} s, half within {paced.p50:.1f} ms"),
    ]  # fmt: skip


def _paced(
    door: Server, card: SaleCard, key: str, rate: float, show_progress: Callable[[str], None]
) -> load.LoadResult:
    show_progress(f"people enter at {rate:,.0f} a second ...")
    requests = doors.enters(card, card.lines[0], key, most=round(rate * PACED_S))
    result = load.send(
        port=door.port, requests=requests, seconds=load.SECONDS_MAX, connections=PACED_CLIENTS, rate=rate
    )
    if set(result.answers) != {201}:
        raise fixtures.FixtureError(f"expected 201, got {result.answers}: {door.process.last_log_lines()}")
    return result
