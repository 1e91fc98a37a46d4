"""Erases one person from all campaigns, at the request of the person, with the consent of two members of staff.

What goes: contact, traits, bank account, what a partner attached, notes on cases, pieces of digests in evidence, what
providers and partners told of the orders, letters that are not sent, the place in a line, entries on lists (also on
those of the review), and the keys of the records of the trail about the person. personal_tables.py names the tables.
What stays: orders, payments, refunds, cases and settlements as facts without a person, because the law obliges a shop
to keep its accounts. So the units and the money balance as before. An entry of the review's lists for a value that an
order of another person has too, such as the address of a household, stays.

The limit of a campaign is a promise to everybody. While a published sale of the campaign is not over, or another one
is planned (a draft), the digests that count against the limit stay, with the request keys: the limit still holds for
the person. Nothing else stays. If the draft is never published, they stay for PLANNED_MOST after the last sale. Then
each digest in a limit slot becomes a random one, in PostgreSQL and in Redis. Both still count the same units. The
request is done after that.

    approved -- places forgotten (Redis) -- rows deleted (PostgreSQL) -- digests replaced (Redis) --> done
                                                  |                                            ^
                                                  +-- waits for the end of the sale, then again +

Each step is safe to repeat. If the process dies between two steps, `carry_on` (each minute) continues.
"""

import json
import logging
import os
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any
from uuid import UUID

from cryptography.fernet import InvalidToken
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import CharField, F, Q
from django.db.models.functions import Cast
from django.utils import timezone
from django.utils.translation import gettext as _

from flashsale.gate import bridge, inspect, people
from flashsale.gate.client import GateDown
from flashsale.gate.sale_card import SaleCard
from flashsale.life import places
from flashsale.life.advisory_lock import advisory_lock
from flashsale.life.find_person import noted_values
from flashsale.life.forget_contacts import is_unsettled
from flashsale.life.person_requests import known_in_campaigns, orders_of, values_of
from flashsale.life.personal_tables import (
    TABLES,
    Person,
    digests_of,
    forget_answers,
    notifications,
    shared_with_others,
    without_traces,
)
from flashsale.life.sale_card import card_of
from flashsale.life.start_payment import KEEP_CONTACT
from flashsale.life.trail_keys import forget_keys_of
from flashsale.models import (
    Appeal,
    Cancellation,
    Case,
    Contact,
    Delivery,
    LimitSlot,
    Notice,
    PaymentAttempt,
    PersonRequest,
    Record,
    Reservation,
    RingOrder,
    Sale,
    TrailKey,
)
from flashsale.rules.identity import DIGEST_BYTES, Axis
from flashsale.rules.states import AppealState, CaseState, NoticeState, ReservationState, SaleState

log = logging.getLogger(__name__)
State, Kind = PersonRequest.State, PersonRequest.Kind
# The kind of work of the advisory lock ("gone" in ASCII).
LOCK = int.from_bytes(b"gone")


# How long the digests of the limit stay after the last sale for a sale that is only planned: as long as contact data.
PLANNED_MOST = KEEP_CONTACT


class CannotErasePerson(ValidationError):
    """The person cannot be erased yet. Each message is one reason."""


def obstacles(request: PersonRequest) -> list[str]:
    """Why the person cannot be erased now, in words; empty if nothing stands in the way."""
    return list(_obstacles(list(orders_of(values_of(request)).values_list("pk", flat=True))))


