"""What a test begins with: the POCO campaign, a sale in one of its phases, and people with places in its line."""

import itertools
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db import transaction
from django.db.models import F, QuerySet
from django.utils import timezone

from flashsale.books.events import NewEvent, record
from flashsale.gate import bridge, client, inspect, load, sale_cards, scripts
from flashsale.gate.sale_card import ChannelCard, LineCard, SaleCard
from flashsale.life import places, sale_card, snapshot, tick
from flashsale.life.enter import Entry, digest_identity, enter
from flashsale.life.index_blocks import BLOCK_MIN
from flashsale.life.look import PlaceView, look
from flashsale.life.reserve import Reserved, reserve
from flashsale.life.sale_control import create_units, times_of
from flashsale.life.schedule import SECRET_BYTES, plan_campaign, plan_sale, publish, published_terms
from flashsale.models import (
    Allocation,
    Campaign,
    CampaignAxis,
    Channel,
    Clock,
    Offer,
    PublishedRuleSet,
    Record,
    Sale,
    Stock,
)
from flashsale.models.sale import LOBBY
from flashsale.rules.events import EventType
from flashsale.rules.identity import Axis
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.states import SaleState

PHONE = "POCO-M3-4-64"
BIG_PHONE = "POCO-M3-6-128"
OFFERS = (
    {"sku": PHONE, "name": "POCO M3 4 GB/64 GB", "price": 1_799_000},
    {"sku": BIG_PHONE, "name": "POCO M3 6 GB/128 GB", "price": 2_299_000},
)
CHANNELS = (
    # Partners write to their own buyers.
    {"code": "lazada", "name": "Lazada", "entry_url": "https://lazada.example/flash", "order_letters": False},
    {"code": "akulaku", "name": "Akulaku", "order_letters": False},
    {"code": "mi.com", "name": "mi.com", "kind": "own page"},
    {"code": "mi-store", "name": "Mi Store", "order_letters": False},
)
AXES = {
    Axis.PHONE: "hard enter",
    Axis.EMAIL: "hard enter",
    Axis.PAYMENT: "soft",
    Axis.ADDRESS: "soft",
    Axis.DEVICE: "soft",
}
# Fields with which `lobby_sale` writes the rows itself.
PLAIN = {
    "stock", "channels", "opens_in_s", "name", "max_entries", "claim_s", "hold_s", "claims_max", "extra_time_max",
    "extra_time_share", "rate_per_s", "overbooking",
}  # fmt: skip
_serial = itertools.count(1)


def poco_campaign(**fields: Any) -> Campaign:
    """The campaign with its four channels. Phone and e-mail are hard axes; the others are for the review only."""
    values: dict[str, Any] = {
        "code": f"poco-{next(_serial)}", "name": "POCO M3 Indonesia", "axes": AXES, "channels": CHANNELS, "undo_s": 0,
    } | fields  # fmt: skip
    return plan_campaign(**values) if fields else _planned(**values)


def _planned(*, axes: Mapping[Axis, str], channels: Sequence[Mapping[str, Any]], **values: Any) -> Campaign:
    """As `plan_campaign`, in six statements instead of seventy: these values are known to be valid."""
    with transaction.atomic():
        campaign = Campaign.objects.create(**values)
        CampaignAxis.objects.bulk_create(
            CampaignAxis(
                campaign=campaign,
                axis=axis.value,
                hard="hard" in kind,
                checked_at="enter" if "enter" in kind else "confirm",
            )
            for axis, kind in axes.items()
        )
        Channel.objects.bulk_create(Channel(campaign=campaign, **channel) for channel in channels)
        Record.write("plan", by=None, campaign=campaign)
    return campaign


def draft_sale(
    campaign: Campaign | None = None,
    *,
    stock: Mapping[str, int] | None = None,
    channels: tuple[str, ...] = ("lazada",),
    opens_in_s: float = 3600,
    **fields: Any,
) -> Sale:
    """A draft with one line for each channel. A line has `stock`: 10 small phones by default."""
    now = timezone.now()
    lines = [{"code": code, "channels": [code], "stock": stock or {PHONE: 10}} for code in channels]
    values: dict[str, Any] = {
        "code": f"sale-{next(_serial)}", "name": "26 January", "offers": OFFERS, "lines": lines,
        "opens_at": now + timedelta(seconds=opens_in_s), "closes_at": now + timedelta(seconds=opens_in_s + 3600),
    } | fields  # fmt: skip
    return plan_sale(campaign=campaign or poco_campaign(), **values)


