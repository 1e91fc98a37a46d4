"""The Django settings of the database: PostgreSQL (the books), or SQLite for a demo."""

from collections.abc import Mapping
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured

# A server that disappears without closing its connections is noticed within 30 s. The kernel's default is two hours.
KEEPALIVE = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 4, "tcp_user_timeout": 30_000}
# PostgreSQL notices as soon that the host of one of our processes is gone, and ends its session with all its locks.
SERVER_KEEPALIVE = {
    "tcp_keepalives_idle": 10,
    "tcp_keepalives_interval": 5,
    "tcp_keepalives_count": 4,
    "tcp_user_timeout": 30_000,
}


# How many seconds after the limit of a statement the server is taken for frozen. It would have ended the statement.
SILENT_AFTER_S = 5


def session_limits(*, statement_s: int, idle_s: int) -> dict[str, int]:
    """The limits of a session of doors, web and workers, as PostgreSQL names them; milliseconds or seconds as there."""
    # Also a limit of 0 is said, because the role may have another one (`manage.py grants`).
    idle = {"idle_in_transaction_session_timeout": idle_s * 1000}
    return {**idle, **SERVER_KEEPALIVE, "statement_timeout": statement_s * 1000}


def pooler(value: str) -> bool:
    """Whether a pooler such as PgBouncer gives each transaction another session. Raises ImproperlyConfigured."""
    if value not in {"", "transaction"}:
        raise ImproperlyConfigured(
            f"FLASHSALE_DB_POOLER is {value!r}. Expected: nothing (a connection has its own session of PostgreSQL), or "
            "`transaction` (PgBouncer with pool_mode = transaction)."
        )
    return value == "transaction"


def database_settings(
    url: str, *, pool: int, statement_s: int, idle_s: int, test_sqlite: str | None, pooled: bool = False
) -> dict[str, Any]:
    """The entry of `DATABASES` for this address: PostgreSQL with a connection pool, or SQLite.

    PostgreSQL ends a statement after `statement_s` seconds, and a session that is idle in a transaction after `idle_s`
    seconds; 0 means never. Without the second limit a process that is cut off in the middle of a transaction keeps a
    sale's row locked, and no other process can reserve, pause or resume. Transactions that wait for another server
    allow themselves more time (flashsale/books/idle_limit.py). A server that says nothing for SILENT_AFTER_S seconds
    longer than a statement may take is taken for frozen (config/postgresql/connection.py). SQLite is set so that a
    commit survives a power cut, and writers wait for one another instead of failing.

    The address may name several hosts, or a name with several addresses: connections go to the one that takes writes.
    With `pooled`, a pooler gives each transaction another session. It refuses start-up options and loses what a session
    is set to, so the limits are those of the role (`manage.py grants`). Raises ImproperlyConfigured.
    """
    config: dict[str, Any] = environ.Env.db_url_config(url)
    options = config.setdefault("OPTIONS", {})
    if config["ENGINE"] == "django.db.backends.sqlite3":
        options["transaction_mode"] = "IMMEDIATE"
        options["timeout"] = 20
        options["init_command"] = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
        config["TEST"] = {"NAME": test_sqlite}  # a file, because threads cannot share a database in memory
        return config
    config["ENGINE"] = "config.postgresql"
    options.setdefault("target_session_attrs", "read-write")
    options.setdefault("connect_timeout", 3)
    options |= KEEPALIVE
    if pooled:
        _refuse_session_state(options)
        config["POOLED"] = True
    else:
        limits = session_limits(statement_s=statement_s, idle_s=idle_s)
        settings = " ".join(f"-c {name}={value}" for name, value in limits.items())
        options["options"] = f"{options.get('options', '')} {settings}".strip()
    config["SILENCE_S"] = statement_s + SILENT_AFTER_S if statement_s else None
    options["pool"] = {"min_size": 1, "max_size": pool, "timeout": 5}
    return config


def _refuse_session_state(options: Mapping[str, Any]) -> None:
    if found := {"options", "assume_role", "server_side_binding"} & set(options):
        raise ImproperlyConfigured(
            f"DATABASE_URL has {', '.join(sorted(found))}. With FLASHSALE_DB_POOLER=transaction this would count for "
            "some transactions only. Remove it; set what it set with ALTER ROLE … SET, as the owner."
        )
