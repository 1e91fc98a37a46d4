"""Redis is replaced by a server with older data or none: no reservation is lost, and all people keep their turn."""

import asyncio
import shutil
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from django.core.management import call_command
from django.utils import timezone
from pytest_django import Settings

from flashsale.books import reservations, writer_threads
from flashsale.gate import bridge, inspect, load, scripts
from flashsale.life import cancel, clock_lease, rebuild, roll_over, sale_control, tick
from flashsale.models import Sale
from flashsale.rules.outcomes import Outcome
from simulation.processes import free_port
from simulation.redis_server import RedisServer
from tests.factories import PHONE, Shopper, card_of, lobby_sale, open_now, poco_campaign, refusal, tend
from tests.faults.steps import (
    NAMES,
    broken,
    buy,
    called,
    check,
    close_gate,
    dying,
    halfway,
    memory_of,
    put_back,
    recover,
    refused_by_the_gate,
    wipe,
)

pytestmark = [pytest.mark.django_db(transaction=True)]


@pytest.fixture
def inside(server: RedisServer) -> Iterator[redis.Redis]:
    """The test's own client of the server."""
    with redis.Redis(host="127.0.0.1", port=server.port) as client:
        yield client


def test_an_older_copy_of_the_append_only_file_brings_nothing_back_that_the_books_know_better(
    server: RedisServer, tmp_path: Path
) -> None:
    sale, people = called(*NAMES, stock=6)
    numbers = [person.number() for person in people]
    next(person for person in people if person.number() == 1).reserve()
    server.stop()
    shutil.copytree(server.folder, tmp_path / "copy")
    server.start()
    recover(sale)
    then = halfway(sale, people)
    server.kill()
    shutil.rmtree(server.folder)
    shutil.copytree(tmp_path / "copy", server.folder)
    server.start()
    assert refused_by_the_gate(people[0]) is Outcome.NOT_READY
    recover(sale)
    check(sale, people, numbers, then)


def test_a_stale_replica_that_is_promoted_is_not_believed_until_it_is_filled(
    server: RedisServer, settings: Settings, tmp_path: Path
) -> None:
    sale, people = called(*NAMES, stock=6)
    numbers = [person.number() for person in people]
    next(person for person in people if person.number() == 1).reserve()
    follows = ["--replicaof", "127.0.0.1", str(server.port)]
    with RedisServer(folder=tmp_path / "replica", port=free_port(), extra=follows) as replica:
        with redis.Redis(host="127.0.0.1", port=replica.port) as inside:
            wait_until_linked(inside)
            inside.replicaof("NO", "ONE")
        then = halfway(sale, people)
        server.kill()
        settings.REDIS_URL = replica.url
        bridge.run(close_gate())
        assert refused_by_the_gate(people[0]) is Outcome.NOT_READY
        recover(sale)
        check(sale, people, numbers, then)
        bridge.run(close_gate())


def test_a_master_that_follows_its_own_stale_replica_and_comes_back_is_not_believed(
    server: RedisServer, tmp_path: Path
) -> None:
    """No process restarts and the run id stays, but the memory of the master is that of the replica."""
    sale, people = called(*NAMES, stock=6)
    numbers = [person.number() for person in people]
    next(person for person in people if person.number() == 1).reserve()
    follows = ["--replicaof", "127.0.0.1", str(server.port)]
    with (
        RedisServer(folder=tmp_path / "replica", port=free_port(), extra=follows) as replica,
        redis.Redis(host="127.0.0.1", port=replica.port) as stale,
        redis.Redis(host="127.0.0.1", port=server.port) as master,
    ):
        wait_until_linked(stale)
        stale.replicaof("NO", "ONE")
        then = halfway(sale, people)
        run_id = master.info("server")["run_id"]
        master.replicaof("127.0.0.1", str(replica.port))
        wait_until_linked(master)
        master.replicaof("NO", "ONE")
        assert master.info("server")["run_id"] == run_id
        assert refused_by_the_gate(people[0]) is Outcome.NOT_READY
        recover(sale)
        check(sale, people, numbers, then)


