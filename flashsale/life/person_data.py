"""All that is held about one person, over all campaigns, as one document: for the person who asks for it.

The document has no data of other people, and no digests: it says of which kinds we keep one.
"""

import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from cryptography.fernet import InvalidToken
from django.db import transaction
from django.utils import timezone

from flashsale.life.find_person import Entry, entries_of
from flashsale.life.letters import evidence_texts
from flashsale.life.person_requests import known_in_campaigns, orders_of, values_of
from flashsale.life.read_contacts import Reading, note_reading
from flashsale.models import (
    BankAccount,
    Campaign,
    Inbox,
    ListedValue,
    ListEntry,
    PersonRequest,
    Refund,
    Reservation,
    Trait,
)
from flashsale.models.sealed_data import SealedData
from flashsale.rules.identity import Axis

VERSION = 1
UNREADABLE = {"unreadable": "it is encrypted with another key"}
OF_SEVERAL = "It is about payments of several people. The shop looks at it and tells you what it says of you."
# Members of notifications that prove to us who has sent them.
SECRET = re.compile("signature|token|secret", re.IGNORECASE)


@transaction.atomic
def collect(*, request: PersonRequest, by: Any) -> dict[str, Any]:
    """The document: orders with contact, money, letters, case and appeal; places in running lines; lists.

    The trail notes who has read it, and of which orders. Raises ValidationError and GateDown.
    """
    values = values_of(request)
    orders = list(orders_of(values))
    found = {
        "version": VERSION,
        "made_at": timezone.now().isoformat(timespec="seconds"),
        "known_by": {axis.value: text for axis, text in values.items()},
        "places": [_place(entry) for entry in entries_of(values)],
        "lists": list(_lists(values)),
        "review_lists": list(_review_lists(values)),
        "orders": [_order(order) for order in orders],
    }
    note_reading(
        Reading.EXPORT, by=by, orders=[order.pk for order in orders], subject=request, facts={"rows": len(orders)}
    )
    return found


def _time(at: datetime | None, zone: ZoneInfo) -> str | None:
    return None if at is None else at.astimezone(zone).isoformat(timespec="seconds")


def _place(entry: Entry) -> dict[str, Any]:
    zone = entry.sale.campaign.zone
    return {
        "sale": entry.sale.code, "line": entry.line, "index": entry.index, "number": entry.number, "state": entry.state,
        "called_at": _time(entry.called_at, zone), "proven_by": "code" if entry.by_code else "partner",
    }  # fmt: skip


def _lists(values: Mapping[Axis, str]) -> Any:
    for known in known_in_campaigns(values):
        for axis, digests in known.digests.items():
            own = ListEntry.objects.filter(allocation__sale__campaign=known.campaign, axis=axis, digest__in=digests)
            for code, line in own.values_list("allocation__sale__code", "allocation__code"):
                yield {"sale": code, "line": line, "known_by": axis.value}


def _review_lists(values: Mapping[Axis, str]) -> Any:
    """The entries of the allow and block lists for a value that the person has told."""
    for known in known_in_campaigns(values):
        for axis, digests in known.digests.items():
            for row in ListedValue.objects.filter(campaign=known.campaign, axis=axis, digest__in=digests):
                zone = known.campaign.zone
                yield {
                    "campaign": known.campaign.name, "list": row.kind, "known_by": axis.value, "why": row.why,
                    "made_at": _time(row.made_at, zone), "expires_at": _time(row.expires_at, zone),
                    "ended_at": _time(row.ended_at, zone),
                }  # fmt: skip


def _read(row: SealedData | None) -> dict[str, Any] | None:
    if row is None:
        return None
    try:
        return row.read()
    except InvalidToken:
        return UNREADABLE


