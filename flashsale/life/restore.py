"""Restore: prepares a database that comes from a backup, before a server uses it.

What happened after the backup is lost: orders, payments, entries. The books (PostgreSQL) do not know them. So nothing
is sold, and no number is given twice, until people have compared the orders with the payment providers:

    * every sale that runs is paused, with a message to shoppers
    * Redis forgets all sales, and loads them from PostgreSQL under an epoch that no lost decision can have
    * each line goes on behind the last index that may have been given, so no index is given twice. People bring their
      places back with their tokens
    * new events get ids that no partner has seen
    * all sessions of staff end, and what was taken away after the backup is taken away again (taken_away.py)
"""

from dataclasses import dataclass

from django.db import connection, transaction
from django.db.models import F

from flashsale.gate import bridge, restored
from flashsale.gate.client import wall_ms
from flashsale.gate.sale_card import DIRECT_MAX
from flashsale.life import sale_control
from flashsale.life.rebuild import live_sales
from flashsale.life.taken_away import Before, TakenAway, end_all_sessions, take_away_again
from flashsale.models import Allocation, Record, Sale
from flashsale.rules.states import AllocationMode, Phase, SaleState

# More rebuilds than any sale had since its backup.
EPOCH_SKIP = 1000
EVENTS_SKIP = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Prepared:
    """The sales that are paused now, and the lines that give no index before their new block.

    `taken_away` is None if nothing is known of the time after the backup.
    """

    paused: list[str]
    raised: dict[str, int]
    taken_away: TakenAway | None


def prepare(*, entries: int, message: str, facts: dict[str, int | str], before: Before | None = None) -> Prepared:
    """Prepares the restored database. Safe to repeat. `facts` describe the backup, for the audit trail.

    `before` is what the database before the restore says about what was taken away, where it can be read.

    `entries` is how many people may have entered each line after the backup; it counts where Redis does not know the
    line any more. Raises GateDown.
    """
    live = [sale for _, sale in live_sales().values()]
    lines = list(Allocation.objects.filter(sale__in=live, carries=None).select_related("sale").order_by("pk"))
    known = bridge.run(restored.known_blocks([((line.sale.campaign_id, line.sale_id), line.line_id) for line in lines]))
    bridge.run(restored.forget_sales())
    raised = {}
    with transaction.atomic():
        Sale.objects.exclude(state=SaleState.DRAFT).update(epoch=F("epoch") + EPOCH_SKIP)
        for line, in_redis in zip(lines, known, strict=True):
            most = DIRECT_MAX if line.mode == AllocationMode.DIRECT else line.sale.max_entries
            block = min(most, max(line.block, in_redis or line.block + entries))
            Allocation.objects.filter(pk=line.pk).update(block=block)
            raised[f"{line.sale.code}/{line.code}"] = block
        _skip_event_ids()
        end_all_sessions()
        away = take_away_again(before) if before else None
        Record.write("restore", by=None, facts={**facts, **(away.counts if away else {})})
    paused = []
    for sale in Sale.objects.filter(pk__in=live, state=SaleState.PUBLISHED).order_by("pk"):
        if sale.phase(bridge.run(wall_ms())) is not Phase.CLOSED:
            sale_control.pause(sale=sale, message=message)
            paused.append(sale.code)
    return Prepared(paused, raised, away)


def _skip_event_ids() -> None:
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(
                "SELECT setval('flashsale_event_id_seq', last_value + %s) FROM flashsale_event_id_seq", [EVENTS_SKIP]
            )
        else:
            cursor.execute("UPDATE sqlite_sequence SET seq = seq + %s WHERE name = 'flashsale_event'", [EVENTS_SKIP])
