"""Settlement: a file for each sale, channel and day of the campaign's time zone, from the events of that day.

A file is made once, after its day is over, and never changes. Only the erasure of its campaign empties the references
that partners typed. Each line follows from one event, and says by how much that event changed what was sold (`units`,
`amount`), what we got (`paid`, `fee`) or what went back (`refunded`). So a later change is a line of its own, in the
file of the day on which it happens. The lines of an order, of a payment and of a refund, in all files together, add up
to what PostgreSQL says of it (`audit` compares).

    event                                    the line says
    ------------------------------------     --------------------------------------
    reservation.confirmed, .restored         units and amount, as in the order
    reservation.cancelled                    the same below 0
    payment.paid, .late, .mismatch           the money that came, less what was noted before
    payment.reversed                         that money below 0
    refund.confirmed                         the money that went back
    refund.failed or any other, later        that money below 0

How a day is cut. Events are read up to a horizon (books/events.py), and a slow transaction may bring an older event
later. Such an event is in the file of the next day that is made, with its own time:

    events of day D  =  events up to the id `upto` of D that happened before D ended
                        without those of the earlier days
"""

import hashlib
import logging
import operator
import uuid
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from django.db import transaction
from django.db.models import Min, QuerySet, Sum
from django.utils import timezone

from flashsale.books.events import horizon
from flashsale.life.advisory_lock import advisory_lock
from flashsale.life.receipt import signer
from flashsale.models import (
    Campaign,
    Event,
    PaymentAttempt,
    Refund,
    Reservation,
    Settlement,
    SettlementDay,
    SettlementLine,
)
from flashsale.rules import settlements
from flashsale.rules.events import state_after, subject_of
from flashsale.rules.states import BOUGHT, AttemptState, RefundState, ReservationState

log = logging.getLogger(__name__)
# A transaction of the last seconds of a day has this long to commit, so that its events are in the file of the day.
MADE_AFTER = timedelta(minutes=5)
CHUNK = 1000
# The kind of work of the advisory lock ("file" in ASCII).
LOCK = int.from_bytes(b"file")
WITH_US = (AttemptState.PAID, AttemptState.LATE, AttemptState.MISMATCH)
_ZERO = Decimal(0)


class Sums(NamedTuple):
    """What is noted of an order, a payment or a refund: units, and amounts in whole units of the currency."""

    units: int = 0
    amount: int = 0
    paid: Decimal = _ZERO
    refunded: Decimal = _ZERO
    fee: Decimal = _ZERO

    def plus(self, other: "Sums") -> "Sums":
        """The sum of each of them."""
        return Sums(*map(operator.add, self, other))

    def less(self, other: "Sums") -> "Sums":
        """The difference of each of them."""
        return Sums(*map(operator.sub, self, other))


# A kind ("reservation", "payment", "refund"), and its id or reference.
Subject = tuple[str, str]


class Rows(NamedTuple):
    """The rows of some reservations: themselves by id, and their payments and refunds by reference."""

    orders: Mapping[uuid.UUID, Reservation]
    payments: Mapping[str, PaymentAttempt]
    refunds: Mapping[str, Refund]


def make_due(*, now: datetime | None = None) -> int:
    """Makes the files of all days that are over, in all campaigns; how many days. Safe to repeat and in parallel."""
    days, now = 0, now or timezone.now()
    for campaign in _settled_campaigns().order_by("pk"):
        with advisory_lock(LOCK, campaign.pk, wait=False) as acquired:
            while acquired and _make_next(campaign, now):
                days += 1
    return days


def _settled_campaigns() -> "QuerySet[Campaign]":
    """The campaigns that have settlements: all that are published, without the sandboxes, which have no money."""
    return Campaign.objects.filter(sandbox_of=None).exclude(frozen_at=None)


def events_without_file(campaign: Campaign) -> "QuerySet[Event]":
    """The events of reservations of a campaign that are in no file yet."""
    last = SettlementDay.objects.filter(campaign=campaign).order_by("-date").first()
    rows = Event.objects.filter(sale__campaign=campaign, reservation__isnull=False)
    if last is None:
        return rows
    return rows.filter(pk__gt=last.taken).exclude(pk__lte=last.upto, at__lt=last.ends_at)


def lags_behind(*, before: datetime) -> bool:
    """Whether an event of a reservation that is older than this is in no file yet."""
    campaigns = _settled_campaigns()
    late = next((one for one in campaigns if events_without_file(one).filter(at__lt=before).exists()), None)
    if late is not None:
        log.error("the settlements of %s are late, so old events are kept: manage.py settlement make", late.code)
    return late is not None


