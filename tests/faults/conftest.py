"""A Redis (the gate) that a test may stop or erase."""

from collections.abc import Iterator
from weakref import WeakKeyDictionary

import pytest
from pytest_django import Settings

from flashsale.gate import bridge, client
from simulation.redis_server import RedisServer
from tests.faults.steps import close_gate


@pytest.fixture
def server(own_redis: RedisServer, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[RedisServer]:
    """A Redis that only this test uses. The gate's client of each event loop connects to it."""
    settings.REDIS_URL = own_redis.url
    monkeypatch.setattr(client, "_gates", WeakKeyDictionary())
    yield own_redis
    bridge.run(close_gate())
