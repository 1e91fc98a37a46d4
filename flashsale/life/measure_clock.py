"""Measure: each process learns the wall clock of Redis, with which it compares deadlines (rules/wall_clock.py)."""

import logging
import threading
import time
from contextlib import suppress

from django.db import Error, connection

from flashsale.gate import bridge
from flashsale.gate.client import GateDown, wall_ms
from flashsale.life.db_threads import run_in_db_thread
from flashsale.rules.wall_clock import WALL_CLOCK

MEASURE_S = 1.0
log = logging.getLogger(__name__)


async def measure_clock() -> None:
    """Asks Redis for its time; PostgreSQL, if Redis has never answered this process. Raises GateDown, django.db.Error.

    Safe to repeat. A process that gets no answer counts on from the last one.
    """
    asked_at = WALL_CLOCK.elapsed_s()
    try:
        WALL_CLOCK.note(await wall_ms(), asked_at=asked_at)
    except GateDown:
        if WALL_CLOCK.is_measured or connection.vendor != "postgresql":
            raise
        asked_at = WALL_CLOCK.elapsed_s()
        WALL_CLOCK.note(await run_in_db_thread(postgresql_ms), asked_at=asked_at)


def postgresql_ms() -> int:
    """The clock of PostgreSQL; ms since 1970."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT extract(epoch FROM clock_timestamp()) * 1000")
        return int(cursor.fetchone()[0])


def keep_measuring() -> None:
    """Measures now, and then from a thread of its own, for a process that does not tick sales."""
    with suppress(GateDown, Error):
        bridge.run(measure_clock())
    threading.Thread(target=_measure_forever, name="clock", daemon=True).start()


def _measure_forever() -> None:
    while True:
        time.sleep(MEASURE_S)
        try:
            bridge.run(measure_clock())
        except (GateDown, Error) as error:
            log.debug("the time of Redis is not known: %s", error)
        except Exception:  # measuring goes on, whatever happened to one reading
            log.exception("the time of Redis could not be read")
