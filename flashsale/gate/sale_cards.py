"""Where doors find the cards of sales and what the draw gave each line; read often, so kept for a second."""

import time
from datetime import timedelta
from typing import NamedTuple, cast

from flashsale.gate.client import Script, gate
from flashsale.gate.keys import DIRECTORY, SaleKeys
from flashsale.gate.messages import Crowd
from flashsale.gate.sale_card import CarriedCard, LineCard, SaleCard
from flashsale.gate.scripts import keys_of
from flashsale.rules.outcomes import Outcome

CROWD = Script("crowd")
FRESH_S = 1.0
# How long after its end the gate still knows a sale.
REMEMBERED = timedelta(hours=24)
CODES_MAX = 10_000
UNLINKED_AT_ONCE = 1000
# Longer than any appeal of a finished sale.
COUNTS_KEPT_S = 120 * 86_400


class _Seen(NamedTuple):
    at: float
    text: bytes | None
    card: SaleCard | None


async def card_of(code: str) -> SaleCard | None:
    """The card of a published sale, at most a second old; None when there is none. Raises GateDown."""
    seen: dict[str, _Seen] = gate().kept["cards"]
    known = seen.get(code)
    if known and time.monotonic() - known.at < FRESH_S:
        return known.card
    if len(seen) > CODES_MAX:
        seen.clear()
    text = await _read(code)
    card = _card(text, known) if text else None
    if card is None and known and known.card and not _over(known.card):
        # Lost, not forgotten: with the old card the scripts say that they are not ready, and the sale comes back.
        card = known.card
    seen[code] = _Seen(time.monotonic(), text, card)
    return card


def _card(text: bytes, known: _Seen | None) -> SaleCard:
    """The same text is the same card: what a card has worked out, it keeps."""
    return known.card if known and known.card and text == known.text else SaleCard.from_json(text)


def _over(card: SaleCard) -> bool:
    return card.closes_at < (time.time() - REMEMBERED.total_seconds()) * 1000


async def _read(code: str) -> bytes | None:
    where = await gate().ask("HGET", DIRECTORY, code)
    if where is None:
        return None
    campaign, sale = where.decode().split(":")
    return cast("bytes | None", await gate().ask("GET", SaleKeys(int(campaign), int(sale)).card))


async def show(card: SaleCard) -> None:
    """Puts the card where doors find it. Raises GateDown."""
    await gate().redis.set(keys_of(card).card, card.to_json())
    await gate().redis.hset(DIRECTORY, card.code, f"{card.campaign}:{card.sale}")
    look_anew(card)


def look_anew(card: SaleCard) -> None:
    """What this loop has read of the sale's card no longer counts."""
    gate().kept["cards"].pop(card.code, None)


async def codes() -> list[str]:
    """The codes of all sales in the directory. Raises GateDown."""
    return [code.decode() for code in await gate().redis.hkeys(DIRECTORY)]


async def forget(card: SaleCard) -> None:
    """Takes a finished sale out of the gate: the crowd's keys at once, the rest after a while. Raises GateDown.

    An order may still be cancelled and its limit given back, and the line's order carried over into a later sale, so
    what counts units and which indexes were given up stay for some time.
    """
    keys, redis = keys_of(card), gate().redis
    crowd = keys.buckets(range(card.buckets))
    for line in card.lines:
        n = line.line_id
        crowd += [keys.spent(n), keys.waves(n), keys.listed(n), keys.moving(n), keys.patient(n)]
    await redis.hdel(DIRECTORY, card.code)
    for start in range(0, len(crowd), UNLINKED_AT_ONCE):
        await redis.unlink(*crowd[start : start + UNLINKED_AT_ONCE])
    for key in _counts(card):
        await redis.expire(key, COUNTS_KEPT_S)


def _counts(card: SaleCard) -> list[str]:
    keys = keys_of(card)
    rest = [keys.card, keys.state, keys.asked, keys.holds, keys.due, keys.units, keys.used_sale, keys.refused]
    for line in card.lines:
        n = line.line_id
        rest += [keys.line(n), keys.out(n), keys.seen(n), keys.voided(n), *(keys.free(n, sku) for sku in line.skus)]
    return rest


async def erase(card: SaleCard) -> None:
    """Takes everything that is known of a sale and of its campaign's people out of the gate. Raises GateDown."""
    await forget(card)
    keys = keys_of(card)
    await gate().redis.unlink(keys.used_campaign, keys.unpaid, *_counts(card))


async def draw_of(card: SaleCard, line: LineCard) -> tuple[int, str]:
    """Cohort and seed (hex) of a line, (0, "") while it is not drawn. Never changes once there. Raises GateDown."""
    draws: dict[tuple[str, int], tuple[int, str]] = gate().kept["draws"]
    # By the commitment: ids may come back with restored books, a secret never does.
    which = (card.commitment, line.line_id)
    if which not in draws:
        cohort, seed = await gate().ask("HMGET", keys_of(card).line(line.line_id), "cohort", "seed")
        if not seed:
            return 0, ""
        draws[which] = (int(cohort), seed.decode())
    return draws[which]


async def crowd(card: SaleCard, line: LineCard) -> Crowd | Outcome:
    """Who is out of a line, and who was seen. Raises GateDown."""
    keys, n = keys_of(card), line.line_id
    reply = await gate().call(CROWD, [keys.state, keys.out(n), keys.seen(n)], [])
    return Crowd(*reply[1:]) if len(reply) > 1 else Outcome.NOT_READY


async def given_up(card: SaleCard, old: CarriedCard, index: int) -> bool:
    """Whether a place in a line that is carried over was left or voided, as far as the gate knows. Raises GateDown."""
    keys = SaleKeys(card.campaign, old.sale)
    pipe = gate().redis.pipeline(transaction=False)
    pipe.getbit(keys.out(old.line), index)
    pipe.getbit(keys.seen(old.line), index)
    pipe.sismember(keys.voided(old.line), index)
    out, seen, voided = await pipe.execute()
    # Out, but never seen: one that was lost with the gate, and may well be somebody's.
    return bool(out and (seen or voided))


async def patient_places(card: SaleCard, line: LineCard) -> list[int]:
    """The indexes with extra time to claim, a capped list. Raises GateDown."""
    return [int(index) for index in await gate().redis.zrange(keys_of(card).patient(line.line_id), 0, -1)]


async def tending(card: SaleCard) -> bool:
    """Whether the caller is the one to look after the sale for the next 200 ms. Raises GateDown."""
    return bool(await gate().ask("SET", keys_of(card).tend, 1, "NX", "PX", 200))
