"""The gate's link takes over redis-py's transport, which is private: these versions of redis-py have it."""

import asyncio
from importlib.metadata import version
from typing import Any

import redis
from django.conf import settings
from redis.asyncio import BlockingConnectionPool

from flashsale.gate import bridge


def test_the_installed_version_is_one_that_was_tried() -> None:
    major, minor = (int(part) for part in version("redis").split(".")[:2])
    # A later version may rename `_writer`. Look at redis/asyncio/connection.py, run tests/gate, then raise this.
    assert (8, 1) <= (major, minor) < (9, 0)


def test_a_connection_has_a_writer_whose_transport_can_be_taken_over(gate: redis.Redis) -> None:
    async def take_over() -> tuple[bool, bool, bytes]:
        pool = BlockingConnectionPool.from_url(settings.REDIS_URL)
        connection: Any = pool.connection_class(**pool.connection_kwargs)
        assert connection._writer is None
        await connection.connect()
        writer: Any = connection._writer
        transport = writer.transport
        received = asyncio.get_running_loop().create_future()

        class Taker(asyncio.Protocol):
            def data_received(self, data: bytes) -> None:
                received.set_result(data)

        transport.set_protocol(Taker())
        transport.write(b"PING\r\n")
        reply = await asyncio.wait_for(received, 120)
        transport.abort()
        await connection.disconnect(nowait=True)
        return isinstance(transport, asyncio.Transport), connection._writer is None, reply

    assert bridge.run(take_over()) == (True, True, b"+PONG\r\n")
    assert gate.ping()
