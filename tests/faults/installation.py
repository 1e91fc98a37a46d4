"""The processes of an installation, for tests that kill them: doors, a worker, the stores, and a payment gateway."""

import json
import random
import sys
import time
import urllib.request
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from simulation.postgres_server import PostgresServer
from simulation.processes import Process, free_port, wait_http
from simulation.redis_server import RedisServer
from tests import servers
from tests.faults.gateway_account import GatewayAccount

ROOT = Path(__file__).parents[2]
KINDS = ("a door", "the worker", "Redis", "PostgreSQL")
WAIT_S, POINT_S = 120.0, 4.0


def door(port: int, folder: Path, env: Mapping[str, str]) -> Process:
    """A door that dies where `will` says."""
    options = ("--interface", "asgi", "--loop", "uvloop", "--no-ws", "--http", "1", "--no-access-log")
    where = ("--host", "127.0.0.1", "--port", str(port), "--workers", "1", "tests.faults.dying_door:application")
    dies = {"FLASHSALE_TEST_DIES": str(will(folder))}
    return _python(f"door-{port}", "-m", "granian", *options, *where, folder=folder, env={**env, **dies})


def will(folder: Path) -> Path:
    """The file with the name of the crash point at which a door must die."""
    return folder / "will"


def workers(process: Process) -> list[int]:
    """The children of a process that have not ended."""
    found = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="utf-8").split()
    states = {
        int(pid): Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] for pid in found
    }
    return [pid for pid, state in states.items() if state != "Z"]


def _python(name: str, *arguments: str, folder: Path, env: Mapping[str, str]) -> Process:
    command, log = [sys.executable, *arguments], folder / f"{name}.log"
    settings = {"DJANGO_SETTINGS_MODULE": "config.settings"}
    return Process(name=name, command=command, log=log, env={**settings, **env}, cwd=ROOT)


def slowness() -> float:
    """How many times longer than alone a process takes for its work now: 1 on a machine that does nothing else."""
    wall, cpu = time.perf_counter(), time.thread_time()
    while time.thread_time() < cpu + 0.2:
        pass
    return (time.perf_counter() - wall) / (time.thread_time() - cpu)


class Installation:
    """Two doors, a worker with its beat, the stores, and the gateway. Each can be killed and started again."""

    def __init__(self, books: PostgresServer, gate: RedisServer, folder: Path, seed: int) -> None:
        self.books, self.gate, self.ledger = books, gate, folder / "ledger.ndjson"
        self.ledger.touch()
        self.chance = random.Random(seed)
        ports = [free_port(), free_port()]
        self.addresses = [f"http://127.0.0.1:{port}" for port in ports]
        port = free_port()
        self.gateway_url = f"http://127.0.0.1:{port}"
        self.env = {
            "DATABASE_URL": servers.books_url(), "REDIS_URL": gate.url, "FLASHSALE_TEST_GATEWAY": self.gateway_url,
            "FLASHSALE_PAYMENT_PROVIDER": "tests.faults.gateway_account.GatewayAccount",
        }  # fmt: skip
        where = [f"{address}/v1/payments/{GatewayAccount.account}" for address in self.addresses]
        self.gateway = self._python(
            "gateway", "tests/faults/gateway.py", str(port), str(self.ledger), str(seed), *where
        )
        self.doors = [door(port, folder, self.env) for port in ports]
        options = ("--pool", "solo", "--beat", "--without-gossip", "--without-mingle", "--loglevel", "WARNING")
        self.worker = self._python("worker", "-m", "celery", "--app", "config.celery", "worker", *options)

    def _python(self, name: str, *arguments: str) -> Process:
        return _python(name, *arguments, folder=self.ledger.parent, env=self.env)

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for process in (self.gateway, *self.doors, self.worker):
                stack.enter_context(process)
            for address, door in zip(self.addresses, self.doors, strict=True):
                wait_http(f"{address}/livez", process=door)
            wait_http(f"{self.gateway_url}/running", process=self.gateway)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def kill(self, what: str) -> None:
        """Kills one process (SIGKILL) while the gateway works on payments, and starts it again.

        `what` is one of KINDS, or the name of a crash point: then a door dies there, if one comes to it.
        """
        until = time.monotonic() + WAIT_S
        while not self.running() and time.monotonic() < until:
            time.sleep(0.01)
        victim: Process | RedisServer | PostgresServer | None
        if what in KINDS:
            running = (self.chance.choice(self.doors), self.worker, self.gate, self.books)
            found: dict[str, Process | RedisServer | PostgresServer] = dict(zip(KINDS, running, strict=True))
            victim = found[what]
        else:
            victim = self._dead_at(what)
        if victim is not None:
            victim.kill()
            time.sleep(self.chance.uniform(0.0, 0.5))
            victim.start()

    def _dead_at(self, point: str) -> Process | None:
        """The door that dies at a crash point; None if none comes to it in time."""
        will(self.ledger.parent).write_text(point, encoding="utf-8")
        until = time.monotonic() + POINT_S
        while will(self.ledger.parent).exists() and time.monotonic() < until:
            time.sleep(0.05)
        will(self.ledger.parent).unlink(missing_ok=True)
        while time.monotonic() < until + POINT_S:
            if dead := [door for door in self.doors if not door.running or not workers(door)]:
                return dead[0]
            time.sleep(0.05)
        return None

    def running(self) -> int:
        """How many calls the gateway works on now."""
        with urllib.request.urlopen(f"{self.gateway_url}/running") as answer:  # noqa: S310 - an address of ours
            return int(answer.read())

    def pays_in_the_app(self, reference: str) -> None:
        """A buyer pays what is open in the app of their bank."""
        body = json.dumps({"reference": reference}).encode()
        headers = {"Content-Type": "application/json"}
        urllib.request.urlopen(urllib.request.Request(f"{self.gateway_url}/pay", body, headers)).close()  # noqa: S310

    def moved(self) -> list[dict[str, Any]]:
        """What the gateway's ledger says."""
        return [json.loads(line) for line in self.ledger.read_text(encoding="utf-8").splitlines()]