def lobby_sale(campaign: Campaign | None = None, **fields: Any) -> Sale:
    """A published sale whose lobby is open."""
    campaign = campaign or poco_campaign()
    if fields.keys() <= PLAIN and not settings.FLASHSALE_TWO_PEOPLE_UNITS and _is_new(campaign):
        return _published(campaign, **fields)
    return publish(sale=draft_sale(campaign, **fields))


def _is_new(campaign: Campaign) -> bool:
    """Whether a sale of it could be published, and would be its first one."""
    can_publish = {"payment_accounts": "", "erased_at": None, "axes__hard": True, "axes__checked_at": "enter"}
    return Campaign.objects.filter(pk=campaign.pk, frozen_at=None, **can_publish).exists()


@transaction.atomic
def _published(
    campaign: Campaign,
    *,
    stock: Mapping[str, int] | None = None,
    channels: tuple[str, ...] = ("lazada",),
    opens_in_s: float = 3600,
    **values: Any,
) -> Sale:
    """As `plan_sale` and `publish`, with a fifth of their statements: the first sale of a campaign, with valid values.

    tests/test_factories.py compares the rows and the keys in Redis with those of the real ones.
    """
    now = timezone.now()
    opens_at = now + timedelta(seconds=opens_in_s)
    sale = Sale(
        **{"code": f"sale-{next(_serial)}", "name": "26 January"} | values,
        campaign=campaign, lobby_at=opens_at - LOBBY, opens_at=opens_at, closes_at=opens_at + timedelta(hours=1),
        state=SaleState.PUBLISHED, published_at=now, rules=PublishedRuleSet.newest(), epoch=1,
    )  # fmt: skip
    sale.commit_to(os.urandom(SECRET_BYTES))
    sale.save_base(force_insert=True)
    offers = _put([Offer(sale=sale, **offer) for offer in OFFERS])
    lines = _put(
        [
            Allocation(sale=sale, line_id=number, code=code, block=min(BLOCK_MIN, sale.max_entries))
            for number, code in enumerate(channels, start=1)
        ]
    )
    ids = dict(campaign.channels.values_list("code", "pk"))
    _put([Allocation.channels.through(allocation=line, channel_id=ids[line.code]) for line in lines])
    sold = {PHONE: 10} if stock is None else stock
    for row in _put(
        [
            Stock(allocation=line, offer=offer, quantity=sold[offer.sku])
            for line in lines
            for offer in offers
            if offer.sku in sold
        ]
    ):
        create_units(row, first=1, last=row.quantity)
    Campaign.objects.filter(pk=campaign.pk).update(frozen_at=now)
    Record.write("plan", by=None, sale=sale)
    record([NewEvent(EventType.SALE_PUBLISHED, sale.pk, data=times_of(sale))], now)
    Record.write("publish", by=None, sale=sale, facts=published_terms(sale))
    Record.write("rebuild", by="clock", sale=sale, facts={"epoch": sale.epoch})
    bridge.run(_confirm())
    bridge.run(load.load(snapshot.sales_of([sale], [sale_card.card_of(sale)]), load.Counts({}, {})))
    sale.refresh_from_db()
    return sale


async def _confirm() -> None:
    await client.gate().confirm()


def _put(rows: list[Any]) -> list[Any]:
    """Inserts rows as SQL does, also such as the publication has frozen in the models."""
    return type(rows[0])._base_manager.bulk_create(rows)


def open_now(sale: Sale) -> Sale:
    """Moves a future opening to this moment and runs one tick of the sale."""
    if sale.opens_at > timezone.now():
        move_opening(sale)
    tend(sale)
    return sale


def move_opening(sale: Sale, opens_at: datetime | None = None) -> None:
    """Moves the opening of a published sale in PostgreSQL and Redis; to this moment by default.

    A test takes this shortcut, so that it does not wait. The story waits for the real opening.
    """
    moved = opens_at or timezone.now() - timedelta(milliseconds=1)
    Sale.objects.filter(pk=sale.pk).update(opens_at=moved, revision=F("revision") + 1)
    sale.refresh_from_db()
    bridge.run(_move_opening(sale))


async def _move_opening(sale: Sale) -> None:
    card = await places.sale_card(code=sale.code)
    opens = int(sale.opens_at.timestamp() * 1000)
    await scripts.apply_decision(card, revision=sale.revision, opens=opens)
    await sale_cards.store_card(replace(card, opens_at=opens))


def rewrite(rows: QuerySet[Any], **values: Any) -> None:
    """Changes rows as SQL does, also fields that the publication has frozen in the models."""
    QuerySet.update(rows, **values)


