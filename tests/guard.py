"""The guard of the audit trail's table, taken off and put on again: to empty tables between tests, and to tamper."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection

from flashsale.models.record import FORBID

NAME, TABLE = "audit_trail_append_only", "flashsale_record"


def off() -> list[str]:
    if connection.vendor == "postgresql":
        return [f"ALTER TABLE {TABLE} DISABLE TRIGGER {NAME}"]
    return [f"DROP TRIGGER {NAME}_{verb}" for verb in ("UPDATE", "DELETE")]


def on() -> list[str]:
    made = [template % {"name": NAME, "table": TABLE} for template in FORBID[connection.vendor]]
    return made[-1:] if connection.vendor == "postgresql" else made


def emptying(sql_flush: Any) -> Any:
    """Django's statements that empty tables, which this table refuses to everybody else."""
    return lambda self, style, tables, **options: [*off(), *sql_flush(self, style, tables, **options), *on()]


@contextmanager
def taken_off() -> Iterator[Any]:
    """A cursor for whoever owns the database and wants to change the past."""
    with connection.cursor() as cursor:
        for statement in off():
            cursor.execute(statement)
        yield cursor
        for statement in on():
            cursor.execute(statement)