def _order(order: Reservation) -> dict[str, Any]:
    campaign: Campaign = order.sale.campaign
    zone = campaign.zone
    return {
        "reservation": str(order.pk), "campaign": campaign.name, "sale": order.sale.name, "line": order.allocation.code,
        "channel": order.channel.name, "index": order.index, "number": order.number, "state": order.state,
        "items": [{"sku": item.sku, "price": item.price} for item in order.items], "amount": order.amount,
        "currency": campaign.currency, "reserved_at": _time(order.made_at, zone),
        "confirmed_at": _time(order.confirmed_at, zone), "ended_at": _time(order.ended_at, zone),
        "partner_reference": order.partner_reference, "metadata": order.metadata,
        "contact": _read(getattr(order, "contact", None)),
        "digests_kept_of": sorted(Trait.objects.filter(reservation=order).values_list("axis", flat=True)),
        "payments": [_payment(row, zone) for row in order.attempts.order_by("number")],
        "letters": [_letter(row, zone) for row in order.notices.order_by("pk")],
        "review": _review(order, zone),
    }  # fmt: skip


def _payment(row: Any, zone: ZoneInfo) -> dict[str, Any]:
    return {
        "reference": row.reference, "provider": row.account, "method": row.method, "amount": row.amount,
        "currency": row.currency, "state": row.state, "paid": None if row.paid is None else float(row.paid),
        "provider_id": row.provider_id,
        "started_at": _time(row.made_at, zone), "settled_at": _time(row.settled_at, zone),
        "told_by_provider": _messages(row.reference, zone),
        "refunds": [_refund(refund, zone) for refund in row.refunds.order_by("pk")],
    }  # fmt: skip


def _messages(reference: str, zone: ZoneInfo) -> list[dict[str, Any]]:
    """The notifications that a provider has sent about a payment or refund. They may name the payer and the account.

    They are kept for 30 days. Headers are left out, because they have secrets between the provider and the shop.
    """
    rows = Inbox.objects.filter(reference=reference).order_by("pk")
    return [{"at": _time(row.seen_at, zone), "message": _message(row)} for row in rows]


def _message(row: Inbox) -> Any:
    """The body of a notification without its signature. One that names several payments is not shown."""
    together = Inbox.objects.filter(account=row.account, seen_at=row.seen_at).exclude(reference=row.reference)
    if together.exists():
        return OF_SEVERAL
    try:
        body = row.as_it_came()[0]
    except InvalidToken:
        return UNREADABLE
    try:
        found = json.loads(body)
    except ValueError:
        return body.decode(errors="replace")
    return without_signatures(found)


def without_signatures(value: Any) -> Any:
    """A JSON value without the members that prove that it comes from the provider."""
    if isinstance(value, dict):
        return {name: without_signatures(part) for name, part in value.items() if not SECRET.search(name)}
    return [without_signatures(part) for part in value] if isinstance(value, list) else value


def _refund(row: Refund, zone: ZoneInfo) -> dict[str, Any]:
    return {
        "reference": row.reference, "amount": float(row.amount), "currency": row.currency, "why": row.why,
        "state": row.state, "made_at": _time(row.made_at, zone), "settled_at": _time(row.settled_at, zone),
        "provider_id": row.provider_id, "answer_of_provider": row.detail,
        "told_by_provider": _messages(row.reference, zone),
        "bank_account": _read(BankAccount.objects.filter(refund=row).first()),
    }  # fmt: skip


def _letter(row: Any, zone: ZoneInfo) -> dict[str, Any]:
    return {
        "about": row.kind, "state": row.state, "sent_at": _time(row.sent_at, zone), "attempts": row.attempts,
        "why_it_failed": row.failure,
    }  # fmt: skip


def _review(order: Reservation, zone: ZoneInfo) -> dict[str, Any] | None:
    case = getattr(order, "case", None)
    if case is None:
        return None
    appeal, cancellation = getattr(case, "appeal", None), getattr(order, "cancellation", None)
    return {
        "score": case.score, "rules": case.rules_version, "evidence": evidence_texts(case), "state": case.state,
        "reason": case.reason, "opened_at": _time(case.opened_at, zone), "decided_at": _time(case.decided_at, zone),
        # Staff may have written about other people, so a person reads a note before its text is handed out.
        "notes_by_staff": [_time(note.at, zone) for note in case.notes.order_by("pk")],
        "cancelled_at": _time(cancellation and cancellation.at, zone),
        "appeal": appeal
        and {
            "received_at": _time(appeal.received_at, zone), "state": appeal.state, "remedy": appeal.remedy,
            "decided_at": _time(appeal.decided_at, zone),
        },
    }  # fmt: skip
