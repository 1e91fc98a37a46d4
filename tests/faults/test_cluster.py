"""A real Redis Cluster of three masters and three replicas: each campaign is on one node, and the nodes fail alone."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from flashsale.gate import bridge, client, due_sales, inspect, keys, metrics, refusal_counts, restored, sale_cards
from flashsale.gate.client import GateDown
from flashsale.life import rebuild, sale_control, schedule, tick
from flashsale.management.doctor.redis import redis_rights, redis_servers
from flashsale.models import Sale
from flashsale.rules.outcomes import Outcome
from simulation.redis_topology import Cluster, ask, fact, wait_for
from simulation.scale import redis_faults
from tests.factories import PHONE, Shopper, card_of, draft_sale, poco_campaign, tend
from tests.faults import redis_rounds
from tests.faults.steps import NAMES, broken, buy, called, check, close_gate, halfway, recover, refused_by_the_gate

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The nodes of this file. Each test leaves three masters, each with a replica."""
    with Cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture
def cluster(together: Cluster, settings: Settings, own_gate: None) -> Iterator[Cluster]:
    settings.REDIS_URL = together.url
    bridge.run(close_gate())
    bridge.run(restored.empty())
    yield together
    bridge.run(close_gate())


def state_key(sale: Sale) -> str:
    return keys.SaleKeys(sale.campaign_id, sale.pk).state


def on_three_nodes(cluster: Cluster) -> dict[int, tuple[Sale, list[Shopper]]]:
    """By node, an open sale whose campaign is on it."""
    found: dict[int, tuple[Sale, list[Shopper]]] = {}
    for _ in range(60):
        sale, people = called("ani", "budi")
        found.setdefault(cluster.master_of(state_key(sale)), (sale, people))
        if len(found) == 3:
            return found
    raise AssertionError("sixty campaigns on two nodes")


def back(cluster: Cluster, dead: int) -> None:
    """The node that was killed comes back as a replica."""
    cluster.servers[dead].start()
    wait_for("the killed node follows", lambda: fact(dead, "master_link_status") == "up")
    wait_for("all know it", lambda: all(map(cluster.is_whole, cluster.ports)))


def test_a_whole_sale_runs_and_every_reading_works(cluster: Cluster, settings: Settings) -> None:
    sale, people = called(*NAMES, stock=6)
    order = buy(people[0])
    assert order.state == "confirmed"
    card = card_of(sale)
    assert bridge.run(inspect.known_sales([(sale.campaign_id, sale.pk)])) == [True]
    assert bridge.run(sale_cards.sale_codes()) == [sale.code]
    assert sum(bridge.run(inspect.places(card)).values()) == 12
    assert bridge.run(inspect.server_trouble()) == []
    bridge.run(rebuild.rebuild_missing_sales())
    assert bridge.run(due_sales.is_loaded())
    refusal_counts.count(sale.code, "reserve", "paused")
    bridge.run(refusal_counts.flush())
    assert bridge.run(inspect.refusals(card)) == {"reserve paused": 1}
    bridge.run(metrics.send())
    assert bridge.run(metrics.read())
    bridge.run(tick.mend_all())
    settings.BROKER_URL = settings.LIMITS_URL = "redis://127.0.0.1:1/0"
    check, unreached = redis_servers()
    assert check.found.count("MiB") == 3
    assert "no replica" not in check.found
    assert "no answer" in unreached.found
    assert redis_rights().found == "all"
    assert broken(sale) == []
    assert bridge.run(restored.forget_sales()) > 10
    assert bridge.run(sale_cards.sale_codes()) == []
    recover(sale)
    assert bridge.run(sale_cards.sale_codes()) == [sale.code]
    sale_control.close_early(sale=sale)
    bridge.run(sale_cards.erase_sale(card_of(sale)))
    assert bridge.run(inspect.has_sale(card)) is False


