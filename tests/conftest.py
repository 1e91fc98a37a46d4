"""Fixtures for all rooms. The servers themselves are started in tests/servers.py."""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import hypothesis
import pytest
import redis
from django.core.management import call_command
from django.core.management.commands import flush
from django.db import connection
from django.test.utils import setup_databases, teardown_databases
from django.utils import translation
from pytest_django import DjangoDbBlocker, Settings

from flashsale.gate import bridge, client
from flashsale.gate.keys import LOADED_BY
from flashsale.life import send_codes
from flashsale.providers import http
from flashsale.rules.wall_clock import WALL_CLOCK
from simulation.gateways.client import Gateway
from simulation.processes import free_port
from simulation.redis_server import RedisServer
from tests import databases, guard, servers
from tests.sent_codes import all_sent

# A busy machine may stop an example for longer than the 200 ms that it may take by default.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")

GATE_LIMITS_S = (client.SOCKET_TIMEOUT_S, client.CONNECT_TIMEOUT_S)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Checks which files hold tests of the books, and gives each test a second try."""
    _refuse_unnamed_books(items)
    _try_twice(items)


def _refuse_unnamed_books(items: list[pytest.Item]) -> None:
    """Refuses a test with the marker `books` in a file without that word: `make test` finds the files by it."""
    for path in {item.path for item in items if item.get_closest_marker("books")}:
        if not re.search(r"\bbooks\b", path.read_text(encoding="utf-8")):
            raise pytest.UsageError(f"{path} has tests with the marker books and does not name it.")


def _try_twice(items: list[pytest.Item]) -> None:
    """A test runs once more before it counts as failed. The end of the run names it.

    A busy machine may stop a server or a thread for longer than a test can wait. A real fault fails both times, or it
    is named. `make soak` gives no second try.
    """
    if "FLASHSALE_SOAK" in os.environ:
        return
    for item in items:
        item.add_marker(pytest.mark.flaky(reruns=1))


@pytest.fixture(scope="session")
def redis_url() -> str:
    """The address of the Redis (the gate) of this run."""
    return os.environ["REDIS_URL"]


@pytest.fixture(autouse=True)
def _long_clock_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the clock lease a minute long, because a test calls `tend` when it needs it, and a machine may be busy."""
    for verb in ("clock_lease", "sale_control"):
        monkeypatch.setattr(f"flashsale.life.{verb}.CLOCK_LEASE_MS", 60_000)


@pytest.fixture(scope="session", autouse=True)
def _patient_gate() -> Iterator[None]:
    """Waits ten seconds for an answer of Redis, because a busy machine may stop a test for longer than a second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(client, "SOCKET_TIMEOUT_S", 10.0)
        patch.setattr(client, "CONNECT_TIMEOUT_S", 10.0)
        yield
    bridge.run(_close_gate())


async def _close_gate() -> None:
    await client.gate().close()


@pytest.fixture
def own_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes connections to Redis anew in this test, with the time limits of production."""
    monkeypatch.setattr(client, "SOCKET_TIMEOUT_S", GATE_LIMITS_S[0])
    monkeypatch.setattr(client, "CONNECT_TIMEOUT_S", GATE_LIMITS_S[1])
    monkeypatch.setattr(client, "_gates", WeakKeyDictionary())


@pytest.fixture(scope="session", autouse=True)
def _no_connection_to_a_provider_stays_open() -> Iterator[None]:
    """Closes what calls of providers left open, because Python warns about open connections when it ends."""
    yield
    bridge.run(http.close())


@pytest.fixture(autouse=True)
def _codes_go_out_at_once(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request for a code returns when the code has gone out, unless the test has the fixture `in_background`."""
    if "in_background" in request.fixturenames:
        return
    accept = send_codes.accept

    async def accept_and_send(**code: Any) -> send_codes.Standing:
        result = await accept(**code)
        await all_sent()
        return result

    monkeypatch.setattr(send_codes, "accept", accept_and_send)


@pytest.fixture
def in_background() -> None:
    """Codes go out in the background, as they do in production."""


@pytest.fixture
def fast_passwords(settings: Settings) -> None:
    """Passwords are hashed in no time. For tests that log in in this process, not at a server of their own."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture(autouse=True)
def _measured_clock() -> Iterator[None]:
    """Forgets the time that a store has told, because a test may tell a wrong one."""
    yield
    WALL_CLOCK.forget()


@pytest.fixture(autouse=True)
def _default_language() -> None:
    """Removes the language that the page of an earlier test has set in this thread."""
    translation.deactivate()


@pytest.fixture(scope="session")
def _eraser(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def gate(_eraser: redis.Redis) -> redis.Redis:
    """A plain client of the gate (Redis), which is empty and counts as one that has all sales."""
    _eraser.flushall()
    _eraser.set(LOADED_BY, _eraser.info("server")["run_id"])
    return _eraser


@pytest.fixture(scope="session")
def django_db_setup(
    django_test_environment: None, django_db_modify_db_settings: None, django_db_blocker: DjangoDbBlocker
) -> Iterator[None]:
    """Replaces the fixture of pytest-django, which makes no database when only fixtures of a run ask for one.

    Databases on our own server end with it: they are copies of one that is migrated once, and they are not dropped.
    """
    ours, made = "FLASHSALE_TEST_SHARED" in os.environ, []
    with django_db_blocker.unblock():
        if ours:
            databases.make()
        else:
            made = setup_databases(verbosity=0, interactive=False, aliases={"default": None})
    yield
    with django_db_blocker.unblock():
        teardown_databases(made, verbosity=0)


@pytest.fixture(scope="module")
def shared_db(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """A database that the tests of a file share with a server: writes are committed, and erased at the end."""
    with django_db_blocker.unblock():
        yield
        call_command("flush", verbosity=0, interactive=False)


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis that only this test uses. The test may stop, kill and start it."""
    with RedisServer(folder=tmp_path / "redis", port=free_port(), always=True) as server:
        yield server


@pytest.fixture(scope="session")
def _midtrans(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with Gateway("midtrans", log=tmp_path_factory.mktemp("midtrans") / "log") as gateway:
        yield gateway


@pytest.fixture(scope="session")
def _xendit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with Gateway("xendit", log=tmp_path_factory.mktemp("xendit") / "log") as gateway:
        yield gateway


@pytest.fixture
def midtrans(_midtrans: Gateway) -> Gateway:
    """A simulated Midtrans that has seen nothing yet."""
    _midtrans.control.reset()
    return _midtrans


@pytest.fixture
def xendit(_xendit: Gateway) -> Gateway:
    """A simulated Xendit that has seen nothing yet."""
    _xendit.control.reset()
    return _xendit


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of the machine's Chromium. Without one, the test is skipped."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        found = os.environ.get("CHROMIUM") or shutil.which(name)
        if found:
            return found
    pytest.skip("no Chromium")


@pytest.fixture(scope="session", autouse=True)
def _tables_can_be_emptied() -> Iterator[None]:
    """Lets Django empty the audit trail, too, between tests, and keep the tables that only migrations fill."""
    operations = type(connection.ops)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(operations, "sql_flush", guard.emptying(operations.sql_flush))
        patch.setattr(flush, "emit_post_migrate_signal", lambda *_: None)
        yield


@pytest.fixture(autouse=True)
def _fails_when_the_servers_died() -> None:
    """Ends the run when its Redis has died, because each later test would fail with another error."""
    server = servers.redis_server
    if server is not None and not server.running:
        pytest.exit("the Redis of this run has died", returncode=3)
