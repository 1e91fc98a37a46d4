"""PgBouncer in transaction mode: each transaction has another session, and the whole life of a sale works."""

import configparser
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from pytest_django import Settings

from config import database
from flashsale.life import advisory_lock
from flashsale.management.doctor import pooler
from flashsale.management.doctor.check import Check
from flashsale.models import Campaign
from simulation import pgbouncer_server
from simulation.pgbouncer_server import PgBouncer, find_program
from simulation.postgres_server import unprivileged_user
from simulation.processes import Process, free_port
from simulation.scale import postgres_faults, selling
from tests import servers
from tests.deploy.compose import filled, services
from tests.factories import poco_campaign

pytestmark = [
    pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate"), pytest.mark.slow,
    pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has no PgBouncer"),
    pytest.mark.skipif(find_program() is None, reason="no PgBouncer"),
]  # fmt: skip
ROOT = Path(__file__).parents[2]
# The file with the password of the app, in the container of docker-compose.yml.
USERS = "/tmp/users"  # noqa: S108 - in memory there
RUN = "import django; django.setup(); from tests.faults import app_role; app_role.main()"
APP = f"pooled_{os.getpid()}"
LOCKS = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = 77"


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> Iterator[str]:
    """The name of the app's role, which `manage.py grants` has made."""
    settings.FLASHSALE_DB_IDLE_S = 10
    monkeypatch.setenv("FLASHSALE_APP_PASSWORD", "p")
    call_command("grants", APP, verbosity=0)
    yield APP
    with connection.cursor() as cursor:
        cursor.execute(f"DROP OWNED BY {APP}; DROP ROLE {APP}")


@pytest.fixture
def books() -> str:
    """The address of the test database itself."""
    return servers.books_url()


def bouncer(books: str, **settings: str) -> PgBouncer:
    """A PgBouncer before the test database, with few sessions, so that transactions change between them."""
    port = free_port()
    few = {"default_pool_size": "3", **settings}
    return PgBouncer(folder=servers.folder / f"bouncer-{port}", port=port, url=books, settings=few)


def variables(there: PgBouncer, user: str = "flashsale", **more: str) -> dict[str, str]:
    return {"DATABASE_URL": there.url(user), "DJANGO_SETTINGS_MODULE": "config.settings", **more}


@pytest.fixture
def through(settings: Settings) -> Iterator[Any]:
    """Leads Django's connection through a PgBouncer, with or without FLASHSALE_DB_POOLER."""
    before = dict(connection.settings_dict)

    def lead(there: PgBouncer, *, pooled: bool) -> None:
        parts = urlsplit(there.url())
        changed = database.database_settings(
            there.url(), pool=4, statement_s=30, idle_s=10, test_sqlite=None, pooled=pooled
        )
        if not pooled:  # as with ignore_startup_parameters
            changed["OPTIONS"].pop("options")
        _lead({"HOST": parts.hostname, "PORT": parts.port, "OPTIONS": changed["OPTIONS"], "POOLED": pooled})
        settings.FLASHSALE_DB_POOLER = pooled

    yield lead
    _lead({name: before[name] for name in ("HOST", "PORT", "OPTIONS")} | {"POOLED": False})


def _lead(changes: dict[str, Any]) -> None:
    connection.close()
    found: Any = connection
    found.close_pool()
    connection.settings_dict.update(changes)


def test_the_whole_life_of_a_sale_runs_through_it_with_the_rights_and_limits_of_the_role(app: str, books: str) -> None:
    with bouncer(books) as there:
        env = os.environ | variables(there, app, FLASHSALE_DB_POOLER="transaction")
        command = [sys.executable, "-c", RUN]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
        answer = json.loads(done.stdout.splitlines()[-1])
        assert (answer["who"], answer["broken"]) == (app, [])
        assert answer["states"] == ["released", "cancelled", "confirmed", "confirmed"]
        assert answer["units"] == ["free", "free", "sold", "sold"]
        with psycopg.connect(there.url(app), autocommit=True) as link:
            shown = {name: link.execute(f"SHOW {name}").fetchone() for name in pooler.LIMITS}
            assert shown == {"idle_in_transaction_session_timeout": ("10s",), "statement_timeout": ("30s",)}
            # No session of the pooler has kept a lock.
            (held,) = link.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'").fetchone() or (None,)
            assert held == 0


