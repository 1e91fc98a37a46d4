"""Advisory locks of PostgreSQL: work that only one process may do at a time."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection


@contextmanager
def alone(work: int, row: int, *, wait: bool) -> Iterator[bool]:
    """Whether nobody else is at this work for this row; with `wait` it is, sooner or later.

    PostgreSQL knows (advisory locks: `work` tells kinds of work apart), and forgets whoever dies with their connection.
    SQLite does not know: there several may be at it at once.
    """
    if connection.vendor != "postgresql":
        yield True
        return
    lock = "pg_advisory_lock(%s, %s) IS NOT NULL" if wait else "pg_try_advisory_lock(%s, %s)"
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {lock}", [work, row])
        mine = bool(cursor.fetchone()[0])
        try:
            yield mine
        finally:
            if mine:
                cursor.execute("SELECT pg_advisory_unlock(%s, %s)", [work, row])
