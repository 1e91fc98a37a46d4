"""Child programs: start them, wait for them, and end them by their process id. Does not need Django."""

import atexit
import fcntl
import http.client
import os
import pwd
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit
from weakref import WeakSet


class ServerNotReady(RuntimeError):
    """A program did not start or answer in time. The text has the end of its log."""


# Below the ports of outgoing connections (Linux: from 32,768), because those could take a port before its server does.
PORTS = range(15_000, 32_000)
# File descriptors of this process's newest claims. The system ends a claim with the process.
CLAIMS_MAX = 200
_claims: deque[int] = deque()


def free_port() -> int:
    """A loopback port that no program uses and that no other process got from this function.

    A port that is only free at the moment is not enough: two processes could get the same one, and servers that share
    ports (SO_REUSEPORT) would answer in each other's place. Raises ServerNotReady when all ports are taken.
    """
    folder = Path(tempfile.gettempdir()) / f"flashsale-ports-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    for port in random.sample(PORTS, len(PORTS)):
        claim = os.open(folder / str(port), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:  # claimed, or in use
            os.close(claim)
            continue
        _claims.append(claim)
        if len(_claims) > CLAIMS_MAX:
            os.close(_claims.popleft())
        return port
    raise ServerNotReady(f"No port between {PORTS.start} and {PORTS.stop - 1} is free.")


def keep_ports_over_exec() -> None:
    """Lets the ports of `free_port` stay claimed when this process replaces itself by another program."""
    for claim in _claims:
        os.set_inheritable(claim, True)


# All that were started. What still runs when this process ends is killed, whatever has ended it.
_started: "WeakSet[Process]" = WeakSet()


@atexit.register
def _kill_the_rest() -> None:
    for process in _started:
        process.kill()


def end_in_order_on_signals() -> None:
    """Lets SIGTERM and SIGHUP end this process as Ctrl-C does, so that it ends its children and deletes its files.

    Call it in the main thread before the first child starts.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)


def _end(number: int, _: object) -> None:
    # A second signal must not break off the work of the first one.
    for other in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(other, signal.SIG_IGN)
    sys.exit(128 + number)


class Process:
    """One child program, whose output goes to the file `log`. Usable as a context manager.

    The child leads a process group. Its workers therefore end with it, and Ctrl-C in the terminal reaches only our
    process, which then ends the children in order. `user` is the id of the system user to run as; `stop_signal` is
    the signal that asks this program to end.
    """

    def __init__(
        self,
        *,
        name: str,
        command: Sequence[str],
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        user: int | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
    ) -> None:
        self.name = name
        self.log = log
        self._command = list(command)
        self._env = {**os.environ, **(env or {})}
        self._cwd = cwd
        self._user = user
        self._stop_signal = stop_signal
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The child's process id."""
        if self._child is None:
            raise RuntimeError(f"{self.name} was not started")
        return self._child.pid

    @property
    def running(self) -> bool:
        """Whether the child was started and has not ended."""
        return self._child is not None and self._child.poll() is None

    @property
    def exit_code(self) -> int | None:
        """The child's exit code; None while it runs."""
        return None if self._child is None else self._child.poll()

    def start(self) -> Self:
        """Starts the child. Raises OSError when the program cannot be run."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        _started.add(self)
        with self.log.open("ab") as log:
            self._child = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._env,
                cwd=self._cwd,
                user=self._user,
                group=None if self._user is None else pwd.getpwuid(self._user).pw_gid,
                extra_groups=None if self._user is None else [],
                start_new_session=True,
            )
        return self

    def wait(self, *, seconds: float) -> int:
        """Waits until the child ends; returns its exit code. After `seconds`, kills it and raises ServerNotReady."""
        if self._child is None:
            raise RuntimeError(f"{self.name} was not started")
        try:
            return self._child.wait(timeout=seconds)
        except subprocess.TimeoutExpired as error:
            self.kill()
            raise ServerNotReady(f"{self.name} did not end within {seconds:g} s.\n{self.last_log_lines()}") from error

    def stop(self, *, seconds: float = 30.0) -> int | None:
        """Asks the child to end; after `seconds`, kills it and all its workers. Returns its exit code."""
        if self._child is None:
            return None
        if self.running:
            self._child.send_signal(self._stop_signal)
        with suppress(subprocess.TimeoutExpired):
            self._child.wait(timeout=seconds)
        self.kill()
        return self._child.returncode

    def kill(self) -> None:
        """Ends the child and all its workers at once (SIGKILL)."""
        if self._child is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(self._child.pid, signal.SIGKILL)
        self._child.wait()

    def last_log_lines(self, *, lines: int = 15) -> str:
        """The last lines of the child's output."""
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()


def wait_http(url: str, *, process: Process | None = None, seconds: float = 120.0, below: int = 500) -> int:
    """Waits until `url` answers with a status below `below`, and returns that status.

    Raises ServerNotReady when the time is over, or as soon as `process`, the server of this URL, has ended.
    """
    deadline = time.monotonic() + seconds
    status = 0
    while time.monotonic() < deadline and (process is None or process.running):
        status = _status(url)
        if 0 < status < below:
            return status
        time.sleep(0.05)
    problem = f"answered {status}" if status else "did not answer"
    log_end = f" The end of the log of {process.name}:\n{process.last_log_lines()}" if process else ""
    raise ServerNotReady(f"{url} {problem} within {seconds:g} s.{log_end}")


def _status(url: str) -> int:
    """The HTTP status of one GET; 0 when no answer comes. Does not follow redirects: a redirect counts as an answer."""
    parts = urlsplit(url)
    link = http.client.HTTPConnection(parts.hostname or "127.0.0.1", parts.port or 80, timeout=10.0)
    try:
        link.request("GET", (parts.path or "/") + (f"?{parts.query}" if parts.query else ""))
        return link.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        link.close()
