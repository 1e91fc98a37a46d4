"""A user of Redis with the rights of docs/operate.md can do everything that a sale needs, and doctor names a lack."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from django.conf import settings as django_settings
from django.core.cache import caches
from hiredis import ReplyError
from pytest_django import Settings

from flashsale.gate import bridge, restored, rights
from flashsale.gate.client import LUA
from flashsale.management.doctor import redis as redis_checks
from simulation.redis_access import ask
from simulation.redis_server import RedisServer
from tests.acl import documented
from tests.factories import tend
from tests.faults.steps import broken, buy, called, close_gate, recover

pytestmark = [pytest.mark.django_db(transaction=True)]


@pytest.fixture
def server(own_redis: RedisServer, settings: Settings, own_gate: None) -> Iterator[redis.Redis]:
    """A Redis that has only the users of docs/operate.md, and the test's own client, which may do everything."""
    with redis.Redis.from_url(own_redis.url) as master:
        for user in ("flashsale", "flashsale_limits"):
            master.execute_command(*documented(user))
        settings.REDIS_URL = own_redis.url.replace("//", "//flashsale:word@")
        yield master
        bridge.run(close_gate())


def test_every_command_of_the_client_is_among_those_that_doctor_tries() -> None:
    code = [path.read_text() for path in (Path(django_settings.BASE_DIR) / "flashsale").rglob("*.py")]
    methods = {name for text in code for name in re.findall(r"\b(?:redis|pipe|pipeline)\.([a-z]+)(?:_iter)?\(", text)}
    used = {name.upper() for name in methods} - {"PIPELINE", "EXECUTE", "FLUSHDB", "RESET"}
    used |= {name for text in code for name in re.findall(r"run_command\(\s*\"([A-Z]+)\"", text)}
    tried = {str(command[0]) for command in rights.COMMANDS}
    assert {"DEL" if name == "DELETE" else name for name in used} - tried == set()
    assert len(used) > 35


def test_no_command_is_newer_than_redis_6_2(own_redis: RedisServer) -> None:
    names = sorted({str(command[0]) for command in rights.COMMANDS})
    try:
        told = ask(own_redis.port, "COMMAND", "DOCS", *names)
    except ReplyError:
        pytest.skip("this server is older than 7 and does not say since when it has a command")
    facts = [dict(zip(some[::2], some[1::2], strict=True)) for some in told[1::2]]
    since = {name.decode().upper(): fact[b"since"] for name, fact in zip(told[::2], facts, strict=True)}
    assert sorted(since) == names
    assert {name for name, version in since.items() if tuple(map(int, version.split(b".")[:2])) > (6, 2)} == set()


def test_every_command_of_every_script_is_among_those_that_doctor_tries() -> None:
    used = {name for path in Path(str(LUA)).glob("*.lua") for name in re.findall(r"'([A-Z]{3,})'", path.read_text())}
    tried = {str(command[0]) for command in rights.COMMANDS}
    assert used - tried <= {"LIMIT", "WITHSCORES", "NX", "XX", "KEYS", "ARGV"}, used - tried


def test_the_documented_users_can_sell_and_nothing_more(server: redis.Redis, settings: Settings) -> None:
    assert redis_checks.redis_rights().found == "all"
    sale, (ani, budi) = called("ani", "budi")
    assert buy(ani).state == "confirmed"
    assert bridge.run(restored.forget_sales()) > 10
    recover(sale)
    tend(sale)
    assert budi.reserve().replayed is False
    assert broken(sale) == []
    user = redis.Redis.from_url(settings.REDIS_URL)
    for forbidden in (("FLUSHALL",), ("CONFIG", "GET", "*"), ("KEYS", "*"), ("GET", "other"), ("SHUTDOWN",)):
        with pytest.raises(redis.exceptions.NoPermissionError):
            user.execute_command(*forbidden)
    user.close()
    settings.CACHES = {
        name: {**cache, "LOCATION": [settings.REDIS_URL.replace("flashsale:", "flashsale_limits:")]}
        for name, cache in settings.CACHES.items()
    }
    assert caches["limits"].add("key", 1, 60)
    assert (caches["limits"].incr("key"), caches["limits"].get("key")) == (2, 2)
    caches["limits"].close()


def test_doctor_names_what_the_user_may_not_do(server: redis.Redis) -> None:
    server.execute_command("ACL", "SETUSER", "flashsale", "-zpopmin", "-hset")
    check = redis_checks.redis_rights()
    assert check.ok is False
    assert re.findall(r"^[A-Z]+", check.found, re.MULTILINE) == ["HSET", "ZPOPMIN"]
    assert "Users of Redis" in check.fix
    server.execute_command("ACL", "SETUSER", "flashsale", "resetkeys", "~other:*")
    check = redis_checks.redis_rights()
    assert "BITCOUNT" in check.found
    assert "more" in check.found
