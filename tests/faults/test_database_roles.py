"""The role of doors, web and workers: it can do all their work, and cannot touch the audit trail or a table."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from django.apps import apps
from django.core.management import CommandError, call_command
from django.db import connection

from flashsale.management import database_roles, doctor_checks
from flashsale.models import Record
from tests import servers
from tests.factories import lobby_sale

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate", "on_postgresql")]
APP, REPORTS, PASSWORD = f"app_{os.getpid()}", f"reports_{os.getpid()}", "correct horse's battery"
RUN = "import django; django.setup(); from tests.faults import app_role; app_role.main()"


@pytest.fixture
def on_postgresql() -> None:
    if connection.vendor == "sqlite":
        pytest.skip("SQLite has no roles")


def owner_runs(*statements: str) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of the test database for the app's role, which `manage.py grants` has made."""
    monkeypatch.setenv("FLASHSALE_APP_PASSWORD", PASSWORD)
    call_command("grants", APP, verbosity=0)
    url = urlsplit(servers.books_url())
    yield urlunsplit(url._replace(netloc=f"{APP}@{url.hostname}:{url.port}"))
    owner_runs(f"DROP OWNED BY {APP}", f"DROP ROLE {APP}")


@pytest.fixture
def reports(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of the test database for a role for reports."""
    monkeypatch.setenv("FLASHSALE_APP_PASSWORD", PASSWORD)
    call_command("grants", REPORTS, reports=True, verbosity=0)
    url = urlsplit(servers.books_url())
    yield urlunsplit(url._replace(netloc=f"{REPORTS}@{url.hostname}:{url.port}"))
    owner_runs(f"DROP OWNED BY {REPORTS}", f"DROP ROLE {REPORTS}")


def rights(table: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT relacl::text FROM pg_class WHERE relname = %s", [table])
        return cursor.fetchone()[0]


def result(url: str, statement: str) -> str:
    """The error of the statement, or "done"."""
    with psycopg.connect(url, autocommit=True, password=PASSWORD) as link:
        try:
            link.execute(statement)
        except psycopg.Error as error:
            return type(error).__name__
    return "done"


def test_the_role_lives_the_whole_life_of_a_sale(app: str) -> None:
    environment = os.environ | {
        "DATABASE_URL": app,
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "PGPASSWORD": PASSWORD,
    }
    command = [sys.executable, "-c", RUN]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    assert answer["who"] == APP
    assert answer["states"] == ["released", "cancelled", "confirmed", "confirmed"]
    assert answer["units"] == ["free", "free", "sold", "sold"]
    assert {"publish", "cancel", "appeal", "read_contact", "review", "reallocate"} <= set(answer["records"])
    assert answer["broken"] == []


COLUMNS = "position, at, who, what, subject, why, facts, previous, hash"
AGAIN = f"SELECT {COLUMNS} FROM flashsale_record ON CONFLICT (position) DO UPDATE SET what = 'x'"  # noqa: S608
UPSERT = f"INSERT INTO flashsale_record ({COLUMNS}) {AGAIN}"
FORBIDDEN = [
    "UPDATE flashsale_record SET who = 'somebody'",
    "UPDATE flashsale_record SET who = who WHERE false",
    "DELETE FROM flashsale_record",
    "DELETE FROM flashsale_record WHERE false",
    "TRUNCATE flashsale_record",
    "TRUNCATE flashsale_reservation CASCADE",
    "TRUNCATE flashsale_campaign CASCADE",
    "UPDATE flashsale_settlementline SET paid = 1 WHERE false",
    "DELETE FROM flashsale_settlementline WHERE false",
    "DROP TRIGGER settlement_lines_append_only ON flashsale_settlementline",
    "DROP TRIGGER audit_trail_append_only ON flashsale_record",
    "ALTER TABLE flashsale_record DISABLE TRIGGER audit_trail_append_only",
    "ALTER TABLE flashsale_record DISABLE TRIGGER ALL",
    "ALTER TABLE flashsale_record RENAME TO other",
    "ALTER TABLE flashsale_record OWNER TO CURRENT_USER",
    "ALTER TABLE flashsale_unit DROP CONSTRAINT flashsale_unit_pkey",
    "ALTER TABLE flashsale_reservation ADD COLUMN x int",
    "CREATE TRIGGER quiet BEFORE INSERT ON flashsale_record EXECUTE FUNCTION audit_trail_append_only()",
    "CREATE RULE quiet AS ON INSERT TO flashsale_record DO INSTEAD NOTHING",
    "CREATE OR REPLACE FUNCTION audit_trail_append_only() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
    "DROP FUNCTION audit_trail_append_only() CASCADE",
    "ALTER FUNCTION audit_trail_append_only() RENAME TO other",
    "DROP TABLE flashsale_record",
    "DROP SCHEMA public CASCADE",
    "CREATE TABLE mine (x int)",
    "CREATE TEMPORARY TABLE flashsale_record (x int)",
    "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE INDEX mine ON flashsale_record (who)",
    "CREATE ROLE mine",
    "SET session_replication_role = replica",
    "SELECT setval('flashsale_case_id_seq', 1)",
    "INSERT INTO django_migrations (app, name, applied) VALUES ('x', 'x', now())",
    "DELETE FROM django_migrations",
    "ALTER ROLE CURRENT_USER SUPERUSER",
    "COPY flashsale_record TO PROGRAM 'cat'",
    "ALTER DEFAULT PRIVILEGES FOR ROLE {owner} GRANT ALL ON TABLES TO CURRENT_USER",
    "SET ROLE {owner}",
    "SET SESSION AUTHORIZATION {owner}",
    "ALTER DATABASE {database} OWNER TO CURRENT_USER",
    "BEGIN; LOCK TABLE flashsale_record IN ACCESS EXCLUSIVE MODE",
    UPSERT,
]


def test_the_role_can_make_a_backup(app: str, tmp_path: Path) -> None:
    lobby_sale()
    environment = os.environ | {
        "DATABASE_URL": app,
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "PGPASSWORD": PASSWORD,
    }
    command = [sys.executable, "manage.py", "backup", "--to", str(tmp_path), "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    assert (answer["secrets"], Path(answer["folder"], "books.dump").stat().st_size > 10_000) == (False, True)


def test_every_statement_against_the_trail_and_the_tables_is_refused(app: str) -> None:
    lobby_sale()
    before = list(Record.objects.order_by("position").values())
    assert before
    names = {"owner": connection.settings_dict["USER"] or "flashsale", "database": connection.settings_dict["NAME"]}
    results = {text: result(app, text.format(**names)) for text in FORBIDDEN}
    assert set(results.values()) == {"InsufficientPrivilege"}, {
        text: found for text, found in results.items() if found != "InsufficientPrivilege"
    }
    assert list(Record.objects.order_by("position").values()) == before


def test_the_role_can_read_and_add_to_the_trail(app: str) -> None:
    lobby_sale()
    # A grant without the right to grant is only a warning.
    assert result(app, "GRANT UPDATE ON flashsale_record TO CURRENT_USER") == "done"
    assert database_roles.dangers(APP) == []
    assert result(app, "SELECT * FROM flashsale_record") == "done"
    assert result(app, "SELECT * FROM django_migrations") == "done"
    copy = "SELECT position + 1000, at, who, what, subject, why, facts, 'x', hash FROM flashsale_record LIMIT 1"
    assert result(app, f"INSERT INTO flashsale_record ({COLUMNS}) {copy}") == "done"


def test_the_grants_are_safe_to_repeat_and_take_back_what_was_too_much(app: str) -> None:
    owner_runs(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {APP}", f"GRANT CREATE ON SCHEMA public TO {APP}")
    assert [text.split(" ")[0] for text in database_roles.dangers(APP)] == ["can", "can", "can"]
    assert result(app, "UPDATE flashsale_record SET who = who WHERE false") != "InsufficientPrivilege"
    for _ in range(2):
        call_command("grants", APP, verbosity=0)
        assert database_roles.dangers(APP) == []
    assert result(app, "UPDATE flashsale_record SET who = who WHERE false") == "InsufficientPrivilege"


@pytest.mark.parametrize(
    ("statement", "word"),
    [
        ("ALTER ROLE {app} SUPERUSER", "is SUPERUSER"),
        ("ALTER ROLE {app} CREATEROLE", "is CREATEROLE"),
        ("GRANT {owner} TO {app}", "owns flashsale_record, flashsale_settlementline and"),
        ("ALTER TABLE flashsale_record OWNER TO {app}", "owns flashsale_record, so it can drop their triggers"),
        ("ALTER DATABASE {database} OWNER TO {app}", "owns the database"),
        ("GRANT pg_write_all_data TO {app}", "is a member of pg_write_all_data"),
    ],
)
def test_a_role_that_could_still_drop_the_triggers_is_refused_and_nothing_changes(
    app: str, statement: str, word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = connection.settings_dict["USER"] or "flashsale"
    names = {"app": APP, "owner": owner, "database": connection.settings_dict["NAME"]}
    owner_runs(statement.format(**names), f"REVOKE INSERT ON flashsale_sale FROM {APP}")
    before = rights("flashsale_sale")
    try:
        with pytest.raises(CommandError, match="Nothing was changed") as error:
            call_command("grants", APP)
        assert word in str(error.value)
        assert rights("flashsale_sale") == before
    finally:
        owner_runs(
            f"ALTER ROLE {APP} NOSUPERUSER NOCREATEROLE",
            f"REVOKE {owner} FROM {APP}",
            f"REVOKE pg_write_all_data FROM {APP}",
            f"ALTER TABLE flashsale_record OWNER TO {owner}",
            f"ALTER DATABASE {names['database']} OWNER TO {owner}",
        )


def test_a_role_that_does_not_exist_is_named_with_what_makes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FLASHSALE_APP_PASSWORD", raising=False)
    with pytest.raises(CommandError, match=r'There is no role no"body.*CREATE ROLE "no""body" LOGIN PASSWORD'):
        call_command("grants", 'no"body')


def test_the_owner_cannot_be_the_role_of_the_app() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_user")
        (owner,) = cursor.fetchone()
    with pytest.raises(CommandError, match=f"You are connected as {owner}"):
        call_command("grants", owner)


def test_the_password_is_never_sent_as_text(app: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT rolpassword FROM pg_authid WHERE rolname = %s", [APP])
        assert cursor.fetchone()[0].startswith("SCRAM-SHA-256$")
    with connection.execute_wrapper(_refuse_the_password):
        call_command("grants", APP, verbosity=0)


def _refuse_the_password(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
    assert PASSWORD not in f"{sql} {params}"
    return execute(sql, params, many, context)


def test_doctor_says_when_the_role_could_drop_the_triggers(app: str, settings: Any) -> None:
    check = doctor_checks._database_role()
    assert (check.ok, "is SUPERUSER" in check.found) == (False, True)
    assert "Roles of PostgreSQL" in check.fix
    with connection.cursor() as cursor:
        cursor.execute(f"SET SESSION AUTHORIZATION {APP}")
        try:
            check = doctor_checks._database_role()
        finally:
            cursor.execute("RESET SESSION AUTHORIZATION")
    assert (check.ok, check.found) == (True, f"{APP} has the rights of the app")


EVERY_COLUMN = """
    SELECT relname, attname FROM pg_class c JOIN pg_attribute a ON attrelid = c.oid
    WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND attnum > 0 AND NOT attisdropped
        AND has_column_privilege(%s, c.oid, attnum, 'SELECT')"""
EVERY_OTHER_RIGHT = """
    SELECT relname FROM pg_class c WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
        AND (has_table_privilege(%(role)s, c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER')
            OR has_any_column_privilege(%(role)s, c.oid, 'INSERT, UPDATE, REFERENCES'))"""


def limits_of(role: str) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT rolconfig FROM pg_roles WHERE rolname = %s", [role])
        return sorted(cursor.fetchone()[0])


def test_a_role_for_reports_reads_figures_and_nothing_that_names_people(reports: str) -> None:
    lobby_sale()
    expected = set()
    for name, hidden in database_roles.READABLE.items():
        model = apps.get_model("flashsale", name)
        columns = {field.column for field in model._meta.concrete_fields}
        assert set(hidden) <= columns, name
        expected |= {(model._meta.db_table, column) for column in columns - set(hidden)}
    with connection.cursor() as cursor:
        cursor.execute(EVERY_COLUMN, [REPORTS])
        assert set(cursor.fetchall()) == expected
        cursor.execute(EVERY_OTHER_RIGHT, {"role": REPORTS})
        assert cursor.fetchall() == []
    assert result(reports, "SELECT state, count(*), sum(amount) FROM flashsale_reservation GROUP BY state") == "done"
    for statement in (
        "SELECT * FROM flashsale_reservation", "SELECT metadata FROM flashsale_reservation",
        "SELECT salt FROM flashsale_campaign", "SELECT secret FROM flashsale_sale", "SELECT * FROM flashsale_contact",
        "SELECT password FROM auth_user", "SELECT * FROM django_session", "SELECT * FROM flashsale_record",
        "BEGIN READ WRITE; DELETE FROM flashsale_stock", "BEGIN READ WRITE; CREATE TABLE mine (x int)",
        "BEGIN READ WRITE; CREATE TEMPORARY TABLE mine (x int)",
    ):  # fmt: skip
        assert result(reports, statement) == "InsufficientPrivilege", statement
    assert limits_of(REPORTS) == [
        "default_transaction_read_only=on", "idle_in_transaction_session_timeout=60000", "statement_timeout=300000",
    ]  # fmt: skip
    with ExitStack() as stack:
        for _ in range(database_roles.REPORT_CONNECTIONS):
            stack.enter_context(psycopg.connect(reports, password=PASSWORD))
        with pytest.raises(psycopg.OperationalError, match="too many connections for role"):
            psycopg.connect(reports, password=PASSWORD)


def test_the_role_has_the_limits_that_its_processes_cannot_set_behind_a_pooler(
    app: str, settings: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    keepalive = ["tcp_keepalives_count=4", "tcp_keepalives_idle=10", "tcp_keepalives_interval=5"]
    wanted = ["idle_in_transaction_session_timeout=10000", "statement_timeout=30000", *keepalive]
    monkeypatch.delenv("FLASHSALE_APP_PASSWORD")
    settings.FLASHSALE_DB_IDLE_S = 10
    call_command("grants", APP)
    assert limits_of(APP) == [*wanted, "tcp_user_timeout=30000"]
    settings.FLASHSALE_DB_STATEMENT_S, settings.FLASHSALE_DB_IDLE_S = 5, 7
    call_command("grants", APP)
    assert limits_of(APP)[:2] == ["idle_in_transaction_session_timeout=7000", "statement_timeout=5000"]
    # An owner that is no superuser says what a superuser must run.
    monkeypatch.setattr(database_roles, "may_alter", lambda _: False)
    settings.FLASHSALE_DB_IDLE_S = 8
    capsys.readouterr()
    call_command("grants", APP)
    assert f"ALTER ROLE {APP} SET idle_in_transaction_session_timeout = 8000;" in capsys.readouterr().out
    assert limits_of(APP)[0] == "idle_in_transaction_session_timeout=7000"


def test_only_roles_with_the_right_may_alter_others(app: str, reports: str) -> None:
    assert database_roles.may_alter(APP)
    with connection.cursor() as cursor:
        cursor.execute(f"SET SESSION AUTHORIZATION {APP}")
        try:
            assert not database_roles.may_alter(REPORTS)
        finally:
            cursor.execute("RESET SESSION AUTHORIZATION")
