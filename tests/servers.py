"""Real servers for the whole test run, started before Django reads its settings (pytest loads this file with -p).

    FLASHSALE_TEST_DB    postgres (default) or sqlite: where the books of this run live
    TEST_DATABASE_URL    a PostgreSQL that already runs; without it, the tests start one
    TEST_REDIS_URL       a Redis that already runs; the tests erase EVERYTHING in it, many times

The workers of pytest-xdist share the PostgreSQL of their parent, but each has its own database and its own Redis.
FLASHSALE_TEST_SHARED names the folder of the parent, where they agree on who migrates: see tests/databases.py.
"""

import atexit
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Generator
from pathlib import Path
from urllib.parse import quote

import pytest
from django.db import connection

from config import secrets
from simulation.postgres_server import PostgresNotFound, PostgresServer
from simulation.processes import ServerNotReady, free_port
from simulation.redis_server import RedisNotFound, RedisServer

folder = Path()  # made by `start`
redis_server: RedisServer | None = None
postgres_server: PostgresServer | None = None


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests() -> Generator[None]:
    """Starts the servers before other code reads the environment."""
    atexit.register(stop)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that `stop` runs then, too
    try:
        start()
    except (PostgresNotFound, RedisNotFound, ServerNotReady) as error:
        raise pytest.UsageError(str(error)) from error
    return (yield)


def pytest_unconfigure() -> None:
    """Ends the servers after the last test."""
    stop()


def pytest_report_header() -> list[str]:
    """Says which database and which Redis this run uses."""
    return [f"books: {os.environ['DATABASE_URL'].partition(':')[0]}, gate: {os.environ['REDIS_URL']}"]


def start() -> None:
    """Starts the servers that the run needs and puts their addresses into the environment."""
    global folder  # noqa: PLW0603 - one for the whole run
    folder = Path(tempfile.mkdtemp(prefix="flashsale-tests-"))
    folder.chmod(0o711)  # PostgreSQL may run as another user, who must be able to enter
    os.environ.update(secrets.generate())
    os.environ["FLASHSALE_CODE_SENDER"] = "outbox"
    os.environ.update(
        FLASHSALE_VAR=str(folder / "var"),
        FLASHSALE_HASHED_STATIC="0",
        FLASHSALE_TEST_SQLITE=str(folder / "tests.sqlite3"),
        EMAIL_URL="memorymail://",
        REDIS_URL=os.environ.get("TEST_REDIS_URL") or _redis(),
        DATABASE_URL=_books(),
    )
    # A busy machine may stop a test within a transaction for ten seconds, after which PostgreSQL would end its session.
    os.environ.setdefault("FLASHSALE_DB_IDLE_S", "120")
    for name in ("BROKER_URL", "LIMITS_URL", "FLASHSALE_DEMO"):
        os.environ.pop(name, None)


def stop() -> None:
    """Ends our servers and removes their files. A second call does nothing."""
    if redis_server is not None:
        redis_server.stop()
    if postgres_server is not None:
        postgres_server.stop()
    if folder.is_absolute():
        shutil.rmtree(folder, ignore_errors=True)


def books_url() -> str:
    """The address of the database that the tests themselves use, for programs that they start."""
    at = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{at['NAME']}"
    who = f"{at['USER']}:{quote(at['PASSWORD'])}@" if at["USER"] else ""
    return f"postgres://{who}{at['HOST'] or 'localhost'}:{at['PORT']}/{at['NAME']}"


def _redis() -> str:
    global redis_server  # noqa: PLW0603
    redis_server = RedisServer(folder=folder / "redis", port=free_port()).start()
    return redis_server.url


def _books() -> str:
    global postgres_server  # noqa: PLW0603
    if os.environ.get("FLASHSALE_TEST_DB", "postgres") == "sqlite":
        os.environ.setdefault("FLASHSALE_TEST_SHARED", str(folder))
        return f"sqlite:///{folder / 'books.sqlite3'}"
    if not os.environ.get("TEST_DATABASE_URL"):
        postgres_server = PostgresServer(folder=folder / "postgres", port=free_port(), durable=False).start()
        os.environ["TEST_DATABASE_URL"] = postgres_server.url
        os.environ["FLASHSALE_TEST_SHARED"] = str(folder)
    return os.environ["TEST_DATABASE_URL"]
