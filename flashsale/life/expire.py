"""Expire: holds past their deadline end in the books (PostgreSQL), then the gate (Redis) offers their units again.

A hold ends a little after its deadline (`rules.clock.hold_grace_ms`), so that a partner whose confirmation was lost
can send it again.

The reaper decides by writing. When the gate holds units that were not committed, it inserts the reservation as
abandoned under the same id. The first commit of an id wins, so a reservation is never both committed and abandoned.
"""

import asyncio
import logging
import time
import uuid
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import NamedTuple

from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from flashsale.books.endings import EndedReservation, abandon_all, describe_all_ended, end_all
from flashsale.books.reservations import NewReservation, RefusedByBooks, lock_sale
from flashsale.gate import scripts
from flashsale.gate.client import GateCache
from flashsale.gate.held_request import HeldRequest
from flashsale.gate.sale_card import SaleCard
from flashsale.life.db_threads import run_in_db_thread
from flashsale.life.give_back import AT_ONCE, give_back
from flashsale.life.held_request import new_reservation
from flashsale.models import Reservation
from flashsale.rules import wall_clock
from flashsale.rules.clock import hold_grace_ms
from flashsale.rules.outcomes import Outcome
from flashsale.rules.states import ReservationState

log = logging.getLogger(__name__)
# The tick of the sale calls people after this, so it must not wait longer before the last batch.
NO_MORE_AFTER_S = 0.25
# How long to pass over a hold that the tables refuse to end. Tried at every tick, it would delay all later holds.
REFUSED_S = 60.0

# By reservation id.
HeldRequests = Mapping[uuid.UUID, HeldRequest]
# By commitment of the sale: reservation id → until when to pass over it (monotonic clock).
REFUSED_HOLDS: GateCache[str, dict[str, float]] = GateCache()
# A confirmed reservation that still comes due in the gate: its id, its allocation, how many units.
Sold = tuple[uuid.UUID, int, int]


class EndResult(NamedTuple):
    """What the books did with reservations that are due in the gate. Locked rows are in none of the lists."""

    ended: list[EndedReservation]
    sold: list[Sold]
    refused: list[uuid.UUID]


async def expire(*, card: SaleCard) -> int:
    """Ends the holds that have come due, batch after batch for a quarter of a second; how many.

    Safe to repeat and to run in two processes, because each skips the rows that the other has locked.

    1. The books end a batch. If the process dies after this, the holds are still due in the gate, and the next tick
       finds them ended.
    2. The gate gets the end of each.
    """
    done, until = 0, time.monotonic() + NO_MORE_AFTER_S
    while True:
        refused = _refused_lately(card)
        due = await scripts.due(card, most=AT_ONCE + len(refused), grace_ms=hold_grace_ms(card.hold_ms))
        if isinstance(due, Outcome):
            return done
        batch = islice(((uuid.UUID(id_), held) for id_, held in due[1].items() if id_ not in refused), AT_ONCE)
        if not (requests := dict(batch)):
            return done
        result = await run_in_db_thread(end_in_books, card, requests, due[0])
        refused |= {str(id_): time.monotonic() + REFUSED_S for id_ in result.refused}
        await asyncio.gather(
            *(give_back(card=card, ended=one) for one in result.ended), *(_confirm(card, sold) for sold in result.sold)
        )
        done += len(result.ended) + len(result.sold)
        if sum(len(some) for some in result) < AT_ONCE or time.monotonic() > until:
            return done


def _refused_lately(card: SaleCard) -> dict[str, float]:
    """The holds of a sale that the tables have refused to end for this process, and until when to pass over each."""
    refused = REFUSED_HOLDS.entries()
    still = {id_: until for id_, until in refused.get(card.commitment, {}).items() if until > time.monotonic()}
    refused[card.commitment] = still
    return still


