"""Several Redis servers on the loopback that work together: a master with Sentinel, or a Redis Cluster. No Django."""

import re
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import ExitStack, nullcontext, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from hiredis import ReplyError

from simulation.processes import Process, ServerNotReady, free_port
from simulation.redis_access import RedisAccess, ask
from simulation.redis_server import RedisServer, find_program
from simulation.scale.hosts import Cable, Host

__all__ = ["MASTER", "SLOTS", "Cluster", "Replicated", "ask", "fact", "wait_for"]

MASTER = "sales"
SLOTS = 16384


def fact(port: int, name: str, *, section: str = "replication") -> str:
    """A line of INFO, "" if there is none or no answer."""
    return _fact(lambda: ask(port, "INFO", section), name)


def _fact(info: Callable[[], bytes], name: str) -> str:
    try:
        lines = info().decode().splitlines()
    except (OSError, ReplyError):
        return ""
    return next((line.partition(":")[2] for line in lines if line.startswith(f"{name}:")), "")


def wait_for(what: str, check: Callable[[], bool], *, seconds: float = 180.0) -> float:
    """Waits until `check` is true; how long it took, in seconds. Raises ServerNotReady."""
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        try:
            if check():
                return time.monotonic() - began
        except (OSError, ReplyError):
            pass
        time.sleep(0.02)
    raise ServerNotReady(f"{what}: not within {seconds} s")


class _Together(ABC):
    """Servers that start and stop together. With `access`, all of them take only TLS and users that sign in."""

    def __init__(self, folder: Path, access: RedisAccess | None) -> None:
        self.folder = folder
        self.access = access
        self.host = access.host if access else "127.0.0.1"
        # By port, where the servers are on hosts of a network of their own.
        self.hosts: dict[int, Host] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()

    @abstractmethod
    def _start(self) -> None:
        """Starts the servers, and enters each into the stack."""

    def _server(self, name: str, port: int, extra: Sequence[str]) -> RedisServer:
        server = RedisServer(folder=self.folder / name, port=port, extra=extra, access=self.access)
        return self._stack.enter_context(server)

    def ask(self, port: int, *command: str | int) -> Any:
        """The reply of one of these servers. Raises hiredis' ReplyError and OSError."""
        return ask(port, *command, host=self.address_of(port), access=self.access)

    def address_of(self, port: int) -> str:
        """The address of one of these servers, for the others and for this process."""
        return Cable.INNER.address(self.hosts[port].number) if port in self.hosts else "127.0.0.1"

    def fact(self, port: int, name: str, *, section: str = "replication") -> str:
        """A line of INFO of one of these servers, "" if there is none or no answer."""
        return _fact(lambda: self.ask(port, "INFO", section), name)

    def _url(self, form: str, ports: Sequence[int]) -> str:
        """The address without user and options."""
        hosts = ",".join(f"{self.host if self.access else self.address_of(port)}:{port}" for port in ports)
        return f"redis{'s' if self.access else ''}+{form}://{hosts}"


