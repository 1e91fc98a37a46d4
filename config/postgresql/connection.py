"""A connection and its cursor: they end when the server refuses writes, acknowledges too early, or is silent.

A server that is frozen, or whose packets are lost after it took a statement, answers nothing. PostgreSQL cannot end the
statement then, and neither do keepalives notice a frozen server, because its kernel still answers them. So each wait
has a limit here, too. A commit has none, because it may have to wait for a synchronous standby for as long as that is
away. Only where a person waits for the answer (`limited_commits`), a commit has the limit of a statement.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakSet

import psycopg
from django.db.backends.postgresql import base as djangos
from psycopg.errors import ReadOnlySqlTransaction
from psycopg.pq import TransactionStatus

# The stubs of Django know little of this module.
base: Any = djangos
READ_ONLY = "this PostgreSQL refuses writes: it is a standby, or was made read-only"
ONLY_LOCAL = "PostgreSQL committed without its synchronous standby: the change is lost if the standby takes over"
SILENT = "PostgreSQL took the statement and does not answer: it is frozen, or its host is cut off"

# How often a wait looks for signals, as psycopg does.
WAIT_INTERVAL_S = 0.1
# What a statement begins with that changes nothing when it commits by itself.
READS = ("SELECT", "SHOW", "SET", "RESET")

# Connections whose last commit did not wait for the standby.
only_local: "WeakSet[psycopg.Connection[Any]]" = WeakSet()


class _ThisThread(threading.local):
    changes = 0
    limited = False


_this_thread = _ThisThread()


def changes_begun() -> int:
    """How many commits, and statements that commit by themselves, this thread has sent since it began."""
    return _this_thread.changes


@contextmanager
def limited_commits() -> Iterator[None]:
    """In this thread, also a commit waits no longer for its answer than a statement does."""
    before, _this_thread.limited = _this_thread.limited, True
    try:
        yield
    finally:
        _this_thread.limited = before


def closed(connection: "psycopg.Connection[Any]", why: str) -> psycopg.OperationalError:
    """Closes the connection. Returns the error that says why."""
    connection.close()
    return psycopg.OperationalError(why)


def refuse_only_local(connection: "psycopg.Connection[Any]") -> None:
    """Raises OperationalError if the last commit of this connection did not wait for the synchronous standby."""
    if only_local and connection in only_local:
        only_local.discard(connection)
        raise closed(connection, ONLY_LOCAL)


class Connection(psycopg.Connection[Any]):
    """Closes itself with OperationalError when the server says nothing for `silence_s` seconds (None: never)."""

    silence_s: float | None = None
    _commits = False

    def wait(self, gen: Any, interval: float = WAIT_INTERVAL_S, timeout: float | None = None) -> Any:
        """As psycopg's, with our limit where it sets none."""
        if timeout is not None or (self._commits and not _this_thread.limited):
            return super().wait(gen, interval, timeout)
        try:
            return super().wait(gen, interval, self.silence_s)
        except psycopg.errors._WaitTimeout as error:  # noqa: SLF001 - psycopg has no public name for it
            raise closed(self, SILENT) from error

    def commit(self) -> None:
        """As psycopg's."""
        with self.committing():
            super().commit()

    @contextmanager
    def committing(self) -> Iterator[None]:
        """The block sends a commit, or a statement that commits by itself."""
        _this_thread.changes += 1
        self._commits = True
        try:
            yield
        finally:
            self._commits = False


class Cursor(base.Cursor):
    """Closes the connection when the server is no primary any more, or has acknowledged too early."""

    def execute(self, query: Any, *args: Any, **kwargs: Any) -> Any:
        """As psycopg's. Raises OperationalError in these two cases, too."""
        with self._watched(query):
            return super().execute(query, *args, **kwargs)

    def executemany(self, query: Any, *args: Any, **kwargs: Any) -> None:
        """As psycopg's. Raises OperationalError in these two cases, too."""
        with self._watched(query):
            super().executemany(query, *args, **kwargs)

    @contextmanager
    def _watched(self, query: Any) -> Iterator[None]:
        connection = self.connection
        try:
            if isinstance(connection, Connection) and self._commits_itself(query):
                with connection.committing():
                    yield
            else:
                yield
        except ReadOnlySqlTransaction as error:
            raise closed(connection, READ_ONLY) from error
        refuse_only_local(connection)

    def _commits_itself(self, query: Any) -> bool:
        if self.connection.info.transaction_status != TransactionStatus.IDLE or not self.connection.autocommit:
            return False
        return bool(query) and not str(query).lstrip("( \n").upper().startswith(READS)
