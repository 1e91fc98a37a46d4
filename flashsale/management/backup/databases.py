"""Dumps a database, restores a dump beside it, and puts the restored one in its place in one step.

The restored database is made whole beside the present one. So a restore that fails changes nothing, and the present
database stays as it was under another name.
"""

import fcntl
import os
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import psycopg
from django.apps import apps
from django.conf import settings
from django.db import connection, transaction
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from psycopg import sql
from psycopg.conninfo import make_conninfo

from config.database import KEEPALIVE
from flashsale.management.backup.files import BackupError

# Sessions of staff: a restore does not need them.
LEFT_OUT = "django_session"
CHUNK = 1 << 20
DEMO_LOCK = "run.lock"
OWN_SESSIONS_END_S = 3.0


def dump(file: IO[bytes]) -> dict[str, int]:
    """Writes a dump of one moment. Returns the number of rows of each table at that moment. Raises BackupError."""
    return _dump_postgresql(file) if connection.vendor == "postgresql" else _dump_sqlite(file)


def name_of_dump() -> str:
    """The name of the file with the dump."""
    return "books.dump" if connection.vendor == "postgresql" else "books.sqlite3"


def _dump_postgresql(file: IO[bytes]) -> dict[str, int]:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        # This transaction waits for pg_dump, which may take hours.
        cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        cursor.execute("SELECT pg_export_snapshot()")
        options = ["--format=custom", f"--snapshot={cursor.fetchone()[0]}", f"--exclude-table-data={LEFT_OUT}"]
        _run("pg_dump", *options, stdout=file)
        return count_rows()


def _dump_sqlite(file: IO[bytes]) -> dict[str, int]:
    connection.ensure_connection()
    with closing(sqlite3.connect(":memory:")) as copy:
        connection.connection.backup(copy)
        with closing(copy.execute(f"DELETE FROM {LEFT_OUT}")):  # noqa: S608 - a name of ours
            copy.commit()
        tables = [name for (name,) in copy.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        file.write(copy.serialize())
        return {
            name: copy.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0]  # noqa: S608 - names of the schema
            for name in sorted(_ours(tables))
        }


def count_rows() -> dict[str, int]:
    """The number of rows of each table of the present database."""
    with connection.cursor() as cursor:
        counts = {}
        for name in sorted(_ours(connection.introspection.table_names(cursor))):
            cursor.execute(f"SELECT count(*) FROM {connection.ops.quote_name(name)}")  # noqa: S608 - quoted
            counts[name] = int(cursor.fetchone()[0])
        return counts


def _ours(tables: list[str]) -> list[str]:
    return [name for name in tables if name != LEFT_OUT and not name.startswith("sqlite_")]


def applied_migrations() -> list[str]:
    """The applied migrations, as "app.name"."""
    return sorted(f"{app}.{name}" for app, name in MigrationRecorder(connection).applied_migrations())


def unknown_migrations(names: list[str]) -> list[str]:
    """Those of these migrations that this release does not have."""
    known = {f"{app}.{name}" for app, name in MigrationLoader(None).disk_migrations}
    return sorted(set(names) - known)


def is_used() -> bool:
    """Whether the present database has data of people or sales."""
    with connection.cursor() as cursor:
        present = set(connection.introspection.table_names(cursor))
    asked = [apps.get_model(name) for name in ("flashsale.Campaign", "flashsale.Record", "auth.User")]
    return any(model._meta.db_table in present and model._default_manager.exists() for model in asked)  # noqa: SLF001


def other_sessions() -> list[str]:
    """Who else is connected to the present database: addresses and names of programs.

    SQLite does not know that. There it is the demo that runs with this data folder.
    """
    if connection.vendor != "postgresql":
        return _running_demo()
    connection.close()
    _pool_closed()
    # Our own sessions take a moment to end.
    end = time.monotonic() + OWN_SESSIONS_END_S
    with _maintenance() as link:
        while True:
            rows = link.execute(
                "SELECT coalesce(host(client_addr), 'local'), application_name FROM pg_stat_activity "
                "WHERE datname = %s AND backend_type = 'client backend'",
                [connection.settings_dict["NAME"]],
            ).fetchall()
            if not rows or time.monotonic() > end:
                return [f"{address} {program}".strip() for address, program in rows]
            time.sleep(0.1)


def _running_demo() -> list[str]:
    """The demo that holds its lock (simulation/run_lock.py), with the command that stops it; empty without one."""
    try:
        with (Path(settings.VAR_DIR) / DEMO_LOCK).open(encoding="utf-8") as file:
            process = file.read().strip()
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return []
    except BlockingIOError:
        return [f"the demo (stop it with: kill {process})"]
    return []


@contextmanager
def beside(name: str) -> Iterator[str]:
    """Makes an empty database beside the present one, and leads Django there. Drops it at the end if it is still there.

    Yields its name. Raises BackupError when the role may not create databases.
    """
    present = str(connection.settings_dict["NAME"])
    path = str(Path(present).with_name(f"{Path(present).name}.{name}")) if connection.vendor == "sqlite" else name
    if connection.vendor == "postgresql":
        _create(present, path)
    else:
        Path(path).unlink(missing_ok=True)
    try:
        lead_to(path)
        yield path
    finally:
        lead_to(present)
        _drop(path)


def lead_to(name: str) -> None:
    """Lets all connections of this process go to another database of the same server."""
    connection.close()
    _pool_closed()
    connection.settings_dict["NAME"] = name


def _pool_closed() -> None:
    if connection.vendor == "postgresql":
        django_connection: Any = connection
        django_connection.close_pool()


