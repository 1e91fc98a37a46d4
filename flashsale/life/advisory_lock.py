"""Advisory locks of PostgreSQL, for work that only one process may do at a time."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection


@contextmanager
def advisory_lock(work: int, row: int, *, wait: bool) -> Iterator[bool]:
    """Takes the lock of a kind of work and a row. Yields whether this process has it.

    `work` tells kinds of work apart. With `wait`, the call blocks until the lock is free, and always yields True.
    The lock belongs to the connection: PostgreSQL frees it when the process dies.
    SQLite has no such locks. There it always yields True, and several processes may do the work at once.
    """
    if connection.vendor != "postgresql":
        yield True
        return
    lock = "pg_advisory_lock(%s, %s) IS NOT NULL" if wait else "pg_try_advisory_lock(%s, %s)"
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {lock}", [work, row])
        acquired = bool(cursor.fetchone()[0])
        try:
            yield acquired
        finally:
            if acquired:
                cursor.execute("SELECT pg_advisory_unlock(%s, %s)", [work, row])
