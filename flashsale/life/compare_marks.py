"""Compare marks: once a second, each process learns from PostgreSQL which memory of Redis is the right one.

How this works
--------------
A script refuses when the process has seen a higher mark of the sale than Redis has (gate/lua/prelude.lua). PostgreSQL
keeps the epoch and the mark of each sale. A rebuild raises the epoch, and every mark of the new epoch is higher than
all earlier ones (gate/load.py).

    two masters at once                                 what this process does
    another process rebuilds the sale at the new one    learns the new epoch within a second; the old master's scripts
                                                        refuse; the next tick asks which server is the master
    this process does not reach PostgreSQL              after DOUBT_S no person enters through it
                                                        (`Gate.in_doubt`): it may be on the side that has lost

A reservation needs no such check: its commit carries the epoch. The memory of Redis may also go back in time without
another master, and a process that has just started has seen no mark. It learns the last one here.
"""

import logging
import time
from collections.abc import Sequence

from django.db import Error

from flashsale.gate import sale_cards
from flashsale.gate.client import every_gate
from flashsale.gate.load import first_mark
from flashsale.gate.scripts import keys_of
from flashsale.life.db_threads import run_in_db_thread
from flashsale.life.single_flight import SingleFlight
from flashsale.models import Sale

log = logging.getLogger(__name__)
MARKS_S = 1.0
COMPARING = SingleFlight()


async def compare_marks() -> None:
    """Learns the marks of all sales that this process serves. Raises django.db.Error."""
    began = time.monotonic()
    try:
        await COMPARING.run(_compare)
    except (Error, TimeoutError) as error:
        for gate in every_gate():
            gate.unanswered_since = gate.unanswered_since or began
        if isinstance(error, Error):
            raise
        log.warning("marks are not compared: %s", error)


async def _compare() -> None:
    states = {card.sale: keys_of(card).state for card in sale_cards.cards_in_use()}
    marks = await run_in_db_thread(read_marks, list(states))
    for gate in every_gate():
        for sale, mark in marks.items():
            gate.see_mark(states[sale], mark)
        gate.unanswered_since = None


def read_marks(sales: Sequence[int]) -> dict[int, int]:
    """By sale, the mark that Redis must not be behind, as far as PostgreSQL knows."""
    rows = Sale.objects.filter(pk__in=sales).values_list("pk", "epoch", "clock__mark")
    return {sale: max(mark or 0, first_mark(epoch)) for sale, epoch, mark in rows}
