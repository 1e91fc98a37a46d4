"""Fixtures for all rooms. The servers themselves are started in tests/servers.py."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from django.db import connection
from django.utils import translation

from simulation.processes import free_port
from simulation.redis_server import RedisServer
from tests import guard, servers


@pytest.fixture(scope="session")
def redis_url() -> str:
    """The gate of this run."""
    return os.environ["REDIS_URL"]


@pytest.fixture(autouse=True)
def _nobody_tends_all_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests look after a sale when they want to; on a busy machine its clock must not stop in between."""
    for verb in ("clock_lease", "sale_control"):
        monkeypatch.setattr(f"flashsale.life.{verb}.CLOCK_LEASE_MS", 60_000)


@pytest.fixture(autouse=True)
def _nobody_chose_a_language() -> None:
    """A page that an earlier test asked for leaves its language behind."""
    translation.deactivate()


@pytest.fixture(scope="session")
def _eraser(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def gate(_eraser: redis.Redis) -> redis.Redis:
    """An empty gate; a plain client to look inside."""
    _eraser.flushall()
    return _eraser


@pytest.fixture(scope="session")
def django_db_keepdb(request: pytest.FixtureRequest) -> bool:
    """A server of our own goes as a whole; dropping its databases would only trip over threads still connected."""
    return "FLASHSALE_TEST_DB_GOES" in os.environ or bool(request.config.getvalue("reuse_db"))


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis for this test alone, which may be stopped, killed and started again."""
    with RedisServer(folder=tmp_path / "redis", port=free_port(), always=True) as server:
        yield server


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of the machine's Chromium; the test is skipped where there is none."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        found = os.environ.get("CHROMIUM") or shutil.which(name)
        if found:
            return found
    pytest.skip("no Chromium")


@pytest.fixture(scope="session", autouse=True)
def _tables_can_be_emptied() -> Iterator[None]:
    """Between tests, the audit trail is emptied with the other tables."""
    operations = type(connection.ops)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(operations, "sql_flush", guard.emptying(operations.sql_flush))
        yield


@pytest.fixture(autouse=True)
def _fails_when_the_servers_died() -> None:
    """A dead server would make every later test fail for a reason of its own."""
    server = servers.redis_server
    if server is not None and not server.running:
        pytest.exit("the Redis of this run has died", returncode=3)
