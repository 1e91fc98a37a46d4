"""A PostgreSQL with a synchronous standby on loopback, which can take the other's place again and again."""

import itertools
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from simulation.postgres_server import PostgresServer
from simulation.processes import ServerNotReady, free_port

FOLLOWS_S = 180.0


class PostgresPair:
    """A primary and its standby. Each commit waits until the standby has it on its disk.

    After a fail-over the servers have changed places, so that a further round can begin. Usable as a context manager.
    `ports` are those of the two servers.
    """

    def __init__(self, folder: Path, *, durable: bool = True, ports: Sequence[int] = ()) -> None:
        self.folder = folder
        self.durable = durable
        self._numbers = itertools.count(1)
        self._port, self._other_port = ports or (free_port(), free_port())
        self.primary = self._server(port=self._port)
        self.standby = self.primary

    def _server(self, *, port: int, copy_of: PostgresServer | None = None) -> PostgresServer:
        number = next(self._numbers)
        return PostgresServer(
            folder=self.folder / f"server-{number}", port=port, durable=self.durable, copy_of=copy_of,
            name=f"server_{number}",
        )  # fmt: skip

    def url_of(self, *servers: PostgresServer) -> str:
        """The address with these hosts, in this order."""
        return self.url_of_ports(*(one.port for one in servers))

    @staticmethod
    def url_of_ports(*ports: int) -> str:
        """The address with the servers at these ports, in this order."""
        return f"postgres://flashsale@{','.join(f'127.0.0.1:{port}' for port in ports)}/postgres"

    @property
    def url(self) -> str:
        """The address with both hosts, for DATABASE_URL."""
        return self.url_of(self.primary, self.standby)

    def __enter__(self) -> Self:
        self.primary.start()
        self.standby = self._server(copy_of=self.primary, port=self._other_port).start()
        self.commits_wait()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        # In this order: a primary without its standby would wait with its last commits.
        self.primary.kill()
        self.standby.kill()

    def commits_wait(self) -> None:
        """Commits of the primary wait for the standby from now on. Returns when the standby follows."""
        # The standby copied this setting with all others, so it is set anew.
        self.primary.execute("ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()")
        self._wait_for([("sync",)], "The standby does not follow its primary.")

    def lose_standby(self) -> None:
        """Kills the standby. Commits of the primary wait from now on."""
        self.standby.kill()
        self._wait_for([], "The standby still follows its primary.")

    def regain_standby(self) -> None:
        """Starts the standby again. Returns when it follows."""
        self.standby.start()
        self._wait_for([("sync",)], "The standby does not follow its primary.")

    def _wait_for(self, states: list[tuple[str]], problem: str) -> None:
        deadline = time.monotonic() + FOLLOWS_S
        while self.primary.execute("SELECT sync_state FROM pg_stat_replication") != states:
            if time.monotonic() > deadline:
                raise ServerNotReady(problem)
            time.sleep(0.02)

    def fail_over(self) -> None:
        """Promotes the standby, whose primary is gone. It is the primary now, and has no standby yet."""
        self.standby.execute("ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_reload_conf()")
        self.standby.promote()
        self.primary, self.standby = self.standby, self.primary

    def repair(self) -> None:
        """Copies the primary to the other server's port, as its new standby. Commits wait for it."""
        self.standby.kill()
        shutil.rmtree(self.standby.folder, ignore_errors=True)
        self.standby = self._server(copy_of=self.primary, port=self.standby.port).start()
        self.commits_wait()