@transaction.atomic
def _make_next(campaign: Campaign, now: datetime) -> bool:
    """Makes the files of the first day with events that are in no file; whether there was such a day.

    One transaction makes the whole day. If the process dies before the commit, the next call makes the same files.
    """
    settled = horizon().settled
    events = events_without_file(campaign).filter(pk__lte=settled)
    first = events.aggregate(first=Min("at"))["first"]
    if first is None:
        return False
    last = SettlementDay.objects.filter(campaign=campaign).order_by("-date").first()
    day = max(first.astimezone(campaign.zone).date(), last.date + timedelta(days=1) if last else date.min)
    ends_at = datetime.combine(day + timedelta(days=1), time(), campaign.zone)
    if now < ends_at + MADE_AFTER:
        return False
    left = events.filter(at__gte=ends_at).aggregate(first=Min("pk"))["first"]
    made = SettlementDay.objects.create(
        campaign=campaign, date=day, ends_at=ends_at, upto=settled, taken=left - 1 if left else settled, made_at=now
    )
    files: dict[tuple[int, int], Settlement] = {}
    columns = ("pk", "at", "type", "sale", "channel", "line__code", "reservation", "data")
    rows = events.filter(at__lt=ends_at).order_by("pk").values_list(*columns)
    passed = 0
    while chunk := list(rows.filter(pk__gt=passed)[:CHUNK]):
        SettlementLine.objects.bulk_create(_lines(made, files, chunk), batch_size=CHUNK)
        passed = chunk[-1][0]
    for file in files.values():
        _seal(file)
    return True


def _lines(
    day: SettlementDay, files: dict[tuple[int, int], Settlement], events: Sequence[tuple[Any, ...]]
) -> Iterator[SettlementLine]:
    """The lines that follow from some events, in their order. Adds the files that they need."""
    ids = {event[6] for event in events}
    rows, noted = _rows_of(ids), _noted(ids)
    for id_, at, type_, sale, channel, line, reservation, data in events:
        subject = _subject(type_, reservation, data)
        sums = _sums_after(type_, data, rows)
        if sums is None or sums == noted[subject]:
            continue
        key = (sale, channel)
        if key not in files:
            files[key] = Settlement.objects.create(
                day=day, sale_id=sale, channel_id=channel, date=day.date, lines=0, totals={}
            )
        difference = sums.less(noted[subject])
        noted[subject] = sums
        yield SettlementLine(
            event=id_, settlement=files[key], at=at, type=type_, line=line, reservation=reservation,
            **_described(type_, data, rows, rows.orders[reservation]), **difference._asdict(),
        )  # fmt: skip


def _rows_of(ids: set[uuid.UUID]) -> Rows:
    payments = PaymentAttempt.objects.filter(reservation__in=ids)
    refunds = Refund.objects.filter(attempt__reservation__in=ids).select_related("attempt")
    return Rows(
        Reservation.objects.select_related("sale__campaign").in_bulk(ids),
        {row.reference: row for row in payments},
        {row.reference: row for row in refunds},
    )


def _noted(ids: set[uuid.UUID]) -> dict[Subject, Sums]:
    """What the lines so far say of each order, payment and refund."""
    found: dict[Subject, Sums] = defaultdict(Sums)
    columns = ("type", "reservation", "payment", "refund", *Sums._fields)
    for type_, reservation, payment, refund, *sums in SettlementLine.objects.filter(reservation__in=ids).values_list(
        *columns
    ):
        subject = _subject(type_, reservation, {"payment": payment, "refund": refund})
        found[subject] = found[subject].plus(Sums(*sums))
    return found


def _subject(type_: str, reservation: uuid.UUID, data: Mapping[str, Any]) -> Subject:
    kind, reference = subject_of(type_, data)
    return kind, reference or str(reservation)


def _sums_after(type_: str, data: Mapping[str, Any], rows: Rows) -> Sums | None:
    """What is true of the subject after an event; None for an event that says nothing of units and money."""
    kind, reference = subject_of(type_, data)
    state = state_after(type_, data)
    if kind == "reservation":
        bought = state == ReservationState.CONFIRMED
        return Sums(units=data["quantity"], amount=data["amount"]) if bought else Sums()
    if kind == "payment":
        row = rows.payments[reference]
        money = (row.paid or _ZERO) if state in WITH_US else _ZERO
        return Sums(paid=money, fee=(row.fee or _ZERO) if state in {*WITH_US, AttemptState.REVERSED} else _ZERO)
    if kind == "refund":
        return Sums(refunded=rows.refunds[reference].amount if state == RefundState.CONFIRMED else _ZERO)
    return None


