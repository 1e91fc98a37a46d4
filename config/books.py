"""How the books are reached."""

from typing import Any

import environ

# A server that has vanished without a word is noticed within half a minute, not within two hours.
KEEPALIVE = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 4, "tcp_user_timeout": 30_000}


def database(url: str, *, pool: int, statement_s: int, test_sqlite: str | None) -> dict[str, Any]:
    """PostgreSQL through a pool; SQLite so that a commit survives a power cut and writers queue instead of failing.

    PostgreSQL ends a statement after `statement_s` (0: never). An idle transaction has no such end: a door that is
    stopped while it fills the gate must keep its rows locked, or another one would fill beside it.
    """
    config: dict[str, Any] = environ.Env.db_url_config(url)
    options = config.setdefault("OPTIONS", {})
    if config["ENGINE"] == "django.db.backends.sqlite3":
        options["transaction_mode"] = "IMMEDIATE"
        options["timeout"] = 20
        options["init_command"] = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
        config["TEST"] = {"NAME": test_sqlite}  # threads need a file, not memory
    else:
        options["connect_timeout"] = 3
        options |= KEEPALIVE
        if statement_s:
            options["options"] = f"{options.get('options', '')} -c statement_timeout={statement_s * 1000}".strip()
        config["CONN_HEALTH_CHECKS"] = True  # a pool may hold connections from before a restart of PostgreSQL
        options["pool"] = {"min_size": 1, "max_size": pool, "timeout": 5}
    return config
