"""Score: reads the confirmed orders of a campaign, links them, and scores them by a rule set. It writes nothing."""

import uuid
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cache
from typing import Any

from cryptography.fernet import InvalidToken
from django.utils import timezone

from flashsale.models import Allocation, Campaign, Contact, ListedValue, Reservation, ReservationUnit, Sale, Trait
from flashsale.models.sale import ms
from flashsale.rules import lottery
from flashsale.rules.identity import Axis
from flashsale.rules.review import suspicion
from flashsale.rules.review.chance import by_chance
from flashsale.rules.review.clues import BuyerContact
from flashsale.rules.review.fact_rules import AnyRuleSet
from flashsale.rules.review.rule_set import SCORE_MAX
from flashsale.rules.review.suspicion import Finding, Order
from flashsale.rules.states import AllocationMode, ReservationState

READ_AT_ONCE = 1_000
# The ids of entries of the allow and block lists, by kind, axis and digest.
Lists = Mapping[tuple[str, Axis, bytes], int]
# The kind of household at an address, by the smallest number of people there.
HOMES = {"one": 1, "household": 2, "house": 5, "crowd": 20}


class Findings(list[Finding]):
    """The findings about the orders of a sale. `elsewhere`: those about orders of other sales of its campaign."""

    def __init__(self, own: Iterable[Finding], elsewhere: Iterable[Finding], rules: AnyRuleSet) -> None:
        super().__init__(own)
        self.elsewhere = list(elsewhere)
        self.rules = rules


def findings(
    *, sale: Sale, rules: AnyRuleSet, lists_at: datetime | None = None, on_progress: Callable[[int, int], Any]
) -> Findings:
    """A finding for each confirmed order of the campaign, the highest score first.

    `lists_at` is the time at which the entries of the allow and block lists must have effect, by default now. A review
    always names the time at which it was requested, so that a repeat has the same result. `on_progress` is called with
    the number of orders read so far, and of all orders.
    """
    orders = _orders(sale, _listed(sale.campaign, lists_at or timezone.now()), on_progress)
    own = {order.id for order, sale_id in orders if sale_id == sale.pk}
    found = suspicion.score_orders((order for order, _ in orders), rules, limit=sale.campaign.limit)
    return Findings(
        [finding for finding in found if finding.order_id in own],
        [finding for finding in found if finding.order_id not in own],
        suspicion.rules_for(rules, len(orders)),
    )


def _listed(campaign: Campaign, at: datetime) -> Lists:
    """The entries of the lists that have effect at this time: by kind, axis and digest."""
    rows = ListedValue.objects.filter(ListedValue.in_effect(at), campaign=campaign)
    return {(row.kind, Axis(row.axis), bytes.fromhex(row.digest)): row.pk for row in rows}


def _met(lists: Lists, kind: str, traits: Mapping[Axis, bytes]) -> dict[Axis, int]:
    if not lists:
        return {}
    return {axis: lists[kind, axis, digest] for axis, digest in traits.items() if (kind, axis, digest) in lists}


def _orders(sale: Sale, lists: Lists, on_progress: Callable[[int, int], Any]) -> list[tuple[Order, int]]:
    confirmed = Reservation.objects.filter(sale__campaign=sale.campaign_id, state=ReservationState.CONFIRMED)
    confirmed = confirmed.filter(restriction=None)  # their buyers have asked that they are not scored
    ids = list(confirmed.order_by("pk").values_list("pk", flat=True))
    read: list[tuple[Order, int]] = []
    on_progress(0, len(ids))
    for at in range(0, len(ids), READ_AT_ONCE):
        read += _read(ids[at : at + READ_AT_ONCE], lists)
        on_progress(len(read), len(ids))
    chance = by_chance([order.traits[Axis.PAYMENT] for order, _ in read if Axis.PAYMENT in order.traits])
    return [(_without_cards(order, chance), sale_id) for order, sale_id in read]


