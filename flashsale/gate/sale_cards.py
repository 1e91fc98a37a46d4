"""Sale cards and draws in the gate (Redis). Processes read them with every request, so they keep them in memory.

A card is kept for a second. That there is no card is not kept, because a sale may be published at any moment. A draw
never changes, so it is kept as long as the process runs.
"""

import logging
import time
from datetime import timedelta
from math import inf
from typing import NamedTuple, cast

from flashsale.gate import due_sales
from flashsale.gate.client import GateCache, GateDown, Script, every_gate, gate
from flashsale.gate.keys import DIRECTORY, SaleKeys, entered_field
from flashsale.gate.messages import Crowd
from flashsale.gate.sale_card import CarriedCard, ForgedCard, LineCard, SaleCard
from flashsale.gate.scripts import keys_of
from flashsale.gate.shared_read import SharedReads
from flashsale.rules import wall_clock
from flashsale.rules.outcomes import Outcome

log = logging.getLogger(__name__)
CROWD = Script("crowd")
FRESH_S = 1.0
# How long after its end the gate still knows a sale.
KEPT_AFTER_END = timedelta(hours=24)
CODES_MAX = 10_000
UNLINKED_AT_ONCE = 1000
# Longer than any appeal of a finished sale.
COUNTS_KEPT_S = 120 * 86_400


class _CachedCard(NamedTuple):
    """The card of a sale code as it was read at `at` (monotonic clock), and its text; None where there is no sale.

    `lost`: Redis has no card of ours there. `card` is then the last one that this process has read.
    """

    at: float
    text: bytes | None
    card: SaleCard | None
    lost: bool


# By sale code.
CARDS: GateCache[str, _CachedCard] = GateCache()
# By sale code.
READS: SharedReads[str, SaleCard | None] = SharedReads()
# Cohort and seed (hex) by commitment and line id: restored books may use a sale's id again, but never a secret.
DRAWS: GateCache[tuple[str, int], tuple[int, str]] = GateCache()


async def card_of(code: str) -> SaleCard | None:
    """The card of a published sale, at most a second old; None when there is no such sale. Raises GateDown."""
    cached = CARDS.entries()
    known = cached.get(code)
    if known and known.card and time.monotonic() - known.at < FRESH_S:
        return known.card
    return await READS.get(code, lambda: _read_card(code))


async def _read_card(code: str) -> SaleCard | None:
    cached = CARDS.entries()
    known = cached.get(code)
    if len(cached) > CODES_MAX:
        cached.clear()
    try:
        text = await _read(code)
    except GateDown:
        if known is None or known.card is None:
            raise
        # The scripts will say for themselves that the gate is away. Until the next read, the old card is as good.
        cached[code] = known._replace(at=time.monotonic())
        return known.card
    if known and text == known.text:
        # The same object, because a card keeps the values that it has computed.
        card, lost = known.card, known.lost
    else:
        card = _unseal(code, text)
        lost = card is None
    if lost:
        # The gate has lost a sale that is not over. With the old card the scripts answer NOT_READY until it is back.
        # If only the card was changed, the old one is still true.
        card = known.card if known and known.card and not _over(known.card) else None
    cached[code] = _CachedCard(time.monotonic(), text, card, lost)
    return card


def _unseal(code: str, text: bytes | None) -> SaleCard | None:
    """The card in this text; None if there is none, or if it is not one of ours."""
    try:
        return SaleCard.unseal(text, code=code) if text else None
    except ForgedCard:
        log.exception("the card of %s in Redis is not used, and is written again from PostgreSQL", code)
        return None


def lost_cards() -> set[str]:
    """The sale codes for which this event loop has found no card of ours in Redis when it looked last."""
    return {code for code, cached in CARDS.entries().items() if cached.lost}


def cards_in_use() -> list[SaleCard]:
    """The cards that this process has read, in all its event loops."""
    kept = [cached.card for each in every_gate() for cached in list(each.caches[CARDS].values())]
    return [card for card in kept if card is not None]


def is_known(code: str) -> bool:
    """Whether this event loop has found a sale with this code when it looked last."""
    cached = CARDS.entries().get(code)
    return cached is not None and cached.card is not None


def _over(card: SaleCard) -> bool:
    return card.closes_at < (wall_clock.now_s() - KEPT_AFTER_END.total_seconds()) * 1000


async def _read(code: str) -> bytes | None:
    where = await gate().run_command("HGET", DIRECTORY, code)
    if where is None:
        return None
    campaign, sale = where.decode().split(":")
    return cast("bytes | None", await gate().run_command("GET", SaleKeys(int(campaign), int(sale)).card))


async def store_card(card: SaleCard) -> None:
    """Writes the card and its entry in the directory, where web processes find it. Raises GateDown."""
    await gate().redis.set(keys_of(card).card, card.seal())
    await list_sale(card)