def end_in_books(card: SaleCard, requests: HeldRequests, now_ms: int) -> EndResult:
    """Ends, in the books, reservations that are due in the gate.

    Skips rows that are locked or not yet due. When the tables refuse a batch, it is halved and tried again, so that a
    bad row keeps only itself from ending.
    """
    try:
        return EndResult(*_end_together(card, requests, now_ms), [])
    except (IntegrityError, RefusedByBooks):
        if len(requests) == 1:
            log.exception("a hold cannot be ended: %s", *requests)
            return EndResult([], [], [*requests])
    rest = iter(requests.items())
    first, second = dict(islice(rest, len(requests) // 2)), dict(rest)
    halves = (end_in_books(card, half, now_ms) for half in (first, second))
    return EndResult(*(one + other for one, other in zip(*halves, strict=True)))


def _end_together(card: SaleCard, requests: HeldRequests, now_ms: int) -> tuple[list[EndedReservation], list[Sold]]:
    with transaction.atomic():
        # Locked before the holds. In the other order, this transaction would wait for a rebuild while it has the holds
        # locked, and payments for them would wait, too.
        lock_sale(card.sale)
        due = _unlocked(requests).filter(state=ReservationState.HELD, deadline_ms__lte=now_ms)
        ended = end_all(list(due), state=ReservationState.EXPIRED, now=wall_clock.now())
    known = {uuid.UUID(one.reservation) for one in ended}
    rest = {id_: held for id_, held in requests.items() if id_ not in known}
    if not rest:
        return ended, []
    sold = Reservation.objects.filter(pk__in=rest, state=ReservationState.CONFIRMED)
    return ended + write_off(card, rest), list(sold.values_list("pk", "allocation_id", "quantity"))


def _unlocked(ids: Iterable[uuid.UUID]) -> QuerySet[Reservation]:
    """The rows that no other transaction has locked, locked. Skips the others, because one row must not delay many."""
    return Reservation.objects.select_for_update(skip_locked=True).filter(pk__in=list(ids)).order_by("pk")


@transaction.atomic
def write_off(card: SaleCard, requests: HeldRequests) -> list[EndedReservation]:
    """Writes requests that the books do not have as abandoned.

    Answers these and the ones that had ended before, because the gate still has to get the end of both.
    """
    # Shared with all but a rebuild, which must not count reservations that end meanwhile.
    lock_sale(card.sale)
    known = set(Reservation.objects.filter(pk__in=list(requests)).values_list("pk", flat=True))
    uncommitted = [new_reservation(card, held) for id_, held in requests.items() if id_ not in known]
    abandon_all([_row(new) for new in uncommitted], now=wall_clock.now())
    over = list(_unlocked(requests).filter(ended_at__isnull=False))
    return describe_all_ended(over, {row.pk: _units(requests[row.pk]) for row in over})


def _row(new: NewReservation) -> Reservation:
    return Reservation(
        id=new.id, sale_id=new.sale, allocation_id=new.allocation, channel_id=new.channel, index=new.index,
        number=new.number, asked=new.asked, fingerprint=new.fingerprint, quantity=len(new.units), amount=new.amount,
        epoch=new.epoch, deadline_ms=new.deadline_ms, made_at=new.made_at,
    )  # fmt: skip


def _units(held: HeldRequest) -> list[tuple[int, int]]:
    return [(unit.unit_id, unit.version) for unit in held.units]


async def abandon_refused(*, card: SaleCard, held: HeldRequest) -> None:
    """Abandons a request that the books refused, so that it can never be committed.

    Units, limit, place and key go back at once. Does nothing when a repeated request has committed it meanwhile,
    because the cause of the refusal is gone, or when another transaction has locked it. The reaper ends it then.
    """
    for ended in await run_in_db_thread(write_off, card, {uuid.UUID(held.request.id): held}):
        await give_back(card=card, ended=ended)


async def _confirm(card: SaleCard, sold: Sold) -> None:
    reservation, allocation, quantity = sold
    await scripts.confirm(card, card.line_of_allocation(allocation), reservation=str(reservation), quantity=quantity)