def begun(sale: Sale) -> Sale:
    """Writes in PostgreSQL that a tick has run since the opening. Without one, the clock of the sale waits there."""
    wall = int(timezone.now().timestamp() * 1000)
    Clock.objects.update_or_create(sale=sale, defaults={"runs_from_ms": wall, "runs_until_ms": wall + 1})
    return sale


def end_now(sale: Sale) -> Sale:
    """Moves the closing of an open sale to right after its opening, in PostgreSQL only."""
    begun(sale)
    Sale.objects.filter(pk=sale.pk).update(closes_at=F("opens_at") + timedelta(milliseconds=1))
    sale.refresh_from_db()
    return sale


def forget(sale: Sale) -> None:
    """Removes the sale from Redis and from this process, as a tick does a day after its end."""
    bridge.run(_forget(card_of(sale)))


async def _forget(card: SaleCard) -> None:
    await sale_cards.remove_sale(card)
    sale_cards.CARDS.entries().clear()


def card_of(sale: Sale) -> SaleCard:
    """The sale card that the web processes use."""
    return bridge.run(places.sale_card(code=sale.code))


def channel_of(card: SaleCard, code: str) -> ChannelCard:
    """The channel with this code."""
    return next(channel for channel in card.channels if channel.code == code)


def tend(sale: Sale) -> None:
    """Runs one tick of the sale."""
    bridge.run(tick.tick_sale(card=card_of(sale)))


def roll_over_now(sale: Sale) -> None:
    """Moves the time at which lines roll over to this moment, on the sale card in Redis."""
    card = card_of(sale)
    lines = tuple(replace(x, rolls_over_at=x.rolls_over_at and card.opens_at) for x in card.lines)
    bridge.run(sale_cards.store_card(replace(card, lines=lines)))
    tend(sale)


def let_pass(sale: Sale, *, seconds: float) -> None:
    """Moves the calls of people into the past, so that their claim windows end that much earlier."""
    bridge.run(_let_pass(card_of(sale), ms=round(seconds * 1000)))


async def _let_pass(card: SaleCard, *, ms: int) -> None:
    keys, redis = scripts.keys_of(card), client.gate().redis
    for line in card.lines:
        waves = await inspect.waves(card, line)
        if waves:
            await redis.delete(keys.waves(line.line_id))
            await redis.zadd(keys.waves(line.line_id), {f"{last}:{called_at - ms}": last for last, called_at in waves})


def identity(name: str) -> dict[Axis, str]:
    """The identity of a person. The same name gives the same identity."""
    number = sum(ord(letter) * 131**place for place, letter in enumerate(name)) % 10**8
    return {Axis.PHONE: f"0812{number:08d}", Axis.EMAIL: f"{name}@example.com"}


class Shopper:
    """A person in one line of a sale, who calls the functions of the life directly."""

    def __init__(self, sale: Sale, name: str, *, channel: str = "lazada", line: str | None = None) -> None:
        self.sale, self.name, self.channel_code, self.line_code = sale, name, channel, line or channel
        self.entry: Entry | None = None

    @property
    def card(self) -> SaleCard:
        return card_of(self.sale)

    @property
    def line(self) -> LineCard:
        return places.line(card=self.card, code=self.line_code)

    @property
    def channel(self) -> ChannelCard:
        return channel_of(self.card, self.channel_code)

    def enter(self) -> Entry:
        known = digest_identity(card=self.card, values=identity(self.name))
        self.entry = bridge.run(enter(card=self.card, line=self.line, channel=self.channel, digests=known))
        return self.entry

    @property
    def place(self) -> Any:
        assert self.entry is not None
        return places.open_place(card=self.card, line=self.line, token=self.entry.token)

    def reserve(self, *items: tuple[str, int], key: str = "once", waited_s: float = 0.0) -> Reserved:
        wanted = list(items) or [(PHONE, 1)]
        where = {"card": self.card, "line": self.line, "channel": self.channel, "place": self.place}
        return bridge.run(reserve(**where, items=wanted, key=key, key_owner="place", waited_s=waited_s))

    def look(self) -> PlaceView:
        return bridge.run(look(card=self.card, line=self.line, place=self.place))

    def number(self) -> int:
        return self.look().number or 0


def refusal(call: Any, *args: Any, **fields: Any) -> Outcome:
    """The outcome with which a call is refused. Fails when the call succeeds."""
    with pytest.raises(Refused) as refused:
        call(*args, **fields)
    return refused.value.outcome
