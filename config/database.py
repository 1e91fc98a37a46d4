"""The Django settings of the database: PostgreSQL (the books), or SQLite for a demo."""

from typing import Any

import environ

# A server that disappears without closing its connections is noticed within 30 s. The kernel's default is two hours.
KEEPALIVE = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 4, "tcp_user_timeout": 30_000}


def database_settings(url: str, *, pool: int, statement_s: int, test_sqlite: str | None) -> dict[str, Any]:
    """The entry of `DATABASES` for this address: PostgreSQL with a connection pool, or SQLite.

    PostgreSQL ends a statement after `statement_s` seconds; 0 means never. An idle transaction has no such limit,
    because a process that is stopped while it rebuilds Redis must keep its row locks: otherwise a second process would
    rebuild at the same time. SQLite is set so that a commit survives a power cut, and writers wait for one another
    instead of failing.
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
        if statement_s:
            options["options"] = f"{options.get('options', '')} -c statement_timeout={statement_s * 1000}".strip()
        config["CONN_HEALTH_CHECKS"] = True  # after a restart of PostgreSQL the pool holds dead connections
        options["pool"] = {"min_size": 1, "max_size": pool, "timeout": 5}
    return config
