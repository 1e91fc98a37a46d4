"""The commands of Redis that the gate needs, and which of them its user may not run. For `manage.py doctor`."""

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import NoPermissionError, RedisError, ResponseError

from config import redis_address
from flashsale.gate.client import CONNECT_TIMEOUT_S, SOCKET_TIMEOUT_S, GateDown, gate
from flashsale.gate.server import Server, Timeouts

KEY = "fs:{doctor}"
# The second name of a key: gate/keys.py, background_pace_key.
TAGGED_KEY = "{fs:doctor}:doctor"
# Each with arguments that it takes. They are queued in a transaction that is given up, so nothing runs.
COMMANDS: tuple[tuple[str | int, ...], ...] = (
    ("BITCOUNT", KEY), ("BITFIELD", KEY, "SET", "u1", 0, 0), ("DEL", KEY), ("EXISTS", KEY), ("EXPIRE", KEY, 1),
    ("GET", KEY), ("GETBIT", KEY, 0), ("GETRANGE", KEY, 0, 0), ("HDEL", KEY, "f"), ("HEXISTS", KEY, "f"),
    ("HGET", KEY, "f"), ("HGETALL", KEY), ("HINCRBY", KEY, "f", 1), ("HKEYS", KEY), ("HMGET", KEY, "f"),
    ("HSCAN", KEY, 0), ("HSET", KEY, "f", 1), ("HSETNX", KEY, "f", 1), ("HVALS", KEY), ("INCRBY", KEY, 1),
    ("MGET", KEY), ("MSET", KEY, 1), ("PEXPIRE", KEY, 1), ("SADD", KEY, 1), ("SCARD", KEY), ("SET", KEY, 1),
    ("SET", TAGGED_KEY, 1), ("SETBIT", KEY, 0, 0), ("SISMEMBER", KEY, 1), ("SMEMBERS", KEY), ("SMISMEMBER", KEY, 1),
    ("SPOP", KEY), ("SREM", KEY, 1), ("UNLINK", KEY), ("ZADD", KEY, 1, 1), ("ZCARD", KEY), ("ZMSCORE", KEY, 1),
    ("ZPOPMIN", KEY), ("ZRANGE", KEY, 0, 0), ("ZRANGEBYSCORE", KEY, 0, 0), ("ZREM", KEY, 1),
    ("ZREMRANGEBYRANK", KEY, 0, 0), ("ZREMRANGEBYSCORE", KEY, 0, 0), ("ZSCORE", KEY, 1),
    ("EVAL", "return 1", 1, KEY), ("EVALSHA", "0" * 40, 1, KEY), ("DBSIZE",), ("INFO",), ("SCAN", 0), ("TIME",),
)  # fmt: skip


async def missing_rights(url: str) -> list[str]:
    """What the user of this address may not do, in the words of each server. Changes nothing. Raises GateDown."""
    address = redis_address.parse(url)
    if address.kind == "cluster":
        servers = await gate().servers()
        return list(dict.fromkeys([text for server in servers for text in await _missing_at(server)]))
    server = Server(address, Timeouts(SOCKET_TIMEOUT_S, CONNECT_TIMEOUT_S))
    try:
        return await _missing_at(server)
    finally:
        await server.close()


async def _missing_at(server: Server) -> list[str]:
    try:
        connection = await server.connect()
        try:
            told = [await _refused(connection, command) for command in (("MULTI",), *COMMANDS, ("DISCARD",))]
            return [text for text in told if text]
        finally:
            await connection.disconnect(nowait=True)
    except (RedisError, OSError, TimeoutError) as error:
        raise GateDown(str(error)) from error


async def _refused(connection: AbstractConnection, command: tuple[str | int, ...]) -> str:
    await connection.send_command(*command)
    try:
        await connection.read_response()
    except NoPermissionError as error:
        return f"{command[0]}: {error}"
    except ResponseError:
        # A node of a cluster that does not have the slot of the key says so, after it has looked at the rights.
        return ""
    return ""