def test_doors_sell_to_a_crowd_and_go_on_when_it_is_killed(
    books: str, redis_url: str, tmp_path: Path, record_property: Any
) -> None:
    with bouncer(books, default_pool_size="6") as there:
        env = variables(there, FLASHSALE_DB_POOLER="transaction", REDIS_URL=redis_url, FLASHSALE_VAR=str(tmp_path))
        with selling.doors(2, folder=tmp_path, env=env) as addresses:
            (fault,) = postgres_faults.pgbouncer_faults(there)
            found = selling.play_round(fault, 1, code="pooled", addresses=addresses, buyers=40, together=8)
    record_property(f"{fault.name}: stood", f"{found.stood_s:.1f} s")
    assert (found.faults_found, found.orders) == ([], 40)


def test_an_advisory_lock_of_a_session_stays_behind_and_ours_ends_with_the_work(books: str, through: Any) -> None:
    with bouncer(books) as there, psycopg.connect(books, autocommit=True) as direct:
        # The control: the lock and its end run in different sessions.
        through(there, pooled=False)
        with psycopg.connect(there.url(), autocommit=True) as other, ExitStack() as stack:
            with advisory_lock.advisory_lock(77, 1, wait=False):
                stack.enter_context(other.transaction())
                other.execute("SELECT 1")
            assert direct.execute(f"{LOCKS} AND objid = 1").fetchone() == (1,)
        there.kill()
        there.start()
        through(there, pooled=True)
        with (
            psycopg.connect(there.url(), autocommit=True) as other,
            advisory_lock.advisory_lock(77, 2, wait=True) as mine,
        ):
            assert mine
            with advisory_lock.advisory_lock(77, 2, wait=False) as again:
                assert not again
            with other.transaction():
                other.execute("SELECT 1")
                assert direct.execute(f"{LOCKS} AND objid = 2").fetchone() == (1,)
        assert direct.execute(f"{LOCKS} AND objid = 2").fetchone() == (0,)


def test_a_cursor_of_the_server_is_used_only_in_a_transaction(books: str, through: Any) -> None:
    poco_campaign()
    with bouncer(books) as there:
        through(there, pooled=True)
        assert len(list(Campaign.objects.iterator(chunk_size=1))) == 1
        with connection.chunked_cursor() as outside:
            assert type(outside.cursor).__name__ == "Cursor"
        with transaction.atomic(), connection.chunked_cursor() as inside:
            assert type(inside.cursor).__name__ == "ServerSideCursor"
            assert len(list(Campaign.objects.iterator(chunk_size=1))) == 1


def test_the_manual_has_the_settings_of_this_test() -> None:
    text = (ROOT / "docs/operate.md").read_text(encoding="utf-8")
    told = configparser.ConfigParser(interpolation=None)
    told.read_string(text.partition("```pgbouncer.ini\n")[2].partition("```")[0])
    numbers = {"max_client_conn", "default_pool_size"}
    of_manual = {name: value for name, value in told["pgbouncer"].items() if name not in numbers}
    assert of_manual == {name: value for name, value in pgbouncer_server.SETTINGS.items() if name not in numbers}
    assert "connect_query='SET statement_timeout = 0'" in told["databases"]["flashsale_work"]
    of_compose = configparser.ConfigParser(interpolation=None)
    of_compose.read(ROOT / "config/pgbouncer.ini", encoding="utf-8")
    assert dict(told["pgbouncer"]).items() <= dict(of_compose["pgbouncer"]).items()


