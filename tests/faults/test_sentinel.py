"""A real master, its replica and three sentinels: processes follow their choice, and no person gets two places."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from django.core.cache import caches
from django.db import OperationalError
from pytest_django import Settings

from config.redis_address import broker_of, celery_url
from flashsale.gate import bridge, client
from flashsale.gate.client import Gate, GateDown
from flashsale.life import compare_marks, index_blocks, places
from flashsale.life.enter import digest_identity, enter
from flashsale.management.doctor.redis import redis_rights, redis_servers
from flashsale.models import Allocation, Sale
from flashsale.rules.outcomes import Outcome, Refused
from simulation.redis_topology import MASTER, Replicated, ask, fact, wait_for
from simulation.scale import redis_faults
from tests.factories import PHONE, Shopper, card_of, channel_of, identity, lobby_sale, refusal, tend
from tests.faults import redis_rounds
from tests.faults.steps import (
    NAMES,
    broken,
    called,
    check,
    close_gate,
    halfway,
    recover,
    refused_by_the_gate,
)

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replicated]:
    """The servers of this file. Each test leaves a master, a replica that follows, and three sentinels."""
    with Replicated(tmp_path_factory.mktemp("sentinel")) as servers:
        yield servers


@pytest.fixture
def servers(together: Replicated, settings: Settings, own_gate: None) -> Iterator[Replicated]:
    ask(together.master(), "FLUSHALL")
    settings.REDIS_URL = together.url
    yield together
    bridge.run(close_gate())


async def confirm() -> None:
    await client.gate().confirm()


class OtherProcess:
    """An event loop of its own whose gate has another address, as another process has."""

    def __init__(self, url: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        client._gates[self._loop] = Gate(url)

    def run(self, act: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """The result, or the outcome of a refusal."""
        try:
            return asyncio.run_coroutine_threadsafe(act(), self._loop).result()
        except Refused as refused:
            return refused.outcome

    def enter(self, sale: Sale, name: str) -> Any:
        """A person enters through this process."""

        async def act() -> Any:
            card = await places.sale_card(code=sale.code)
            known = digest_identity(card=card, values=identity(name))
            line = places.line(card=card, code="lazada")
            return await enter(card=card, line=line, channel=channel_of(card, "lazada"), digests=known)

        return self.run(act)

    def close(self) -> None:
        self.run(close_gate)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def test_a_failover_and_the_way_back_lose_nothing_and_no_process_restarts(servers: Replicated) -> None:
    sale, people = called(*NAMES, stock=6)
    numbers = [person.number() for person in people]
    next(person for person in people if person.number() == 1).reserve()
    first = servers.master()
    run_id = fact(first, "run_id", section="server")
    servers.fail_over()
    assert refused_by_the_gate(people[0]) is Outcome.NOT_READY
    recover(sale)
    then = halfway(sale, people)
    servers.fail_over()
    assert (servers.master(), fact(first, "run_id", section="server")) == (first, run_id)
    assert refused_by_the_gate(people[0]) is Outcome.NOT_READY
    recover(sale)
    check(sale, people, numbers, then)


def test_a_master_is_believed_only_when_most_sentinels_name_it(servers: Replicated) -> None:
    sale, (ani, budi) = called("ani", "budi")
    for sentinel in servers.sentinels[:2]:
        sentinel.kill()
    try:
        assert ani.reserve().replayed is False  # a link that is open goes on
        bridge.run(close_gate())
        with pytest.raises(GateDown, match=f"the sentinels do not agree on the master '{MASTER}'.*no answer"):
            budi.reserve()
    finally:
        servers.start_sentinels()
    bridge.run(close_gate())
    budi.reserve()
    assert broken(sale) == []


def test_limits_and_celery_follow_the_sentinels_and_doctor_says_what_is_missing(
    servers: Replicated, settings: Settings
) -> None:
    settings.CACHES = {name: {**cache, "LOCATION": [servers.url]} for name, cache in settings.CACHES.items()}
    assert caches["limits"].add("before", 1, 60)
    broker, options = celery_url(broker_of(servers.url))
    servers.fail_over()
    assert caches["limits"].get("before") == 1
    assert caches["limits"].incr("before") == 2
    with Celery(broker=broker).connection_for_write(connect_timeout=5, transport_options=options) as link:
        assert link.default_channel.client.ping()
        assert link.default_channel.client.role()[0] == b"master"
    settings.LIMITS_URL = settings.BROKER_URL = servers.url
    (check,) = redis_servers()
    assert check.name == "Redis: REDIS_URL, LIMITS_URL, BROKER_URL"
    assert check.found.startswith(f"127.0.0.1:{servers.master()}: ")
    assert "replica" not in check.found
    ask(servers.master(), "CONFIG", "SET", "min-replicas-to-write", 1)
    (check,) = redis_servers()
    ask(servers.master(), "CONFIG", "SET", "min-replicas-to-write", 0)
    assert "min-replicas-to-write is set: the next master will have no replica" in check.found
    assert redis_rights().found == "all"


def test_a_replica_is_refused_and_a_process_leaves_a_master_that_was_demoted(
    servers: Replicated, settings: Settings
) -> None:
    """Its connections stay open, as behind the endpoint of a managed Redis, and its clock shows no restart."""
    old = servers.master()
    settings.REDIS_URL = f"redis://127.0.0.1:{old}/0"
    bridge.run(close_gate())
    sale, (ani,) = called("ani", stock=1)
    servers.fail_over()
    for _ in range(2):
        with pytest.raises(GateDown):
            ani.reserve()
    with pytest.raises(GateDown, match="the server is a slave, and not the master"):
        bridge.run(confirm())
    settings.REDIS_URL = f"redis://127.0.0.1:{servers.master()}/0"
    bridge.run(close_gate())
    recover(sale)
    assert ani.reserve().replayed is False
    assert broken(sale) == []


@pytest.fixture
def split(servers: Replicated, settings: Settings) -> Iterator[tuple[Sale, Shopper, OtherProcess]]:
    """A lobby at a master that is replaced, and a process that is left at the old master, which takes writes."""
    sale = lobby_sale(stock={PHONE: 4}, max_entries=20_000)
    ani = Shopper(sale, "ani")
    ani.enter()
    tend(sale)
    old = servers.master()
    left_behind = OtherProcess(f"redis://127.0.0.1:{old}/0")
    assert left_behind.enter(sale, "budi").index == 2
    new = next(port for port in servers.ports if port != old)
    wait_for("the replica has it", lambda: fact(new, "master_repl_offset") == fact(old, "master_repl_offset"))
    # Sentinels would make one of the two a replica at once.
    for sentinel in servers.sentinels:
        sentinel.kill()
    ask(new, "REPLICAOF", "NO", "ONE")
    settings.REDIS_URL = f"redis://127.0.0.1:{new}/0"
    bridge.run(close_gate())
    recover(sale)
    yield sale, ani, left_behind
    left_behind.close()
    ask(new, "REPLICAOF", "127.0.0.1", old)
    wait_for("the replica follows", lambda: fact(new, "master_link_status") == "up")
    servers.start_sentinels()


def test_without_comparing_the_side_that_lost_gives_a_second_place(
    split: tuple[Sale, Shopper, OtherProcess],
) -> None:
    sale, _, left_behind = split
    dodi = Shopper(sale, "dodi")
    assert left_behind.enter(sale, "dodi").created is True
    assert dodi.enter().created is True


def test_the_side_that_lost_refuses_after_it_has_compared_and_gives_no_indexes_that_the_other_gives(
    split: tuple[Sale, Shopper, OtherProcess],
) -> None:
    sale, ani, left_behind = split
    cici = left_behind.enter(sale, "cici")
    assert cici.index == 3
    block = Allocation.objects.get().block
    old_card = left_behind.run(lambda: places.sale_card(code=sale.code))
    assert index_blocks.write_block(old_card, old_card.lines[0].id, block + 100) == 0
    assert Allocation.objects.get().block == block
    left_behind.run(compare_marks.compare_marks)
    assert left_behind.enter(sale, "dodi") is Outcome.NOT_READY
    # The place of the side that lost comes back by its token, and a second one is voided.
    again = Shopper(sale, "cici")
    second = again.enter()
    assert second.index == index_blocks.BLOCK_MIN + 1
    assert again.look().state == "waiting"
    first = Shopper(sale, "cici")
    first.entry = cici
    assert first.look().state == "waiting"
    assert again.look().state == "voided"
    assert ani.look().index == 1
    assert broken(sale) == []


def test_a_process_that_does_not_reach_the_books_for_long_lets_no_person_enter(
    servers: Replicated, monkeypatch: pytest.MonkeyPatch
) -> None:
    sale = lobby_sale(stock={PHONE: 4}, max_entries=20_000)
    ani, budi = Shopper(sale, "ani"), Shopper(sale, "budi")
    ani.enter()

    def away(_: Any) -> Any:
        raise OperationalError("no route to host")

    with monkeypatch.context() as patch:
        patch.setattr(compare_marks, "read_marks", away)
        with pytest.raises(OperationalError):
            bridge.run(compare_marks.compare_marks())
        assert budi.enter().index == 2  # for DOUBT_S
        patch.setattr(client, "DOUBT_S", 0.0)
        assert refusal(Shopper(sale, "cici").enter) is Outcome.NOT_READY
        assert ani.look().state == "waiting"
    bridge.run(compare_marks.compare_marks())
    assert Shopper(sale, "cici").enter().index == 3
    assert card_of(sale).epoch == 1


def test_doors_sell_on_after_a_failover_and_nothing_acknowledged_is_lost(
    servers: Replicated, tmp_path: Path, record_property: Any
) -> None:
    faults = redis_faults.sentinel_faults(servers)
    redis_rounds.play(faults, servers.url, folder=tmp_path, code="sentinel", record=record_property)
