"""For commands that measure or simulate: servers and a data folder of their own, gone at the end."""

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
from simulation.processes import free_port
from simulation.redis_server import RedisServer

# Set for the process whose settings name servers of its own: the folder that everything lives in.
INSIDE = "FLASHSALE_ALONE"
POSTGRES_PORT = "FLASHSALE_ALONE_POSTGRES"
# A Redis, broker or mailbox that somebody uses is none of our business.
DROPPED_SETTINGS = ("REDIS_URL", "BROKER_URL", "LIMITS_URL", "EMAIL_URL")


@dataclass(frozen=True, slots=True)
class IsolatedServers:
    """The servers behind the settings; `postgres` is None where DATABASE_URL named one, or the books are SQLite."""

    redis: RedisServer
    postgres: PostgresServer | None


def restart_isolated(*, postgres: bool) -> None:
    """Begin again as the same process with settings that name our own servers: they are read once, at the start.

    Without `postgres` the books are SQLite; with it, our own server unless DATABASE_URL names an empty database.
    """
    if INSIDE in os.environ:
        return
    folder = Path(tempfile.mkdtemp(prefix="flashsale-"))
    folder.chmod(0o711)  # PostgreSQL may run as another user, who has to pass
    environment = {name: value for name, value in os.environ.items() if name not in DROPPED_SETTINGS}
    environment |= {INSIDE: str(folder), "FLASHSALE_DEMO": "1", "FLASHSALE_VAR": str(folder / "var")}
    environment["REDIS_URL"] = _redis(folder).url
    if not postgres:
        environment.pop("DATABASE_URL", None)
    elif "DATABASE_URL" not in environment:
        server = PostgresServer(folder=folder, port=free_port())
        environment |= {"DATABASE_URL": server.url, POSTGRES_PORT: str(server.port)}
    os.execve(sys.executable, [sys.executable, *sys.argv], environment)  # noqa: S606 - ourselves


def _redis(folder: Path) -> RedisServer:
    """On a Unix socket, as in `make run`: a loopback connection would cost more than many a decision."""
    return RedisServer(folder=folder / "redis", unix_socket=folder / "redis.sock")


@contextmanager
def start_isolated_servers() -> Iterator[IsolatedServers]:
    """The servers that :func:`step_inside` named, with empty books; ended and erased afterwards. Raises NotReady."""
    folder = Path(os.environ[INSIDE])
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
