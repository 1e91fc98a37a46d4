"""Sale control: the decisions that an admin may take about a published sale.

Each is safe at any time and safe to repeat.

PostgreSQL stores the decision under an exclusive lock of the sale's row. Every commit of a reservation takes the same
lock in share mode, so no reservation slips past a decision. Then the decision goes to Redis with a revision, so that an
older decision never replaces a newer one. When Redis does not answer (GateDown), the decision still holds,
because PostgreSQL refuses what it forbids. Repeat the call to update Redis; otherwise the web processes do it, within
10 s.

`by` is the person who decides, for the audit trail (models/record.py).
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import F
from django.utils.translation import gettext as _

from flashsale.books.events import NewEvent, record
from flashsale.books.reservations import lock_sale
from flashsale.gate import bridge, due_sales, inspect, sale_cards, scripts
from flashsale.gate.client import GateDown, wall_ms
from flashsale.gate.sale_card import SaleCard
from flashsale.life import two_people
from flashsale.life.db_threads import run_in_db_thread
from flashsale.life.mend import mend
from flashsale.life.sale_card import card_of
from flashsale.models import Record, Sale, Stock, Unit
from flashsale.models.sale import POLL_MS_MAX, UNITS_MAX, moment, ms, short_enough
from flashsale.rules import wall_clock
from flashsale.rules.clock import CLOCK_LEASE_MS, ClockLease
from flashsale.rules.events import EventType
from flashsale.rules.polling import LATEST_MS
from flashsale.rules.states import Phase, SaleState
from flashsale.rules.trail import text_digest
from flashsale.rules.visible import visible

RUNNING = (SaleState.PUBLISHED, SaleState.PAUSED)
# The fields that a decision may change. The audit trail records these.
_TOLD = {
    SaleState.PAUSED: EventType.SALE_PAUSED,
    SaleState.PUBLISHED: EventType.SALE_RESUMED,
    SaleState.CALLED_OFF: EventType.SALE_CALLED_OFF,
}
# In both languages, because shoppers of both read it.
NO_BEACON = (
    "Dibatalkan: keacakan publik tidak datang. Tidak ada yang terjual.\n"
    "Called off: the public randomness did not come. Nothing was sold."
)
DECISION_FIELDS = ("state", "opens_at", "closes_at", "paused_ms", "rate_per_s", "poll_ms")


def pause(*, sale: Sale, message: str = "", by: Any = None) -> Sale:
    """Pauses a sale. Once this returns, no new reservation is made, and the line's clock is stopped.

    Raises ValidationError when the sale is not published or is over.
    """

    def change(now: datetime) -> None:
        if sale.state != SaleState.PAUSED:
            running = sale.state == SaleState.PUBLISHED and _phase(sale, now) is not Phase.CLOSED
            _require(running, _("Only a published sale can be paused."))
            sale.state, sale.paused_at, sale.message = SaleState.PAUSED, now, message
            sale.stop_clock(ms(now))

    return _decide(sale, change, "pause", by)


def resume(*, sale: Sale, by: Any = None) -> Sale:
    """Ends a pause. Claim windows, holds and the closing time move by its length. Does nothing in a running sale.

    Raises ValidationError when the sale is neither paused nor published.
    """

    def change(now: datetime) -> None:
        if sale.state == SaleState.PAUSED:
            # The clock of a sale that waits for its beacon starts with the draw.
            if now >= sale.opens_at and (sale.frozen_at or not sale.commits_entries):
                record(opened_events(sale), now)
                sale.run_clock(ms(now), for_ms=CLOCK_LEASE_MS)
            sale.state, sale.paused_at, sale.message = SaleState.PUBLISHED, None, ""
        else:
            _require(sale.state == SaleState.PUBLISHED, _("Only a paused sale can be resumed."))

    return _decide(sale, change, "resume", by)


def postpone(*, sale: Sale, opens_at: datetime, message: str = "", by: Any = None) -> Sale:
    """Moves the opening to a later time, and the closing and the lines' own times by the same amount.

    People keep their places, and the lobby stays open.
    Raises ValidationError once the opening has passed, and when `opens_at` is not later than the present opening.
    """

    def change(now: datetime) -> None:
        if opens_at == sale.opens_at:
            return
        if sale.is_frozen_for_draw and now < sale.opens_at:
            raise ValidationError(_("The lines are frozen for the draw: pause the sale instead."))
        _require(sale.is_before_opening(ms(now)), _("The opening has passed: it cannot be moved any more."))
        _require(opens_at > max(sale.opens_at, now), _("The new opening must be later than the present one."))
        delay = opens_at - sale.opens_at
        for field in ("opens_at", "rolls_over_at"):
            sale.allocations.exclude(**{field: None}).update(**{field: F(field) + delay})
        sale.closes_at += delay
        sale.opens_at, sale.message = opens_at, message

    return _decide(sale, change, "postpone", by)


def tell(*, sale: Sale, message: str, by: Any = None) -> Sale:
    """Shows a message to the shoppers, without a pause. Waiting pages show it when they poll next; "" takes it away.

    Raises ValidationError when the sale is called off, closed or a draft.
    """

    def change(now: datetime) -> None:
        if sale.message != message:
            _require(sale.state in RUNNING and _phase(sale, now) is not Phase.CLOSED, _("No shopper waits any more."))
            sale.message = message

    return _decide(sale, change, "tell", by)


def call_off(*, sale: Sale, message: str, by: Any = None) -> Sale:
    """Ends a sale for ever, with a message to the shoppers.

    No more units are reserved; held units may be paid; orders stay.

    Raises ValidationError when the sale is over or was never published, or when the message is empty.
    """

    def change(now: datetime) -> None:
        if sale.state != SaleState.CALLED_OFF:
            _require(bool(visible(message).strip()), _("Tell the shoppers why."))
            _require(sale.state in RUNNING, _("Only a published sale can be called off."))
            _require(_phase(sale, now) is not Phase.CLOSED, _("The sale is over."))
            sale.state, sale.paused_at, sale.message = SaleState.CALLED_OFF, None, message

    return _decide(sale, change, "call_off", by)


def call_off_without_beacon(*, sale: int) -> Sale:
    """Ends a sale whose public randomness did not come in time. Does nothing in a sale that is drawn or over.

    Its page has said so since its publication. Nothing else replaces the randomness that was declared.
    """
    row: Sale = Sale.objects.select_related("campaign", "clock").get(pk=sale)
    if row.frozen_at is not None or row.state not in RUNNING:
        return row
    return call_off(sale=row, message=NO_BEACON, by="clock")


def opened_events(sale: Sale) -> list[NewEvent]:
    """The event of the opening, where the clock of the sale has not run. Version 1 writes it with the draw."""
    opens = sale.commits_entries and not sale.lease.until
    return [NewEvent(EventType.SALE_OPENED, sale.pk)] if opens else []


def close_early(*, sale: Sale, by: Any = None) -> Sale:
    """Closes an open sale now. No more units are reserved; held units may be paid. Does nothing in a closed sale.

    Raises ValidationError when the sale has not opened or is paused.
    """

    def change(now: datetime) -> None:
        phase = _phase(sale, now)
        if phase is not Phase.CLOSED:
            _require(phase is Phase.OPEN, _("Only an open sale can be closed early."))
            # The line's clock may still stand at the opening, and the table refuses a closing that is not after it.
            sale.closes_at = moment(max(sale.line_ms(ms(now)), ms(sale.opens_at) + 1))

    return _decide(sale, change, "close_early", by)


def brake(*, sale: Sale, rate_per_s: int, poll_ms: int, by: Any = None) -> Sale:
    """Sets how many people are called in a second at most, and how often pages poll, in ms (0: by the phase).

    Raises ValidationError for a value out of bounds, and when the sale is called off or closed.
    """

    def change(now: datetime) -> None:
        _require(sale.state in RUNNING, _("Only a published sale has a brake."))
        _require(1 <= rate_per_s <= 100_000, _("From 1 to 100,000 people a second."))
        _require(0 <= poll_ms <= POLL_MS_MAX, _("At most %(most)d ms.") % {"most": POLL_MS_MAX})
        if rate_per_s > sale.rate_per_s:
            # People who wait sleep until their number may be near, at the rate that they know. So a higher rate moves
            # numbers faster only when all of them have woken up.
            holds = sale.slower_until is not None and now < sale.slower_until
            sale.slower_rate = min(sale.slower_rate, sale.rate_per_s) if holds else sale.rate_per_s
            sale.slower_until = now + timedelta(milliseconds=LATEST_MS)
        sale.rate_per_s, sale.poll_ms = rate_per_s, poll_ms

    return _decide(sale, change, "brake", by)


def add_units(*, stock: Stock, quantity: int, by: Any = None) -> Stock:
    """Raises the number of an allocation's own units of an offer to `quantity`. The same number does nothing.

    Above FLASHSALE_TWO_PEOPLE_UNITS units in the sale, the first person only proposes: the number that is returned is
    the old one. Raises ValidationError once the sale has opened, for fewer units than there are, and as
    `two_people.second_to_publish` does.
    """
    with _locked(stock.allocation.sale_id) as now:
        stock.refresh_from_db()
        sale = Sale.objects.select_related("campaign").get(pk=stock.allocation.sale_id)
        if quantity != stock.quantity:
            _require(sale.is_before_opening(ms(now)), _("Units can be added until the sale opens."))
            _require(
                stock.quantity < quantity <= UNITS_MAX,
                _("There are %(count)d units already.") % {"count": stock.quantity},
            )
            if not two_people.second_to_add(stock=stock, quantity=quantity, by=by, now=now):
                return stock
            create_units(stock, first=stock.quantity + 1, last=quantity)
            line, sku = stock.allocation.code, stock.offer.sku
            facts = {"line": line, "sku": sku, "was": stock.quantity, "units": quantity}
            stock.quantity = quantity
            stock.save(update_fields=["quantity"], decided=True)
            Record.write("add_units", by=by, sale=sale, facts=facts)
    bridge.run(mend(card=card_of(sale)))
    return stock


def create_units(stock: Stock, *, first: int, last: int) -> None:
    """Creates units with the serial numbers `first` to `last`.

    The caller's transaction must have locked the sale's row.
    """
    line, sku = stock.allocation, stock.offer.sku
    serials = (f"{line.sale.code}/{line.code}/{sku}/{n:06d}" for n in range(first, last + 1))
    units = (Unit(campaign_id=line.sale.campaign_id, serial=x, sku=sku, allocation=line) for x in serials)
    Unit.objects.bulk_create(units, batch_size=1000)


def _require(condition: bool, error: str) -> None:
    if not condition:
        raise ValidationError(error)


def _phase(sale: Sale, now: datetime) -> Phase:
    return sale.phase(ms(now))


def _now() -> datetime:
    """The time by the wall clock of Redis, on which sales run; by this machine's clock while Redis does not answer."""
    try:
        return moment(bridge.run(wall_ms()))
    except GateDown:
        return wall_clock.now()