def wait_until_linked(replica: redis.Redis) -> None:
    while replica.info("replication").get("master_link_status") != "up" or not replica.dbsize():
        time.sleep(0.02)


@pytest.mark.parametrize("who", ["a process that saw a later mark", "a new process, by the books"])
def test_a_memory_that_is_put_back_under_the_same_ids_is_not_believed(
    server: RedisServer, inside: redis.Redis, who: str
) -> None:
    sale, people = called(*NAMES, stock=6)
    numbers = [person.number() for person in people]
    next(person for person in people if person.number() == 1).reserve()
    tend(sale)
    old = memory_of(inside)
    time.sleep(1.1)  # the books hear of the mark once a second
    tend(sale)
    then = halfway(sale, people)
    time.sleep(1.1)
    tend(sale), tend(sale)
    put_back(inside, old)
    if who == "a new process, by the books":
        bridge.run(close_gate())
        time.sleep(1.1)
        tend(sale)
    assert refused_by_the_gate(people[0]) is Outcome.NOT_READY
    recover(sale)
    check(sale, people, numbers, then)


def test_a_door_notices_by_itself_and_the_command_does_the_same(server: RedisServer) -> None:
    sale, (ani, budi) = called("ani", "budi")
    wipe(server.port)
    call_command("rebuild", sale.code)
    assert ani.reserve().replayed is False
    wipe(server.port)

    async def door() -> None:
        stop = asyncio.Event()
        asyncio.get_running_loop().call_later(2, stop.set)
        await tick.run_ticks(stop=stop)

    bridge.run(door())
    assert budi.reserve().replayed is False
    assert card_of(sale).epoch > 2
    assert broken(sale) == []


