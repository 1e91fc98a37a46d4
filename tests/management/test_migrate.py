"""A migration does not wait long for a lock, because all statements behind it would wait as long."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.core.management.commands import migrate as djangos
from django.db import OperationalError, connection, migrations, models
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from flashsale.management.commands import migrate
from tests import servers

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has no locks of tables"),
]
NEW = ("flashsale", "9999_colour")


class Colour(migrations.Migration):
    """Adds a column to the table of sales."""

    operations = [migrations.AddField("sale", "colour", models.CharField(max_length=9, default="red"))]


@pytest.fixture(autouse=True)
def _one_more_migration(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A migration that needs the strongest lock on the table of sales."""
    load = MigrationLoader.load_disk

    def with_colour(self: MigrationLoader) -> None:
        load(self)
        last = max(name for app, name in self.disk_migrations if app == "flashsale")
        monkeypatch.setattr(Colour, "dependencies", [("flashsale", last)])
        self.disk_migrations[NEW] = Colour(NEW[1], NEW[0])

    monkeypatch.setattr(MigrationLoader, "load_disk", with_colour)
    monkeypatch.setattr(migrate, "PAUSE_S", (0.0, 0.0))
    monkeypatch.setattr(djangos, "emit_post_migrate_signal", lambda *_, **__: None)
    monkeypatch.setattr(djangos, "emit_pre_migrate_signal", lambda *_, **__: None)
    yield
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE flashsale_sale DROP COLUMN IF EXISTS colour")
        cursor.execute("DELETE FROM django_migrations WHERE name = %s", [NEW[1]])


@pytest.fixture
def reader() -> Iterator[psycopg.Connection]:
    """A transaction of somebody else that has read the table of sales, and goes on."""
    with psycopg.connect(servers.books_url(), application_name="a long report") as link:
        link.execute("SELECT count(*) FROM flashsale_sale")
        yield link


def has_colour() -> bool:
    with connection.cursor() as cursor:
        columns = connection.introspection.get_table_description(cursor, "flashsale_sale")
    return "colour" in {column.name for column in columns}


def is_applied() -> bool:
    return NEW in MigrationRecorder(connection).applied_migrations()


def lock_timeout() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SHOW lock_timeout")
        return str(cursor.fetchone()[0])


def test_without_the_limit_every_statement_waits_behind_the_migration(reader: psycopg.Connection) -> None:
    def work() -> None:
        try:
            MigrationExecutor(connection).migrate([NEW])
        finally:
            connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'flashsale_sale'::regclass"
    with psycopg.connect(servers.books_url(), autocommit=True) as door:
        while door.execute(waiting).fetchone() == (0,):
            pass
        door.execute("SET statement_timeout = '300ms'")
        with pytest.raises(psycopg.errors.QueryCanceled):
            door.execute("SELECT count(*) FROM flashsale_sale")
    reader.rollback()
    thread.join(30)
    assert (has_colour(), is_applied()) == (True, True)


def test_a_lock_that_cannot_be_had_is_a_refusal_that_names_who_has_it_and_changes_nothing(
    reader: psycopg.Connection,
) -> None:
    with pytest.raises(CommandError) as refusal:
        call_command("migrate", verbosity=0, lock_s=0.05, tries=3)
    text = str(refusal.value)
    assert "did not get its lock within 0.05 s, 3 times" in text
    assert f"process {reader.info.backend_pid} (a long report, 127.0.0.1): idle in transaction" in text
    assert "flashsale_sale" in text
    assert "run the same command again" in text
    assert (has_colour(), is_applied(), lock_timeout()) == (False, False, "0")
    reader.rollback()
    call_command("migrate", verbosity=0, lock_s=5)
    assert (has_colour(), is_applied(), lock_timeout()) == (True, True, "0")


def test_a_lock_that_is_free_a_moment_later_is_waited_for_by_trying_again(
    reader: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        reader.rollback()

    monkeypatch.setattr(time, "sleep", pause)
    call_command("migrate", verbosity=0, lock_s=0.05, tries=3)
    assert (len(pauses), has_colour(), is_applied(), lock_timeout()) == (1, True, True, "0")


def test_another_error_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []

    def fails(*args: Any, **_: Any) -> None:
        calls.append(args)
        raise OperationalError("the disk is full")

    monkeypatch.setattr(djangos.Command, "handle", fails)
    with pytest.raises(OperationalError, match="the disk is full"):
        call_command("migrate", verbosity=0)
    assert (len(calls), lock_timeout()) == (1, "0")
