"""The limit on idle transactions (config/database.py), and the few transactions that need more time."""

from django.db import connection

LONG_IDLE_MS = 120_000


def allow_long_idle() -> None:
    """PostgreSQL waits up to two minutes for this transaction when it is idle. Call it first in the transaction.

    For a transaction that waits for another server while it holds its rows: without this, PostgreSQL would end its
    session in the middle, undo it, and let another process do the same work again.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL idle_in_transaction_session_timeout = %s", [LONG_IDLE_MS])
