"""Requests of people about their data: taken, answered within 72 hours, and closed with a reason.

    find, export   open -> done
    correct        open -> done; fields may be corrected again and again while it is open
    restrict       open -> done -> lifted
    erase          open -> approved by a second person -> done (erase_person.py)
    any            open -> refused, with a reason

A request keeps the values by which the person is known (phone, e-mail, national id), encrypted, until it is closed.
Only values that the person has proven to be theirs belong there, because an order with one of them is theirs.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from cryptography.fernet import InvalidToken
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from flashsale.life.contact import CONTACT_FIELDS, checked_contact
from flashsale.life.find_orders import digest_of, searched_campaigns, with_digest
from flashsale.life.find_person import noted_values, one_look
from flashsale.life.former_address import correct_email
from flashsale.life.trail_keys import write_with_digests
from flashsale.models import Campaign, Contact, PersonRequest, Record, Reservation, Restriction
from flashsale.models.person_request import ANSWER_WITHIN
from flashsale.rules import wall_clock
from flashsale.rules.identity import Axis, BadValue, canonical_value

# The kinds of value by which a person is known.
VALUES = (Axis.PHONE, Axis.EMAIL, Axis.NATIONAL_ID)
State, Kind = PersonRequest.State, PersonRequest.Kind


class Known(NamedTuple):
    """A campaign with the digests (hex) of a person in it, by axis."""

    campaign: Campaign
    digests: Mapping[Axis, list[str]]


def take(*, kind: str, values: Mapping[str, str], proof: str, received_at: datetime, by: Any) -> PersonRequest:
    """A new request; it is due 72 hours after it was received. It counts as a search (`find_person.one_look`).

    Safe to repeat: the same words of the same member of staff are the request that is open already.
    Raises ValidationError for an impossible value, and for too many searches and requests.
    """
    with one_look(by):
        return _taken(kind=kind, values=values, proof=proof, received_at=received_at, by=by)


def _taken(*, kind: str, values: Mapping[str, str], proof: str, received_at: datetime, by: Any) -> PersonRequest:
    known = {Axis(name).value: text.strip() for name, text in values.items() if text.strip()}
    if not known:
        raise ValidationError(_("Give at least one value that the person has proven: phone, e-mail or national id."))
    for name, text in known.items():
        try:
            canonical_value(Axis(name), text)
        except BadValue as error:
            raise ValidationError({name: _("This cannot be read. Nothing was saved.")}) from error
    if received_at > timezone.now():
        raise ValidationError({"received_at": _("This time is still to come.")})
    open_ones = PersonRequest.objects.filter(state=State.OPEN, kind=kind, received_at=received_at, made_by=by)
    for taken in open_ones.filter(proof=proof):
        with suppress(ValidationError):  # a request that this server cannot read is another one
            if values_of(taken) == known:
                return taken
    with transaction.atomic():
        row = PersonRequest.objects.create(
            kind=kind, proof=proof, received_at=received_at, due_at=received_at + ANSWER_WITHIN, made_by=by,
            sealed=PersonRequest.encrypt(known),
        )  # fmt: skip
        # The erasure of the person deletes the key of the digests.
        digests = dict(noted_values({Axis(name): text for name, text in known.items()}))
        write_with_digests("person_request", values=digests, by=by, subject=row, facts={"kind": kind, "proof": proof})
    return row


def values_of(row: PersonRequest) -> dict[Axis, str]:
    """The person's values; none once the request is closed. Raises ValidationError if this server cannot read them."""
    if not row.sealed:
        return {}
    try:
        return {Axis(name): text for name, text in row.read().items()}
    except InvalidToken as error:
        raise ValidationError(_("It cannot be read with this server's key.")) from error


def known_in_campaigns(values: Mapping[Axis, str]) -> Iterator[Known]:
    """The person's digests in each campaign that is not erased."""
    for campaign in searched_campaigns():
        found = {axis: digest_of(campaign, axis, value) for axis, value in values.items()}
        yield Known(campaign, {axis: digests for axis, digests in found.items() if digests})


