"""The audit waits for a Redis that is busy, calls nothing broken meanwhile, and gives up after a minute."""

import time
from collections.abc import Callable

import pytest
import redis
from django.core.management import CommandError, call_command

from flashsale.gate import bridge
from flashsale.gate.client import GateDown
from flashsale.gate.keys import SaleKeys
from flashsale.life import audit, rebuild
from flashsale.models import Sale
from simulation.redis_server import RedisServer
from tests.faults.steps import buy, called, close_gate, recover, wipe

pytestmark = [pytest.mark.django_db(transaction=True)]


def half_loaded(server: RedisServer, sale: Sale) -> None:
    """What other processes see of a sale that one process is loading: some keys, and no run id in its state."""
    wipe(server.port)
    with redis.Redis(host="127.0.0.1", port=server.port) as client:
        client.hset(SaleKeys(sale.campaign_id, sale.pk).state, "state", "published")


@pytest.fixture
def sale(server: RedisServer) -> Sale:
    sale, (ani, budi, _) = called("ani", "budi", "cici", stock=3)
    buy(ani)
    budi.reserve()
    return sale


def broken(sale: Sale) -> list[audit.Finding]:
    return [f for f in audit.audit(campaign=sale.campaign.code) if f.verdict is audit.Verdict.BROKEN]


def healing(monkeypatch: pytest.MonkeyPatch, heal: Callable[[], object], *, after: int = 3) -> list[float]:
    """Each wait of the audit is noted and takes no time. Redis is well again after so many."""
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == after:
            heal()

    monkeypatch.setattr(time, "sleep", sleep)
    return waits


def test_it_waits_until_a_redis_that_is_down_is_back(
    server: RedisServer, sale: Sale, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.kill()
    really = time.sleep

    def heal() -> None:
        monkeypatch.setattr(time, "sleep", really)
        server.start()
        recover(sale)

    waits = healing(monkeypatch, heal)
    assert broken(sale) == []
    assert waits == [audit.READ_AGAIN_S] * 3


def test_it_waits_while_redis_has_no_connection_left(
    server: RedisServer, sale: Sale, monkeypatch: pytest.MonkeyPatch
) -> None:
    with redis.Redis(host="127.0.0.1", port=server.port) as client:
        client.ping()
        bridge.run(close_gate())
        client.config_set("maxclients", 1)
        waits = healing(monkeypatch, lambda: client.config_set("maxclients", 100))
        assert broken(sale) == []
    assert waits == [audit.READ_AGAIN_S] * 3


def test_it_waits_while_redis_answers_too_slowly(
    server: RedisServer, sale: Sale, monkeypatch: pytest.MonkeyPatch
) -> None:
    with redis.Redis(host="127.0.0.1", port=server.port) as client:
        client.ping()
        client.execute_command("CLIENT", "PAUSE", 1500, "ALL")
    waits = healing(monkeypatch, lambda: None)
    assert broken(sale) == []
    assert waits == [audit.READ_AGAIN_S] * len(waits)
    assert 1 <= len(waits) <= 2


def test_it_waits_for_the_end_of_a_rebuild_and_calls_nothing_broken_meanwhile(
    server: RedisServer, sale: Sale, monkeypatch: pytest.MonkeyPatch
) -> None:
    half_loaded(server, sale)
    waits = healing(monkeypatch, lambda: rebuild.rebuild(sale=sale.pk))
    assert broken(sale) == []
    assert waits == [audit.READ_AGAIN_S] * 3


def test_without_the_wait_a_half_loaded_sale_looks_broken(
    server: RedisServer, sale: Sale, monkeypatch: pytest.MonkeyPatch
) -> None:
    half_loaded(server, sale)
    monkeypatch.setattr(audit, "refuse_half_loaded", lambda _: None)
    monkeypatch.setattr(audit, "READS", 1)
    assert {finding.promise for finding in broken(sale)} == {2, 3}


def test_it_gives_up_after_the_time_that_the_manual_names(
    server: RedisServer, sale: Sale, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.kill()
    clock = [0.0]
    monkeypatch.setattr(time, "sleep", lambda seconds: clock.__setitem__(0, clock[0] + seconds))
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    with pytest.raises(GateDown):
        audit.audit(campaign=sale.campaign.code)
    assert audit.GATE_WAIT_S < clock[0] <= audit.GATE_WAIT_S + 2 * audit.READ_AGAIN_S
    monkeypatch.setattr(audit, "GATE_WAIT_S", 0.0)
    with pytest.raises(CommandError, match="does not answer") as refused:
        call_command("audit", campaign=sale.campaign.code)
    assert refused.value.returncode == 2
