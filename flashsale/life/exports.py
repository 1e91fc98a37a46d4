"""Exports for the accounts and the auditors: orders, units, payments, refunds, cases and the audit trail, with sums.

One snapshot of PostgreSQL gives all rows of a file, so its sums agree with each other and with the books. The file is
written to the disk first and sent after that, so that a slow client keeps no transaction open. The trail notes who has
exported what, with which filter, how many rows, and why. Contact data is only in an export that asks for it.
"""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import IO, Any, NamedTuple
from zoneinfo import ZoneInfo

from cryptography.fernet import InvalidToken
from django.conf import settings
from django.db import connection, transaction
from django.db.models import Case as When_
from django.db.models import CharField, F, IntegerField, OuterRef, QuerySet, Subquery, Value, When
from django.db.models.functions import Coalesce, NullIf

from flashsale.books.idle_limit import allow_long_idle
from flashsale.life.contact import CONTACT_FIELDS
from flashsale.life.export_files import Sums, write_csv, write_xlsx
from flashsale.life.read_contacts import Reading, note_reading
from flashsale.life.staff_campaigns import rows_of
from flashsale.models import Campaign, Case, Contact, PaymentAttempt, Record, Refund, Reservation, Sale, Unit
from flashsale.rules.states import BOUGHT

CHUNK = 500
WRITERS: Mapping[str, Callable[..., None]] = {"csv": write_csv, "xlsx": write_xlsx}


class Filter(NamedTuple):
    """Which rows: of a campaign, of a sale, from the first to the last day in the campaign's zone. None: any."""

    campaign: Campaign | None = None
    sale: Sale | None = None
    first: date | None = None
    last: date | None = None

    @property
    def zone(self) -> ZoneInfo:
        """The zone of the days: of the sale's campaign, of the campaign, else of the server."""
        campaign = self.sale.campaign if self.sale else self.campaign
        return campaign.zone if campaign else ZoneInfo(settings.TIME_ZONE)

    def facts(self) -> dict[str, Any]:
        """The filter as the trail keeps it."""
        days = {"first": self.first and self.first.isoformat(), "last": self.last and self.last.isoformat()}
        return {"campaign": self.campaign and self.campaign.code, "sale": self.sale and self.sale.code, **days}


@dataclass(frozen=True)
class Export:
    """One kind of export. `paths` are the ORM's paths of its columns.

    `campaign` and `sale` are the paths to those, `at` that of the time by which days are chosen. `groups` and `added`
    name columns for the sums.
    """

    name: str
    rows: Callable[[], "QuerySet[Any]"]
    paths: Mapping[str, str]
    campaign: str
    sale: str
    at: str
    groups: tuple[str, ...]
    added: tuple[str, ...] = ()

    @property
    def columns(self) -> list[str]:
        """The names of the columns."""
        return list(self.paths)


def _orders() -> "QuerySet[Any]":
    bought = When_(When(state__in=BOUGHT, then=Value(1)), default=Value(0), output_field=IntegerField())
    attempts = PaymentAttempt.objects.filter(reservation=OuterRef("pk")).order_by(bought.desc(), "-number")
    last = {name: Subquery(attempts.values(name)[:1]) for name in ("state", "method", "reference")}
    return Reservation.objects.annotate(**{f"payment_{name}": query for name, query in last.items()})


def _payments() -> "QuerySet[Any]":
    came = Coalesce(NullIf("paid_currency", Value("")), "currency", output_field=CharField())
    return PaymentAttempt.objects.annotate(came_currency=came)


def _refunds() -> "QuerySet[Any]":
    came = NullIf("attempt__paid_currency", Value(""))
    currency = Coalesce(NullIf("sent_currency", Value("")), came, "attempt__currency", output_field=CharField())
    return Refund.objects.annotate(own_currency=currency)


def _under(path: str) -> dict[str, str]:
    return {"campaign": f"{path}__campaign__code", "sale": f"{path}__code"}


