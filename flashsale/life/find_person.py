"""Finds what belongs to a person for staff: places while a sale runs, and orders, by whatever a caller can read out.

The typed value becomes the digest that it has in each campaign, and is not kept. The audit trail gets who searched, by
which kind of value, its keyed digest (trail_keys.py), why, and what was found. It also notes a member of staff who
searches very often; that person is refused at last. Requests about data and contacts that are shown count as searches.
"""

import logging
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import UUID

from django.conf import settings
from django.contrib.auth.models import User
from django.core.cache import caches
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from flashsale.gate import bridge, inspect, people
from flashsale.gate.client import GateDown
from flashsale.gate.people import FoundPlace
from flashsale.gate.sale_card import LineCard, SaleCard
from flashsale.life import places
from flashsale.life.advisory_lock import advisory_lock
from flashsale.life.find_orders import (
    FOUND_MAX,
    TYPED_MAX,
    digest_of,
    find_orders,
    order_filters,
    people_with,
    searched_campaigns,
)
from flashsale.life.sale_card import card_of
from flashsale.life.staff_campaigns import rows_of
from flashsale.life.trail_keys import write_with_digests
from flashsale.models import Allocation, Campaign, Channel, Record, Reservation, Sale, TrailKey
from flashsale.models.sale import moment, ms
from flashsale.rules import lottery
from flashsale.rules.identity import Axis, BadValue, canonical_value
from flashsale.rules.outcomes import Refused
from flashsale.rules.states import PlaceState, SaleState
from flashsale.rules.tokens import PREFIX, TOKEN_CHARS_MAX
from flashsale.rules.visible import visible

log = logging.getLogger(__name__)
AXES = (Axis.PHONE, Axis.EMAIL, Axis.NATIONAL_ID)
# Redis has no places of older sales. It deletes them a day after the end, which a pause may move.
PLACES_KEPT = timedelta(days=7)
# The kind of work of the advisory lock ("seek" in ASCII).
LOCK = int.from_bytes(b"seek")
# A search of this many in an hour raises an alarm in the trail; above the other number it is refused.
WINDOW, ALARM_AT, SEARCHES_MAX = timedelta(hours=1), 30, 120


class Why(StrEnum):
    """Why a member of staff looks at data of a person. The trail keeps the word."""

    ORDER = "order"
    PLACE = "place"
    MONEY = "money"
    LETTER = "letter"
    COMPLAINT = "complaint"
    REQUEST = "request"
    REVIEW = "review"
    ACCOUNTS = "accounts"


WHY_LABELS: dict[Why, Promise] = {
    Why.ORDER: gettext_lazy("the buyer asks about an order"),
    Why.PLACE: gettext_lazy("the person asks about a place in the line"),
    Why.MONEY: gettext_lazy("a question about money"),
    Why.LETTER: gettext_lazy("a letter did not arrive"),
    Why.COMPLAINT: gettext_lazy("a complaint or an appeal"),
    Why.REQUEST: gettext_lazy("a request about personal data"),
    Why.REVIEW: gettext_lazy("a review or an audit"),
    Why.ACCOUNTS: gettext_lazy("the accounts of the shop"),
}


@dataclass(frozen=True, slots=True)
class Entry:
    """A place as Redis (the gate) knows it. Times are of the line's clock; None for what has not happened."""

    sale: Sale
    line: str
    index: int
    number: int | None
    state: PlaceState
    called_at: datetime | None
    until: datetime | None
    by_code: bool


class Found(NamedTuple):
    """What a search has found. `not_asked` are the codes of running sales whose Redis did not answer."""

    kinds: list[str]
    entries: list[Entry]
    orders: list[Reservation]
    not_asked: list[str]


def find_person(*, typed: str, why: Why, campaign: Campaign | None = None, by: Any, sees_contacts: bool) -> Found:
    """The places and the newest orders, at most FOUND_MAX, that belong to a value, in a campaign or in all of the user.

    Raises ValidationError for a value of no known kind, for a person's value without the right to see contacts, and for
    too many searches.
    """
    with one_look(by):
        return _find(" ".join(visible(typed).split()), why=why, campaign=campaign, by=by, sees_contacts=sees_contacts)


