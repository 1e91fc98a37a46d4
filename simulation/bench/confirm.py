"""Confirmations a second: partners' orders at the hot door, with a payment gateway that takes its time."""

import json
from collections.abc import Sequence

from flashsale.gate import bridge
from flashsale.life.audit import Verdict, audit
from flashsale.models import Campaign
from simulation.bench import fixtures, load
from simulation.bench.doors import Server, doors, enters, identity, path_of, post
from simulation.bench.figures import Figure
from simulation.isolated_servers import IsolatedServers

CLIENTS = 64
WARM_UP = 2 * CLIENTS
SECONDS = 20.0


def confirmations(servers: IsolatedServers, *, gateway_ms: int, orders: int, clients: int) -> list[Figure]:
    """Buys `orders` units as fast as `clients` connections can, then half as many at half that rate.

    Audits every promise afterwards.
    """
    env = {
        "FLASHSALE_PAYMENT_PROVIDER": "simulation.bench.slow_bank.SlowBank",
        "FLASHSALE_BENCH_GATEWAY_MS": str(gateway_ms),
    }
    with doors(servers, env) as server:
        where = fixtures.campaign(["bench"])
        requests = _orders(server, where, WARM_UP + orders + orders // 2)
        at_peak, at_half = requests[: WARM_UP + orders], requests[WARM_UP + orders :]
        cost = server.cost(at_peak, seconds=SECONDS, expect=200, connections=clients, warm_up=WARM_UP)
        half = cost.rate / 2
        paced = load.send(port=server.port, requests=at_half, seconds=SECONDS, connections=clients, rate=half)
    broken = [finding for finding in audit(campaign=where.code) if finding.verdict is Verdict.BROKEN]
    group = f"confirm, {clients} clients, gateway {gateway_ms} ms"
    result, count = cost.load_result, cost.load_result.count
    lost = "" if set(paced.answers) == {200} else f", WRONG {paced.answers}"
    return [
        Figure(group, "confirmations a second", cost.rate, "1/s", note=cost.summary()),
        Figure(group, "latency, half of them", result.p50, "ms"),
        Figure(group, "latency, 99 of 100", result.p99, "ms"),
        Figure(group, "latency at half that rate, 99 of 100", paced.p99, "ms", note=f"{half:,.0f}/s{lost}"),
        Figure(group, "CPU of the door", cost.server_s / count * 1000, "ms", note="for each confirmation"),
        Figure(group, "CPU of PostgreSQL", cost.books_s / count * 1000, "ms", note="for each confirmation"),
        Figure(group, "CPU of the sender", result.cpu_s / count * 1000, "ms", note="for each confirmation"),
        Figure(group, "promises broken", len(broken), "", "≤ 0", not broken),
    ]


def _orders(server: Server, where: Campaign, count: int) -> Sequence[bytes]:
    """Requests that confirm this many held reservations."""
    key = fixtures.key_of(where, "bench")
    card = fixtures.sale(where, units={"bench": count}, max_entries=count + 10)
    line = fixtures.line_of(card, "bench")
    bridge.run(fixtures.extend(card, line, count))
    entered = _bodies(server, enters(card, line, key, most=count))
    card = bridge.run(fixtures.open_now(card))
    line = fixtures.line_of(card, "bench")
    bridge.run(fixtures.call_all(card, line))
    path, items = path_of(card, line, "reserve"), [{"sku": fixtures.SKU, "quantity": 1}]
    reserves = [
        post(path, key, {"place": body["place"], "items": items}, Idempotency_Key=f"r-{number}")
        for number, body in enumerate(entered)
    ]
    held = _bodies(server, reserves)
    return [_confirm(key, number, body["reservation"]) for number, body in enumerate(held)]


def _confirm(key: str, number: int, reservation: str) -> bytes:
    who = identity(number)
    contact = {
        "name": f"Buyer {number}",
        "address": f"Jl. Melati {number}",
        "phone": who["phone"],
        "email": who["email"],
    }
    body: dict[str, object] = {
        "identity": who, "contact": contact, "price": fixtures.PRICE, "method": "card", "instrument": f"card-{number}",
    }  # fmt: skip
    return post(f"/v1/reservations/{reservation}/confirm", key, body, Idempotency_Key=f"c-{number}")


def _bodies(server: Server, requests: Sequence[bytes]) -> list[dict[str, str]]:
    result = load.send(port=server.port, requests=requests, seconds=load.SECONDS_MAX, keep=True)
    if set(result.answers) - {200, 201} or result.count != len(requests):
        raise fixtures.FixtureError(f"got {result.answers}: {server.process.last_log_lines()}")
    return [json.loads(result.bodies[number]) for number in range(len(requests))]
