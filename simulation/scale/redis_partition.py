"""A Redis Cluster over three hosts, two of them with a door: the host of the sale's node is cut off with its door.

The node, its door and the clients of that door still reach each other. The other hosts promote the node's replica.
"""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from django.conf import settings
from django.core.management import call_command

from simulation.redis_topology import Cluster, wait_for
from simulation.scale import host_site, selling
from simulation.scale.host_site import DOORS, REDIS_PORT, STORES, Site
from simulation.scale.hosts import Cable, Networks
from simulation.scale.redis_faults import CLUSTER
from simulation.scale.rounds import Fault, Round, play
from simulation.scale.selling_crowd import Crowd

PORTS = (7001, 7002, 7003)
AWAY_S = 6.0
TOGETHER = 8
NAME = "the host of the sale's node is cut off with its door, replica promoted, the host comes back"


def environment(folder: Path) -> dict[str, str]:
    """The settings by which this process and all doors find the stores."""
    nodes = ",".join(f"{Cable.INNER.address(host)}:{port}" for host, port in zip((*DOORS, STORES), PORTS, strict=True))
    other = f"redis://{Cable.INNER.address(STORES)}:{REDIS_PORT}/0"
    return host_site.environment(folder) | {
        "REDIS_URL": f"redis+cluster://{nodes}", "LIMITS_URL": other, "BROKER_URL": other,
    }  # fmt: skip


def play_partition(
    folder: Path, *, rounds: int, seed: int, named: Sequence[str], size: int, claim_s: int
) -> Iterator[Round]:
    """Starts the site, and plays the fault if its name has one of these texts. Raises NotAllowed, ServerNotReady."""
    if not any(text in NAME for text in named):
        return
    with ExitStack() as stack:
        stack.enter_context(Networks())
        site = Site(folder, settings.BASE_DIR, environment(folder))
        stack.callback(site.end)
        for store in ("redis", "postgres"):
            site.start_store(store)
        first, second = site.hosts
        # Two of the three masters always reach each other. The replicas of the doors' nodes are with the stores.
        hosts = [first, second, site.stores, site.stores, site.stores, first]
        cluster = stack.enter_context(Cluster(folder / "cluster", public=PORTS, hosts=hosts))
        call_command("migrate", verbosity=0, interactive=False)
        doors = [f"door-{host.number}" for host in site.hosts]
        for name in doors:
            site.start(name)
        site.wait(*doors)

        def one_round(_: Fault, number: int) -> Round:
            return _round(site, cluster, number, buyers=size, claim_s=claim_s)

        yield from play([Fault(CLUSTER, NAME, lambda: None)], rounds, one_round, seed=seed)


def _round(site: Site, cluster: Cluster, seed: int, *, buyers: int, claim_s: int) -> Round:
    sale, key, node = None, "", 0
    while sale is None or cluster.hosts[node] is site.stores:
        sale, key = selling.publish(f"partition-{seed}-{os.urandom(3).hex()}", buyers, claim_s=claim_s)
        node = cluster.master_of(f"fs:{{{sale.campaign_id}}}:unpaid")
    victim, replica = cluster.hosts[node], cluster.replica_of(node)

    def cut_off() -> None:
        victim.cut(Cable.INNER)
        wait_for("the replica is master", lambda: cluster.fact(replica, "role") == "master")
        time.sleep(AWAY_S)
        victim.heal(Cable.INNER)
        wait_for("every master has a replica", lambda: all(map(cluster.is_whole, cluster.ports)))
        # The next round needs a master on each host again.
        wait_for("the way back", lambda: cluster.ask(node, "CLUSTER", "FAILOVER") == b"OK")
        wait_for("the node is master", lambda: cluster.fact(node, "role") == "master")
        wait_for("every master has a replica", lambda: all(map(cluster.is_whole, cluster.ports)))
        site.wait(f"door-{victim.number}")

    urls = [site.url(host) for host in site.hosts]
    crowd = Crowd(
        line=selling.line_of(sale), key=key, doors=urls, webs=urls, identity=selling.identity, sku=selling.SKU
    )
    for url in urls:
        selling.wait_until_known(f"{url}{crowd.line}/enter", key)
    fault = Fault(CLUSTER, NAME, cut_off)
    return selling.play_crowd(fault, seed, sale=sale, crowd=crowd, buyers=buyers, together=TOGETHER)
