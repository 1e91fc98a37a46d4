"""The tables with personal data. Both erasures read this list: of a campaign (erase.py), and of one person
(erase_person.py). So a table that one of them deletes is never forgotten by the other one.

The evidence of an order (Case, RingOrder) is kept, without its pieces of digests (`without_traces`).

tests/privacy/test_personal_tables.py fails for a column with text that no list names.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import Q, QuerySet

from flashsale.models import (
    ApiCall,
    BankAccount,
    Campaign,
    CaseNote,
    Contact,
    Delivery,
    Inbox,
    LimitSlot,
    ListedValue,
    ListEntry,
    PaymentAttempt,
    Refund,
    Reservation,
    Trait,
    UnpaidHold,
)

CHUNK = 500


class Person(NamedTuple):
    """What is known of a person who is erased.

    `orders` are all orders, and `over` those in campaigns whose sales are all over. `digests` are those of the person
    by campaign; the digests that an order of another person has too are in `shared`, and are not in `digests`.
    """

    orders: Collection[UUID]
    over: Collection[UUID]
    digests: Mapping[int, Collection[str]]
    shared: Mapping[int, Collection[str]]


class PersonalTable(NamedTuple):
    """One kind of rows that are deleted: those of a campaign, and those of a person."""

    name: str
    model: Any
    of_campaign: Callable[[Campaign], "QuerySet[Any]"]
    of_person: Callable[[Person], "QuerySet[Any]"]


def notifications(orders: "QuerySet[Reservation] | Collection[UUID]") -> "QuerySet[Inbox]":
    """What providers have told of the money of these orders. They name the account or the card that paid."""
    attempts = PaymentAttempt.objects.filter(reservation__in=orders).values("reference")
    refunds = Refund.objects.filter(attempt__reservation__in=orders).values("reference")
    return Inbox.objects.filter(Q(reference__in=attempts) | Q(reference__in=refunds))


def _by_order(name: str, model: Any, path: str) -> PersonalTable:
    rows = model._default_manager  # noqa: SLF001
    return PersonalTable(
        name, model,
        lambda campaign: rows.filter(**{f"{path}__sale__campaign": campaign}),
        lambda person: rows.filter(**{f"{path}__in": person.orders}),
    )  # fmt: skip


def _listed(person: Person) -> "QuerySet[ListEntry]":
    found = Q(pk__in=[])
    for digests in (person.digests, person.shared):
        for campaign, own in digests.items():
            found |= Q(allocation__sale__campaign=campaign, digest__in=own)
    return ListEntry.objects.filter(found)


def _listed_values(person: Person) -> "QuerySet[ListedValue]":
    # The address of a household stays on a list, because orders of other people have it too.
    found = Q(pk__in=[])
    for campaign, own in person.digests.items():
        found |= Q(campaign=campaign, digest__in=own)
    return ListedValue.objects.filter(found)


def _calls(person: Person) -> "QuerySet[ApiCall]":
    """The kept answers to calls about the orders. They are kept for two days in any case."""
    found = Q(pk__in=[])
    for order, channel in Reservation.objects.filter(pk__in=person.orders).values_list("pk", "channel"):
        references = PaymentAttempt.objects.filter(reservation=order).values_list("reference", flat=True)
        about = Q(attempt__in=list(references)) | Q(answer__contains=str(order))
        found |= about & Q(channel=channel)
    return ApiCall.objects.filter(found)


TABLES = (
    PersonalTable(
        "notifications", Inbox,
        lambda campaign: notifications(Reservation.objects.filter(sale__campaign=campaign)),
        lambda person: notifications(person.orders),
    ),
    _by_order("bank accounts", BankAccount, "refund__attempt__reservation"),
    _by_order("contacts", Contact, "reservation"),
    _by_order("traits", Trait, "reservation"),
    PersonalTable(
        # The units still count for the limit. `erase_person` makes the digests random instead.
        "limit slots", LimitSlot,
        lambda campaign: LimitSlot.objects.filter(reservation__sale__campaign=campaign),
        lambda _person: LimitSlot.objects.none(),
    ),
    PersonalTable(
        "unpaid holds", UnpaidHold,
        lambda campaign: UnpaidHold.objects.filter(campaign=campaign),
        lambda person: UnpaidHold.objects.filter(reservation__in=person.over),
    ),
    PersonalTable(
        "listed people", ListEntry,
        lambda campaign: ListEntry.objects.filter(allocation__sale__campaign=campaign),
        _listed,
    ),
    PersonalTable(
        "values on review lists", ListedValue,
        lambda campaign: ListedValue.objects.filter(campaign=campaign),
        _listed_values,
    ),
    _by_order("notes on cases", CaseNote, "case__reservation"),
    PersonalTable(
        "partner calls", ApiCall,
        lambda campaign: ApiCall.objects.filter(channel__campaign=campaign),
        _calls,
    ),
)  # fmt: skip


def digests_of(orders: Collection[UUID]) -> dict[int, set[str]]:
    """The digests of these orders on all axes, by campaign."""
    found: dict[int, set[str]] = {}
    for table in (Trait, LimitSlot, UnpaidHold):
        rows = table._default_manager.filter(reservation__in=orders)  # noqa: SLF001
        for campaign, digest in rows.values_list("reservation__sale__campaign", "digest"):
            found.setdefault(campaign, set()).add(digest)
    return found


def shared_with_others(digests: Mapping[int, Collection[str]], orders: Collection[UUID]) -> dict[int, set[str]]:
    """Those of the digests that an order of another person has, too."""
    found: dict[int, set[str]] = {}
    for campaign, own in digests.items():
        others = Trait.objects.filter(reservation__sale__campaign=campaign, digest__in=own)
        found[campaign] = set(others.exclude(reservation__in=orders).values_list("digest", flat=True))
    return found


def without_traces(rows: "QuerySet[Any]") -> int:
    """Removes the pieces of digests from the evidence of these rows; returns how many rows changed.

    The evidence keeps which axes were shared, and with how many orders.
    """
    changed: list[Any] = []
    for row in rows.iterator(chunk_size=CHUNK):
        shared: Iterable[dict[str, Any]] = [one for one in row.evidence.get("shared", ()) if one.get("trace")]
        for one in shared:
            one["trace"] = ""
        changed += [row] if shared else []
    rows.model._default_manager.bulk_update(changed, ["evidence"], batch_size=CHUNK)  # noqa: SLF001
    return len(changed)


def forget_answers(rows: "QuerySet[Delivery]") -> None:
    """Removes what receivers of webhooks have answered. Locks the rows in the order in which `deliver.py` does."""
    ids = list(rows.select_for_update(of=("self",)).order_by("pk").values_list("pk", flat=True))
    Delivery.objects.filter(pk__in=ids).update(answer="")
