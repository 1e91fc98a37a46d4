"""Expire: holds past their deadline end in the books first, then their units are offered to the next number.

The reaper decides, it does not ask: what the gate took and nobody committed is written down as abandoned under the same
identity, and the first commit wins.
"""

import uuid
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from flashsale.gate import inspect, scripts
from flashsale.gate.card import SaleCard
from flashsale.life.books import in_books
from flashsale.life.taken import winner_of
from flashsale.models import Reservation
from flashsale.models.ending import Ended, abandon, end, ended_before
from flashsale.rules.outcomes import Outcome
from flashsale.rules.states import ReservationState

AT_ONCE = 100
# Longer than any process is away between a commit and its message; later only a rebuild would notice.
LATELY = timedelta(hours=1)


async def expire(*, card: SaleCard) -> int:
    """Ends what has come due, at most a hundred; how many. Safe to repeat and to run beside itself."""
    due = await scripts.due(card, most=AT_ONCE)
    if isinstance(due, Outcome):
        return 0
    now_ms, taken = due
    for reservation, what in taken.items():
        ended = await in_books(end_in_books, card, uuid.UUID(reservation), what, now_ms, timezone.now())
        if ended is None:
            await _confirm(card, what)
        else:
            await give(card=card, ended=ended)
    return len(taken)


def end_in_books(card: SaleCard, id_: uuid.UUID, taken: dict[str, Any], now_ms: int, now: datetime) -> Ended | None:
    """What the books say of a reservation that the gate found due; None when it is confirmed (or not yet due there)."""
    with transaction.atomic():
        row = Reservation.objects.select_for_update().filter(pk=id_).first()
        if row is None:
            return _abandon(card, taken, now)
        if row.state == ReservationState.HELD and row.deadline_ms <= now_ms:
            return end(row, state=ReservationState.EXPIRED, now=now)
        if row.state in {ReservationState.HELD, ReservationState.CONFIRMED}:
            return None
        return ended_before(row, _units(taken))


def _abandon(card: SaleCard, taken: dict[str, Any], now: datetime) -> Ended:
    winner = winner_of(card, taken)
    fields = {
        "id": winner.id, "sale_id": winner.sale, "allocation_id": winner.allocation, "channel_id": winner.channel,
        "index": winner.index, "number": winner.number, "asked": winner.asked, "fingerprint": winner.fingerprint,
        "quantity": len(winner.units), "amount": winner.amount, "epoch": winner.epoch,
        "deadline_ms": winner.deadline_ms, "made_at": winner.made_at,
    }  # fmt: skip
    return abandon(fields, units=_units(taken), now=now)


def _units(taken: dict[str, Any]) -> list[tuple[int, int]]:
    return [(int(unit), int(version)) for unit, version, _ in taken["units"]]


async def abandon_refused(*, card: SaleCard, taken: dict[str, Any]) -> None:
    """The books refused what the gate took: nobody may commit it any more; units, limit, place and key go back at once.

    Nothing happens where somebody has committed it meanwhile, under the same key, after what made the books refuse.
    """
    id_ = uuid.UUID(taken["ask"]["id"])
    try:
        ended = await in_books(_abandon_once, card, id_, taken, timezone.now())
    except IntegrityError:
        return  # somebody else decided about this reservation at the same moment; the reaper will meet it
    if ended:
        await give(card=card, ended=ended)


def _abandon_once(card: SaleCard, id_: uuid.UUID, taken: dict[str, Any], now: datetime) -> Ended | None:
    with transaction.atomic():
        row = Reservation.objects.select_for_update().filter(pk=id_).first()
        if row is None:
            return _abandon(card, taken, now)
        return ended_before(row, _units(taken)) if row.ended_at else None


async def tell_again(*, card: SaleCard) -> int:
    """Tells the gate of the ends that it has not heard of although the books have them; how many."""
    ended = await in_books(_ended_lately, card.sale, timezone.now())
    missed = await inspect.still_held(card, [str(id_) for id_ in ended])
    for id_ in missed:
        await give(card=card, ended=await in_books(_ended, uuid.UUID(id_)))
    return len(missed)


def _ended_lately(sale: int, now: datetime) -> list[uuid.UUID]:
    lately = Q(ended_at__gt=now - LATELY) | Q(cancellation__appeal_until__range=(now - LATELY, now))
    lately |= Q(case__appeal__decided_at__gt=now - LATELY)
    rows = Reservation.objects.filter(lately, sale=sale, ended_at__isnull=False, claims=None)
    # What expired stays due in the gate until it hears of it: the reaper tells it.
    rows = rows.exclude(state=ReservationState.EXPIRED)
    return list(rows.values_list("pk", flat=True))


@transaction.atomic
def _ended(id_: uuid.UUID) -> Ended:
    return ended_before(Reservation.objects.get(pk=id_))


async def give(*, card: SaleCard, ended: Ended) -> None:
    """Tells the gate of an end that the books have committed; late and repeated messages change nothing."""
    line = next(line for line in card.lines if line.id == ended.allocation)
    await scripts.give(
        card, line, reservation=ended.reservation, frees_limit=ended.frees_limit, how=ended.how,
        units=_sold_here(line.skus, ended.units),
    )  # fmt: skip


def _sold_here(skus: Iterable[str], units: Iterable[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    offered = set(skus)
    return [unit for unit in units if unit[2] in offered]


async def _confirm(card: SaleCard, taken: dict[str, Any]) -> None:
    ask = taken["ask"]
    row = await in_books(Reservation.objects.filter(pk=ask["id"]).values_list("state", "allocation_id").first)
    if row and row[0] == ReservationState.CONFIRMED:
        line = next(line for line in card.lines if line.id == row[1])
        await scripts.confirm(card, line, reservation=ask["id"], quantity=ask["quantity"])
