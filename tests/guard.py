"""Switches the triggers of append-only tables off and on: to empty tables between tests, and to change their rows."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.apps import apps
from django.db import connection, models

from flashsale.management.database_roles import append_only_tables
from flashsale.models.record import AppendOnly

# Migrations fill these tables, and no test writes to them. Filling them again takes as long as a short test.
KEPT = {"django_content_type", "auth_permission"}


def _guards() -> list[tuple[type[models.Model], AppendOnly]]:
    found = [(model, one) for model in apps.get_models() for one in model._meta.constraints]
    return [(model, one) for model, one in found if isinstance(one, AppendOnly)]


def off() -> list[str]:
    if connection.vendor == "postgresql":
        return [f"ALTER TABLE {table} DISABLE TRIGGER USER" for table in append_only_tables()]
    return [f"DROP TRIGGER {guard.name}_{verb}" for _, guard in _guards() for verb in ("UPDATE", "DELETE")]


def on() -> list[str]:
    postgresql = connection.vendor == "postgresql"
    return [
        template % {"table": model._meta.db_table}
        for model, guard in _guards()
        for template in guard.templates(model, connection.vendor)
        if not postgresql or template.startswith("ALTER")
    ]


def emptying(sql_flush: Any) -> Any:
    """Returns a `sql_flush` for Django's database operations that may empty append-only tables, too.

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
    """A cursor that may change and delete rows of append-only tables, as the owner of the database can."""
    with connection.cursor() as cursor:
        for statement in off():
            cursor.execute(statement)
        yield cursor
        for statement in on():
            cursor.execute(statement)
