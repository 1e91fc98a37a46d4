"""Rebuild: the gate is filled from the books under a new epoch, at publication and whenever it has lost its memory."""

import logging
from collections.abc import Mapping

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from flashsale.books.reservations import lock_sale
from flashsale.gate import bridge, load, sale_cards, scripts
from flashsale.gate.sale_card import SaleCard
from flashsale.gate.sale_cards import KEPT_AFTER_END
from flashsale.life import snapshot
from flashsale.life.advisory_lock import alone
from flashsale.life.db_threads import in_books
from flashsale.life.sale_card import card_of
from flashsale.models import Campaign, Record, Reservation, Sale
from flashsale.rules.outcomes import Outcome
from flashsale.rules.states import ReservationState, SaleState

log = logging.getLogger(__name__)
# Of PostgreSQL's advisory locks ("fill" in ASCII).
FILLING_LOCK = int.from_bytes(b"fill")


def rebuild(*, sale: int) -> SaleCard:
    """Fills the gate for a published sale, and all others of its campaign, that it does not know; safe to repeat.

    Sales of a campaign count against one limit and are lost together, so they come back together: none of them takes
    before all that was counted is there, and nobody commits meanwhile what an older gate decided for one of them.
    Raises GateDown; the sales then stay closed.

    Whoever comes meanwhile waits: an epoch raised twice looks like a loss, and a line that has lost its memory begins
    behind all indexes that may have been given.

    1. The books raise the epochs. If we die after this, the next one begins again.
    2. The sales' rows stay locked while the gate is filled, so that one process does it and nothing ends meanwhile.
    """
    campaign = Sale.objects.values_list("campaign_id", flat=True).get(pk=sale)
    with alone(FILLING_LOCK, campaign, wait=True):
        raised = _raise_epochs(campaign)
        if raised:
            _fill_gate(campaign, raised)
    if raised:
        log.info("rebuilt %s", ", ".join(f"{code} in epoch {epoch}" for code, epoch in raised.items()))
    return card_of(Sale.objects.select_related("campaign").get(pk=sale))


@transaction.atomic
def _raise_epochs(campaign: int) -> dict[str, int]:
    """Code and new epoch of the sales that the gate does not know; their clocks go on by the next beat."""
    rows, _ = _lock_unknown(campaign)
    for row in rows:
        row.epoch += 1
        row.save(update_fields=["epoch"])
    for row in rows:
        Record.write("rebuild", by="clock", sale=row, facts={"epoch": row.epoch})
    return {row.code: row.epoch for row in rows}


@transaction.atomic
def _fill_gate(campaign: int, raised: Mapping[str, int]) -> None:
    rows, others = _lock_unknown(campaign)
    # Somebody else may have raised them further meanwhile, for the same loss.
    rows = [row for row in rows if row.code in raised and row.epoch >= raised[row.code]]
    if rows:
        # Where another sale is taking, the campaign's counts are there and go on without us.
        counts = None if others else snapshot.counts_of(campaign, card_of(rows[0]))
        bridge.run(load.load([snapshot.sale_of(row, card_of(row)) for row in rows], counts))


def _lock_unknown(campaign: int) -> tuple[list[Sale], int]:
    """The campaign's sales that the gate does not know, locked, and how many it knows."""
    Campaign.objects.select_for_update(no_key=True).get(pk=campaign)
    published = Sale.objects.filter(campaign=campaign).exclude(state=SaleState.DRAFT).order_by("pk")
    ids = [row.pk for row in published.select_related("campaign") if not bridge.run(_answers(card_of(row)))]
    for id_ in ids:
        lock_sale(id_, exclusive=True)
    return list(published.filter(pk__in=ids).select_related("campaign")), published.count() - len(ids)


async def _answers(card: SaleCard) -> bool:
    return not isinstance(await scripts.due(card, most=0), Outcome)


def live_sales() -> dict[str, int]:
    """Code and id of every sale that doors must know: published and not closed, called off lately, or with something
    held. By its state: when it is over says the line's clock, which may have stood for days."""
    live = Q(state__in=[SaleState.PUBLISHED, SaleState.PAUSED])
    live |= Q(state=SaleState.CALLED_OFF, closes_at__gt=timezone.now() - KEPT_AFTER_END)
    live |= Q(pk__in=Reservation.objects.filter(state=ReservationState.HELD).values("sale"))
    return dict(Sale.objects.filter(live).values_list("code", "id"))


async def find_lost() -> None:
    """Rebuilds sales that the books have published and the gate has never heard of."""
    known = set(await sale_cards.sale_codes())
    for code, sale in (await in_books(live_sales)).items():
        if code not in known:
            await in_books(rebuild, sale=sale)
