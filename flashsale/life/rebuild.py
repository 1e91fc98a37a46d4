"""Rebuild: loads sales into Redis from PostgreSQL, at publication and after Redis has lost its memory.

How this works
--------------
Each sale in Redis stores the run id of the Redis server that was loaded. Each script compares it with the run id of the
server that it runs on. After a restart, a restore or a failover they differ, and every script refuses (NOT_READY). The
next tick calls `rebuild`. `rebuild_missing_sales` does it for all sales that the server does not know. It runs when the
key `fs:loaded_by` does not name the server's run, so a server that kept everything costs one command a second.

All sales of a campaign that Redis does not know are rebuilt together, because they count against one limit.

    1. advisory lock     one process rebuilds a campaign; the others wait, then find nothing to do
    2. transaction A     lock the rows of the sales; epoch + 1; commit
    3. transaction B     lock the rows of the sales again
                           read units, holds, limits, cohorts, crowd backup    (snapshot.py)
                           load all of it into Redis                           (gate/load.py)
                           write the run id: the last write, one for all sales
                         commit

* A reservation that an older Redis decided cannot be committed: every commit carries the epoch of its decision, and
  transaction A has raised the epoch. That is also why the epoch is committed before the load and not with it: if the
  process dies after the last write, Redis answers under an epoch that PostgreSQL already demands.
* No reservation is committed and none ends during the load, because every commit and every end takes the sale's row in
  share mode. So the snapshot is still true at the last write.
* The process dies anywhere before the last write: Redis goes on refusing, and the next tick begins again. Loading again
  is safe.
* Redis restarts during the load: the run id was read before the load, so the last write names a server that is gone.
* Crowd data (who entered, who left, who was called) comes from what Redis still has, from the crowd backup, and from
  the place tokens as people return (crowd_backup.py).
"""

import logging
from collections.abc import Mapping

from django.db import Error, transaction
from django.db.models import Q
from django.utils import timezone

from flashsale.books.idle_limit import allow_long_idle
from flashsale.books.reservations import lock_sale
from flashsale.gate import bridge, due_sales, inspect, load, sale_cards
from flashsale.gate.client import GateDown, gate
from flashsale.gate.sale_card import SaleCard
from flashsale.gate.sale_cards import KEPT_AFTER_END
from flashsale.gate.shared_read import SharedReads
from flashsale.life import sale_control, snapshot
from flashsale.life.advisory_lock import advisory_lock
from flashsale.life.db_threads import run_in_db_thread, run_in_rebuild_thread
from flashsale.life.sale_card import card_of, cards_of
from flashsale.models import Campaign, Record, Reservation, Sale
from flashsale.rules.states import ReservationState, SaleState

log = logging.getLogger(__name__)
# The kind of work of the advisory lock ("fill" in ASCII).
REBUILD_LOCK = int.from_bytes(b"fill")
# By campaign: the rebuild that this process runs.
REBUILDS: SharedReads[int, SaleCard] = SharedReads()


def rebuild(*, sale: int, wait: bool = True) -> SaleCard:
    """Loads into Redis the sales of this sale's campaign that Redis does not know. Returns the card of this sale.

    Safe to repeat: does nothing when Redis knows them all. Raises GateDown; Redis then goes on refusing their requests.

    A second caller waits for the first one, or leaves the work to it if `wait` is False. Without the lock it would
    raise the epoch twice, and that looks like a second loss: at publication, Redis would then give indexes only behind
    the first block.
    """
    bridge.run(_confirm())
    campaign = Sale.objects.values_list("campaign_id", flat=True).get(pk=sale)
    with advisory_lock(REBUILD_LOCK, campaign, wait=wait) as is_mine:
        raised = _raise_epochs(campaign) if is_mine else {}
        if raised:
            _fill_gate(campaign, raised)
    if raised:
        log.info("rebuilt %s", ", ".join(f"{code} in epoch {epoch}" for code, epoch in raised.items()))
    return card_of(Sale.objects.select_related("campaign").get(pk=sale))


async def _confirm() -> None:
    await gate().confirm()


@transaction.atomic
def _raise_epochs(campaign: int) -> dict[str, int]:
    """Raises the epochs of the sales that Redis does not know. Returns code and new epoch.

    The clocks of these sales stand until the next tick after the load renews their leases.
    """
    rows, _ = _lock_unknown(campaign)
    for row in rows:
        row.epoch += 1
        row.save(update_fields=["epoch"])
    for row in rows:
        Record.write("rebuild", by="clock", sale=row, facts={"epoch": row.epoch})
    return {row.code: row.epoch for row in rows}