def _create(present: str, name: str) -> None:
    with _maintenance() as link:
        row = link.execute(
            "SELECT pg_encoding_to_char(encoding), datcollate, datctype FROM pg_database WHERE datname = %s", [present]
        ).fetchone()
        encoding, collate, ctype = row or ("UTF8", "C", "C")
        try:
            link.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(name)))
            link.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING {} LC_COLLATE {} LC_CTYPE {}").format(
                    sql.Identifier(name), sql.Literal(encoding), sql.Literal(collate), sql.Literal(ctype)
                )
            )
        except psycopg.errors.InsufficientPrivilege as error:
            role = link.info.user
            raise BackupError(
                f"The role {role} may not create databases, and a restore makes one beside the present one. Run this "
                f"as the owner of the database, and as a superuser: ALTER ROLE {role} CREATEDB"
            ) from error


def _drop(name: str) -> None:
    if connection.vendor == "sqlite":
        for suffix in ("", "-wal", "-shm"):
            Path(f"{name}{suffix}").unlink(missing_ok=True)
        return
    with _maintenance() as link:
        link.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def load(file: IO[bytes]) -> None:
    """Restores a dump into the database to which Django leads. Raises BackupError."""
    if connection.vendor == "postgresql":
        options = ["--no-owner", "--no-privileges", "--exit-on-error", "--single-transaction"]
        _run("pg_restore", *options, stdin=file)
        return
    with Path(str(connection.settings_dict["NAME"])).open("wb") as copy:
        shutil.copyfileobj(file, copy, CHUNK)
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA integrity_check")
        if (found := cursor.fetchone()[0]) != "ok":
            raise BackupError(f"The dump is damaged: {found}. Use another backup.")


def put_in_place(restored: str, present: str, *, keep: bool) -> str:
    """Renames the restored database to the present one's name, in one step. Returns the name under which that stays.

    Without `keep` the earlier database is dropped. Raises BackupError when a program is connected to it.
    """
    aside = f"{present}_before_{datetime.now(UTC):%Y%m%d%H%M%S}"
    lead_to(present)
    if connection.vendor == "sqlite":
        with closing(sqlite3.connect(present)) as file:
            # Writes all commits into the file itself, because it is kept without its log.
            if file.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
                raise BackupError(f"A program uses {present}. Stop all of them, and restore again.")
        if keep:
            Path(aside).unlink(missing_ok=True)
            os.link(present, aside)
        for suffix in ("-wal", "-shm"):
            Path(f"{present}{suffix}").unlink(missing_ok=True)
        Path(restored).replace(present)
        return aside if keep else ""
    rename = sql.SQL("ALTER DATABASE {} RENAME TO {}")
    try:
        with _maintenance() as link, link.transaction():
            link.execute(rename.format(sql.Identifier(present), sql.Identifier(aside)))
            link.execute(rename.format(sql.Identifier(restored), sql.Identifier(present)))
    except psycopg.errors.ObjectInUse as error:
        raise BackupError(f"A program is connected to {present}. Stop all of them, and restore again.") from error
    if not keep:
        _drop(aside)
    return aside if keep else ""


def _maintenance() -> "psycopg.Connection[Any]":
    """A connection to another database of the server, because a database cannot be renamed from inside."""
    present = connection.settings_dict["NAME"]
    found: Any = connection
    params = {name: value for name, value in found.get_connection_params().items() if name in PASSED}
    return psycopg.connect(**params, dbname="template1" if present == "postgres" else "postgres", autocommit=True)


# What libpq and psycopg need to reach the server.
PASSED = (
    "host", "port", "user", "password", "target_session_attrs", "sslmode", "sslrootcert", "sslcert", "sslkey",
    "connect_timeout", *KEEPALIVE,
)  # fmt: skip
OF_LIBPQ = {
    "host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD",
    "target_session_attrs": "PGTARGETSESSIONATTRS", "connect_timeout": "PGCONNECT_TIMEOUT",
    "sslmode": "PGSSLMODE", "sslrootcert": "PGSSLROOTCERT", "sslcert": "PGSSLCERT", "sslkey": "PGSSLKEY",
}  # fmt: skip


def _run(program: str, *options: str, **streams: Any) -> None:
    """Runs a program of PostgreSQL against the present database, at the host that takes writes.

    The password stands in no argument. What libpq reads from no variable stands in the name of the database.
    """
    found: Any = connection
    params = found.get_connection_params()
    env = os.environ | {OF_LIBPQ[name]: str(value) for name, value in params.items() if name in OF_LIBPQ and value}
    # The programs go to the host where this process is. With several hosts, they might stop at a standby that does not
    # have the new database yet.
    connection.ensure_connection()
    there = connection.connection.info
    env |= {"PGHOST": there.host, "PGPORT": str(there.port)}
    if there.hostaddr:
        env["PGHOSTADDR"] = there.hostaddr
    kept = {name: value for name, value in params.items() if name in KEEPALIVE}
    command = [_program(program), *options, f"--dbname={make_conninfo(dbname=params['dbname'], **kept)}"]
    with subprocess.Popen(command, env=env, stderr=subprocess.PIPE, **streams) as process:
        assert process.stderr is not None
        text = process.stderr.read().decode(errors="replace").strip()
        if process.wait():
            raise BackupError(f"{program} failed: {text}")


def _program(name: str) -> str:
    """The path of pg_dump or pg_restore: of the server's version if it is installed. Raises BackupError."""
    with connection.cursor() as cursor:
        version = cursor.connection.info.server_version // 10000
    path = f"/usr/lib/postgresql/{version}/bin{os.pathsep}{os.environ.get('PATH', '')}"
    found = shutil.which(name, path=path)
    if found is None:
        raise BackupError(f"{name} was not found. Install it: apt-get install postgresql-client-{version}")
    return found
