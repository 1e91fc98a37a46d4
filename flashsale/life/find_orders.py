"""Finds reservations for staff: by id, by payment reference, by the buyer's phone or e-mail; and for their buyers.

The tables have no phone and no e-mail that could be searched, only digests. So the typed value becomes the digest that
it has in each campaign, and is not kept. An erased campaign has no salt: its reservations are not found by a person.
"""

import re
from collections.abc import Collection, Iterator, Sequence
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from flashsale.life.enter import digester
from flashsale.life.staff_campaigns import rows_of
from flashsale.life.trail_keys import count_search
from flashsale.models import Campaign, LimitSlot, Record, Reservation, Trait, UnpaidHold
from flashsale.rules.identity import Axis, BadValue
from flashsale.rules.states import ReservationState
from flashsale.rules.visible import visible

FOUND_MAX = 100
TYPED_MAX = 200
ID_PREFIX = re.compile(r"[0-9a-f]{4,8}(-[0-9a-f-]*)?", re.IGNORECASE)
# Our references are "<reservation>/<attempt>". A payment keeps only the last one, but each names its reservation.
OUR_REFERENCE = re.compile(r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/[0-9]+", re.IGNORECASE)


def find_orders(*, typed: str, by: Any, sees_contacts: bool) -> list[UUID]:
    """The ids of the newest reservations, at most FOUND_MAX, that belong to what a member of staff has typed.

    Only reservations of the user's campaigns are found. Only users who may see contacts may search by phone or e-mail,
    because the answer says who takes part. The audit trail gets who searched, by what kind of value, and what was
    found; never the value.
    Raises ValidationError for a value that is no id, reference, phone or e-mail.
    """
    value = " ".join(visible(typed).split())  # a no-break space or a tab becomes a space
    filters, people = {}, {}
    if len(value) <= TYPED_MAX and value.isprintable():
        filters, people = order_filters(value, by), dict(people_with(value))
    if people and not sees_contacts and not filters:
        raise ValidationError(_("Only users who may see contacts can search by phone or e-mail."))
    if sees_contacts:
        filters |= people
    if not filters:
        raise ValidationError(
            _("This is no id of a reservation, no payment reference, no phone number and no e-mail address.")
        )
    wanted = Q()
    for query in filters.values():
        wanted |= query
    # Each filter asks by ids, so that a reservation with several digests comes once.
    rows = rows_of(Reservation.objects.filter(wanted), by).order_by("-made_at", "pk")
    found = list(rows.values_list("pk", flat=True)[:FOUND_MAX])
    with transaction.atomic():
        facts = {"by": sorted(filters), "found": [str(id_) for id_ in found]}
        count_search(Record.write("search", by=by, subject="reservations", facts=facts))
    return found


def order_filters(value: str, by: Any) -> dict[str, Q]:
    """The filters by which a value is an id or a reference of a payment."""
    filters = {}
    if ours := OUR_REFERENCE.fullmatch(value):
        filters["reference"] = Q(pk=ours[1])
    elif ID_PREFIX.fullmatch(value) and len(value) <= len(str(UUID(int=0))):
        filters["id"] = Q(pk__startswith=value.lower())
    refunds = Q(attempts__refunds__reference=value) | Q(attempts__refunds__provider_id=value)
    own = rows_of(Reservation.objects.all(), by)
    known = own.filter(Q(attempts__reference=value) | Q(attempts__provider_id=value) | refunds)
    if value and known.exists():
        filters["reference"] = filters.get("reference", Q()) | Q(pk__in=known.values("pk"))
    return filters


def searched_campaigns() -> "QuerySet[Campaign]":
    """The campaigns whose people can be found."""
    return Campaign.objects.filter(erased_at=None, sandbox_of=None)


def people_with(
    value: str, axes: Sequence[Axis] = (Axis.PHONE, Axis.EMAIL), campaigns: "Collection[Campaign] | None" = None
) -> Iterator[tuple[str, Q]]:
    """For each axis on which the value can be read: the reservations of people with its digest."""
    campaigns = searched_campaigns() if campaigns is None else campaigns
    for axis in axes:
        digests = [digest for campaign in campaigns for digest in digest_of(campaign, axis, value)]
        if digests:
            yield axis.value, with_digest(axis, digests)


def with_digest(axis: Axis, digests: list[str]) -> Q:
    """The reservations whose buyer, limit slot or unpaid hold has one of these digests (hex)."""
    people = Q()
    for table in (Trait, LimitSlot, UnpaidHold):
        people |= Q(pk__in=table.objects.filter(axis=axis, digest__in=digests).values("reservation"))
    return people


def orders_of_person(*, campaign: Campaign, axis: Axis, digest: bytes) -> "QuerySet[Reservation]":
    """The reservations of a person who has proven a phone or a mailbox, in all sales of the campaign, the newest first.

    Without those that never came about.
    """
    own = Reservation.objects.filter(with_digest(axis, [digest.hex()]), sale__campaign=campaign)
    return own.exclude(state=ReservationState.ABANDONED).order_by("-made_at", "pk")


def digest_of(campaign: Campaign, axis: Axis, value: str) -> list[str]:
    """The digest (hex) of a value in a campaign; none if the axis cannot have the value."""
    try:
        return [digester(bytes(campaign.salt).hex(), campaign.canon_version).digest(axis, value).hex()]
    except BadValue:
        return []