def _described(type_: str, data: Mapping[str, Any], rows: Rows, order: Reservation) -> dict[str, Any]:
    """What a line says besides the sums: the payment, and for a refund its reference."""
    kind, reference = subject_of(type_, data)
    refund = rows.refunds[reference] if kind == "refund" else None
    attempt = refund.attempt if refund else rows.payments[reference] if kind == "payment" else None
    if attempt is None:
        own = (row for row in rows.payments.values() if row.reservation_id == order.pk and row.state in BOUGHT)
        attempt = max(own, key=lambda row: row.number, default=None)
    currency = order.sale.campaign.currency if kind == "reservation" or attempt is None else attempt.currency
    if kind != "reservation" and attempt is not None and attempt.paid_currency:
        currency = attempt.paid_currency
    return {
        "partner_reference": getattr(order, "partner_reference", None) or "",
        "payment": attempt.reference if attempt else "",
        "method": attempt.method if attempt else "",
        "paid_at": attempt.settled_at if attempt else None,
        "refund": reference if refund else "",
        "currency": currency,
    }


@transaction.atomic
def forget_references(campaign: Campaign) -> int:
    """Empties the references that partners typed in the files of a campaign; returns in how many lines.

    The files get the hashes of their new bytes. The erasure of the campaign calls it, in its transaction and with the
    lock (LOCK, campaign), so that no file is made from rows that it has not erased yet.
    """
    lines = SettlementLine.objects.filter(settlement__day__campaign=campaign).exclude(partner_reference="")
    files = list(own_files().filter(pk__in=lines.values("settlement")))
    emptied = lines.update(partner_reference="")
    for file in files:
        _seal(file)
    return emptied


def _seal(file: Settlement) -> None:
    """Stores the sums and the hashes of a file whose lines are written."""
    file.totals, file.lines = _totals(file), file.all_lines.count()
    file.csv_hash, file.json_hash = (_hash(content(file, form)) for form in ("csv", "json"))
    file.save(update_fields=["totals", "lines", "csv_hash", "json_hash"])


def _totals(file: Settlement) -> dict[str, dict[str, int | float]]:
    sums = {name: Sum(name) for name in settlements.SUMS}
    rows = SettlementLine.objects.filter(settlement=file).order_by("currency").values("currency").annotate(**sums)
    found = rows.values_list("currency", *settlements.SUMS)
    return {
        currency: dict(zip(settlements.SUMS, map(settlements.number, row), strict=True)) for currency, *row in found
    }


def _hash(pieces: Iterator[str]) -> str:
    found = hashlib.sha256()
    for piece in pieces:
        found.update(piece.encode())
    return found.hexdigest()


def changed_file(file: Settlement) -> str:
    """Which of the two forms of a file have other bytes than when it was made; "" if none has."""
    hashes = {"csv": file.csv_hash, "json": file.json_hash}
    changed = [form for form, known in hashes.items() if _hash(content(file, form)) != known]
    return f"its {' and '.join(changed)} has changed" if changed else ""


def lines_of(file: Settlement) -> Iterator[dict[str, Any]]:
    """The lines of a file as it shows them, read from PostgreSQL piece by piece."""
    zone = file.sale.campaign.zone
    rows = SettlementLine.objects.filter(settlement=file).order_by("event").values(*settlements.COLUMNS)
    for row in rows.iterator(chunk_size=CHUNK):
        row["reservation"] = str(row["reservation"])
        for name in ("at", "paid_at"):
            row[name] = row[name] and row[name].astimezone(zone).isoformat(timespec="milliseconds")
        for name in ("paid", "refunded", "fee"):
            row[name] = settlements.number(row[name])
        yield row


def content(file: Settlement, form: str) -> Iterator[str]:
    """The file, piece by piece; `form` is "csv" or "json". The same file has always the same bytes."""
    if form == "csv":
        return settlements.csv_text(lines_of(file))
    head = _head(file) | {"time_zone": file.sale.campaign.time_zone}
    return settlements.json_text(head, lines_of(file), file.totals)


def signature(file: Settlement) -> dict[str, Any]:
    """The signed statement of the hashes of a file, which `python flashsale/rules/receipts.py verify-file` checks."""
    statement = _head(file) | {
        "version": settlements.VERSION, "lines": file.lines, "csv": file.csv_hash, "json": file.json_hash,
    }  # fmt: skip
    return signer().sign_settlement(statement)


def _head(file: Settlement) -> dict[str, Any]:
    return {"sale": file.sale.code, "channel": file.channel.code, "date": file.date.isoformat()}


def own_files(channel: int | None = None) -> "QuerySet[Settlement]":
    """The files of a channel, or of all."""
    rows = Settlement.objects.select_related("sale__campaign", "channel")
    return rows if channel is None else rows.filter(channel=channel)