class Replicated(_Together):
    """A master, its replica, and three sentinels that call the master MASTER.

    `down_after_ms` is how long a sentinel waits for the master before it calls it down. `public` are the ports of the
    sentinels, which `url` names.
    """

    def __init__(
        self, folder: Path, *, down_after_ms: int = 2000, public: Sequence[int] = (), access: RedisAccess | None = None
    ) -> None:
        super().__init__(folder, access)
        self._down_after_ms = down_after_ms
        self.ports = [free_port(), free_port()]
        self.sentinel_ports = list(public) or [free_port() for _ in range(3)]
        self.servers: list[RedisServer] = []
        self.sentinels: list[Process] = []

    @property
    def url(self) -> str:
        """The address for REDIS_URL."""
        return f"{self._url('sentinel', self.sentinel_ports)}/0?master={MASTER}"

    def _start(self) -> None:
        follows = ["--replicaof", self.host, str(self.ports[0]), "--repl-diskless-sync-delay", "0"]
        fast = ["--repl-diskless-sync-delay", "0"]
        self.servers = [
            self._server(f"redis-{n}", port, extra)
            for n, (port, extra) in enumerate(zip(self.ports, (fast, follows), strict=True))
        ]
        wait_for("the replica follows", lambda: self.fact(self.ports[1], "master_link_status") == "up")
        self.sentinels = [self._stack.enter_context(self._sentinel(port)) for port in self.sentinel_ports]
        self._wait_for_sentinels()

    def start_sentinels(self) -> None:
        """Starts the sentinels that were killed."""
        for sentinel in self.sentinels:
            if not sentinel.running:
                sentinel.start()
        self._wait_for_sentinels()

    def _wait_for_sentinels(self) -> None:
        for port in self.sentinel_ports:
            wait_for("the sentinels know each other", lambda port=port: self._knows_all(port))  # type: ignore[misc]
            # They look at their servers every 10 s, and promote no replica that they have not looked at. After a pause
            # of 2 s, which a busy machine makes, they do nothing for 30 s: the TILT mode. Redis 6.2 lets neither
            # be changed.
            with suppress(ReplyError):
                periods = ("INFO-PERIOD", 200, "PUBLISH-PERIOD", 200, "ASK-PERIOD", 200, "TILT-PERIOD", 2000)
                self.ask_sentinel(port, "SENTINEL", "DEBUG", *periods)

    def _sentinel(self, port: int) -> Process:
        folder = self.folder / f"sentinel-{port}"
        folder.mkdir(parents=True)
        access = self.access
        options = access.tls(port) if access else {"port": str(port)}
        lines = [*(f"{name} {value}" for name, value in options.items()), "bind 127.0.0.1", f"dir {folder}"]
        if access:
            lines += ["sentinel resolve-hostnames yes", "sentinel announce-hostnames yes"]
            lines += [f"requirepass {access.sentinel_password}", f"sentinel announce-ip {access.host}"]
        lines += [
            f"sentinel monitor {MASTER} {self.host} {self.ports[0]} 2",
            f"sentinel down-after-milliseconds {MASTER} {self._down_after_ms}",
            f"sentinel failover-timeout {MASTER} 6000", f"sentinel parallel-syncs {MASTER} 1",
        ]  # fmt: skip
        if access:
            name, password = access.watcher
            lines += [f"sentinel auth-user {MASTER} {name}", f"sentinel auth-pass {MASTER} {password}"]
        (folder / "sentinel.conf").write_text("\n".join(lines) + "\n", encoding="utf-8")
        command = [str(find_program()), str(folder / "sentinel.conf"), "--sentinel"]
        return Process(name="sentinel", command=command, log=folder / "log")

    def _knows_all(self, port: int) -> bool:
        told = self.ask_sentinel(port, "SENTINEL", "MASTER", MASTER)
        facts = dict(zip(told[::2], told[1::2], strict=True))
        return (int(facts[b"num-slaves"]), int(facts[b"num-other-sentinels"])) == (1, 2)

    def master(self, sentinel: int = 0) -> int:
        """The port of the master as a sentinel says."""
        return int(self.ask_sentinel(self.sentinel_ports[sentinel], "SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER)[1])

    def fail_over(self) -> float:
        """Lets the sentinels promote the replica while the master runs; how long it took, in seconds."""
        old = self.master()
        new = next(port for port in self.ports if port != old)
        took = wait_for("the replica is master", lambda: self._promoted(new), seconds=180.0)
        wait_for("the old master follows", lambda: self._promoted(new) and self._follows(old), seconds=180.0)
        return took

    def _promoted(self, port: int) -> bool:
        """Whether all sentinels name this server. If the first one does not, it is asked to promote it.

        It may have to be asked again. It answers OK and then finds no good replica, because its facts are old. And a
        server that a busy machine stops for `down_after_ms` loses its place to the other one.
        """
        named = [self.master(n) for n in range(3)]
        if named[0] != port:
            self.ask_sentinel(self.sentinel_ports[0], "SENTINEL", "FAILOVER", MASTER)
        return named == [port] * 3

    def _follows(self, port: int) -> bool:
        return self.fact(port, "master_link_status") == "up"

    def ask_sentinel(self, port: int, *command: str | int) -> Any:
        """The reply of one of the sentinels. Raises hiredis' ReplyError and OSError."""
        return ask(port, *command, access=self.access, sentinel=True)


class Cluster(_Together):
    """A Redis Cluster of `masters` masters with one replica each. `public` are the ports that `url` names.

    With `hosts`, each node is on a host of its own network: first the masters', then the replicas'.
    """

    def __init__(
        self,
        folder: Path,
        *,
        masters: int = 3,
        node_timeout_ms: int = 3000,
        public: Sequence[int] = (),
        access: RedisAccess | None = None,
        hosts: Sequence[Host] = (),
    ) -> None:
        super().__init__(folder, access)
        self._masters = masters
        self._node_timeout_ms = node_timeout_ms
        self.ports = [*public, *(free_port() for _ in range(2 * masters - len(public)))]
        self.servers: dict[int, RedisServer] = {}
        self.hosts = dict(zip(self.ports, hosts, strict=False))

    @property
    def url(self) -> str:
        """The address for REDIS_URL. Names three nodes."""
        return self._url("cluster", self.ports[:3])

    def _start(self) -> None:
        # Redis 6.2 takes the port of the nodes among themselves from its own.
        chooses = not re.search(r" v=6\.", subprocess.check_output([find_program(), "--version"], text=True))
        buses = {port: free_port() if chooses else port + 10_000 for port in self.ports}
        for port, bus in buses.items():
            extra = [
                "--cluster-enabled", "yes", "--cluster-node-timeout", str(self._node_timeout_ms),
                "--cluster-require-full-coverage", "no", "--repl-diskless-sync-delay", "0",
            ]  # fmt: skip
            if chooses:
                extra += ["--cluster-port", str(bus)]
            if self.hosts:
                extra += ["--bind", "0.0.0.0", "--protected-mode", "no"]  # noqa: S104 - only our hosts are there
            if self.access:
                extra += ["--tls-cluster", "yes", "--cluster-announce-hostname", self.host]
                extra += ["--cluster-preferred-endpoint-type", "hostname"]
            with self.hosts[port].inside() if self.hosts else nullcontext():
                self.servers[port] = self._server(f"node-{port}", port, extra)
        for n, port in enumerate(self.ports):
            self.ask(port, "CLUSTER", "SET-CONFIG-EPOCH", n + 1)
        for n, port in enumerate(self.ports[: self._masters]):
            first, last = n * SLOTS // self._masters, (n + 1) * SLOTS // self._masters - 1
            self.ask(port, "CLUSTER", "ADDSLOTS", *range(first, last + 1))
        for port in self.ports[1:]:
            self.ask(self.ports[0], "CLUSTER", "MEET", self.address_of(port), port, buses[port])
        wait_for("the nodes know each other", lambda: all(self._known(port) == len(self.ports) for port in self.ports))
        for master, replica in zip(self.ports, self.ports[self._masters :], strict=False):
            id_ = self.ask(master, "CLUSTER", "MYID").decode()
            wait_for("a replica", lambda at=replica, of=id_: self.ask(at, "CLUSTER", "REPLICATE", of) == b"OK")  # type: ignore[misc]
        wait_for("the replicas follow", lambda: all(map(self._follows, self.ports[self._masters :])))
        wait_for("the cluster works", lambda: all(map(self.is_whole, self.ports)))

    def _known(self, port: int) -> int:
        return len(self.ask(port, "CLUSTER", "NODES").decode().strip().splitlines())

    def _follows(self, port: int) -> bool:
        return self.fact(port, "master_link_status") == "up"

    def is_whole(self, port: int) -> bool:
        """Whether this node knows a master and a replica for every slot."""
        ranges = self.ask(port, "CLUSTER", "SLOTS")
        count = sum(last - first + 1 for first, last, _, *replicas in ranges if replicas)
        return count == SLOTS and b"cluster_state:ok" in self.ask(port, "CLUSTER", "INFO")

    def master_of(self, key: str) -> int:
        """The port of the node that has a key, as a node that answers says."""
        for port in self.ports:
            try:
                slot = self.ask(port, "CLUSTER", "KEYSLOT", key)
                for first, last, master, *_ in self.ask(port, "CLUSTER", "SLOTS"):
                    if first <= slot <= last:
                        return int(master[1])
            except (OSError, ReplyError):
                continue
        raise ServerNotReady(f"no node says where {key} is")

    def replica_of(self, master: int) -> int:
        """The port of a replica of this master."""
        for _, _, at, *replicas in self.ask(master, "CLUSTER", "SLOTS"):
            if int(at[1]) == master and replicas:
                return int(replicas[0][1])
        raise ServerNotReady(f"the node {master} has no replica")

    def promote(self, replica: int, *, instead_of: int) -> None:
        """Lets a replica take the slots of its dead master at once, and waits until all nodes know."""
        self.ask(replica, "CLUSTER", "FAILOVER", "TAKEOVER")
        wait_for("all know the new master", lambda: all(self._has_moved(port, instead_of) for port in self.ports))

    def _has_moved(self, port: int, dead: int) -> bool:
        return port == dead or dead not in {int(master[1]) for _, _, master, *_ in self.ask(port, "CLUSTER", "SLOTS")}
