"""A sale in the gate (Redis) alone, without books: the tests of the scripts use it."""

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import redis

from flashsale.gate import bridge, client, keys, load, scripts
from flashsale.gate.client import LUA
from flashsale.gate.held_request import ReserveRequest
from flashsale.gate.sale_card import AxisCard, ChannelCard, LineCard, OfferCard, SaleCard
from flashsale.rules import clock
from flashsale.rules.identity import Axis

SMALL, BIG = "small", "big"
SEED = "5eed"
HOUR = 3_600_000
SCRIPTS = sorted(path for path in Path(str(LUA)).glob("*.lua") if path.stem != "prelude")
NOW = int(time.time() * 1000)
LINES = (
    LineCard(1, 11, "lazada", "Lazada", ("lazada",), (SMALL, BIG)),
    LineCard(2, 12, "akulaku", "Akulaku", ("akulaku",), (SMALL,)),
)
PAGE = ChannelCard(6, "mi-store", "Mi Store", "own page")
CARD = SaleCard(
    campaign=1, campaign_code="poco", sale=7, code="jan-26", name="26 January", time_zone="Asia/Jakarta",
    currency="IDR", salt="00", epoch=1, limit=1, sale_limit=0, lobby_at=NOW - HOUR, opens_at=NOW - HOUR // 2,
    closes_at=NOW + HOUR, claim_ms=60_000, hold_ms=600_000, overbooking=1.0, rate_per_s=1000, max_entries=100,
    claims_max=0, extra_time_max=200, buckets=64, commitment="", message="", poll_ms=2000,
    axes=(AxisCard(Axis.EMAIL, True, "enter"), AxisCard(Axis.PHONE, True, "enter")),
    offers=(OfferCard(SMALL, "Small", 100), OfferCard(BIG, "Big", 200)),
    lines=LINES, channels=(ChannelCard(5, "lazada", "Lazada", "partner"), PAGE),
)  # fmt: skip
KEYS = keys.SaleKeys(CARD.campaign, CARD.sale)
FIRST, SECOND = LINES
ENTERED = 50


def person(name: str) -> list[bytes]:
    """The two digests of a person with two proven axes."""
    return [f"{axis}:{name}".encode().ljust(16, b".")[:16] for axis in ("phone", "email")]


def stand(card: SaleCard = CARD, *, drawn: bool = True, stock: Mapping[str, int] | None = None, **fields: Any) -> None:
    """Loads the sale: drawn with a cohort of 10, all of them called, unless the arguments say otherwise."""
    in_stock = {SMALL: 3, BIG: 2} if stock is None else stock
    names = [(sku, n) for sku, quantity in in_stock.items() for n in range(quantity)]
    free: dict[tuple[int, str], dict[str, int]] = {}
    for unit, (sku, _) in enumerate(names, 1):
        free.setdefault((1, sku), {})[str(unit)] = 1
    if not drawn and card.opens_at < NOW:
        card = replace(card, opens_at=card.closes_at - 1)
    cohort, seed, called = (10, SEED, fields.pop("called", 10)) if drawn else (None, "", 0)
    values: dict[str, Any] = {
        "card": card, "fresh": not drawn, "revision": 1, "state": "published", "paused_ms": 0,
        "frozen": drawn, "units": {str(n): 1 for n in range(1, len(names) + 1)}, "free": free, "held_requests": {},
        "holds": {}, "due": {}, "used_campaign": {}, "used_sale": {}, "unpaid": {},
        "lease": clock.ClockLease(NOW, NOW + 3_600_000) if drawn else clock.ClockLease(),
        "lines": [load.LineLoad(line.line_id, ENTERED, cohort, seed, called) for line in card.lines],
    } | fields  # fmt: skip
    if drawn:
        bridge.run(_remember_entries(card))
    counts = load.Counts(values.pop("used_campaign"), values.pop("unpaid"))
    bridge.run(load.load([load.SaleLoad(**values)], counts))


async def _remember_entries(card: SaleCard) -> None:
    """Writes how many people have entered, as a Redis that was never lost knows it, so that there is no gap."""
    for line in card.lines:
        await client.gate().redis.hset(keys.SaleKeys(card.campaign, card.sale).line(line.line_id), "entered", ENTERED)


def changed(**fields: Any) -> SaleCard:
    """The card with other values."""
    return replace(CARD, **fields)


def request(
    number: int, *, name: str = "", key: str = "", items: tuple[tuple[int, int], ...] = ((0, 1),), **fields: Any
) -> ReserveRequest:
    """A reserve request from the place with this number, which is also its index."""
    digests = tuple(digest.hex() for digest in person(name or f"person-{number}"))
    values: dict[str, Any] = {
        "id": f"r{number}", "key": key or f"k{number}", "fingerprint": "p", "index": number, "number": number,
        "items": items, "quantity": sum(quantity for _, quantity in items), "digests": digests, "limit": CARD.limit,
        "sale_limit": 0, "channel_id": 5, "line_id": 1,
        "limit_slots": tuple(zip(("phone", "email"), digests, strict=True)),
    } | fields  # fmt: skip
    return ReserveRequest(**values)


def reserve(wish: ReserveRequest, card: SaleCard = CARD, *, seed: str = SEED) -> Any:
    """The gate's answer to a reserve request in the first line."""
    return bridge.run(scripts.reserve(card, FIRST, seed=seed, request=wish))


def enter(name: str, line: LineCard = FIRST, card: SaleCard = CARD) -> Any:
    """The gate's answer to a person who enters a line."""
    return bridge.run(scripts.enter(card, line, PAGE, person(name)))


def everything(gate: redis.Redis) -> dict[bytes, bytes | None]:
    """All keys of the gate, byte for byte, except the token buckets."""
    return {key: gate.dump(key) for key in gate.scan_iter() if b":pace:" not in key}