def _without_cards(order: Order, cards: Collection[bytes]) -> Order:
    """The order without its card, if it is one of these."""
    if order.traits.get(Axis.PAYMENT) not in cards:
        return order
    return replace(order, traits={axis: digest for axis, digest in order.traits.items() if axis is not Axis.PAYMENT})


def _read(ids: Sequence[uuid.UUID], lists: Lists) -> list[tuple[Order, int]]:
    traits: dict[uuid.UUID, dict[Axis, bytes]] = {id_: {} for id_ in ids}
    for id_, axis, digest in Trait.objects.filter(reservation__in=ids).values_list("reservation_id", "axis", "digest"):
        traits[id_][Axis(axis)] = bytes.fromhex(digest)
    buyers = {contact.reservation_id: _buyer(contact) for contact in Contact.objects.filter(reservation__in=ids)}
    rows = Reservation.objects.filter(pk__in=ids, confirmed_at__isnull=False).select_related("allocation")
    units = ReservationUnit.objects.filter(reservation__in=ids).order_by("-pk")
    models = dict(units.values_list("reservation_id", "sku"))
    return [
        (
            Order(
                id=str(row.pk),
                traits=traits[row.pk],
                buyer=buyers.get(row.pk),
                made_ms=ms(row.made_at),
                paid_ms=ms(row.confirmed_at) if row.confirmed_at else 0,
                quantity=row.quantity,
                bypassed_line=_bypassed(row, row.allocation),
                sku=models.get(row.pk, ""),
                channel=str(row.channel_id),
                line=str(row.allocation_id),
                index=row.index,
                number=row.number,
                allowed=_met(lists, ListedValue.Kind.ALLOW, traits[row.pk]),
                blocked=_met(lists, ListedValue.Kind.BLOCK, traits[row.pk]),
            ),
            row.sale_id,
        )
        for row in rows
    ]


def _buyer(contact: Contact) -> BuyerContact | None:
    try:
        known: Mapping[str, str] = contact.read()
    except InvalidToken:
        # Encrypted with another key. The review still has the digests.
        return None
    return BuyerContact(known["name"], known["address"], known["phone"], known["email"])


def _bypassed(row: Reservation, line: Allocation) -> bool:
    """Whether PostgreSQL alone proves that the order did not come through its line.

    Its index was never given, or its number is not the one that the draw gives to the index.
    """
    if line.mode != AllocationMode.LINE or line.cohort is None:
        return False
    if row.index > line.block:
        return True
    return row.number != _number(row.index, line.cohort, line.seed)


@cache
def _seed(text: str) -> bytes:
    return bytes.fromhex(text)


def _number(index: int, cohort: int, seed: str) -> int:
    return lottery.number(index, cohort, _seed(seed))


def summary(found: Sequence[Finding], rules: AnyRuleSet) -> dict[str, Any]:
    """Counts for a report, ready for JSON: all orders and flagged orders by kind of household, reasons, marks, scores.

    `homes` has [orders, flagged orders] by kind; `scores` has the number of orders in steps of ten points.
    """
    flagged = suspicion.suspicious(found, rules)
    orders, flagged_homes = (Counter(_home(finding) for finding in some) for some in (found, flagged))
    spread = Counter(min(finding.score, SCORE_MAX - 1) // 10 * 10 for finding in found)
    return {
        "orders": len(found),
        "flagged": len(flagged),
        "groups": len({finding.group for finding in flagged}),
        "homes": {home: [orders[home], flagged_homes[home]] for home in HOMES},
        "reasons": dict(Counter(value.kind.value for finding in flagged for value in finding.shared)),
        "marks": dict(Counter(mark.value for finding in flagged for mark in finding.marks)),
        "facts": dict(Counter(one.fact.value for finding in flagged for one in finding.facts)),
        "scores": [spread[low] for low in range(0, SCORE_MAX, 10)],
    }


def _home(finding: Finding) -> str:
    return next(home for home, people in reversed(HOMES.items()) if finding.people_at_address >= people)
