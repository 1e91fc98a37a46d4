"""Starts a real PgBouncer in transaction mode in front of a PostgreSQL, for tests. Does not need Django."""

import os
import pwd
import shutil
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import psycopg

from simulation.postgres_server import unprivileged_user
from simulation.processes import Process, ServerNotReady

# What docs/operate.md (PgBouncer) says.
SETTINGS = {
    "pool_mode": "transaction",
    "max_client_conn": "200",
    "default_pool_size": "20",
    "tcp_keepidle": "10",
    "tcp_keepintvl": "5",
    "tcp_keepcnt": "4",
    "tcp_user_timeout": "30000",
}


def find_program() -> str | None:
    """The path of PgBouncer, or None. Debian has it in a folder that is on the PATH of root only."""
    return shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}{os.pathsep}/usr/sbin")


class PgBouncer:
    """A PgBouncer on a loopback port, which leads to the PostgreSQL of `url`. Its files are in `folder`.

    `settings` are more of its settings, or other ones. Usable as a context manager.
    """

    def __init__(self, *, folder: Path, port: int, url: str, settings: Mapping[str, str] | None = None) -> None:
        self.port = port
        self._to = urlsplit(url)
        self._folder = folder
        self._settings = {**SETTINGS, **(settings or {})}
        user = unprivileged_user() if os.geteuid() == 0 else None
        self._process = Process(
            name="pgbouncer", command=[find_program() or "pgbouncer", str(folder / "pgbouncer.ini")],
            log=folder / "pgbouncer.log", cwd=folder, user=user, stop_signal=signal.SIGINT,
        )  # fmt: skip
        self._user = user

    def url(self, user: str = "flashsale") -> str:
        """The address of the books through this PgBouncer, for a role."""
        return f"postgres://{user}@127.0.0.1:{self.port}/{self._to.path.lstrip('/')}"

    def start(self, *, seconds: float = 30.0) -> Self:
        """Starts PgBouncer and waits until it answers. Raises ServerNotReady."""
        self._folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        values = {
            "listen_addr": "127.0.0.1", "listen_port": str(self.port), "unix_socket_dir": "", "auth_type": "trust",
            "auth_file": str(self._folder / "users"), "auth_user": self._to.username or "flashsale",
            # Also roles that are made later may come.
            "auth_query": "SELECT rolname, '' FROM pg_roles WHERE rolname = $1", **self._settings,
        }  # fmt: skip
        books = f"host={self._to.hostname} port={self._to.port}"
        lines = ["[databases]", f"* = {books}", "[pgbouncer]", *(f"{name} = {value}" for name, value in values.items())]
        (self._folder / "pgbouncer.ini").write_text("\n".join([*lines, ""]), encoding="utf-8")
        (self._folder / "users").write_text(f'"{values["auth_user"]}" ""\n', encoding="utf-8")
        if self._user is not None:
            os.chown(self._folder, self._user, pwd.getpwuid(self._user).pw_gid)
        self._process.start()
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self._process.running:
            try:
                psycopg.connect(self.url(values["auth_user"]), connect_timeout=5).close()
            except psycopg.OperationalError:
                time.sleep(0.05)
            else:
                return self
        self.kill()
        raise ServerNotReady(f"PgBouncer does not answer. The end of its log:\n{self._process.last_log_lines()}")

    def kill(self) -> None:
        """Ends PgBouncer at once (SIGKILL)."""
        self._process.kill()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.stop()