@pytest.mark.parametrize("fault", ["emptied", "restarted"])
def test_an_outage_uses_up_neither_claim_window_nor_hold(
    server: RedisServer, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A busy machine needs seconds for the steps before the outage, which is longer than window and hold.
    monkeypatch.setattr(clock_lease, "CLOCK_LEASE_MS", 5000)
    monkeypatch.setattr(clock_lease, "CLOCK_RENEWAL_MS", 300)
    sale, (ani, budi) = called("ani", "budi", claim_s=12, hold_s=12)
    held = ani.reserve()
    tend(sale)
    server.kill()
    time.sleep(12.5)
    server.start()
    if fault == "emptied":
        wipe(server.port)
    monkeypatch.setattr(clock_lease, "CLOCK_LEASE_MS", 60_000)
    recover(sale)
    assert budi.look().state == "called"
    assert ani.reserve().id == held.id
    assert bridge.run(scripts.due(card_of(sale), most=9))[1] == {}
    assert buy(ani).state == "confirmed"
    assert budi.reserve().replayed is False
    assert broken(sale) == []


def test_a_process_that_dies_after_filling_redis_leaves_a_sale_that_takes_reservations(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    sale, (ani, budi) = called("ani", "budi")
    wipe(server.port)
    really = load.load

    async def opened_then_died(*args: Any) -> None:
        await really(*args)
        raise OSError("the process ended here")

    with monkeypatch.context() as patch:
        patch.setattr(load, "load", opened_then_died)
        with pytest.raises(OSError, match="ended"):
            rebuild.rebuild(sale=sale.pk)
    assert ani.reserve().replayed is False
    recover(sale)
    assert budi.reserve().replayed is False
    assert broken(sale) == []


def two_sales() -> tuple[Sale, Sale, Shopper, Shopper]:
    """Ani, who is called in two sales of one campaign."""
    campaign = poco_campaign()
    found = []
    for channel in ("lazada", "akulaku"):
        sale = lobby_sale(campaign, stock={PHONE: 2}, channels=(channel,), max_entries=1000)
        ani = Shopper(sale, "ani", channel=channel)
        ani.enter()
        found.append((sale, ani))
    for sale, _ in found:
        open_now(sale)
        tend(sale)
    (one, here), (other, there) = found
    return one, other, here, there


def test_a_commit_of_another_sale_that_lands_while_the_campaigns_counts_are_loaded_is_refused(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other, here, there = two_sales()
    frozen: list[Any] = []
    with monkeypatch.context() as patch:
        patch.setattr(writer_threads.Writer, "submit", lambda _, winner: frozen.append(winner) or dying_now())
        with pytest.raises(OSError, match="froze"):
            there.reserve()
    wipe(server.port)
    really, answers = load.load, {}

    async def load_slowly(*args: Any) -> None:
        late.start()
        await asyncio.sleep(0.2)
        await really(*args)

    late = threading.Thread(target=lambda: answers.update(reservations.commit(frozen)))
    monkeypatch.setattr(load, "load", load_slowly)
    rebuild.rebuild(sale=one.pk)
    late.join()
    assert list(answers.values()) == [Outcome.NOT_READY]
    assert here.reserve().replayed is False
    recover(other)
    assert refused_by_the_gate(there) is Outcome.LIMIT_REACHED
    assert broken(one) == []


def dying_now() -> Any:
    raise OSError("the process froze here")


def test_all_sales_of_a_campaign_come_back_at_once_and_a_cancellation_in_one_counts_in_the_other(
    server: RedisServer,
) -> None:
    one, _, here, there = two_sales()
    order = buy(here)
    sale_control.close_early(sale=one)
    wipe(server.port)
    recover(one)
    assert refused_by_the_gate(there) is Outcome.LIMIT_REACHED
    cancel.cancel(reservation=order.pk, channel=order.channel_id, code="buyer_request")
    assert there.reserve().replayed is False
    assert broken(one) == []


def test_a_memory_that_is_put_back_while_another_sale_rests_does_not_forget_limits_and_unpaid_holds(
    inside: redis.Redis,
) -> None:
    campaign = poco_campaign()
    running, resting = (lobby_sale(campaign, stock={PHONE: 4}, max_entries=1000) for _ in range(2))
    ani, budi = Shopper(running, "ani"), Shopper(running, "budi")
    ani.enter(), budi.enter()
    open_now(running)
    tend(running), tend(resting)
    old = memory_of(inside)
    buy(ani)
    order = buy(budi)
    cancel.cancel(reservation=order.pk, channel=order.channel_id, code="buyer_request")
    tend(running)
    put_back(inside, old)
    recover(running)
    assert [card_of(sale).epoch for sale in (running, resting)] == [2, 1]
    redis_has = bridge.run(inspect.used_limits(card_of(running)))
    assert sorted(redis_has.values()) == [1, 1]
    assert inside.hvals(f"fs:{{{campaign.pk}}}:unpaid") == [b"1", b"1"]
    assert refusal(Shopper(resting, "ani").enter) is Outcome.LIMIT_REACHED
    assert broken(running) == broken(resting) == []


def test_units_on_their_way_to_the_next_line_are_offered_once_after_a_restart(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    opens = timezone.now() + timedelta(hours=1)
    first = {"code": "first", "channels": ["lazada"], "stock": {PHONE: 3}, "successor": "public"}
    public = {"code": "public", "channels": ["akulaku"], "stock": {PHONE: 0}}
    rolls_over_at, closes_at = opens + timedelta(minutes=30), opens + timedelta(hours=1)
    lines = [first | {"rolls_over_at": rolls_over_at}, public]
    sale = open_now(lobby_sale(lines=lines, opens_at=opens, closes_at=closes_at))
    card = card_of(sale)
    figures: Any = bridge.run(scripts.survey(card, card.lines[0]))
    on_the_way = roll_over.roll_over(card=card, line=card.lines[0], figures=figures)
    dying(monkeypatch, roll_over, "move_units", lambda: bridge.run(on_the_way))
    server.kill()
    server.start()
    recover(sale)
    offered = [bridge.run(inspect.offered_units(card, line)) for line in card.lines]
    assert sorted(len(units) for units in offered) == [0, 3]
    assert broken(sale) == []
