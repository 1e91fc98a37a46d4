"""A Redis (the gate) and a PostgreSQL (the books) that a test may stop, kill or erase."""

import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from pytest_django import Settings

from flashsale.gate import bridge
from simulation.postgres_server import PostgresServer, find_programs
from simulation.processes import free_port
from simulation.redis_server import RedisServer
from simulation.scale.postgres_pair import PostgresPair
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
        _copy_tables(server.url)
        _lead_to(HOST="127.0.0.1", PORT=str(server.port), NAME="postgres", USER="flashsale")
        try:
            yield server
        finally:
            _lead_to(**there)


@pytest.fixture(scope="module")
def pair() -> Iterator[PostgresPair]:
    """A PostgreSQL with a synchronous standby, which the tests of a file may kill and let change places."""
    with PostgresPair(servers.folder / f"pair-{free_port()}", durable=False) as found:
        yield found


@pytest.fixture
def books_of_pair(transactional_db: None, pair: PostgresPair) -> Iterator[PostgresPair]:
    """The pair, and Django connects to the one of its servers that takes writes."""
    there = {name: connection.settings_dict[name] for name in ("HOST", "PORT", "NAME", "USER")}
    _copy_tables(pair.primary.url)
    ports = f"{pair.primary.port},{pair.standby.port}"
    _lead_to(HOST="127.0.0.1,127.0.0.1", PORT=ports, NAME="postgres", USER="flashsale")
    try:
        yield pair
    finally:
        _lead_to(**there)


def _copy_tables(url: str) -> None:
    """Makes the tables of the test database at another server, in place of those of an earlier test.

    This is much faster than all migrations.
    """
    programs = find_programs()
    dump = subprocess.run(
        [programs / "pg_dump", "--format=custom", "--no-owner", servers.books_url()], capture_output=True, check=True
    )
    subprocess.run(
        [programs / "pg_restore", "--no-owner", "--clean", "--if-exists", "--dbname", url],
        input=dump.stdout,
        check=True,
    )


def _lead_to(**server: str) -> None:
    """Changes the address of the database. All threads share it, so each new connection goes to the other server."""
    connection.close()
    django_connection: Any = connection
    django_connection.close_pool()
    connection.settings_dict.update(server)
