"""An installation on three hosts behind nginx: two with a door, a web and a worker, one with Redis and PostgreSQL.

Each process has the options of docker-compose.yml. This process is outside, with the clients and nginx.
"""

import sys
import time
from collections.abc import Mapping
from pathlib import Path

from simulation.postgres_server import PostgresServer
from simulation.processes import Process, wait_http
from simulation.redis_server import RedisServer
from simulation.scale.hosts import Cable, Host

OUTSIDE, STORES, DOORS = 1, 20, (11, 12)
DOOR_PORT, WEB_PORT, REDIS_PORT, POSTGRES_PORT = 8000, 8001, 6379, 5432
COMMON = ("--workers=1", "--http=1", "--no-ws", "--respawn-failed-workers", "--workers-kill-timeout=15")
DOOR = ("--interface=asgi", "--loop=uvloop", "--backlog=4096", "--backpressure=2048", "config.asgi:application")
WEB = ("--interface=wsgi", "--blocking-threads=4", "--backlog=1024", "config.wsgi:application")
WORKER = ("worker", "--concurrency=1", "--without-gossip", "--without-mingle")
# What the container engine waits for after SIGTERM (stop_grace_period in docker-compose.yml), in seconds.
GRACE_S = {"door": 20.0, "web": 20.0, "worker": 45.0, "beat": 10.0}
READY_S = 120.0
# In the namespace of the stores, where only our hosts are.
EVERYWHERE = "0.0.0.0"  # noqa: S104
# The demo's provider does not start where other machines reach the site. These buyers pay at a partner, so no provider
# is asked.
PROVIDER = {
    "FLASHSALE_PAYMENT_PROVIDER": "flashsale.providers.payments.midtrans.Midtrans",
    "FLASHSALE_PAYMENT_KEYS": "midtrans:Mid-server-none", "FLASHSALE_PAYMENT_HOSTS": "midtrans:sandbox",
}  # fmt: skip


def environment(folder: Path) -> dict[str, str]:
    """The settings by which this process and all others find the stores."""
    return {
        "DATABASE_URL": f"postgres://flashsale@{Cable.INNER.address(STORES)}:{POSTGRES_PORT}/postgres",
        "REDIS_URL": f"redis://{Cable.INNER.address(STORES)}:{REDIS_PORT}/0",
        "FLASHSALE_VAR": str(folder / "var"), "DJANGO_SETTINGS_MODULE": "config.settings",
    }  # fmt: skip


class Site:
    """The hosts and their processes, by name: redis, postgres; door-N, web-N, worker-N and beat-N of each host N.

    `settings` say where the stores are.
    """

    def __init__(self, folder: Path, code: Path, settings: Mapping[str, str]) -> None:
        self.folder, self.code, self.settings = folder, code, settings
        self.stores = Host(STORES)
        self.hosts = [Host(number) for number in DOORS]
        self.redis = RedisServer(
            folder=folder / "redis", port=REDIS_PORT, extra=("--bind", EVERYWHERE, "--protected-mode", "no")
        )
        self.postgres = PostgresServer(folder=folder / "postgres", port=POSTGRES_PORT, host=EVERYWHERE)
        self.processes: dict[str, Process] = {}

    @property
    def names(self) -> list[str]:
        """The names of all processes of the product."""
        return [f"{kind}-{host.number}" for host in self.hosts for kind in ("door", "web", "worker", "beat")]

    @property
    def fronts(self) -> list[str]:
        """The names of the processes that answer clients."""
        return [name for name in self.names if name.startswith(("door", "web"))]

    def url(self, host: Host) -> str:
        """The address of a host's door on the public network, past nginx."""
        return f"http://{Cable.PUBLIC.address(host.number)}:{DOOR_PORT}"

    def start_store(self, name: str) -> None:
        """Starts Redis or PostgreSQL, with the data of the time before."""
        with self.stores.inside():
            (self.redis if name == "redis" else self.postgres).start(seconds=READY_S)

    def start(self, name: str, *, code: Path | None = None, env: Mapping[str, str] | None = None) -> None:
        """Starts a process of the product, perhaps of another release or with another clock. Does not wait for it."""
        kind, _, number = name.partition("-")
        port, server = (DOOR_PORT, DOOR) if kind == "door" else (WEB_PORT, WEB)
        command = [sys.executable, "-m", "granian", "--host=0.0.0.0", f"--port={port}", *COMMON, *server]
        if kind in {"worker", "beat"}:
            options = WORKER if kind == "worker" else ("beat", f"--schedule={self.folder}/{name}.schedule")
            command = [sys.executable, "-m", "celery", "--app=config.celery", *options, f"--hostname={name}@%h"]
        where = code or self.code
        settings = {
            **self.settings,
            **PROVIDER, "FLASHSALE_DEMO": "0", "FLASHSALE_HASHED_STATIC": "0", "FLASHSALE_DB_POOL": "4",
            "FLASHSALE_DB_IDLE_S": "10",
            "FLASHSALE_HOSTS": ",".join(["127.0.0.1", *map(Cable.PUBLIC.address, DOORS)]),
            "FLASHSALE_TRUSTED_PROXIES": Cable.PUBLIC.address(OUTSIDE), "PYTHONPATH": str(where),
        }  # fmt: skip
        process = Process(
            name=name, command=command, log=self.folder / f"{name}.log", env={**settings, **(env or {})}, cwd=where
        )
        with next(host for host in self.hosts if host.number == int(number)).inside():
            self.processes[name] = process.start()

    def wait(self, *names: str) -> None:
        """Waits until these doors and webs can work."""
        for name in names:
            kind, _, number = name.partition("-")
            address, port = Cable.PUBLIC.address(int(number)), DOOR_PORT if kind == "door" else WEB_PORT
            wait_http(f"http://{address}:{port}/readyz", process=self.processes[name], seconds=READY_S)

    def stop(self, name: str) -> tuple[float, int | None]:
        """Sends SIGTERM. Returns how long the process took, in seconds, and its exit code."""
        began = time.monotonic()
        code = self.processes[name].stop(seconds=GRACE_S[name.partition("-")[0]])
        return time.monotonic() - began, code

    def kill_all(self, host: Host) -> list[str]:
        """Kills all processes of a host. Returns their names."""
        names = [name for name in self.processes if name.endswith(f"-{host.number}")]
        for name in names:
            self.processes[name].kill()
        return names

    def end(self) -> None:
        """Kills everything."""
        for process in self.processes.values():
            process.kill()
        self.redis.kill()
        self.postgres.kill()
