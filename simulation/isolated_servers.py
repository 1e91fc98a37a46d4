"""Servers and a data folder for one run of a command that measures or simulates. Both are removed at the end."""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from django.core.management import call_command

from simulation.postgres_server import PostgresServer
from simulation.processes import end_in_order_on_signals, free_port
from simulation.redis_server import RedisServer

# The folder of all files of the run; set only in the restarted process, whose settings name the new servers.
RUN_FOLDER = "FLASHSALE_ALONE"
POSTGRES_PORT = "FLASHSALE_ALONE_POSTGRES"
# The run must not use a Redis, broker or mail server that other programs use.
DROPPED_SETTINGS = ("REDIS_URL", "BROKER_URL", "LIMITS_URL", "EMAIL_URL")


@dataclass(frozen=True, slots=True)
class IsolatedServers:
    """The servers of this run. `postgres` is None if DATABASE_URL named a server, or if the database is SQLite."""

    redis: RedisServer
    postgres: PostgresServer | None


def restart_isolated(*, postgres: bool) -> None:
    """Replaces this process by the same command, with settings that name new servers.

    A restart is necessary because settings are read only at the start. Without `postgres` the database is SQLite. With
    it, the run starts a PostgreSQL server, unless DATABASE_URL names an empty database.
    """
    if RUN_FOLDER in os.environ:
        return
    folder = Path(tempfile.mkdtemp(prefix="flashsale-"))
    folder.chmod(0o711)  # PostgreSQL may run as another user, who must be able to enter the folder
    environment = {name: value for name, value in os.environ.items() if name not in DROPPED_SETTINGS}
    environment |= {RUN_FOLDER: str(folder), "FLASHSALE_DEMO": "1", "FLASHSALE_VAR": str(folder / "var")}
    environment["REDIS_URL"] = _redis(folder).url
    if not postgres:
        environment.pop("DATABASE_URL", None)
    elif "DATABASE_URL" not in environment:
        server = PostgresServer(folder=folder, port=free_port())
        environment |= {"DATABASE_URL": server.url, POSTGRES_PORT: str(server.port)}
    os.execve(sys.executable, [sys.executable, *sys.argv], environment)  # noqa: S606 - the same program again


def _redis(folder: Path) -> RedisServer:
    """Uses a Unix socket, as `make run` does, because a TCP connection would cost more than many decisions in Redis."""
    return RedisServer(folder=folder / "redis", unix_socket=folder / "redis.sock")


@contextmanager
def start_isolated_servers() -> Iterator[IsolatedServers]:
    """Starts the servers that :func:`restart_isolated` named, with an empty database.

    Stops them and deletes their files afterwards. Raises ServerNotReady.
    """
    folder = Path(os.environ[RUN_FOLDER])
    end_in_order_on_signals()
    try:
        with ExitStack() as stack:
            redis = stack.enter_context(_redis(folder))
            postgres = None
            if POSTGRES_PORT in os.environ:
                server = PostgresServer(folder=folder / "postgres", port=int(os.environ[POSTGRES_PORT]))
                postgres = stack.enter_context(server)
            call_command("migrate", verbosity=0, interactive=False)
            yield IsolatedServers(redis, postgres)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
