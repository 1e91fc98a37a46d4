"""Erase: deletes all personal data of a campaign that is over, and the salt that its digests need.

Facts about units, orders and decisions stay, because they identify no person. So the units still balance, the audit
trail still verifies, and the last fairness reports stay.
"""

import logging
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import CharField, F, Model, QuerySet
from django.db.models.functions import Cast
from django.utils import timezone

from flashsale.gate import bridge, sale_cards
from flashsale.life import fairness_report, settlement
from flashsale.life.advisory_lock import advisory_lock
from flashsale.life.close import close
from flashsale.life.forget_contacts import is_unsettled
from flashsale.life.personal_tables import TABLES, forget_answers, notifications, without_traces
from flashsale.life.sale_card import card_of
from flashsale.life.start_payment import KEEP_CONTACT
from flashsale.models import (
    Appeal,
    Campaign,
    Cancellation,
    Case,
    Delivery,
    EntriesTile,
    Notice,
    PaymentAttempt,
    Record,
    Reservation,
    RingOrder,
    Sale,
)
from flashsale.models.sale import ms
from flashsale.rules.states import (
    AppealState,
    CaseState,
    NoticeState,
    ReservationState,
    SaleState,
)

log = logging.getLogger(__name__)

# Celery waits as long as contact data is kept. An operator may erase earlier.
ERASE_AFTER: timedelta = KEEP_CONTACT
CHUNK = 500


class CannotEraseYet(Exception):
    """The campaign cannot be erased yet. Each argument is one reason, in words."""


def obstacles(*, campaign: Campaign) -> list[str]:
    """The reasons why the campaign cannot be erased now, in words. Empty if it can be, or if it is erased already."""
    return [] if campaign.erased_at else list(_obstacles(campaign, timezone.now()))


def _obstacles(campaign: Campaign, now: datetime) -> Iterator[str]:
    for sale in Sale.objects.filter(campaign=campaign).order_by("opens_at"):
        if sale.state == SaleState.DRAFT:
            yield f"the sale {sale.code} is a draft: run it, or delete it"
        elif (
            sale.state not in {SaleState.CLOSED, SaleState.CALLED_OFF}
            and sale.phase(ms(now)) not in fairness_report.OVER
        ):
            yield f"the sale {sale.code} is not over (it closes at {sale.closes_at.isoformat(timespec='minutes')})"
    orders = Reservation.objects.filter(sale__campaign=campaign)
    waiting: list[tuple[str, QuerySet[Any]]] = [
        ("reservations are still held", orders.filter(state=ReservationState.HELD)),
        ("cases are not decided", _undecided(campaign)),
        ("appeals are not decided", Appeal.objects.filter(case__reservation__in=orders, state=AppealState.OPEN)),
        ("payments are not settled", _unsettled(campaign)),
        ("notifications of payment providers are not read", notifications(orders).filter(done_at=None)),
        ("notices are not sent", Notice.objects.filter(reservation__in=orders, state=NoticeState.DUE)),
        ("buyers were not told that their order was cancelled", _untold(orders)),
    ]
    yield from (f"{count} {what}" for what, rows in waiting if (count := rows.count()))
    last = Cancellation.objects.filter(reservation__in=orders, appeal_until__gte=now).order_by("appeal_until").last()
    if last and last.appeal_until:
        yield f"appeals are possible until {last.appeal_until.isoformat(timespec='minutes')}"


def _untold(orders: "QuerySet[Reservation]") -> "QuerySet[Notice]":
    """Letters that failed while the time to appeal waits for them."""
    failed = Notice.objects.filter(reservation__in=orders, kind=Notice.Kind.CANCELLED, state=NoticeState.FAILED)
    waiting = {"appeal_until": None, "case__isnull": False, "case__appeal": None}
    return failed.filter(**{f"reservation__cancellation__{field}": value for field, value in waiting.items()})


def _undecided(campaign: Campaign) -> "QuerySet[Case]":
    return Case.objects.filter(reservation__sale__campaign=campaign).exclude(
        state__in=[CaseState.CANCELLED, CaseState.DISMISSED]
    )


