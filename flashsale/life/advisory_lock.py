"""Advisory locks of PostgreSQL, for work that only one process may do at a time."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from django.conf import settings
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
    elif settings.FLASHSALE_DB_POOLER:
        with _lock_of_a_transaction(work, row, wait=wait) as acquired:
            yield acquired
    else:
        lock = "pg_advisory_lock(%s, %s) IS NOT NULL" if wait else "pg_try_advisory_lock(%s, %s)"
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT {lock}", [work, row])
            acquired = bool(cursor.fetchone()[0])
            try:
                yield acquired
            finally:
                if acquired:
                    cursor.execute("SELECT pg_advisory_unlock(%s, %s)", [work, row])


@contextmanager
def _lock_of_a_transaction(work: int, row: int, *, wait: bool) -> Iterator[bool]:
    """The same behind a pooler, where the next statement may run in another session, and would not free the lock.

    A transaction of a connection of its own has the lock. It may be idle for as long as the work takes; the pooler ends
    it when this process dies. It is no connection of Django's pool, because work that waits for a second one there
    could wait for ever.
    """
    lock = "pg_advisory_xact_lock(%s, %s) IS NOT NULL" if wait else "pg_try_advisory_xact_lock(%s, %s)"
    with connection.wrap_database_errors, psycopg.connect(**connection.get_connection_params()) as own:
        own.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        (acquired,) = own.execute(f"SELECT {lock}", [work, row]).fetchone() or (False,)
        if not acquired:
            own.rollback()
        yield acquired
