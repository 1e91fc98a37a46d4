"""The connection to Redis: no call is sent twice, scripts are called by hash, every call carries the run id."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from pytest_django import Settings

from flashsale.gate import bridge, client, messages, scripts
from flashsale.gate.client import GateDown
from flashsale.rules.outcomes import Outcome
from simulation.processes import free_port
from simulation.redis_server import RedisServer
from tests.gate.floor import CARD, FIRST, KEYS, PAGE, SEED, enter, everything, person, request, reserve, stand
from tests.gate.proxy import Proxy


@pytest.fixture
def wire(own_redis: RedisServer, settings: Settings, own_gate: None) -> Iterator[Proxy]:
    """A proxy in front of this test's own Redis, which the gate uses."""
    with Proxy(own_redis.port) as proxy:
        settings.REDIS_URL = proxy.url
        yield proxy
        bridge.run(_close())


async def _close() -> None:
    await client.gate().close()


@pytest.fixture
def inside(own_redis: RedisServer) -> Iterator[redis.Redis]:
    """A plain client of the same server, without the proxy."""
    with redis.Redis.from_url(own_redis.url) as plain:
        yield plain


def test_a_reply_that_is_lost_leaves_one_effect_and_an_error(wire: Proxy, inside: redis.Redis) -> None:
    stand()
    reserve(request(1))
    wire.sent.clear()
    wire.drop = scripts.RESERVE.sha.encode()
    with pytest.raises(GateDown):
        reserve(request(2))
    assert sum(b"EVAL" in request for request in wire.sent) == 1
    assert inside.hget(KEYS.line(1), "held") == b"2"
    assert reserve(request(2, id="again")).request.id == "r2"
    assert inside.hget(KEYS.line(1), "held") == b"2"


@pytest.mark.parametrize("script", [scripts.ENTER, scripts.LEAVE, scripts.GIVE_BACK, scripts.CALL, scripts.CONFIRM])
def test_no_script_is_ever_sent_twice(wire: Proxy, script: client.Script) -> None:
    acts = {
        "enter": lambda: scripts.enter(CARD, FIRST, PAGE, person("budi")),
        "leave": lambda: scripts.leave(CARD, FIRST, index=1, number=1, seed=SEED),
        "give_back": lambda: scripts.give_back(CARD, FIRST, units=[(1, 9, "small")]),
        "call": lambda: scripts.call(CARD, FIRST, seed=SEED, called=10, people=1),
        "confirm": lambda: scripts.confirm(CARD, FIRST, reservation="r1", quantity=1),
    }
    stand()
    bridge.run(acts[script.name]())
    wire.sent.clear()
    wire.drop = script.sha.encode()
    with pytest.raises(GateDown):
        bridge.run(acts[script.name]())
    assert sum(b"EVAL" in request for request in wire.sent) == 1


def test_a_script_that_the_server_does_not_know_yet_is_sent_in_full_once(wire: Proxy, inside: redis.Redis) -> None:
    stand(drawn=False)
    inside.script_flush()
    wire.sent.clear()
    assert enter("ani").index == 1
    assert [request.split(b"\r\n")[2] for request in wire.sent] == [b"EVALSHA", b"EVAL"]
    wire.sent.clear()
    enter("budi")
    assert [request.split(b"\r\n")[2] for request in wire.sent] == [b"EVALSHA"]


def test_a_restarted_server_refuses_until_it_is_filled_again(
    wire: Proxy, own_redis: RedisServer, inside: redis.Redis
) -> None:
    stand()
    reserve(request(1))
    before = everything(inside)
    own_redis.kill()
    own_redis.start()
    inside.close()
    for _ in range(2):
        assert _once_connected(lambda: enter("ani")) is Outcome.NOT_READY
    assert _once_connected(lambda: reserve(request(2))) is Outcome.NOT_READY
    assert everything(inside) == before


def _once_connected(act):
    """The answer, after the connections of the old server have failed."""
    for _ in range(20):
        try:
            return act()
        except GateDown:
            continue
    raise AssertionError("no connection")


def test_a_server_that_does_not_run_is_down_at_once(settings: Settings, own_gate: None) -> None:
    settings.REDIS_URL = f"redis://127.0.0.1:{free_port()}/0"
    began = time.monotonic()
    with pytest.raises(GateDown):
        enter("ani")
    assert time.monotonic() - began < 20


def test_a_server_that_hangs_is_down_before_it_answers(wire: Proxy, own_redis: RedisServer) -> None:
    stand()
    with redis.Redis.from_url(own_redis.url) as inside:
        inside.client_pause(60_000, all=True)
        began = time.monotonic()
        with pytest.raises(GateDown):
            enter("ani")
        assert time.monotonic() - began < 30


def test_the_answer_of_a_cancelled_call_is_never_read_by_the_next_caller(wire: Proxy, own_redis: RedisServer) -> None:
    stand(drawn=False)

    async def cancelled_and_sent_again() -> list[Any]:
        first = asyncio.create_task(scripts.enter(CARD, FIRST, PAGE, person("ani")))
        await asyncio.sleep(0.05)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        await asyncio.sleep(0.3)
        return [await scripts.enter(CARD, FIRST, PAGE, person(name)) for name in ("budi", "ani", "budi")]

    enter("cici")
    with redis.Redis.from_url(own_redis.url) as inside:
        inside.client_pause(200, all=True)
        budi, ani, budi_again = bridge.run(cancelled_and_sent_again())
    assert (ani.index, budi.index) == (2, 3)
    assert budi_again == messages.EnterResult(budi.index, False, ())


def test_all_calls_on_a_broken_link_fail_at_once_and_the_next_call_gets_another_link(
    wire: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "SOCKET_TIMEOUT_S", 60.0)
    stand(drawn=False)
    enter("ani")

    async def looks() -> list[object]:
        calls = [
            scripts.look(CARD, FIRST, index=1, number=0, seed="", digests=person("ani"), by_code=True)
            for _ in range(20)
        ]
        return await asyncio.gather(*calls, return_exceptions=True)

    wire.drop = scripts.LOOK.sha.encode()
    began = time.monotonic()
    assert [type(answer) for answer in bridge.run(looks())] == [GateDown] * 20
    assert time.monotonic() - began < 30
    assert enter("budi").index == 2


def test_all_calls_on_a_link_that_is_closed_here_fail_at_once(wire: Proxy, inside: redis.Redis) -> None:
    stand(drawn=False)
    enter("ani")

    async def looks() -> list[object]:
        call = scripts.look(CARD, FIRST, index=1, number=0, seed="", digests=person("ani"), by_code=True)
        waiting = [asyncio.ensure_future(call)]
        await asyncio.sleep(0.05)
        await client.gate().close()
        done, _ = await asyncio.wait(waiting, timeout=client.SOCKET_TIMEOUT_S / 2)
        return [type(look.exception()) for look in done]

    inside.client_pause(300, all=True)
    assert bridge.run(looks()) == [GateDown]
    inside.ping()
    assert enter("budi").index == 2