def _obstacles(ids: Collection[UUID]) -> Iterator[str]:
    now = timezone.now()
    orders, attempts = Reservation.objects.filter(pk__in=ids), PaymentAttempt.objects.filter(reservation__in=ids)
    cases = Case.objects.filter(reservation__in=ids).exclude(state__in=[CaseState.CANCELLED, CaseState.DISMISSED])
    appeals = Appeal.objects.filter(case__reservation__in=ids, state=AppealState.OPEN)
    may_appeal = Cancellation.objects.filter(
        Cancellation.time_to_appeal(now), reservation__in=ids, case__appeal=None, reservation__limit_slots__isnull=False
    ).distinct()
    checks: list[tuple[Any, str]] = [
        (orders.filter(state=ReservationState.HELD), _("%(count)d reservations are still held: wait until they end.")),
        (attempts.filter(is_unsettled(now)), _("%(count)d payments or refunds are not settled: settle them first.")),
        (notifications(ids).filter(done_at=None), _("%(count)d notifications of payment providers are not read yet.")),
        (cases, _("%(count)d cases are not decided: decide them first.")),
        (appeals, _("%(count)d appeals are not decided: decide them first.")),
        (may_appeal, _("%(count)d cancellations may still be appealed: wait, or ask the buyer to give the appeal up.")),
    ]
    yield from (text % {"count": count} for rows, text in checks if (count := rows.count()))


def approve(*, request: PersonRequest, by: Any) -> PersonRequest:
    """A second person approves the erasure, and it is carried out. Raises CannotErasePerson, and ValidationError for
    the person who took the request, and if that person is switched off.

    If Redis does not answer, the request stays approved, and `carry_on` carries it out.
    """
    with transaction.atomic():
        row = PersonRequest.objects.select_for_update().get(pk=request.pk)
        if row.state != State.OPEN or row.kind != Kind.ERASE:
            raise ValidationError(_("Nothing was changed: the request is closed."))
        if row.made_by_id == by.pk:
            raise ValidationError(_("Another person has to approve the erasure."))
        if not row.made_by.is_active:
            raise ValidationError(_("The person who took the request is switched off. Refuse it, and take it anew."))
        if reasons := obstacles(row):
            raise CannotErasePerson(reasons)
        row.state, row.approved_by = State.APPROVED, by
        row.save(update_fields=["state", "approved_by"])
        Record.write("approve_erasure", by=by, subject=row)
    try:
        carry_out(request=row.pk)
    except (GateDown, CannotErasePerson) as error:
        log.warning("the erasure of request %s is approved and waits: %s", row.pk, error)
    return PersonRequest.objects.get(pk=row.pk)


def erased_since(since: datetime) -> set[str]:
    """The ids of the orders of people whose erasure goes on, or was done after `since`."""
    about = PersonRequest.objects.filter(Q(state=State.APPROVED) | Q(done_at__gte=since), kind=Kind.ERASE)
    found: set[str] = set()
    for pk, orders in about.values_list("pk", "orders"):
        found.update(orders)
        done = Record.objects.filter(what="erase_person", subject=f"personrequest:{pk}")
        found.update(id_ for facts in done.values_list("facts", flat=True) for id_ in json.loads(facts)["orders"])
    return found


def carry_on() -> int:
    """Goes on with the erasures that are approved and not done; returns how many are done now. Safe to repeat."""
    done = 0
    for id_ in PersonRequest.objects.filter(state=State.APPROVED).values_list("pk", flat=True):
        try:
            done += carry_out(request=id_)
        except (GateDown, ValidationError) as error:
            log.warning("the erasure of request %s waits: %s", id_, error)
    return done


def carry_out(*, request: int) -> bool:
    """Erases the person of an approved request; whether the request is done. Safe to repeat and to run in parallel.

    Raises GateDown when Redis does not answer, and CannotErasePerson for what has happened since the approval.
    """
    with advisory_lock(LOCK, request, wait=True):
        row = PersonRequest.objects.get(pk=request)
        if row.state != State.APPROVED:
            return row.state == State.DONE
        if not row.sealed and _all_wait(row):
            return False
        _forget_places(row)
        ids, over = _delete_rows(row)
        _tell_gate(over)
        return _finish(row.pk, waiting=set(ids) - set(over))


def _all_wait(row: PersonRequest) -> bool:
    return not _over({UUID(id_) for id_ in row.orders}) and bool(row.orders)


