"""Control: what an admin may still decide about a published sale. Each is safe at any moment and to repeat.

The books decide under an exclusive lock of the sale's row, which every reservation's commit shares; then the gate is
told, with a revision, so that an older decision never replaces a newer one. When the gate could not be told (GateDown),
the books refuse what the decision forbids all the same, and deciding the same again tells it.

`by` is who decides, for the audit trail (models/record.py).
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext as _

from flashsale.books.reservations import lock_sale
from flashsale.gate import bridge, inspect, sale_cards, scripts
from flashsale.gate.client import GateDown, wall_ms
from flashsale.gate.sale_card import SaleCard
from flashsale.life.db_threads import in_books
from flashsale.life.mend import mend
from flashsale.life.sale_card import card_of
from flashsale.models import Record, Sale, Stock, Unit
from flashsale.models.sale import POLL_MS_MAX, UNITS_MAX, moment, ms, short_enough
from flashsale.rules.clock import CLOCK_LEASE_MS, ClockLease
from flashsale.rules.states import Phase, SaleState
from flashsale.rules.trail import text_digest

RUNNING = (SaleState.PUBLISHED, SaleState.PAUSED)
# What a decision may change, as the audit trail names it.
DECIDED = ("state", "opens_at", "closes_at", "paused_ms", "rate_per_s", "poll_ms")


def pause(*, sale: Sale, message: str = "", by: Any = None) -> Sale:
    """Stops reserving; once this returns no new reservation is made, and the line's clock stands.

    Raises ValidationError when the sale is not published, or over.
    """

    def change(now: datetime) -> None:
        if sale.state != SaleState.PAUSED:
            running = sale.state == SaleState.PUBLISHED and _phase(sale, now) is not Phase.CLOSED
            _demand(running, _("Only a published sale can be paused."))
            sale.state, sale.paused_at, sale.message = SaleState.PAUSED, now, message
            sale.stand(ms(now))

    return _decide(sale, change, "pause", by)


def resume(*, sale: Sale, by: Any = None) -> Sale:
    """Goes on where the pause stopped: claim windows, holds and the closing time move by its length.

    Raises ValidationError when the sale is not paused.
    """

    def change(now: datetime) -> None:
        if sale.state == SaleState.PAUSED:
            if now >= sale.opens_at:
                sale.run_on(ms(now), for_ms=CLOCK_LEASE_MS)
            sale.state, sale.paused_at, sale.message = SaleState.PUBLISHED, None, ""
        else:
            _demand(sale.state == SaleState.PUBLISHED, _("Only a paused sale can be resumed."))

    return _decide(sale, change, "resume", by)


def postpone(*, sale: Sale, opens_at: datetime, message: str = "", by: Any = None) -> Sale:
    """Moves a later opening, and the closing and the lines' own times by as much; places are kept, the lobby goes on.

    Raises ValidationError once the opening has passed, and for one that is not later than the present one.
    """

    def change(now: datetime) -> None:
        if opens_at == sale.opens_at:
            return
        _demand(sale.opens_after(ms(now)), _("The opening has passed: it cannot be moved any more."))
        _demand(opens_at > max(sale.opens_at, now), _("The new opening must be later than the present one."))
        later = opens_at - sale.opens_at
        for own in ("opens_at", "rolls_over_at"):
            sale.allocations.exclude(**{own: None}).update(**{own: F(own) + later})
        sale.closes_at += later
        sale.opens_at, sale.message = opens_at, message

    return _decide(sale, change, "postpone", by)


def call_off(*, sale: Sale, message: str, by: Any = None) -> Sale:
    """Ends a sale for good, with a message: nothing more is reserved; what is held may be paid, orders stand.

    Raises ValidationError when it is over or was never published, or without a message.
    """

    def change(now: datetime) -> None:
        if sale.state != SaleState.CALLED_OFF:
            _demand(bool(message.strip()), _("Tell the shoppers why."))
            _demand(sale.state in RUNNING, _("Only a published sale can be called off."))
            _demand(_phase(sale, now) is not Phase.CLOSED, _("The sale is over."))
            sale.state, sale.paused_at, sale.message = SaleState.CALLED_OFF, None, message

    return _decide(sale, change, "call_off", by)


def close_early(*, sale: Sale, by: Any = None) -> Sale:
    """Closes an open sale now: nothing more is reserved, what is held may still be paid. A closed one stays as it is.

    Raises ValidationError when it has not opened or is paused.
    """

    def change(now: datetime) -> None:
        phase = _phase(sale, now)
        if phase is not Phase.CLOSED:
            _demand(phase is Phase.OPEN, _("Only an open sale can be closed early."))
            # Its clock may still stand at the opening, and no sale closes before it has opened.
            sale.closes_at = moment(max(sale.line_ms(ms(now)), ms(sale.opens_at) + 1))

    return _decide(sale, change, "close_early", by)


def brake(*, sale: Sale, rate_per_s: int, poll_ms: int, by: Any = None) -> Sale:
    """Sets how many are called a second at most, and how often pages ask (0: as the phase wants).

    Raises ValidationError out of bounds, and when the sale is over.
    """

    def change(now: datetime) -> None:  # noqa: ARG001 - every decision gets the time
        _demand(sale.state in RUNNING, _("Only a published sale has a brake."))
        _demand(1 <= rate_per_s <= 100_000, _("From 1 to 100,000 people a second."))
        _demand(0 <= poll_ms <= POLL_MS_MAX, _("At most %(most)d ms.") % {"most": POLL_MS_MAX})
        sale.rate_per_s, sale.poll_ms = rate_per_s, poll_ms

    return _decide(sale, change, "brake", by)


def add_units(*, stock: Stock, quantity: int, by: Any = None) -> Stock:
    """Raises an allocation's new units of an offer to `quantity`, before the opening; the same total does nothing.

    Raises ValidationError once the sale has opened, and for less than there are.
    """
    with _locked(stock.allocation.sale_id) as now:
        stock.refresh_from_db()
        sale = Sale.objects.select_related("campaign").get(pk=stock.allocation.sale_id)
        if quantity != stock.quantity:
            _demand(sale.opens_after(ms(now)), _("Units can be added until the sale opens."))
            _demand(
                stock.quantity < quantity <= UNITS_MAX,
                _("There are %(count)d units already.") % {"count": stock.quantity},
            )
            make_units(stock, first=stock.quantity + 1, last=quantity)
            line, sku = stock.allocation.code, stock.offer.sku
            facts = {"line": line, "sku": sku, "was": stock.quantity, "units": quantity}
            stock.quantity = quantity
            stock.save(update_fields=["quantity"])
            Record.write("add_units", by=by, sale=sale, facts=facts)
    bridge.run(mend(card=card_of(sale)))
    return stock


def make_units(stock: Stock, *, first: int, last: int) -> None:
    """Gives serial numbers to new units of an allocation. Must run in a transaction that holds the sale's row."""
    line, sku = stock.allocation, stock.offer.sku
    serials = (f"{line.sale.code}/{line.code}/{sku}/{n:06d}" for n in range(first, last + 1))
    units = (Unit(campaign_id=line.sale.campaign_id, serial=x, sku=sku, allocation=line) for x in serials)
    Unit.objects.bulk_create(units, batch_size=1000)


