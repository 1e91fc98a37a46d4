"""Switches the trigger of the audit trail off and on: to empty tables between tests, and to change records."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection

from flashsale.models.record import FORBID

NAME, TABLE = "audit_trail_append_only", "flashsale_record"
# Migrations fill these tables, and no test writes to them. Filling them again takes as long as a short test.
KEPT = {"django_content_type", "auth_permission"}


def off() -> list[str]:
    if connection.vendor == "postgresql":
        return [f"ALTER TABLE {TABLE} DISABLE TRIGGER {NAME}"]
    return [f"DROP TRIGGER {NAME}_{verb}" for verb in ("UPDATE", "DELETE")]


def on() -> list[str]:
    made = [template % {"name": NAME, "table": TABLE} for template in FORBID[connection.vendor]]
    return made[-1:] if connection.vendor == "postgresql" else made


def emptying(sql_flush: Any) -> Any:
    """Returns a `sql_flush` for Django's database operations that may empty the audit trail, too.

    On PostgreSQL it deletes rows instead of truncating. TRUNCATE makes new files for 40 tables and their indexes, which
    takes 0.1 s after each test. Like TRUNCATE, the lock waits for transactions that still write.
    """

    def statements(self: Any, style: Any, tables: list[str], **options: Any) -> list[str]:
        tables = [table for table in tables if table not in KEPT]
        if connection.vendor != "postgresql" or not tables:
            return [*off(), *sql_flush(self, style, tables, **options), *on()]
        names = [self.quote_name(table) for table in tables]
        deletes = [f"DELETE FROM {name}" for name in names]  # noqa: S608 - names of our own tables, quoted
        lock = f"LOCK TABLE {', '.join(names)} IN EXCLUSIVE MODE"
        # Foreign keys are checked when a transaction ends; tables cannot be altered while checks are open.
        return ["; ".join([*off(), lock, *deletes, "SET CONSTRAINTS ALL IMMEDIATE", *on()])]

    return statements


@contextmanager
def taken_off() -> Iterator[Any]:
    """A cursor that may change and delete records, as the owner of the database can."""
    with connection.cursor() as cursor:
        for statement in off():
            cursor.execute(statement)
        yield cursor
        for statement in on():
            cursor.execute(statement)