def test_a_node_that_dies_in_mid_sale_stops_its_campaigns_alone_and_loses_nothing(cluster: Cluster) -> None:
    sale, people = called(*NAMES, stock=6)
    numbers = [person.number() for person in people]
    next(person for person in people if person.number() == 1).reserve()
    then = halfway(sale, people)
    dead = cluster.master_of(state_key(sale))
    others = {node: found for node, found in on_three_nodes(cluster).items() if node != dead}
    epochs = {found.pk: card_of(found).epoch for found, _ in others.values()}
    replica = cluster.replica_of(dead)
    cluster.servers[dead].kill()
    for found, (ani, _) in others.values():
        assert ani.reserve().replayed is False, found
    with pytest.raises(GateDown):
        people[0].reserve()
    cluster.promote(replica, instead_of=dead)
    assert refused_by_the_gate(people[0]) is Outcome.NOT_READY
    recover(sale)
    check(sale, people, numbers, then)
    for found, (_, budi) in others.values():
        assert budi.reserve().replayed is False
        assert card_of(found).epoch == epochs[found.pk]
        assert broken(found) == []
    back(cluster, dead)


def test_a_campaign_whose_slot_has_moved_is_rebuilt_at_its_new_node(cluster: Cluster) -> None:
    sale, (ani, budi) = called("ani", "budi")
    held = ani.reserve()
    key = state_key(sale)
    source = cluster.master_of(key)
    masters = [port for port in cluster.ports if fact(port, "role") == "master"]
    target = next(port for port in masters if port != source)
    slot = ask(source, "CLUSTER", "KEYSLOT", key)
    source_id, target_id = (ask(port, "CLUSTER", "MYID").decode() for port in (source, target))
    ask(target, "CLUSTER", "SETSLOT", slot, "IMPORTING", source_id)
    ask(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", target_id)
    moving = [name.decode() for name in ask(source, "CLUSTER", "GETKEYSINSLOT", slot, 10_000)]
    first = moving.index(key)
    ask(source, "MIGRATE", "127.0.0.1", target, moving[first], 0, 5000)
    with pytest.raises(GateDown, match=r"TRYAGAIN|ASK"):
        budi.reserve()
    for name in moving:
        ask(source, "MIGRATE", "127.0.0.1", target, name, 0, 5000)
    for port in (target, source, *masters):
        ask(port, "CLUSTER", "SETSLOT", slot, "NODE", target_id)
    # The next call goes to the old node, which names the new one. It did not run there, so it is sent again.
    assert refused_by_the_gate(budi) is Outcome.NOT_READY
    recover(sale)
    assert ani.reserve().id == held.id
    assert budi.reserve().replayed is False
    assert card_of(sale).epoch == 2
    assert broken(sale) == []


def test_a_directory_that_is_lost_with_its_node_lists_the_sales_of_the_others_again(cluster: Cluster) -> None:
    found = on_three_nodes(cluster)
    codes = sorted(sale.code for sale in Sale.objects.all())
    ask(cluster.master_of(keys.DIRECTORY), "DEL", keys.DIRECTORY)
    bridge.run(rebuild.rebuild_missing_sales())
    assert sorted(bridge.run(sale_cards.sale_codes())) == codes
    for sale, (ani, _) in found.values():
        assert card_of(sale).epoch == 1
        assert ani.reserve().replayed is False


def test_no_cluster_is_down_and_says_so(settings: Settings, own_gate: None, cluster: Cluster) -> None:
    settings.REDIS_URL = "redis+cluster://127.0.0.1:1,127.0.0.1:2"
    bridge.run(close_gate())
    with pytest.raises(GateDown, match="no node of the cluster tells the slots"):
        bridge.run(client.wall_ms())
    draft = draft_sale(poco_campaign(), stock={PHONE: 1})
    with pytest.raises(GateDown, match="no node of the cluster tells the slots"):
        schedule.publish(sale=draft)
    settings.REDIS_URL = cluster.url
    bridge.run(close_gate())
    sale = Sale.objects.get()
    recover(sale)
    tend(sale)
    assert Shopper(sale, "ani").enter().index == 1


def test_doors_sell_on_after_a_node_died_and_nothing_acknowledged_is_lost(
    cluster: Cluster, tmp_path: Path, record_property: Any
) -> None:
    faults = redis_faults.cluster_faults(cluster)
    redis_rounds.play(faults, cluster.url, folder=tmp_path, code="cluster", record=record_property)