@contextmanager
def _locked(sale: int) -> Iterator[datetime]:
    """Opens a transaction and locks the sale's row. Yields the time at which it got the lock.

    A commit or a rebuild may keep it waiting, so the time that it waited is added to the time of Redis.
    """
    now, read_at = _now(), time.monotonic()
    with transaction.atomic():
        lock_sale(sale, exclusive=True)
        yield now + timedelta(seconds=time.monotonic() - read_at)


def _decide(sale: Sale, change: Callable[[datetime], None], what: str, by: Any) -> Sale:
    with _locked(sale.pk) as now:
        sale.refresh_from_db()
        message, before = sale.message, {name: getattr(sale, name) for name in DECISION_FIELDS}
        change(now)
        if sale.message != message:
            short_enough(sale.message)
        sale.revision += 1
        sale.save(decided=True)
        # A decision that is repeated changes nothing, so the audit trail gets no record.
        facts = {name: _json_value(after) for name in DECISION_FIELDS if (after := getattr(sale, name)) != before[name]}
        told = sale.message not in {"", message}
        if facts or sale.message != message:
            record([NewEvent(type_, sale.pk, data=data) for type_, data in _events(sale, facts)], now)
            Record.write(what, by=by, sale=sale, why=text_digest(sale.message) if told else "", facts=facts)
        # Read under the lock of the row: the lease and `paused_ms` must belong together, and a renewal could change
        # both.
        lease = sale.lease
    bridge.run(_send_decision(card_of(sale), sale, lease))
    return sale