def _forget_places(row: PersonRequest) -> None:
    """Step 1, in Redis: the person's places and entries on lists, with all digests that lead to them.

    Not on the second pass, for which only digests of the limit are left: the person may have entered again.
    """
    if not row.sealed:
        return
    values = values_of(row)
    # A person may have told one value only, and their orders know more.
    by_campaign = digests_of({UUID(id_) for id_ in row.orders} | set(orders_of(values).values_list("pk", flat=True)))
    for known in known_in_campaigns(values):
        told = {digest for found in known.digests.values() for digest in found}
        by_campaign[known.campaign.pk] = by_campaign.get(known.campaign.pk, set()) | told
    for campaign, digests in by_campaign.items():
        for sale in _published(campaign) if digests else ():
            bridge.run(_forget_in_sale(card_of(sale), digests))


def _published(campaign: int) -> "list[Sale]":
    rows = Sale.objects.filter(campaign=campaign).exclude(state=SaleState.DRAFT)
    return list(rows.select_related("campaign", "clock"))


async def _forget_in_sale(card: SaleCard, digests: set[str]) -> None:
    if not await inspect.has_sale(card):
        return
    found = await people.fields_of(card, await people.places_of(card, [bytes.fromhex(one) for one in digests]))
    for line, place in people.lines_of(card, found):
        number, seed = await places.number_of(card, line, place.index)
        fields = found[place]
        await people.forget_place(card, line, index=place.index, number=number, seed=seed, fields=fields)
        digests = digests | {field[:DIGEST_BYTES].hex() for field in fields}
    await people.forget_listed(card, digests)


@transaction.atomic
def _delete_rows(row: PersonRequest) -> tuple[list[UUID], list[UUID]]:
    """Step 2, one transaction in PostgreSQL. The ids of all orders, and of those whose sales are all over.

    If the process dies within it, nothing is deleted, and a repeat finds the same orders again.
    """
    values = values_of(row)
    ids = {UUID(id_) for id_ in row.orders} | set(orders_of(values).values_list("pk", flat=True))
    list(Reservation.objects.select_for_update(of=("self",)).filter(pk__in=ids).order_by("pk"))  # locked until the end
    if reasons := list(_obstacles(ids)):
        raise CannotErasePerson(reasons)
    # Before the contacts, because who sends a letter locks the letter first.
    list(Notice.objects.select_for_update(of=("self",)).filter(reservation__in=ids).order_by("pk"))
    over = _over(ids)
    _forget_trail_keys(values, ids)
    person = _person(values, ids, over)
    for table in TABLES:
        table.of_person(person).delete()
    Notice.objects.filter(reservation__in=ids, state=NoticeState.DUE).update(state=NoticeState.DROPPED)
    Notice.objects.filter(reservation__in=ids).update(service_id="")
    Reservation.objects.filter(pk__in=ids).update(partner_reference=None, metadata=None)
    # A receiver may have sent back what we had sent, with what the partner had attached.
    forget_answers(Delivery.objects.filter(webhook__channel__in=_channels(ids), subject__in=list(map(str, ids))))
    Reservation.objects.filter(pk__in=over).update(asked=Cast(F("pk"), CharField()), fingerprint="")
    without_traces(RingOrder.objects.filter(reservation__in=ids))
    without_traces(Case.objects.filter(reservation__in=ids))
    _replace_slots(over)
    PersonRequest.objects.filter(pk=row.pk).update(sealed="", orders=sorted(map(str, ids)))
    return sorted(ids), sorted(over)


def _channels(ids: Collection[UUID]) -> set[int]:
    """The channels of these orders."""
    return set(Reservation.objects.filter(pk__in=ids).values_list("channel", flat=True))


def _over(ids: Collection[UUID]) -> set[UUID]:
    """The orders in campaigns of which no sale is running, to come, or planned."""
    now = timezone.now()
    over: set[UUID] = set()
    by_campaign: dict[int, set[UUID]] = defaultdict(set)
    for id_, campaign in Reservation.objects.filter(pk__in=ids).values_list("pk", "sale__campaign"):
        by_campaign[campaign].add(id_)
    for campaign, own in by_campaign.items():
        published = _published(campaign)
        planned = Sale.objects.filter(campaign=campaign, state=SaleState.DRAFT).exists()
        waits = planned and max(sale.closes_at for sale in published) > now - PLANNED_MOST
        if all(sale.is_over(now) for sale in published) and not waits:
            over |= own
    return over