def orders_of(values: Mapping[Axis, str]) -> "QuerySet[Reservation]":
    """All reservations of a person, in all campaigns, the newest first."""
    by_axis: dict[Axis, list[str]] = defaultdict(list)
    for known in known_in_campaigns(values):
        for axis, digests in known.digests.items():
            by_axis[axis] += digests
    wanted = Q(pk__in=[])
    for axis, digests in by_axis.items():
        # A digest belongs to one campaign, because each has a salt of its own.
        wanted |= with_digest(axis, digests)
    rows = Reservation.objects.filter(wanted).select_related("sale__campaign", "allocation", "channel")
    return rows.order_by("-made_at", "pk")


@transaction.atomic
def close(
    *, request: PersonRequest, state: str, by: Any, reason: str = "", facts: Mapping[str, Any] | None = None
) -> bool:
    """Closes a request and deletes the person's values from it. False if it is closed already."""
    row = PersonRequest.objects.select_for_update().get(pk=request.pk)
    if row.state != State.OPEN:
        return False
    row.state, row.done_by, row.done_at, row.sealed = state, by, timezone.now(), ""
    row.reason = reason or row.reason
    row.save()
    Record.write(f"person_{state}", by=by, subject=row, why=row.reason, facts={"kind": row.kind, **(facts or {})})
    return True


@transaction.atomic
def correct(*, request: PersonRequest, order: UUID, changes: Mapping[str, str], by: Any) -> list[str]:
    """Corrects fields of the contact of an order of the person; returns the names of those that have changed.

    The trail keeps the old and the new value of each as keyed digests. The request stays open, because a person may
    have several orders. The digests by which the line knows the person do not change. A former e-mail address gets a
    letter (former_address.py). Raises ValidationError, and
    Refused (BAD_IDENTITY) for a contact that cannot be right.
    """
    row = PersonRequest.objects.select_for_update().get(pk=request.pk)
    own = orders_of(values_of(row)).select_for_update(of=("self",)).filter(pk=order).first()
    stored = Contact.objects.select_for_update().filter(reservation=order).first()
    if row.state != State.OPEN or row.kind != Kind.CORRECT or own is None or stored is None:
        raise ValidationError(_("Nothing was changed: the request is closed, or no contact of the order is kept."))
    try:
        old = stored.read()
    except InvalidToken as error:
        raise ValidationError(_("It cannot be read with this server's key.")) from error
    checked = checked_contact(old | {name: text for name, text in changes.items() if text.strip()})
    changed = [name for name in CONTACT_FIELDS if old.get(name) != checked[name]]
    if changed:
        stored.add(**{name: checked[name] for name in changed if name != "email"})
        if "email" in changed:
            correct_email(order=own, contact=stored, email=checked["email"], now=wall_clock.now())
        digests = {f"{name}_before": old.get(name, "") for name in changed}
        digests |= {f"{name}_after": checked[name] for name in changed}
        facts = {"request": row.pk, "fields": changed}
        write_with_digests("correct_contact", values=digests, by=by, sale=own.sale, subject=own, facts=facts)
    return changed


@transaction.atomic
def restrict(*, request: PersonRequest, by: Any) -> int:
    """Restricts the orders that the person has now; returns how many. Letters wait, and reviews leave the orders out.

    An order that the person makes later is a new wish of theirs, and is not restricted.
    """
    row = PersonRequest.objects.select_for_update().get(pk=request.pk)
    if row.state != State.OPEN or row.kind != Kind.RESTRICT:
        raise ValidationError(_("Nothing was changed: the request is closed."))
    ids = list(orders_of(values_of(row)).values_list("pk", flat=True))
    rows = [Restriction(reservation_id=id_, request=row) for id_ in ids]
    Restriction.objects.bulk_create(rows, ignore_conflicts=True)
    close(request=row, state=State.DONE, by=by, facts={"orders": [str(id_) for id_ in ids]})
    return len(ids)


@transaction.atomic
def lift(*, request: PersonRequest, by: Any) -> bool:
    """Lifts the restriction of a request; letters that are still true go out. False if it is lifted already."""
    row = PersonRequest.objects.select_for_update().get(pk=request.pk)
    if row.state != State.DONE or row.kind != Kind.RESTRICT:
        return False
    Restriction.objects.filter(request=row).delete()
    row.state = State.LIFTED
    row.save(update_fields=["state"])
    Record.write("person_lifted", by=by, subject=row)
    return True


def due_requests() -> "QuerySet[PersonRequest]":
    """The requests that somebody still has to answer, the most urgent first."""
    return PersonRequest.objects.filter(state__in=[State.OPEN, State.APPROVED]).order_by("due_at", "pk")