def _find(value: str, *, why: Why, campaign: Campaign | None, by: Any, sees_contacts: bool) -> Found:
    chosen = searched_campaigns().filter(**({"pk": campaign.pk} if campaign else {}))
    campaigns = list(rows_of(chosen, by))
    filters, of_people, found_places = _read(value, campaigns, by)
    if of_people and not sees_contacts and not filters:
        raise ValidationError(_("Only users who may see contacts can search by phone or e-mail."))
    if sees_contacts:
        filters |= of_people
    if not filters:
        raise ValidationError(
            _(
                "This is no phone number, e-mail address, order, reference, place or number in a sale (write the "
                "sale's code, a space and the number)."
            )
        )
    wanted = Q()
    for query in filters.values():
        wanted |= query
    rows = Reservation.objects.filter(wanted, sale__campaign__in=campaigns)
    with_names = rows.select_related("sale__campaign", "allocation", "channel").prefetch_related("attempts__refunds")
    orders = list(with_names.order_by("-made_at", "pk").distinct()[:FOUND_MAX])
    values = dict.fromkeys(AXES, value) if of_people and sees_contacts else {}
    entries, not_asked = _entries(campaigns, values, found_places)
    found = Found(sorted(filters), entries, orders, not_asked)
    _note(value, found, why=why, campaign=campaign, by=by)
    return found


def search_orders(*, typed: str, by: Any, sees_contacts: bool) -> list[UUID]:
    """As `find_orders`, with the limit and the alarm of `find_person`, because it finds people, too."""
    with one_look(by):
        return find_orders(typed=typed, by=by, sees_contacts=sees_contacts)


@contextmanager
def one_look(by: Any) -> Iterator[None]:
    """One look of a member of staff at people's data: a search, a request about data, a contact that is shown.

    What the look writes with `count_search` or `write_with_digests` is counted, and so is a look that ends in
    ValidationError. Raises ValidationError for too many looks in an hour, and for a second one at the same time: it
    would not see the count of the first.
    """
    if not isinstance(by, User):
        yield
        return
    with advisory_lock(LOCK, by.pk, wait=False) as is_only:
        if not is_only:
            raise ValidationError(_("Another search of yours is not done yet. Wait for it, and try again."))
        before = searches_of(by)
        _refuse_many(before)
        try:
            yield
        except ValidationError:
            _count_failed(by)
            raise
        finally:
            _alarm(before, searches_of(by), by)


def _refuse_many(count: int) -> None:
    if count >= SEARCHES_MAX:
        raise ValidationError(
            _("You have made %(count)d searches in the last hour. Wait, or ask another person.")
            % {"count": SEARCHES_MAX}
        )


def searches_of(by: Any) -> int:
    """How many records about people a member of staff has written in the last hour, and how many searches failed."""
    noted = TrailKey.objects.filter(who=f"staff:{by.pk}", made_at__gt=timezone.now() - WINDOW).count()
    return int(noted + (_cache().get(_failed_key(by)) or 0))


def _cache() -> Any:
    return caches[settings.RATELIMIT_USE_CACHE]


def _failed_key(by: User) -> str:
    return f"failed-searches:{by.pk}"


def _count_failed(by: User) -> None:
    """A search that finds nothing to search for leaves no record, but it counts. Without Redis it does not."""
    _cache().add(_failed_key(by), 0, timeout=int(WINDOW.total_seconds()))
    with suppress(ValueError):
        _cache().incr(_failed_key(by))


def _read(
    value: str, campaigns: Collection[Campaign], by: Any
) -> tuple[dict[str, Q], dict[str, Q], list[tuple[int, FoundPlace]]]:
    """What a value can be: filters of orders, filters of orders of people, and places (sale id, place)."""
    if value.startswith(PREFIX) and len(value) <= TOKEN_CHARS_MAX:
        return _read_token(value)
    if not value or len(value) > TYPED_MAX or not value.isprintable():
        return {}, {}, []
    filters = order_filters(value, by)
    channels = list(Channel.objects.filter(campaign__in=campaigns).values_list("pk", flat=True))
    named = Reservation.objects.filter(channel__in=channels, partner_reference=value)
    if named.exists():
        filters["partner_reference"] = Q(pk__in=named.values("pk"))
    numbers, found_places = _read_number(value, campaigns)
    return filters | numbers, dict(people_with(value, AXES, campaigns)), found_places


def _read_token(value: str) -> tuple[dict[str, Q], dict[str, Q], list[tuple[int, FoundPlace]]]:
    try:
        place = places.open_token(value)
    except Refused:
        return {}, {}, []
    orders = Q(sale=place.sale, allocation__line_id=place.line, index=place.index)
    return {"place": orders}, {}, [(place.sale, FoundPlace(place.line, place.index, place.by_code))]


def _read_number(value: str, campaigns: Collection[Campaign]) -> tuple[dict[str, Q], list[tuple[int, FoundPlace]]]:
    """A number in a sale, such as "poco-26 1234". Each line of the sale may have that number."""
    code, _space, digits = value.partition(" ")
    if not digits.isascii() or not digits.isdigit() or len(digits) > 9 or int(digits) < 1:
        return {}, []
    sale = Sale.objects.filter(code=code.lower(), campaign__in=campaigns).exclude(state=SaleState.DRAFT).first()
    if sale is None:
        return {}, []
    number = int(digits)
    drawn = [line for line in sale.allocations.all() if line.seed]
    found = [(sale.pk, FoundPlace(line.line_id, _index_of(line, number), by_code=True)) for line in drawn]
    return {"number": Q(sale=sale, number=number)}, found