def _forget_trail_keys(values: Mapping[Axis, str], ids: Collection[UUID]) -> None:
    """Deletes the keys of the records of searches for the person, and of corrections of the person's contacts."""
    about = set(noted_values(values))
    for contact in Contact.objects.filter(reservation__in=ids):
        with suppress(InvalidToken):
            known = contact.read()
            about.update(noted_values({axis: known[axis.value] for axis in (Axis.PHONE, Axis.EMAIL)}))
    named = Reservation.objects.filter(pk__in=ids).exclude(partner_reference=None)
    about.update(("partner_reference", name or "") for name in named.values_list("partner_reference", flat=True))
    forget_keys_of(about)
    corrected = Record.objects.filter(what="correct_contact", subject__in=[f"reservation:{id_}" for id_ in ids])
    TrailKey.objects.filter(position__in=list(corrected.values_list("position", flat=True))).delete()


def _person(values: Mapping[Axis, str], ids: Collection[UUID], over: Collection[UUID]) -> Person:
    """Who the rows of the tables belong to. Values that the person has told are the person's alone."""
    of_orders = digests_of(ids)
    shared = shared_with_others(of_orders, ids)
    own = {campaign: digests - shared[campaign] for campaign, digests in of_orders.items()}
    for known in known_in_campaigns(values):
        told = {digest for digests in known.digests.values() for digest in digests}
        own[known.campaign.pk] = own.get(known.campaign.pk, set()) | told
    return Person(ids, over, own, shared)


def _replace_slots(over: Collection[UUID]) -> None:
    """Each digest in the limit slots of these orders becomes a random one: the slots count as before, for no person."""
    slots = list(LimitSlot.objects.select_for_update().filter(reservation__in=over))
    new: dict[tuple[str, str], str] = defaultdict(lambda: os.urandom(DIGEST_BYTES).hex())
    for slot in slots:
        slot.digest = new[slot.axis, slot.digest]
    LimitSlot.objects.bulk_update(slots, ["digest"], batch_size=500)


def _tell_gate(over: Collection[UUID]) -> None:
    """Step 3, in Redis: what is held for these orders gets the digests that PostgreSQL has."""
    by_sale: dict[int, dict[str, list[tuple[str, str]]]] = defaultdict(dict)
    for order in Reservation.objects.filter(pk__in=over).select_related("sale"):
        slots = order.limit_slots.filter(scope=LimitSlot.campaign_scope(order.sale.campaign_id))
        by_sale[order.sale_id][str(order.pk)] = sorted(set(slots.values_list("axis", "digest")))
    for sale in Sale.objects.filter(pk__in=by_sale).select_related("campaign", "clock"):
        bridge.run(_tell_sale(card_of(sale), by_sale[sale.pk]))


async def _tell_sale(card: SaleCard, slots: dict[str, list[tuple[str, str]]]) -> None:
    if await inspect.has_sale(card):
        await people.forget_requests(card, slots)


@transaction.atomic
def _finish(request: int, *, waiting: Collection[UUID]) -> bool:
    """Step 4: the request is done, unless the limit of a running sale still needs digests of these orders."""
    row = PersonRequest.objects.select_for_update().get(pk=request)
    if row.state != State.APPROVED:
        return True
    facts = {"orders": row.orders, "waiting": len(waiting)}
    row.orders = sorted(map(str, waiting))
    if not waiting:
        row.state, row.done_by_id, row.done_at = State.DONE, row.approved_by_id, timezone.now()
    row.save()
    Record.write("erase_person", by=row.approved_by, subject=row, why=row.reason, facts=facts)
    return not waiting