@transaction.atomic
def _fill_gate(campaign: int, raised: Mapping[str, int]) -> None:
    # Filling Redis with a large sale takes up to a minute. A process that is stopped meanwhile must keep its rows
    # locked, because otherwise another process would fill Redis at the same time.
    allow_long_idle()
    lost = any(epoch > 1 for epoch in raised.values())
    rows, others = _lock_unknown(campaign, also_known=lost)
    # Another process may have raised the epochs since, for the same loss. SQLite has no advisory locks.
    rows = [row for row in rows if row.code in raised and row.epoch >= raised[row.code]]
    if rows:
        # When Redis knows another sale of the campaign, it has the campaign's counts, too. Those of a publication are
        # right. After a loss they may be old, because a memory that is put back is not noticed in a sale that rests.
        counts = None
        if lost or not others:
            counts = snapshot.counts_of(campaign, card_of(rows[0]), others_go_on=others > 0)
        sales = snapshot.sales_of(rows, cards_of(rows))
        bridge.run(load.load(sales, counts))


def _lock_unknown(campaign: int, *, also_known: bool = False) -> tuple[list[Sale], int]:
    """Locks the rows of the campaign's sales that Redis does not know. Returns them, and how many Redis knows.

    With `also_known` it locks the others, too, so that the campaign's counts in PostgreSQL stay as they are.
    """
    Campaign.objects.select_for_update(no_key=True).get(pk=campaign)
    published = Sale.objects.filter(campaign=campaign).exclude(state=SaleState.DRAFT).order_by("pk")
    every = list(published.values_list("pk", flat=True))
    known = bridge.run(inspect.known_sales([(campaign, id_) for id_ in every]))
    ids = [id_ for id_, is_known in zip(every, known, strict=True) if not is_known]
    for id_ in every if also_known else ids:
        lock_sale(id_, exclusive=True)
    return list(published.filter(pk__in=ids).select_related("campaign")), len(every) - len(ids)


def live_sales() -> dict[str, tuple[int, int]]:
    """Every sale that Redis must list: published and not closed, called off lately, or with a hold.

    Code → (campaign id, sale id): first the sales that run, then the others by their opening. A published sale counts
    by its state and not by its closing time, because the line's clock may have stood for days.
    """
    now = timezone.now()
    live = Q(state__in=[SaleState.PUBLISHED, SaleState.PAUSED])
    live |= Q(state=SaleState.CALLED_OFF, closes_at__gt=now - KEPT_AFTER_END)
    live |= Q(pk__in=Reservation.objects.filter(state=ReservationState.HELD).values("sale"))
    rows = list(Sale.objects.filter(live).values_list("code", "campaign_id", "pk", "opens_at", "closes_at"))
    rows.sort(key=lambda row: (not row[3] <= now < row[4], row[3]))
    return {code: (campaign, sale) for code, campaign, sale, _, _ in rows}


async def rebuild_after_loss() -> None:
    """As :func:`rebuild_missing_sales`, when this Redis server may have lost sales. Else it costs one command."""
    if not await due_sales.is_loaded():
        await rebuild_missing_sales()


async def rebuild_missing_sales() -> None:
    """Rebuilds the live sales of PostgreSQL that Redis does not know or does not list, campaign by campaign.

    Also restores sale cards that are lost or changed. Running sales come first, then the others by their opening. A
    campaign that another process rebuilds is left to it, so two processes rebuild two campaigns at once.
    """
    run_id = await gate().run_id()
    live = await run_in_db_thread(live_sales)
    known = await inspect.asked_sales(list(live.values()))
    listed = set(await sale_cards.sale_codes())
    missing: dict[int, int] = {}
    unlisted = set()
    for (code, (campaign, sale)), is_known in zip(live.items(), known, strict=True):
        if is_known is False:
            missing.setdefault(campaign, sale)
        elif is_known is True and code not in listed:
            # In a cluster, the directory may be on a node that was lost, and the sale on another one.
            unlisted.add(code)
    if not missing and not unlisted and all(answer is True for answer in known):
        await due_sales.note_loaded(run_id)
    for code in unlisted | sale_cards.lost_cards() & live.keys():
        await sale_control.restore_card(sale=live[code][1])
    for campaign, sale in missing.items():
        try:
            await _rebuild_in_thread(campaign, sale, wait=False)
        except (Error, GateDown) as error:
            # The other campaigns must not wait for this one.
            log.warning("campaign %s could not be rebuilt, and is tried again: %s", campaign, error)


async def rebuild_campaign(*, card: SaleCard) -> None:
    """Rebuilds the sales of this sale's campaign that Redis does not know. One run for all callers of a process."""
    await _rebuild_in_thread(card.campaign, card.sale, wait=True)


async def _rebuild_in_thread(campaign: int, sale: int, *, wait: bool) -> None:
    # Another server may be the master by now. A rebuild of the old one would take the sale from the new one.
    await gate().confirm()
    await REBUILDS.get(campaign, lambda: run_in_rebuild_thread(rebuild, sale=sale, wait=wait))
