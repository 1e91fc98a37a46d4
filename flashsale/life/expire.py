"""Expire: holds past their deadline end in the books first, then their units are offered to the next number.

The reaper decides, it does not ask: what the gate took and nobody committed is written down as abandoned under the same
identity, and the first commit wins.
"""

import asyncio
import logging
import time
import uuid
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, NamedTuple

from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone

from flashsale.books.endings import EndedReservation, abandon_all, describe_all_ended, end_all
from flashsale.books.reservations import NewReservation, RefusedByBooks, lock_sale
from flashsale.gate import scripts
from flashsale.gate.client import gate
from flashsale.gate.sale_card import SaleCard
from flashsale.life.db_threads import run_in_db_thread
from flashsale.life.give_back import AT_ONCE, give_back
from flashsale.life.held_request import winner_of
from flashsale.models import Reservation
from flashsale.rules.outcomes import Outcome
from flashsale.rules.states import ReservationState

log = logging.getLogger(__name__)
# The calling of the same sale waits so long at most for a batch more.
NO_MORE_AFTER_S = 0.25
# What the tables refuse is asked again so much later: asked at every look, it would hold up all that come due after it.
REFUSED_S = 60.0

Taken = Mapping[uuid.UUID, dict[str, Any]]
# A reservation that the gate should hear is confirmed, its allocation, how many units.
Sold = tuple[uuid.UUID, int, int]


class Met(NamedTuple):
    """What the books say of reservations that the gate found due; nothing of what somebody else is at."""

    ended: list[EndedReservation]
    sold: list[Sold]
    refused: list[uuid.UUID]


async def expire(*, card: SaleCard) -> int:
    """Ends what has come due, batch after batch for a quarter of a second; how many. Safe to repeat and to run beside
    itself: what another process is at is left to it.

    1. The books end a batch. If we die after this, it is still due in the gate: the next look finds it ended.
    2. The gate hears of each.
    """
    done, until = 0, time.monotonic() + NO_MORE_AFTER_S
    while True:
        refused = _refused_lately(card)
        due = await scripts.due(card, most=AT_ONCE + len(refused))
        if isinstance(due, Outcome):
            return done
        wanted = islice(((uuid.UUID(id_), what) for id_, what in due[1].items() if id_ not in refused), AT_ONCE)
        if not (taken := dict(wanted)):
            return done
        met = await run_in_db_thread(end_in_books, card, taken, due[0])
        refused |= {str(id_): time.monotonic() + REFUSED_S for id_ in met.refused}
        await asyncio.gather(
            *(give_back(card=card, ended=one) for one in met.ended), *(_confirm(card, x) for x in met.sold)
        )
        done += len(met.ended) + len(met.sold)
        if sum(len(some) for some in met) < AT_ONCE or time.monotonic() > until:
            return done


def _refused_lately(card: SaleCard) -> dict[str, float]:
    """Until when to pass over the holds of a sale that the tables have refused to end, as this process has met them."""
    kept: dict[str, dict[str, float]] = gate().kept["refused"]
    kept[card.commitment] = {id_: at for id_, at in kept.get(card.commitment, {}).items() if at > time.monotonic()}
    return kept[card.commitment]


def end_in_books(card: SaleCard, taken: Taken, now_ms: int) -> Met:
    """What the books say of reservations that the gate found due.

    Nothing is said of what somebody else is at, and of what is not yet due here. What the tables refuse is taken apart,
    so that a bad row keeps only itself.
    """
    try:
        return Met(*_end_together(card, taken, now_ms), [])
    except (IntegrityError, RefusedByBooks):
        if len(taken) == 1:
            log.exception("a hold cannot be ended: %s", *taken)
            return Met([], [], [*taken])
    rest = iter(taken.items())
    first, second = dict(islice(rest, len(taken) // 2)), dict(rest)
    halves = (end_in_books(card, half, now_ms) for half in (first, second))
    return Met(*(one + other for one, other in zip(*halves, strict=True)))


def _end_together(card: SaleCard, taken: Taken, now_ms: int) -> tuple[list[EndedReservation], list[Sold]]:
    with transaction.atomic():
        # Before the holds: whoever pays must not wait with us for a rebuild.
        lock_sale(card.sale)
        due = _unlocked(taken).filter(state=ReservationState.HELD, deadline_ms__lte=now_ms)
        ended = end_all(list(due), state=ReservationState.EXPIRED, now=timezone.now())
    known = {uuid.UUID(one.reservation) for one in ended}
    rest = {id_: what for id_, what in taken.items() if id_ not in known}
    if not rest:
        return ended, []
    sold = Reservation.objects.filter(pk__in=rest, state=ReservationState.CONFIRMED)
    return ended + write_off(card, rest), list(sold.values_list("pk", "allocation_id", "quantity"))


def _unlocked(ids: Iterable[uuid.UUID]) -> QuerySet[Reservation]:
    """Those that nobody else is at, locked: who takes many at once must wait for none of them."""
    return Reservation.objects.select_for_update(skip_locked=True).filter(pk__in=list(ids)).order_by("pk")


@transaction.atomic
def write_off(card: SaleCard, taken: Taken) -> list[EndedReservation]:
    """Abandons what the gate took and the books never had; that, and what had ended before, as the gate must hear."""
    # Shared with everybody but a rebuild, which must not count what ends meanwhile.
    lock_sale(card.sale)
    known = set(Reservation.objects.filter(pk__in=list(taken)).values_list("pk", flat=True))
    abandon_all([_row(winner_of(card, what)) for id_, what in taken.items() if id_ not in known], now=timezone.now())
    over = list(_unlocked(taken).filter(ended_at__isnull=False))
    return describe_all_ended(over, {row.pk: _units(taken[row.pk]) for row in over})


def _row(winner: NewReservation) -> Reservation:
    return Reservation(
        id=winner.id, sale_id=winner.sale, allocation_id=winner.allocation, channel_id=winner.channel,
        index=winner.index, number=winner.number, asked=winner.asked, fingerprint=winner.fingerprint,
        quantity=len(winner.units), amount=winner.amount, epoch=winner.epoch, deadline_ms=winner.deadline_ms,
        made_at=winner.made_at,
    )  # fmt: skip


def _units(taken: dict[str, Any]) -> list[tuple[int, int]]:
    return [(int(unit), int(version)) for unit, version, _ in taken["units"]]


async def abandon_refused(*, card: SaleCard, taken: dict[str, Any]) -> None:
    """The books refused what the gate took: nobody may commit it any more; units, limit, place and key go back at once.

    Nothing happens where somebody has committed it meanwhile, under the same key, after what made the books refuse, or
    is at it: then the reaper will meet it.
    """
    for ended in await run_in_db_thread(write_off, card, {uuid.UUID(taken["ask"]["id"]): taken}):
        await give_back(card=card, ended=ended)


async def _confirm(card: SaleCard, sold: Sold) -> None:
    reservation, allocation, quantity = sold
    await scripts.confirm(card, card.line_of_allocation(allocation), reservation=str(reservation), quantity=quantity)