def _index_of(line: Allocation, number: int) -> int:
    return lottery.index_of(number, line.cohort or 0, bytes.fromhex(line.seed))


def _entries(
    campaigns: Collection[Campaign], values: Mapping[Axis, str], known: Collection[tuple[int, FoundPlace]]
) -> tuple[list[Entry], list[str]]:
    """The places of a person with these values, and `known` ones; and the codes of the sales that did not answer."""
    entries: list[Entry] = []
    not_asked: list[str] = []
    for campaign in campaigns:
        digests = {bytes.fromhex(one) for axis, text in values.items() for one in digest_of(campaign, axis, text)}
        sales = Sale.objects.filter(campaign=campaign, closes_at__gt=timezone.now() - PLACES_KEPT)
        for sale in sales.exclude(state=SaleState.DRAFT).select_related("campaign", "clock"):
            of_sale = {place for sale_id, place in known if sale_id == sale.pk}
            if not digests and not of_sale:
                continue
            try:
                now = sale.line_ms(ms(timezone.now()))
                entries += bridge.run(_entries_of(sale, card_of(sale), now, digests, of_sale))
            except GateDown:
                not_asked.append(sale.code)
    return entries, not_asked


def entries_of(values: Mapping[Axis, str]) -> list[Entry]:
    """The places of a person in all sales that Redis (the gate) has. Raises GateDown when one does not answer."""
    entries, not_asked = _entries(list(searched_campaigns()), values, ())
    if not_asked:
        raise GateDown(f"Redis does not answer for {', '.join(not_asked)}")
    return entries


async def _entries_of(
    sale: Sale, card: SaleCard, now: int, digests: Collection[bytes], known: Collection[FoundPlace]
) -> list[Entry]:
    if not await inspect.has_sale(card):
        return []
    found = await people.places_of(card, digests) | set(known)
    entries = []
    for line, place in people.lines_of(card, found):
        # A number that somebody reads out may not be given yet.
        if place.index <= (await inspect.counters(card, line))["entered"]:
            entries.append(await _entry(sale, card, now, line, place))
    return entries


async def _entry(sale: Sale, card: SaleCard, now: int, line: LineCard, place: FoundPlace) -> Entry:
    number, _seed = await places.number_of(card, line, place.index)
    facts = await people.place_facts(card, line, index=place.index, number=number)
    called_at = next((at for last, at in await inspect.waves(card, line) if number and last >= number), None)
    until = None if called_at is None else called_at + card.claim_ms * (2 if facts.extra_time else 1)
    state = PlaceState.WAITING
    if facts.voided:
        state = PlaceState.VOIDED
    elif facts.left:
        state = PlaceState.LEFT
    elif facts.spent:
        state = PlaceState.SPENT
    elif until is not None:
        state = PlaceState.LAPSED if now >= until else PlaceState.CALLED
    called, ends = (None if at is None else moment(at) for at in (called_at, until))
    return Entry(sale, line.code, place.index, number or None, state, called, ends, place.by_code)


@transaction.atomic
def _note(value: str, found: Found, *, why: Why, campaign: Campaign | None, by: Any) -> None:
    """Writes the record of the search."""
    facts = {"by": found.kinds, "found": [str(order.pk) for order in found.orders], "entries": len(found.entries)}
    write_with_digests(
        "find_person", values=dict(_noted(value, found.kinds)), by=by, campaign=campaign, subject="people",
        why=why.value, facts=facts,
    )  # fmt: skip


@transaction.atomic
def _alarm(before: int, count: int, by: User) -> None:
    if before < ALARM_AT <= count:
        log.warning("a member of staff searches very often: %d searches of people in an hour by user %s", count, by.pk)
        Record.write("many_searches", by=by, subject="people", facts={"searches": count})


def _noted(value: str, kinds: list[str]) -> Iterator[tuple[str, str]]:
    """The kinds of value with the spelling whose digest the trail keeps: the canonical one of a person's value."""
    for kind in kinds:
        try:
            yield kind, canonical_value(Axis(kind), value) if kind in set(Axis) else value
        except BadValue:
            yield kind, value


def noted_values(values: Mapping[Axis, str]) -> list[tuple[str, str]]:
    """A person's values as the trail has their digests."""
    return [pair for axis, value in values.items() for pair in _noted(value, [axis.value])]