def _unsettled(campaign: Campaign) -> "QuerySet[PaymentAttempt]":
    """Attempts that may still be paid, and money that is not sent back yet or about which people must decide."""
    return PaymentAttempt.objects.filter(is_unsettled(timezone.now()), reservation__sale__campaign=campaign)


def personal_rows(campaign: Campaign) -> "dict[str, QuerySet[Any]]":
    """All rows of a campaign that are personal data and are deleted, by kind."""
    return {table.name: table.of_campaign(campaign) for table in TABLES}


def erase(*, campaign: Campaign, by: Any = None) -> dict[str, int]:
    """Erases the personal data of a campaign for ever; returns how many rows of each kind. Safe to repeat.

    Raises CannotEraseYet with all reasons, and GateDown when Redis does not answer; then PostgreSQL has erased nothing.

    1. Each sale is closed in Redis, and its last fairness report is made. If the process dies here, a repeat does it
       again.
    2. The campaign's keys in Redis are deleted. If the process dies here, no process needs them: Redis is filled from
       PostgreSQL if a sale of this campaign is opened now.
    3. One transaction in PostgreSQL deletes all rows and the salt, and writes the audit record. If the process dies
       within it, PostgreSQL has erased nothing.
    """
    if reasons := obstacles(campaign=campaign):
        raise CannotEraseYet(*reasons)
    if campaign.erased_at:
        return {}
    published = Sale.objects.filter(campaign=campaign).exclude(state=SaleState.DRAFT).select_related("campaign")
    for sale in published:
        close(sale=sale.pk)
        fairness_report.report(sale=sale, force=True)
    for sale in published:
        bridge.run(sale_cards.erase_sale(card_of(sale)))
    with advisory_lock(settlement.LOCK, campaign.pk, wait=True), transaction.atomic():
        # A publication takes this lock too, so no sale is published between this check and the erasure.
        row = Campaign.objects.select_for_update(no_key=True).get(pk=campaign.pk)
        if reasons := obstacles(campaign=row):
            raise CannotEraseYet(*reasons)
        if row.erased_at:
            return {}
        return _erase(row, by)


def _erase(campaign: Campaign, by: Any) -> dict[str, int]:
    counts = {what: _delete(rows) for what, rows in personal_rows(campaign).items()}
    # Leaves are hashes of digests. The roots of the entries stay, with their counts.
    EntriesTile.objects.filter(entries__allocation__sale__campaign=campaign).delete()
    # A receiver may have sent back what we had sent, with what the partner had attached.
    forget_answers(Delivery.objects.filter(webhook__channel__campaign=campaign))
    # The idempotency keys are replaced, because a partner may have made them from its own order numbers.
    orders = Reservation.objects.filter(sale__campaign=campaign)
    # What it attached to them may name people, whatever it has promised.
    counts["request keys"] = orders.update(
        asked=Cast(F("pk"), CharField()), fingerprint="", partner_reference=None, metadata=None
    )
    counts["references in settlements"] = settlement.forget_references(campaign)
    without_traces(RingOrder.objects.filter(reservation__in=orders))
    counts["traces in evidence"] = without_traces(Case.objects.filter(reservation__in=orders))
    campaign.salt, campaign.erased_at = b"", timezone.now()
    campaign.save(update_fields=["salt", "erased_at"])
    Record.write("erase", by=by, campaign=campaign, facts=counts)
    log.info("erased the people of campaign %s: %s", campaign.code, counts)
    return counts


def _delete(rows: "QuerySet[Model]") -> int:
    return rows.delete()[0]


def erase_due() -> list[str]:
    """Erases campaigns that have been over for ERASE_AFTER; returns their codes. Logs why others cannot be erased."""
    over = Campaign.objects.filter(erased_at=None, sandbox_of=None, sales__published_at__isnull=False).distinct()
    done = []
    for campaign in over.exclude(sales__closes_at__gte=timezone.now() - ERASE_AFTER):
        try:
            erase(campaign=campaign, by="clock")
            done.append(campaign.code)
        except CannotEraseYet as reasons:
            log.warning("campaign %s cannot be erased yet: %s", campaign.code, "; ".join(map(str, reasons.args)))
    return done
