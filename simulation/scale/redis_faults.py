"""Faults of a Redis with Sentinel, and of a Redis Cluster. No process of the product restarts."""

import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from django.core.management import call_command

from simulation.processes import ServerNotReady
from simulation.redis_server import RedisServer
from simulation.redis_topology import Cluster, Replicated, ask, fact, wait_for
from simulation.scale.rounds import Fault

SENTINEL, CLUSTER = "Redis with Sentinel", "Redis Cluster"
# For how long a replica hears nothing of its master before it takes its place, in seconds.
STALE_S = 3.0


@contextmanager
def _frozen(server: RedisServer) -> Iterator[None]:
    """The server stands still, and its connections stay open, as on a machine that hangs."""
    os.kill(server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)


def damage(server: RedisServer) -> Path:
    """Overwrites a block in the middle of the append-only file of a server that is down. Returns its folder or file."""
    file = next(name for name in ("appendonlydir", "appendonly.aof") if (server.folder / name).exists())
    increment = max((server.folder / file).glob("*.incr.aof"), default=server.folder / file)
    content = bytearray(increment.read_bytes())
    middle = content.index(b"\r\n*", len(content) // 2) + 2  # where a command begins
    content[middle : middle + 64] = b"\xff" * 64
    increment.write_bytes(content)
    return server.folder / file


def _lose_files(master: RedisServer, replica: RedisServer) -> None:
    """Both lose power and have a damaged file. An operator moves each aside and starts the servers."""
    for server in (master, replica):
        server.kill()
    for server in (master, replica):
        damage(server)
        try:
            server.start()
        except ServerNotReady:
            call_command("gate_file", dir=server.folder, unchecked=True, stdout=sys.stderr)
            continue
        raise AssertionError("a Redis with a damaged append-only file has started")
    for server in (master, replica):
        server.start()


def sentinel_faults(servers: Replicated) -> Sequence[Fault]:
    """The faults of a master with Sentinel. After each one there are a master and a replica that follows again."""

    def pair() -> tuple[RedisServer, RedisServer]:
        master = servers.master()
        by_port = {server.port: server for server in servers.servers}
        return by_port[master], next(server for port, server in by_port.items() if port != master)

    def promoted(new: RedisServer) -> None:
        wait_for("the replica is master", lambda: all(servers.master(n) == new.port for n in range(3)))

    def follows(server: RedisServer) -> None:
        wait_for("it follows", lambda: servers.fact(server.port, "master_link_status") == "up")

    def failed_over_and_back() -> None:
        servers.fail_over()
        servers.fail_over()

    def killed() -> None:
        old, new = pair()
        old.kill()
        promoted(new)
        old.start()
        follows(old)

    def stale() -> None:
        old, new = pair()
        with _frozen(new):
            time.sleep(STALE_S)
            old.kill()
        promoted(new)
        old.start()
        follows(old)

    def woke_up() -> None:
        old, new = pair()
        with _frozen(old):
            promoted(new)
        follows(old)

    def lost_files() -> None:
        old, new = pair()
        _lose_files(old, new)
        wait_for("one follows the other", lambda: "up" in (fact(port, "master_link_status") for port in servers.ports))

    return [
        Fault(SENTINEL, "failed over and back", failed_over_and_back),
        Fault(SENTINEL, "master killed, replica promoted", killed),
        Fault(SENTINEL, "master killed, stale replica promoted", stale),
        Fault(SENTINEL, "master frozen, replica promoted, old master wakes", woke_up),
        Fault(SENTINEL, "both killed, their append-only files damaged", lost_files),
    ]


def cluster_faults(cluster: Cluster) -> Sequence[Fault]:
    """The faults of the node that has the last campaign. After each one every master has a replica again."""

    def busy() -> RedisServer:
        """The node of the campaign that was published last."""
        found = ask(cluster.master_of("fs:sales"), "HVALS", "fs:sales")
        campaign = max(int(where.partition(b":")[0]) for where in found)
        return cluster.servers[cluster.master_of(f"fs:{{{campaign}}}:unpaid")]

    def promoted(replica: int) -> None:
        wait_for("the replica is master", lambda: fact(replica, "role") == "master")

    def whole() -> None:
        wait_for("every master has a replica", lambda: all(map(cluster.is_whole, cluster.ports)))

    def killed() -> None:
        old = busy()
        replica = cluster.replica_of(old.port)
        old.kill()
        promoted(replica)
        old.start()
        whole()

    def woke_up() -> None:
        old = busy()
        replica = cluster.replica_of(old.port)
        with _frozen(old):
            promoted(replica)
        whole()

    def restarted() -> None:
        for server in cluster.servers.values():
            server.kill()
        for server in cluster.servers.values():
            server.start()
        whole()

    def lost_files() -> None:
        old = busy()
        _lose_files(old, cluster.servers[cluster.replica_of(old.port)])
        whole()

    return [
        Fault(CLUSTER, "the sale's node killed, replica promoted", killed),
        Fault(CLUSTER, "the sale's node frozen, replica promoted, old node wakes", woke_up),
        Fault(CLUSTER, "all nodes killed and started again", restarted),
        Fault(CLUSTER, "the sale's node and its replica killed, their append-only files damaged", lost_files),
    ]
