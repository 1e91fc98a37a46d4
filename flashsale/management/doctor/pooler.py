"""Is there a pooler (PgBouncer) in front of PostgreSQL, and do its settings fit ours?"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import connection

from flashsale.management.doctor.check import Check, in_production

NAME = "PgBouncer"
EXPECTED = (
    "no pooler, or one in transaction mode that FLASHSALE_DB_POOLER names; limits of idle sessions and statements"
)
# How often two connections are compared. Another program may take the session in between.
TRIES = 5
PID = "SELECT pg_backend_pid()"
LIMITS = ("idle_in_transaction_session_timeout", "statement_timeout")
GRANTS = "python manage.py grants ROLE, as the owner; then RECONNECT in PgBouncer"
# What the server of a connection says about its limits, when the role or the database has none.
NO_LIMIT = "0"


@dataclass(frozen=True, slots=True)
class Facts:
    """What was seen: is there a pooler, in which mode, do prepared statements survive, which limits count."""

    between: bool
    shares_sessions: bool
    keeps_prepared: bool
    limits: dict[str, str]


def pooler() -> Check:
    """Whether a pooler is in between, and whether its settings fit ours."""
    if connection.vendor != "postgresql":
        return Check(NAME, True, "SQLite needs none", EXPECTED)
    try:
        facts = _look()
    except (psycopg.Error, ImproperlyConfigured) as error:
        return _refused(str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__)
    problems = dict(_problems(facts))
    found = "\n".join([_mode(facts), *problems])
    return in_production(Check(NAME, not problems, found, EXPECTED, "\n".join(dict.fromkeys(problems.values()))))


def _connect() -> "psycopg.Connection[Any]":
    params: Any = connection
    return psycopg.connect(**params.get_connection_params(), autocommit=True)


def _look() -> Facts:
    with _connect() as one, _connect() as other:
        (pid,) = one.execute(PID).fetchone() or (0,)
        # A pooler invents the process that it tells its clients.
        between = pid != one.info.backend_pid
        limits = {name: str((one.execute(f"SHOW {name}").fetchone() or ("",))[0]) for name in LIMITS}
        shares = between and any(_took_over(one, other) for _ in range(TRIES))
        return Facts(between, shares, not shares or _keeps_prepared(one, other), limits)


def _took_over(one: "psycopg.Connection[Any]", other: "psycopg.Connection[Any]") -> bool:
    """Whether a transaction of one connection has had the session in which the other one ran its last statement."""
    (before,) = one.execute(PID).fetchone() or (0,)
    with other.transaction():
        (there,) = other.execute(PID).fetchone() or (0,)
    return bool(before == there)


def _keeps_prepared(one: "psycopg.Connection[Any]", other: "psycopg.Connection[Any]") -> bool:
    """Whether a prepared statement is still there when the next transaction has another session."""
    with psycopg.Cursor(one) as cursor:
        cursor.execute(PID, prepare=True)
        # The other connection keeps the session in which it was prepared.
        with other.transaction():
            other.execute(PID)
            try:
                cursor.execute(PID, prepare=True)
            except psycopg.Error:
                return False
    return True


def _mode(facts: Facts) -> str:
    if not facts.between:
        return "none: each connection has its own session"
    return "in transaction mode" if facts.shares_sessions else "in session mode"


def _problems(facts: Facts) -> Iterator[tuple[str, str]]:
    """What is wrong, and the command that fixes it."""
    pooled = settings.FLASHSALE_DB_POOLER
    if facts.shares_sessions and not pooled:
        text = "FLASHSALE_DB_POOLER is not set: advisory locks stay with a session of other transactions"
        yield text, "set FLASHSALE_DB_POOLER=transaction for all services"
    wanted = {
        "idle_in_transaction_session_timeout": settings.FLASHSALE_DB_IDLE_S,
        # Behind a pooler doors, web and worker have the limit of one role.
        "statement_timeout": settings.FLASHSALE_DB_STATEMENT_S or pooled,
    }
    for name, limit in wanted.items():
        if limit and facts.limits[name] == NO_LIMIT:
            why = "a process that is cut off keeps its locks" if name.startswith("idle") else "a request waits for ever"
            text = f"{name} is 0, although the settings have a limit: {why}"
            yield text, GRANTS if pooled else "remove options from ignore_startup_parameters in pgbouncer.ini"
    threshold = settings.DATABASES["default"]["OPTIONS"].get("prepare_threshold")
    if threshold is not None and not facts.keeps_prepared:
        text = "DATABASE_URL has prepare_threshold, and PgBouncer forgets prepared statements"
        yield text, "remove it, or set max_prepared_statements = 200 in pgbouncer.ini (PgBouncer 1.21 or newer)"


def _refused(error: str) -> Check:
    if "unsupported startup parameter" in error:
        fix = "set FLASHSALE_DB_POOLER=transaction for all services, then " + GRANTS
        return Check(NAME, False, f"it refuses our start-up options: {error}", EXPECTED, fix)
    if "statement pooling mode" in error:
        fix = "pool_mode = transaction in pgbouncer.ini, then RELOAD"
        return Check(NAME, False, f"in statement mode, which has no transactions: {error}", EXPECTED, fix)
    return Check(NAME, False, f"no answer: {error}", EXPECTED, "set DATABASE_URL")
