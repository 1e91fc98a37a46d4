"""A Redis (the gate) and a PostgreSQL (the books) that a test may stop, kill or erase."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from pytest_django import Settings

from flashsale.gate import bridge
from simulation.postgres_server import PostgresServer
from simulation.processes import free_port
from simulation.redis_server import RedisServer
from tests import servers
from tests.faults.steps import close_gate


@pytest.fixture
def server(own_redis: RedisServer, settings: Settings, own_gate: None) -> Iterator[RedisServer]:
    """A Redis that only this test uses. The gate's client of each event loop connects to it."""
    settings.REDIS_URL = own_redis.url
    yield own_redis
    bridge.run(close_gate())


@pytest.fixture
def own_books(transactional_db: None) -> Iterator[PostgresServer]:
    """A PostgreSQL that only this test uses. The test may stop and start it."""
    there = {name: connection.settings_dict[name] for name in ("HOST", "PORT", "NAME", "USER")}
    port = free_port()
    # Not in `tmp_path`, because the user of PostgreSQL may not enter the folders above it.
    with PostgresServer(folder=servers.folder / f"books-{port}", port=port, durable=False) as server:
        _lead_to(HOST="127.0.0.1", PORT=str(server.port), NAME="postgres", USER="flashsale")
        call_command("migrate", verbosity=0)
        try:
            yield server
        finally:
            _lead_to(**there)


def _lead_to(**server: str) -> None:
    """Changes the address of the database. All threads share it, so each new connection goes to the other server."""
    connection.close()
    django_connection: Any = connection
    django_connection.close_pool()
    connection.settings_dict.update(server)