def _events(sale: Sale, facts: Mapping[str, Any]) -> Iterator[tuple[EventType, Mapping[str, Any]]]:
    """What partners are told about a decision that has changed these fields."""
    if "opens_at" in facts or "closes_at" in facts:
        yield EventType.SALE_RESCHEDULED, times_of(sale)
    if "state" in facts:
        yield _TOLD[SaleState(sale.state)], {}


def times_of(sale: Sale) -> dict[str, str]:
    """The times of a sale for its events."""
    return {name: getattr(sale, name).isoformat() for name in ("lobby_at", "opens_at", "closes_at")}


def _json_value(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


async def _send_decision(card: SaleCard, sale: Sale, lease: ClockLease) -> None:
    # Redis may have frozen a cohort at an opening that has been moved since. It was not drawn, so it freezes again.
    frozen = {} if sale.is_frozen_for_draw else {"frozen": 0}
    await scripts.apply_decision(
        card, revision=sale.revision, state=sale.state, opens=card.opens_at, closes=card.closes_at,
        paused_ms=sale.paused_ms, runs_from=lease.since, runs_until=lease.until, **frozen,
    )  # fmt: skip
    sale_cards.drop_cached_card(card)
    await due_sales.look_within(card.code, ms=0)


async def resend_decision(*, card: SaleCard) -> bool:
    """Sends the last decision and the card to Redis if Redis has older ones. Returns whether it did."""
    sale, new_card, lease = await run_in_db_thread(_read_decision, card.sale)
    gate_revision = await inspect.revision(card)
    if gate_revision is None or gate_revision > sale.revision or (gate_revision, card) == (sale.revision, new_card):
        return False
    await _send_decision(new_card, sale, lease)
    return True


async def restore_card(*, sale: int) -> None:
    """Writes the card of a published sale to Redis again, and its entry in the directory of sales."""
    row, card, lease = await run_in_db_thread(_read_decision, sale)
    await _send_decision(card, row, lease)
    await sale_cards.list_sale(card)


def _read_decision(sale: int) -> tuple[Sale, SaleCard, ClockLease]:
    row = Sale.objects.select_related("campaign", "clock").get(pk=sale)
    return row, card_of(row), row.lease
