"""Measure: each process learns the wall clock of Redis, with which it compares deadlines (rules/wall_clock.py)."""

from django.db import connection

from flashsale.gate.client import GateDown, wall_ms
from flashsale.life.db_threads import run_in_db_thread
from flashsale.rules.wall_clock import WALL_CLOCK

MEASURE_S = 1.0


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
