"""`manage.py migrate`: as Django's, but a migration does not wait long for a lock, because all sales wait behind it."""

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.core.management import CommandError, CommandParser
from django.core.management.commands import migrate
from django.db import OperationalError, connection
from psycopg.errors import LockNotAvailable

LOCK_S = 2.0
TRIES = 15
# Seconds between two tries: the statements that waited behind the migration go first.
PAUSE_S = (1.0, 4.0)
# Who holds locks on our tables for longer than a moment, the oldest transaction first.
HOLDERS = """
    SELECT pid, coalesce(application_name, ''), coalesce(host(client_addr), 'local'), state,
        extract(epoch FROM clock_timestamp() - xact_start)::int,
        (SELECT string_agg(DISTINCT relation::regclass::text, ', ') FROM pg_locks l
            WHERE l.pid = a.pid AND granted AND relation >= 16384 AND relation::regclass::text NOT LIKE '%_pkey')
    FROM pg_stat_activity a
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL
    ORDER BY xact_start LIMIT 3"""


class Command(migrate.Command):
    """A migration that does not get its locks is undone and tried again; what is applied already stays."""

    def add_arguments(self, parser: CommandParser) -> None:
        """Django's, how long a migration waits for a lock, and how often it is tried."""
        super().add_arguments(parser)
        parser.add_argument(
            "--lock-s", type=float, default=LOCK_S, metavar="SECONDS",
            help=f"how long a migration waits for a lock, and requests behind it; {LOCK_S:g} by default",
        )  # fmt: skip
        parser.add_argument(
            "--tries", type=int, default=TRIES, help=f"how often it is tried before it is refused; {TRIES} by default"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Migrates. Raises CommandError if a lock cannot be had; nothing of that migration has happened then."""
        lock_s, tries = options.pop("lock_s"), options.pop("tries")
        if connection.vendor != "postgresql":
            super().handle(*args, **options)
            return
        if settings.FLASHSALE_DB_POOLER:
            raise CommandError(
                "FLASHSALE_DB_POOLER is set, and a migration needs a session of its own. Run this with the "
                "DATABASE_URL of PostgreSQL itself, as the owner of the tables, and with FLASHSALE_DB_POOLER= (empty)."
            )
        for left in reversed(range(tries)):
            try:
                with _lock_limit(lock_s):
                    super().handle(*args, **options)
            except OperationalError as error:
                if not isinstance(error.__cause__, LockNotAvailable):
                    raise
                if not left:
                    raise CommandError(_refusal(error, lock_s, tries)) from error
                self.stderr.write(f"A lock is held by others. Trying again, {left} times more at most.")
                time.sleep(random.uniform(*PAUSE_S))
            else:
                return


@contextmanager
def _lock_limit(seconds: float) -> Iterator[None]:
    """Statements of this connection wait at most so long for a lock."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, false)", [f"{round(seconds * 1000)}ms"])
    try:
        yield
    finally:
        if connection.connection is not None and not connection.connection.closed:
            with connection.cursor() as cursor:
                cursor.execute("RESET lock_timeout")


def _refusal(error: Exception, lock_s: float, tries: int) -> str:
    """What happened, who is in the way, and what to do."""
    with connection.cursor() as cursor:
        cursor.execute(HOLDERS)
        rows = cursor.fetchall()
    holders = "".join(
        f"\n  process {pid} ({name or 'no name'}, {where}): {state} for {seconds} s, locks on {tables or 'no table'}"
        for pid, name, where, state, seconds, tables in rows
    )
    return (
        f"A migration did not get its lock within {lock_s:g} s, {tries} times: {str(error).strip().splitlines()[0]}. "
        "It was undone; the ones before it are applied and stay.\n"
        f"Transactions that may be in the way:{holders or ' none now'}\n"
        "Wait until they end, or end one with SELECT pg_terminate_backend(process). Then run the same command again."
    )