def test_doctor_accepts_the_pgbouncer_of_the_compose_file(
    app: str, books: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    service = services()["pgbouncer"]
    there, port = urlsplit(books), free_port()
    folder = servers.folder / f"compose-{port}"  # its user may not enter `tmp_path`
    folder.mkdir(mode=0o755)
    ini, users = folder / "pgbouncer.ini", folder / "users"
    text = (ROOT / "config/pgbouncer.ini").read_text(encoding="utf-8")
    for of_service, here in {
        "host=postgres port=5432 dbname=flashsale": f"host={there.hostname} port={there.port} dbname={there.path[1:]}",
        "listen_port = 6432": f"listen_port = {port}",
        "0.0.0.0": "127.0.0.1",
        USERS: str(users),
    }.items():
        assert of_service in text
        text = text.replace(of_service, here)
    ini.write_text(text, encoding="utf-8")
    (command,) = filled(service["command"], {})
    for of_service, here in {
        "flashsale_app": app,
        USERS: str(users),
        "/etc/pgbouncer/pgbouncer.ini": str(ini),
        "exec pgbouncer": f"exec {find_program()}",
    }.items():
        assert of_service in command
        command = command.replace(of_service, here)
    user = unprivileged_user() if os.geteuid() == 0 else None
    if user is not None:
        os.chown(folder, user, -1)
    monkeypatch.setenv("POSTGRES_APP_PASSWORD", "p")
    process = Process(
        name="pgbouncer", command=[*service["entrypoint"], command], log=folder / "log", cwd=folder, user=user
    ).start()  # fmt: skip
    before = dict(connection.settings_dict)
    settings.FLASHSALE_SIGNS_OF_PRODUCTION = ["FLASHSALE_HOSTS names sale.example.co.id"]
    settings.FLASHSALE_DB_POOLER, settings.FLASHSALE_DB_STATEMENT_S = True, 30
    try:
        for name in ("flashsale", "flashsale_work"):
            url = f"postgres://{app}:p@127.0.0.1:{port}/{name}"
            made = database.database_settings(url, pool=4, statement_s=30, idle_s=10, test_sqlite=None, pooled=True)
            _lead(
                {key: made[key] for key in ("HOST", "PORT", "NAME", "USER", "PASSWORD", "OPTIONS")} | {"POOLED": True}
            )
            deadline = time.monotonic() + 60
            while "no answer" in (found := pooler.pooler()).found:
                assert time.monotonic() < deadline, process.last_log_lines()
                time.sleep(0.1)
            if name == "flashsale":
                assert (found.ok, found.found) == (True, "in transaction mode")
            with connection.cursor() as cursor:
                cursor.execute("SHOW statement_timeout")
                assert cursor.fetchone() == ("30s" if name == "flashsale" else "0",)
        assert users.stat().st_mode & 0o077 == 0
    finally:
        _lead({key: before[key] for key in ("HOST", "PORT", "NAME", "USER", "PASSWORD", "OPTIONS")} | {"POOLED": False})
        process.stop()


def fails(check: Check, *words: str) -> None:
    assert not check.ok, check
    assert [word for word in words if word not in f"{check.found}\n{check.fix}"] == [], check


def test_doctor_says_what_is_set_wrong(books: str, through: Any, settings: Settings) -> None:
    settings.FLASHSALE_SIGNS_OF_PRODUCTION = ["FLASHSALE_HOSTS names sale.example.co.id"]
    assert (pooler.pooler().ok, pooler.pooler().found) == (True, "none: each connection has its own session")
    options = dict(connection.settings_dict["OPTIONS"])
    with bouncer(books) as there:
        through(there, pooled=False)
        settings.FLASHSALE_DB_STATEMENT_S = 30
        fails(
            pooler.pooler(), "in transaction mode", "FLASHSALE_DB_POOLER is not set", "statement_timeout is 0",
            "idle_in_transaction_session_timeout is 0", "ignore_startup_parameters",
        )  # fmt: skip
        connection.settings_dict["OPTIONS"] = options
        fails(pooler.pooler(), "unsupported startup parameter", "set FLASHSALE_DB_POOLER=transaction")
        through(there, pooled=True)
        fails(pooler.pooler(), "in transaction mode", "statement_timeout is 0", "manage.py grants ROLE")
        with psycopg.connect(books, autocommit=True) as direct:
            for limit in pooler.LIMITS:
                direct.execute(f"ALTER ROLE flashsale SET {limit} = '20s'")
        try:
            there.kill()
            there.start()
            fine = pooler.pooler()
            assert (fine.ok, fine.found) == (True, "in transaction mode")
            settings.DATABASES["default"]["OPTIONS"]["prepare_threshold"] = 5
            fails(pooler.pooler(), "forgets prepared statements", "max_prepared_statements")
            del settings.DATABASES["default"]["OPTIONS"]["prepare_threshold"]
        finally:
            with psycopg.connect(books, autocommit=True) as direct:
                for limit in pooler.LIMITS:
                    direct.execute(f"ALTER ROLE flashsale RESET {limit}")
    with bouncer(books, pool_mode="session") as there:
        through(there, pooled=True)
        assert "in session mode" in pooler.pooler().found
    with bouncer(books, pool_mode="statement") as there:
        through(there, pooled=True)
        fails(pooler.pooler(), "in statement mode", "pool_mode = transaction")


def test_an_address_that_sets_sessions_is_refused_behind_a_pooler() -> None:
    with pytest.raises(ImproperlyConfigured, match="FLASHSALE_DB_POOLER is 'session'"):
        database.pooler("session")
    url = "postgres://u:p@h:6432/n?options=-c%20work_mem%3D8MB"
    with pytest.raises(ImproperlyConfigured, match="DATABASE_URL has options"):
        database.database_settings(url, pool=1, statement_s=0, idle_s=10, test_sqlite=None, pooled=True)


def test_migrations_need_postgresql_itself(settings: Settings) -> None:
    settings.FLASHSALE_DB_POOLER = True
    with pytest.raises(CommandError, match="DATABASE_URL of PostgreSQL itself"):
        call_command("migrate", verbosity=0)
