"""The Django settings of the database: PostgreSQL (the books), or SQLite for a demo."""

from typing import Any

import environ

# A server that disappears without closing its connections is noticed within 30 s. The kernel's default is two hours.
KEEPALIVE = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 4, "tcp_user_timeout": 30_000}
# PostgreSQL notices as soon that the host of one of our processes is gone, and ends its session with all its locks.
SERVER_KEEPALIVE = {
    "tcp_keepalives_idle": 10,
    "tcp_keepalives_interval": 5,
    "tcp_keepalives_count": 4,
    "tcp_user_timeout": 30_000,
}


def database_settings(url: str, *, pool: int, statement_s: int, idle_s: int, test_sqlite: str | None) -> dict[str, Any]:
    """The entry of `DATABASES` for this address: PostgreSQL with a connection pool, or SQLite.

    PostgreSQL ends a statement after `statement_s` seconds, and a session that is idle in a transaction after `idle_s`
    seconds; 0 means never. Without the second limit a process that is cut off in the middle of a transaction keeps a
    sale's row locked, and no other process can reserve, pause or resume. Transactions that wait for another server
    allow themselves more time (flashsale/books/idle_limit.py). SQLite is set so that a commit survives a power cut,
    and writers wait for one another instead of failing.
    """
    config: dict[str, Any] = environ.Env.db_url_config(url)
    options = config.setdefault("OPTIONS", {})
    if config["ENGINE"] == "django.db.backends.sqlite3":
        options["transaction_mode"] = "IMMEDIATE"
        options["timeout"] = 20
        options["init_command"] = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
        config["TEST"] = {"NAME": test_sqlite}  # a file, because threads cannot share a database in memory
    else:
        options["connect_timeout"] = 3
        options |= KEEPALIVE
        limits = {"idle_in_transaction_session_timeout": idle_s * 1000, **SERVER_KEEPALIVE}
        if statement_s:
            limits["statement_timeout"] = statement_s * 1000
        settings = " ".join(f"-c {name}={value}" for name, value in limits.items())
        options["options"] = f"{options.get('options', '')} {settings}".strip()
        config["CONN_HEALTH_CHECKS"] = True  # after a restart of PostgreSQL the pool holds dead connections
        options["pool"] = {"min_size": 1, "max_size": pool, "timeout": 5}
    return config
