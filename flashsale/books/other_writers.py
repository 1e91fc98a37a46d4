"""Other writers: long work on SQLite stops now and then, so that other processes can write.

PostgreSQL locks rows, so nothing here happens there. SQLite has one writer at a time and no queue for it: a connection
that waits only looks again from time to time, at last every 100 ms. Work that begins its next transaction as soon as it
has committed the last one would take the lock each time, until the others give up.
"""

import time

from django.db import connection

# So long the work goes on without a pause.
WORK_S = 0.1
# Longer than the time between two looks of a connection that waits.
PAUSE_S = 0.12


class OtherWriters:
    """Lets the other writers in between the transactions of one piece of work."""

    def __init__(self) -> None:
        self._pause_at = time.monotonic() + WORK_S

    def let_in(self) -> None:
        """Pauses on SQLite if a pause is due. Call it after a transaction, and never inside one."""
        if connection.vendor == "sqlite" and time.monotonic() >= self._pause_at:
            time.sleep(PAUSE_S)
            self._pause_at = time.monotonic() + WORK_S