EXPORTS = {
    export.name: export
    for export in (
        Export(
            "orders", _orders,
            _under("sale") | {
                "line": "allocation__code", "channel": "channel__code", "order": "pk", "index": "index",
                "number": "number", "state": "state", "units": "quantity", "amount": "amount",
                "currency": "sale__campaign__currency", "reserved": "made_at", "confirmed": "confirmed_at",
                "ended": "ended_at", "partner_reference": "partner_reference", "payment": "payment_reference",
                "payment_state": "payment_state", "method": "payment_method",
            },
            "sale__campaign", "sale", "made_at", ("currency", "state"), ("units", "amount"),
        ),
        Export(
            "units", Unit.objects.all,
            _under("allocation__sale") | {
                "line": "allocation__code", "serial": "serial", "sku": "sku", "state": "state", "version": "version",
            },
            "campaign", "allocation__sale", "", ("sku", "state"),
        ),
        Export(
            "payments", _payments,
            _under("reservation__sale") | {
                "order": "reservation", "reference": "reference", "account": "account", "method": "method",
                "provider_id": "provider_id", "state": "state", "amount": "amount", "currency": "currency",
                "paid": "paid", "paid_currency": "came_currency", "fee": "fee", "started": "made_at",
                "settled": "settled_at",
            },
            "reservation__sale__campaign", "reservation__sale", "made_at",
            ("currency", "paid_currency", "state"), ("amount", "paid", "fee"),
        ),
        Export(
            "refunds", _refunds,
            _under("attempt__reservation__sale") | {
                "order": "attempt__reservation", "payment": "attempt__reference", "reference": "reference",
                "provider_id": "provider_id", "why": "why", "state": "state", "amount": "amount",
                "currency": "own_currency", "times": "times",
                "made": "made_at", "settled": "settled_at",
            },
            "attempt__reservation__sale__campaign", "attempt__reservation__sale", "made_at", ("currency", "state"),
            ("amount",),
        ),
        Export(
            "cases", Case.objects.all,
            _under("reservation__sale") | {
                "order": "reservation", "score": "score", "rules": "rules_version", "state": "state",
                "reason": "reason", "opened": "opened_at", "proposed": "proposed_at",
                "proposed_by": "proposed_by__username", "decided": "decided_at", "decided_by": "decided_by__username",
                "cancelled": "cancellation__at", "appeal": "appeal__state", "remedy": "appeal__remedy",
            },
            "reservation__sale__campaign", "reservation__sale", "opened_at", ("state", "reason"),
        ),
        Export(
            "trail", Record.objects.all,
            {
                "campaign": "campaign__code", "sale": "sale__code",
                "position": "position", "at": "at", "who": "who", "what": "what", "subject": "subject", "why": "why",
                "facts": "facts", "previous": "previous", "hash": "hash",
            },
            "campaign", "sale", "at", ("what",),
        ),
    )
}  # fmt: skip


class Made(NamedTuple):
    """A file that is ready to be sent, and how many rows it has."""

    file: IO[bytes]
    name: str
    rows: int
    sums: list[list[Any]]


def make(*, name: str, form: str, which: Filter, contacts: bool, why: str, by: Any) -> Made:
    """Writes an export to a file without a name on the disk, and notes it in the trail.

    `contacts` adds the contact data of the buyers to the orders. The caller has checked the rights. If the record
    cannot be written, no file is given out.
    """
    export = EXPORTS[name]
    head = [*export.columns, *(CONTACT_FIELDS if contacts else ())]
    sums = Sums(head, groups=export.groups, added=export.added)
    file = tempfile.TemporaryFile()  # noqa: SIM115 - it is closed after it was sent
    try:
        with transaction.atomic(durable=True):
            _one_snapshot()
            WRITERS[form](file, head, _rows(export, which, contacts=contacts, by=by), sums)
        facts = {"form": form, "rows": sums.count, "contacts": contacts, "why": why, **which.facts()}
        campaign = which.sale.campaign if which.sale else which.campaign
        note_reading(Reading.EXPORT, by=by, subject=f"export:{name}", sale=which.sale, campaign=campaign, facts=facts)
    except BaseException:
        file.close()
        raise
    place = which.sale or which.campaign
    parts = [name, place and place.code, which.first, which.last]
    return Made(file, "-".join(str(part) for part in parts if part) + f".{form}", sums.count, sums.rows())


def _one_snapshot() -> None:
    """All statements of this transaction see one moment, and none can write. SQLite has one writer anyway."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
    # A slow disk may take its time between two reads.
    allow_long_idle()


def chosen(export: Export, which: Filter, by: Any) -> "QuerySet[Any]":
    """The rows of an export, of the user's campaigns. Test sales, which sell nothing, are left out."""
    rows = rows_of(export.rows(), by).exclude(**{f"{export.campaign}__sandbox_of__isnull": False})
    if which.campaign:
        rows = rows.filter(**{export.campaign: which.campaign})
    if which.sale:
        rows = rows.filter(**{export.sale: which.sale})
    if which.first and export.at:
        rows = rows.filter(**{f"{export.at}__gte": _midnight(which.first, which.zone)})
    if which.last and export.at:
        rows = rows.filter(**{f"{export.at}__lt": _midnight(which.last + timedelta(days=1), which.zone)})
    return rows.order_by(*((export.at, "pk") if export.at else ("pk",)))


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), zone)


def _rows(export: Export, which: Filter, *, contacts: bool, by: Any) -> Iterator[list[Any]]:
    zones = {row.pk: row.zone for row in Campaign.objects.all()}
    paths = [F(path) for path in export.paths.values()]
    more = ["contact__sealed"] if contacts else []
    rows = chosen(export, which, by).values_list(f"{export.campaign}__pk", *paths, *more)
    for campaign, *values in rows.iterator(chunk_size=CHUNK):
        zone = zones.get(campaign, which.zone)
        if contacts:
            values[-1:] = _contact(values[-1])
        yield [_cell(value, zone) for value in values]


def _cell(value: Any, zone: ZoneInfo) -> Any:
    """A number or a text; None for nothing. A time is a text in the zone of its campaign."""
    if isinstance(value, datetime):
        return value.astimezone(zone).isoformat(sep=" ", timespec="seconds")
    return value if value is None or isinstance(value, int | float | Decimal | str) else str(value)


def _contact(sealed: str | None) -> list[str | None]:
    """The contact fields; empty where it is deleted, or sealed with another key."""
    if not sealed:
        return [None] * len(CONTACT_FIELDS)
    try:
        known = Contact(sealed=sealed).read()
    except InvalidToken:
        return [None] * len(CONTACT_FIELDS)
    return [known.get(name) for name in CONTACT_FIELDS]
