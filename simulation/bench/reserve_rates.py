"""Reservations that win a unit, by the number of clients: rate and latency, beside a bare Django view."""

from collections.abc import Callable

from flashsale.gate import bridge
from simulation.bench import doors, fixtures
from simulation.bench.figures import Figure, at_least
from simulation.isolated_servers import IsolatedServers

CLIENTS = (32, 128, 512, 1024)
UNITS, WARM_UP = 10_000, 1024
SECONDS, BARE_S = 20.0, 4.0
RATIO_LIMIT = 0.5
# On a machine that is busy otherwise, many clients at once get 503 and send the same request again.
ENOUGH = 0.5


def rates(servers: IsolatedServers, show_progress: Callable[[str], None]) -> list[Figure]:
    """Each number of clients reserves in a line of its own, until it is sold out."""
    units = {f"clients-{count}": UNITS + WARM_UP for count in CLIENTS}
    where = fixtures.campaign(list(units))
    card = fixtures.sale(where, units=units)
    places = {code: doors.waiting(card, fixtures.line_of(card, code), people) for code, people in units.items()}
    card = bridge.run(fixtures.open_now(card))
    # Before the doors start, because a door learns of a new key only after some seconds.
    keys = {code: fixtures.key_of(where, code) for code in units}
    costs = {}
    with doors.doors(servers) as server:
        for count in CLIENTS:
            line = fixtures.line_of(card, f"clients-{count}")
            bridge.run(fixtures.call_all(card, line))
            requests = doors.reserves(card, line, keys[line.code], places[line.code])
            show_progress(f"{count:,} clients reserve {UNITS:,} units ...")
            costs[count] = server.cost(
                requests, seconds=SECONDS, expect=201, connections=count, warm_up=WARM_UP, enough=ENOUGH
            )
    with doors.control(servers) as plain:
        bare = plain.cost([doors.get("/bare")], seconds=BARE_S, expect=200)
    group = "a reservation that wins, committed"
    figures = [Figure(group, "a bare Django view, 32 clients", bare.rate, "/s", note=bare.summary())]
    for count, cost in costs.items():
        won = cost.load_result.answers.get(201, 0) / cost.load_result.seconds
        note = f"door {cost.server_s / cost.load_result.count * 1e6:.0f} µs, PostgreSQL {cost.books_micros:.0f} µs"
        if others := {status: n for status, n in cost.load_result.answers.items() if status != 201}:
            note += f"; other answers: {others}"
        figures += [
            Figure(group, f"{count:,} clients", won, "/s", note=note),
            Figure(group, f"{count:,} clients, 99 of 100 within", cost.load_result.p99, "ms"),
            at_least(
                group, f"{count:,} clients, beside a bare Django view", won / bare.rate, unit="×",
                limit=RATIO_LIMIT,
            ),
        ]  # fmt: skip
    return figures