def _demand(condition: bool, words: str) -> None:
    if not condition:
        raise ValidationError(words)


def _phase(sale: Sale, now: datetime) -> Phase:
    return sale.phase(ms(now))


def _now() -> datetime:
    """By the gate's wall clock, on which sales run; by our own while it does not answer."""
    try:
        return moment(bridge.run(wall_ms()))
    except GateDown:
        return timezone.now()


@contextmanager
def _locked(sale: int) -> Iterator[datetime]:
    """A transaction that holds the sale's row; the time since when, for a commit or a rebuild may keep it waiting."""
    now, seen_at = _now(), time.monotonic()
    with transaction.atomic():
        lock_sale(sale, exclusive=True)
        yield now + timedelta(seconds=time.monotonic() - seen_at)


def _decide(sale: Sale, change: Callable[[datetime], None], what: str, by: Any) -> Sale:
    with _locked(sale.pk) as now:
        sale.refresh_from_db()
        message, before = sale.message, {name: getattr(sale, name) for name in DECIDED}
        change(now)
        if sale.message != message:
            short_enough(sale.message)
        sale.revision += 1
        sale.save()
        # A decision that is repeated changes nothing, so there is nothing to tell.
        facts = {name: _told(after) for name in DECIDED if (after := getattr(sale, name)) != before[name]}
        if facts:
            why = text_digest(sale.message) if sale.message not in {"", message} else ""
            Record.write(what, by=by, sale=sale, why=why, facts=facts)
        # As long as the row is locked the clock cannot be moved, and what is told of it belongs together.
        lease = sale.lease
    bridge.run(_tell(card_of(sale), sale, lease))
    return sale


def _told(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


async def _tell(card: SaleCard, sale: Sale, lease: ClockLease) -> None:
    # A cohort that was frozen by an opening which the books have since moved was never drawn: it freezes again.
    frozen = {} if sale.frozen_at else {"frozen": 0}
    await scripts.tell(
        card, revision=sale.revision, state=sale.state, opens=card.opens_at, closes=card.closes_at,
        paused_ms=sale.paused_ms, runs_from=lease.since, runs_until=lease.until, **frozen,
    )  # fmt: skip
    sale_cards.look_anew(card)


async def tell_again(*, card: SaleCard) -> bool:
    """Tells the gate a decision that it has not heard of although the books have it; whether there was one."""
    sale, fresh, lease = await in_books(_as_decided, card.sale)
    heard = await inspect.revision(card)
    if heard is None or heard >= sale.revision:
        return False
    await _tell(fresh, sale, lease)
    return True


def _as_decided(sale: int) -> tuple[Sale, SaleCard, ClockLease]:
    row = Sale.objects.select_related("campaign", "clock").get(pk=sale)
    return row, card_of(row), row.lease
