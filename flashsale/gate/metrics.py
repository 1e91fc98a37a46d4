"""The metrics of all processes: each adds to them in Redis (the gate) what it has counted in memory (metrics.py).

The sums belong to one run of the Redis server. After a restart they begin at 0, which Prometheus understands. A server
that was restored from its file has older sums: Prometheus would take them for a start from 0, and count them twice.
"""

import logging
import threading
import time
from collections.abc import Mapping

from flashsale import metrics
from flashsale.gate import bridge, sale_cards
from flashsale.gate.client import GateDown, gate
from flashsale.gate.keys import SIGNS, metrics_key
from flashsale.gate.sale_card import SaleCard
from flashsale.gate.scripts import keys_of

log = logging.getLogger(__name__)

# Prometheus reads every 15 s or so. A board reads the requests of a sale second by second.
SEND_S, SEND_DOOR_S = 5.0, 1.0
KEPT_S = 7 * 24 * 3600


async def send() -> None:
    """Adds what this process has counted since the last call to the sums, and writes its signs of life.

    Raises GateDown. What got no answer is sent again, so it may count twice.
    """
    metrics.fold()
    growth = {metric: grown for metric in metrics.COUNTED if (grown := metric.growth())}
    signs = metrics.take_signs()
    if not growth and not signs:
        return
    pipe = gate().redis.pipeline(transaction=False)
    key = metrics_key(await gate().run_id())
    for metric, grown in growth.items():
        for labels, cell in grown.items():
            for at, count in enumerate(cell):
                if count:
                    pipe.hincrby(key, " ".join((metric.name, *labels, str(at))), count)
    if growth:
        pipe.expire(key, KEPT_S)
    if signs:
        pipe.hset(SIGNS, mapping=signs)
    await pipe.execute()
    for metric, grown in growth.items():
        metric.taken(grown)


async def read() -> dict[str, dict[metrics.Labels, list[int]]]:
    """The sums of all processes: name of the metric → values of its labels → cell. Raises GateDown."""
    by_name = {metric.name: metric for metric in metrics.COUNTED}
    found: dict[str, dict[metrics.Labels, list[int]]] = {}
    for field, count in (await gate().redis.hgetall(metrics_key(await gate().run_id()))).items():
        name, *labels, at = field.decode().split(" ")
        metric = by_name.get(name)
        # A process of another release may know other metrics, labels and bounds.
        size = len(metric.bounds) + 2 if isinstance(metric, metrics.Histogram) else 1
        if metric is None or len(labels) != len(metric.labels) or int(at) >= size:
            continue
        found.setdefault(name, {}).setdefault(tuple(labels), [0] * size)[int(at)] = int(count)
    return found


async def signs() -> dict[str, int]:
    """The last signs of life of all processes: name → ms since 1970, or a value. Raises GateDown."""
    return {name.decode(): int(value) for name, value in (await gate().redis.hgetall(SIGNS)).items()}


async def send_door() -> None:
    """Adds the requests at the door of each sale to those in Redis. Raises GateDown."""
    metrics.fold()
    growth = metrics.SALE_DOOR_SECONDS.growth()
    if not growth:
        return
    pipe = gate().redis.pipeline(transaction=False)
    for (code,), cell in growth.items():
        if card := await sale_cards.card_of(code):
            for at, count in enumerate(cell):
                if count:
                    pipe.hincrby(keys_of(card).door, str(at), count)
    await pipe.execute()
    metrics.SALE_DOOR_SECONDS.taken(growth)


async def requests_of(card: SaleCard) -> list[int]:
    """How many requests of a sale took how long, as a cell of SALE_DOOR_SECONDS. Raises GateDown."""
    cell = [0] * (len(metrics.SALE_DOOR_SECONDS.bounds) + 2)
    found: Mapping[bytes, bytes] = await gate().redis.hgetall(keys_of(card).door)
    for at, count in found.items():
        if int(at) < len(cell):
            cell[int(at)] = int(count)
    return cell


def keep_sending() -> None:
    """Sends from a thread of its own, for a process that does not tick sales."""
    threading.Thread(target=_send_forever, name="metrics", daemon=True).start()


def _send_forever() -> None:
    while True:
        time.sleep(SEND_S)
        try:
            bridge.run(send())
        except GateDown as error:
            log.warning("metrics wait for Redis: %s", error)
        except Exception:  # counting goes on, whatever happened to one sending
            log.exception("metrics could not be sent")
