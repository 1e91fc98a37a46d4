"""Makes what the bench measures on: a campaign with three hard axes, sales, and people with places in lines."""

import asyncio
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from django.db.models import F

from flashsale.gate import bridge, due_sales, sale_cards, scripts
from flashsale.gate.messages import Survey
from flashsale.gate.sale_card import LineCard, SaleCard
from flashsale.life import draw, index_blocks, places, schedule
from flashsale.life.db_threads import run_in_db_thread
from flashsale.models import Allocation, Campaign, Channel, PartnerKey, Sale
from flashsale.models.sale import ms as to_ms
from flashsale.rules.identity import DIGEST_BYTES, Axis
from flashsale.rules.outcomes import Outcome
from flashsale.rules.tokens import Place

AXES = (Axis.EMAIL, Axis.PAYMENT, Axis.PHONE)
SKU, PRICE = "PHONE", 1_799_000
AT_ONCE = 32
_serial = count(1)


class FixtureError(RuntimeError):
    """A measurement could not be prepared or was not answered as expected. The text has the reason."""


def campaign(channels: Sequence[str], **fields: Any) -> Campaign:
    """Makes a campaign with three hard axes and a limit of one. `fields` are those of each channel."""
    return schedule.plan_campaign(
        code=f"bench-{next(_serial)}",
        name="Bench",
        limit=1,
        axes=dict.fromkeys(AXES, "hard enter"),
        channels=[{"code": code, "name": code, **fields} for code in channels],
    )


def sale(where: Campaign, *, units: Mapping[str, int], **fields: Any) -> SaleCard:
    """Publishes a sale whose lobby is open. Each channel in `units` gets a line with so many units."""
    now = datetime.now(UTC)
    opens = now + timedelta(hours=1)
    made = schedule.plan_sale(
        campaign=where,
        code=f"bench-{next(_serial)}",
        name="Bench",
        lobby_at=now - timedelta(seconds=1),
        opens_at=opens,
        closes_at=opens + timedelta(hours=2),
        offers=[{"sku": SKU, "name": "Phone", "price": PRICE}],
        lines=[{"code": code, "channels": [code], "stock": {SKU: stock}} for code, stock in units.items()],
        **{"claim_s": 3600, "hold_s": 3600, "rate_per_s": 100_000} | fields,
    )
    return sale_card(schedule.publish(sale=made))


def sale_card(row: Sale) -> SaleCard:
    """The sale card of a sale, as the hot door uses it."""
    return bridge.run(places.sale_card(code=row.code))


def line_of(card: SaleCard, code: str) -> LineCard:
    """The line with this code."""
    return places.line(card=card, code=code)


def key_of(where: Campaign, channel: str) -> str:
    """Makes a partner key for a channel and returns it."""
    return signing_key_of(where, channel)[0]


def signing_key_of(where: Campaign, channel: str) -> tuple[str, str]:
    """Makes a partner key for a channel and returns it with its signing secret."""
    row, key = PartnerKey.make(Channel.objects.get(campaign=where, code=channel))
    return key, PartnerKey.secret_in(row.sealed)


def random_person() -> dict[Axis, bytes]:
    """The digests of a new random person, in the form that Redis stores."""
    return {axis: secrets.token_bytes(DIGEST_BYTES) for axis in AXES}


async def fill(card: SaleCard, line: LineCard, people: Sequence[Mapping[Axis, bytes]]) -> list[Place]:
    """Lets people enter through the real script. Returns their places in the same order."""
    await extend(card, line, len(people))
    channel = next(channel for channel in card.channels if channel.code in line.channels)
    found: list[Place] = []
    for start in range(0, len(people), AT_ONCE):
        group = people[start : start + AT_ONCE]
        answers = await asyncio.gather(*(scripts.enter(card, line, channel, [who[a] for a in AXES]) for who in group))
        for who, answer in zip(group, answers, strict=True):
            if isinstance(answer, Outcome):
                raise FixtureError(f"enter: {answer}")
            made_ms, by_code = time.time_ns() // 1_000_000, channel.proves_by_code
            found.append(Place(card.sale, line.line_id, answer.index, made_ms, who, by_code))
    return found


async def survey(card: SaleCard, line: LineCard) -> Survey:
    """The counters of a line. Raises FixtureError."""
    figures = await scripts.survey(card, line)
    if isinstance(figures, Outcome):
        raise FixtureError(f"survey: {figures}")
    return figures


async def extend(card: SaleCard, line: LineCard, people: int) -> None:
    figures = await survey(card, line)
    if figures.block < figures.entered + people:
        block = await run_in_db_thread(
            index_blocks.write_block, card, line.id, min(card.max_entries, figures.entered + people)
        )
        await scripts.extend_block(card, line, block=block)


async def open_now(card: SaleCard) -> SaleCard:
    """Moves the opening to now, and draws all lines. Returns the new sale card."""
    card = await open_in(card, ms=0)
    if not await draw.draw(card=card):
        raise FixtureError("the sale was not drawn")
    return card


async def open_in(card: SaleCard, *, ms: int) -> SaleCard:
    """Moves the opening to `ms` from now, in PostgreSQL and in Redis. Returns the new sale card."""
    moved = datetime.now(UTC) + timedelta(milliseconds=ms)
    revision = await run_in_db_thread(_move_opening, card.sale, moved)
    await scripts.apply_decision(card, revision=revision, opens=to_ms(moved))
    card = replace(card, opens_at=to_ms(moved))
    await sale_cards.store_card(card)
    await due_sales.look_within(card.code, ms=0)
    return card


def _move_opening(sale: int, moved: datetime) -> int:
    Sale.objects.filter(pk=sale).update(opens_at=moved, revision=F("revision") + 1)
    return int(Sale.objects.values_list("revision", flat=True).get(pk=sale))


async def call_all(card: SaleCard, line: LineCard) -> None:
    """Calls all people in a line at once, even if there are fewer units."""
    figures = await survey(card, line)
    waiting = figures.entered - figures.called
    called = await scripts.call(card, line, seed=figures.seed, called=figures.called, people=waiting)
    if called != figures.entered:
        raise FixtureError(f"call: {called}")
    await run_in_db_thread(Allocation.objects.filter(pk=line.id).update, called=figures.entered)
