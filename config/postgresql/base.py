"""Django's backend for PostgreSQL, made safe for the promotion of a standby, which may happen at any time.

What a replacement must not do, and what prevents it here:

    a write goes to a server that is a standby now    the pool does not hand out connections to a server that refuses
                                                      writes; a statement that meets one closes its connection
    a commit is acknowledged that only the old        PostgreSQL says with a warning, not with an error, that a commit
    server has, and is lost with it                   was made to stop waiting for its standby: here it is an error
    connections come back minutes after the           the pool throws all connections away with the first dead one,
    new primary                                       and tries to connect every second
    a thread waits for a server that is frozen        each wait has a limit (connection.py)
    or cut off
"""

from contextlib import suppress
from typing import Any
from weakref import ref

import psycopg
from psycopg.errors import Diagnostic
from psycopg_pool import ConnectionPool

from config.postgresql.connection import READ_ONLY, Connection, Cursor, base, closed, only_local, refuse_only_local

# A pool that cannot connect tries again for this long, and then with the next request. The default of five minutes has
# pauses that double: after an outage of a minute, the next attempt might come a minute later.
RECONNECT_S = 1.0
# The function of PostgreSQL that waits for synchronous standbys. Its name is the same in all languages and versions.
WAITS_FOR_STANDBY = "SyncRepWaitForLSN"
# How long a connection of the pool may take to show that it lives, in seconds. A frozen server, and one whose packets
# are lost, never says anything.
CHECK_S = 3.0


def _hear(connection: "psycopg.Connection[Any]") -> None:
    """Notes the warning of a commit that did not wait. An exception in a handler of notices would only be logged."""
    weakly = ref(connection)

    def note(diagnostic: Diagnostic) -> None:
        if diagnostic.source_function == WAITS_FOR_STANDBY and (there := weakly()) is not None:
            only_local.add(there)

    connection.add_notice_handler(note)


class DatabaseWrapper(base.DatabaseWrapper):
    """A connection of a thread to the primary."""

    @property
    def pool(self) -> "ConnectionPool[Any] | None":
        """As Django's, with our check of each connection that it hands out, and with faster attempts to connect."""
        options = self.settings_dict["OPTIONS"].get("pool")
        if self.alias == base.NO_DB_ALIAS or not options:
            return None
        if self.alias not in self._connection_pools:
            configure: Any = self._configure_connection
            made: ConnectionPool[Any] = ConnectionPool(
                kwargs={**self.get_connection_params(), "autocommit": True},
                connection_class=Connection,
                open=False,
                configure=configure,
                check=_check,
                reconnect_timeout=RECONNECT_S,
                **options,
            )
            # Two threads may make one at the same time. The first one stays.
            self._connection_pools.setdefault(self.alias, made)
        return self._connection_pools[self.alias]

    def get_connection_params(self) -> dict[str, Any]:
        """As Django's, with our cursor."""
        return {**super().get_connection_params(), "cursor_factory": Cursor}

    def chunked_cursor(self) -> Any:
        """As Django's. Behind a pooler, a cursor of the server lives only as long as its transaction."""
        if self.settings_dict.get("POOLED") and not self.in_atomic_block:
            return self.cursor()
        return super().chunked_cursor()

    def _configure_connection(self, connection: Connection) -> bool:
        _hear(connection)
        connection.silence_s = self.settings_dict.get("SILENCE_S")
        return bool(super()._configure_connection(connection))

    def _commit(self) -> None:
        """As Django's. Raises OperationalError if the synchronous standby may not have the transaction."""
        super()._commit()
        if self.connection is not None:
            with self.wrap_database_errors:
                refuse_only_local(self.connection)


def _check(connection: Connection) -> None:
    """Raises psycopg.Error, and closes the connection, if it is dead, or its server is silent or refuses writes.

    The pool then throws the others away, too: their server is the same one. PostgreSQL reports both values by itself,
    so this costs no more than a question whether the connection lives.
    """
    pool = getattr(connection, "_pool", None)
    silence_s = connection.silence_s
    try:
        connection.silence_s = CHECK_S
        ConnectionPool.check_connection(connection)
        connection.silence_s = silence_s
        reported = [
            connection.info.parameter_status(name) for name in ("in_hot_standby", "default_transaction_read_only")
        ]
        if "on" in reported:
            raise closed(connection, READ_ONLY)
    except psycopg.Error:
        with suppress(psycopg.Error):
            connection.close()
        if pool is not None:
            pool.drain()
        raise
