"""Score: reads the confirmed orders of a campaign, links them, and scores them by a rule set. It writes nothing."""

import uuid
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from cryptography.fernet import InvalidToken

from flashsale.models import Allocation, Contact, Reservation, Sale, Trait
from flashsale.models.sale import ms
from flashsale.rules import lottery
from flashsale.rules.identity import Axis
from flashsale.rules.review import suspicion
from flashsale.rules.review.chance import by_chance
from flashsale.rules.review.clues import BuyerContact
from flashsale.rules.review.rule_set import SCORE_MAX, RuleSet
from flashsale.rules.review.suspicion import Finding, Order
from flashsale.rules.states import AllocationMode, ReservationState

READ_AT_ONCE = 1_000
# The kind of household at an address, by the smallest number of people there.
HOMES = {"one": 1, "household": 2, "house": 5, "crowd": 20}


def findings(*, sale: Sale, rules: RuleSet, on_progress: Callable[[int, int], Any]) -> list[Finding]:
    """A finding for each confirmed order of the sale, the highest score first.

    `on_progress` is called with the number of orders read so far, and of all orders. Orders of the campaign's other
    sales may link orders of this sale, but get no finding.
    """
    orders = _orders(sale, on_progress)
    own = {order.id for order, sale_id in orders if sale_id == sale.pk}
    found = suspicion.score_orders((order for order, _ in orders), rules, limit=sale.campaign.limit)
    return [finding for finding in found if finding.order_id in own]


def _orders(sale: Sale, on_progress: Callable[[int, int], Any]) -> list[tuple[Order, int]]:
    confirmed = Reservation.objects.filter(sale__campaign=sale.campaign_id, state=ReservationState.CONFIRMED)
    confirmed = confirmed.filter(restriction=None)  # their buyers have asked that they are not scored
    ids = list(confirmed.order_by("pk").values_list("pk", flat=True))
    read: list[tuple[Order, int]] = []
    on_progress(0, len(ids))
    for at in range(0, len(ids), READ_AT_ONCE):
        read += _read(ids[at : at + READ_AT_ONCE])
        on_progress(len(read), len(ids))
    chance = by_chance([order.traits[Axis.PAYMENT] for order, _ in read if Axis.PAYMENT in order.traits])
    return [(_without_cards(order, chance), sale_id) for order, sale_id in read]


def _without_cards(order: Order, cards: Collection[bytes]) -> Order:
    """The order without its card, if it is one of these."""
    if order.traits.get(Axis.PAYMENT) not in cards:
        return order
    return replace(order, traits={axis: digest for axis, digest in order.traits.items() if axis is not Axis.PAYMENT})


def _read(ids: Sequence[uuid.UUID]) -> list[tuple[Order, int]]:
    traits: dict[uuid.UUID, dict[Axis, bytes]] = {id_: {} for id_ in ids}
    for id_, axis, digest in Trait.objects.filter(reservation__in=ids).values_list("reservation_id", "axis", "digest"):
        traits[id_][Axis(axis)] = bytes.fromhex(digest)
    buyers = {contact.reservation_id: _buyer(contact) for contact in Contact.objects.filter(reservation__in=ids)}
    rows = Reservation.objects.filter(pk__in=ids, confirmed_at__isnull=False).select_related("allocation")
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


def summary(found: Sequence[Finding], rules: RuleSet) -> dict[str, Any]:
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
        "scores": [spread[low] for low in range(0, SCORE_MAX, 10)],
    }


def _home(finding: Finding) -> str:
    return next(home for home, people in reversed(HOMES.items()) if finding.people_at_address >= people)