async def list_sale(card: SaleCard) -> None:
    """Writes the sale's entry in the directory. Raises GateDown."""
    await gate().redis.hset(DIRECTORY, card.code, f"{card.campaign}:{card.sale}")
    await due_sales.look_within(card.code, ms=0)
    drop_cached_card(card)


def drop_cached_card(card: SaleCard) -> None:
    """Makes the next call read the card from Redis. If Redis has lost it, the old one is still as good."""
    cached = CARDS.entries()
    if known := cached.get(card.code):
        cached[card.code] = _CachedCard(-inf, b"", known.card, lost=False)
    READS.forget(card.code)


async def sale_codes() -> list[str]:
    """The codes of all sales in the directory. Raises GateDown."""
    return [code.decode() for code in await gate().redis.hkeys(DIRECTORY)]


async def remove_sale(card: SaleCard) -> None:
    """Removes a finished sale from the gate: the crowd's keys at once, the rest after 120 days. Raises GateDown.

    The counts of units and the indexes that were given up stay for that time, because an order may still be cancelled
    and its limit given back, and a later sale may carry the line's order over.
    """
    keys, redis = keys_of(card), gate().redis
    crowd = keys.buckets(range(card.buckets))
    for line in card.lines:
        n = line.line_id
        crowd += [keys.spent(n), keys.waves(n), keys.listed(n), keys.moving(n), keys.extra_time(n)]
    await redis.hdel(DIRECTORY, card.code)
    await due_sales.forget(card.code)
    for start in range(0, len(crowd), UNLINKED_AT_ONCE):
        await redis.unlink(*crowd[start : start + UNLINKED_AT_ONCE])
    for key in _counts(card):
        await redis.expire(key, COUNTS_KEPT_S)


def _counts(card: SaleCard) -> list[str]:
    keys = keys_of(card)
    rest = [
        keys.card,
        keys.state,
        keys.held_requests,
        keys.holds,
        keys.due,
        keys.units,
        keys.used_sale,
        keys.refused,
        keys.door,
    ]
    for line in card.lines:
        n = line.line_id
        rest += [keys.line(n), keys.out(n), keys.seen(n), keys.voided(n), *(keys.free(n, sku) for sku in line.skus)]
    return rest


async def erase_sale(card: SaleCard, *, people: bool = True) -> None:
    """Removes everything about a sale from the gate, at once. With `people`, also the counts of its campaign's people.

    Raises GateDown.
    """
    await remove_sale(card)
    keys = keys_of(card)
    await gate().redis.unlink(*([keys.used_campaign, keys.unpaid] if people else []), *_counts(card))


async def draw_of(card: SaleCard, line: LineCard) -> tuple[int, str]:
    """Cohort and seed (hex) of a line, (0, "") while it is not drawn. Raises GateDown."""
    draws = DRAWS.entries()
    drawn = draws.get((card.commitment, line.line_id))
    if drawn is None:
        cohort, seed = await gate().run_command("HMGET", keys_of(card).line(line.line_id), "cohort", "seed")
        if not seed:
            return 0, ""
        drawn = draws[card.commitment, line.line_id] = (int(cohort), seed.decode())
    return drawn


async def crowd(card: SaleCard, line: LineCard) -> Crowd | Outcome:
    """Which places of a line are out, which were seen, and how many its channels have taken. Raises GateDown."""
    keys, n = keys_of(card), line.line_id
    capped = [x.id for x in card.channels if x.code in line.channels and card.entries_most(line, x)]
    where = [keys.state, keys.out(n), keys.seen(n), keys.line(n)]
    reply = await gate().run_script(CROWD, where, [entered_field(id_) for id_ in capped])
    if len(reply) == 1:
        return Outcome.NOT_READY
    return Crowd(reply[1], reply[2], {id_: n for id_, n in zip(capped, reply[3:], strict=True) if n})


async def given_up(card: SaleCard, old: CarriedCard, index: int) -> bool:
    """Whether a place in a line that is carried over was left or voided, as far as the gate knows. Raises GateDown."""
    keys = SaleKeys(card.campaign, old.sale)
    pipe = gate().redis.pipeline(transaction=False)
    pipe.getbit(keys.out(old.line), index)
    pipe.getbit(keys.seen(old.line), index)
    pipe.sismember(keys.voided(old.line), index)
    out, seen, voided = await pipe.execute()
    # An index that is out but was not seen was lost with the gate's memory. Its owner may still be in the line.
    return bool(out and (seen or voided))


async def extra_time_places(card: SaleCard, line: LineCard) -> list[int]:
    """The indexes with extra time to claim; their count is capped. Raises GateDown."""
    return [int(index) for index in await gate().redis.zrange(keys_of(card).extra_time(line.line_id), 0, -1)]
