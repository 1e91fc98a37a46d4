"""The database of the tests. One is migrated, and each process of pytest-xdist gets a copy of it."""

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from django.conf import settings
from django.core.management import call_command
from django.db import connection

from tests import servers

TEMPLATE, UNFINISHED = "flashsale_template", "flashsale_template_unfinished"


def make() -> None:
    """Makes the database of this process and leads the connections of Django to it."""
    creation: Any = connection.creation
    name = creation._get_test_db_name()
    copy_template(name)
    _lead_to(name)


def copy_template(name: str) -> None:
    """Makes a database of this name, or a file with SQLite, with all tables of the newest version."""
    with _alone() as folder:
        if connection.vendor == "postgresql":
            _copy_on_server(name)
        else:
            _copy_file(folder, name)


def file_for_programs() -> Path:
    """A file of SQLite with all tables, for programs that begin with a copy of it, also in a run on PostgreSQL."""
    with _alone() as folder:
        made, unfinished = folder / "programs.sqlite3", folder / "unfinished.sqlite3"
        if not made.exists():
            unfinished.unlink(missing_ok=True)
            command = [sys.executable, "manage.py", "migrate", "--verbosity=0"]
            subprocess.run(command, cwd=settings.BASE_DIR, env=_environment(unfinished), check=True)
            unfinished.rename(made)
    return made


def _environment(file: Path) -> dict[str, str]:
    own = {"FLASHSALE_DEMO": "1", "FLASHSALE_VAR": str(file.parent / "var"), "DATABASE_URL": f"sqlite:///{file}"}
    return {**os.environ, **own}


@contextmanager
def _alone() -> Iterator[Path]:
    """Lets one process of this run in at a time. Gives the folder that the processes share."""
    folder = Path(os.environ.get("FLASHSALE_TEST_SHARED", servers.folder))
    with (folder / "template.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield folder


def _copy_on_server(name: str) -> None:
    with psycopg.connect(os.environ["TEST_DATABASE_URL"], autocommit=True) as server:
        found = {row[0] for row in server.execute("SELECT datname FROM pg_database")}
        if TEMPLATE not in found:
            server.execute(f"DROP DATABASE IF EXISTS {UNFINISHED}".encode())
            server.execute(f"CREATE DATABASE {UNFINISHED}".encode())
            _migrate(UNFINISHED)
            server.execute(f"ALTER DATABASE {UNFINISHED} RENAME TO {TEMPLATE}".encode())
        server.execute(f'DROP DATABASE IF EXISTS "{name}"'.encode())
        server.execute(f'CREATE DATABASE "{name}" TEMPLATE {TEMPLATE}'.encode())


def _copy_file(folder: Path, name: str) -> None:
    template = folder / f"{TEMPLATE}.sqlite3"
    if not template.exists():
        unfinished = folder / f"{UNFINISHED}.sqlite3"
        unfinished.unlink(missing_ok=True)
        _migrate(str(unfinished))
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
        unfinished.rename(template)
    shutil.copyfile(template, name)


def _migrate(name: str) -> None:
    _lead_to(name)
    call_command("migrate", verbosity=0, interactive=False)
    _lead_to(name)


def _lead_to(name: str) -> None:
    django_connection: Any = connection
    django_connection.close()
    if connection.vendor == "postgresql":
        django_connection.close_pool()
    settings.DATABASES["default"]["NAME"] = connection.settings_dict["NAME"] = name
