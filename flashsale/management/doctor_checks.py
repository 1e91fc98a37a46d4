"""What this machine has and what it should have, each with the command that puts it right."""

import shutil
import socket
import sqlite3
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor

from flashsale.gate import bridge
from flashsale.gate.client import GateDown, gate, wall_ms

FREE_MB = 500
# Closer than anybody notices, and than clocks kept by NTP ever are apart.
APART_MS = 500
PYTHON = (3, 11)
SQLITE = (3, 35)


@dataclass(frozen=True, slots=True)
class Check:
    """One look: whether it is well, what was found, what was expected, what helps."""

    what: str
    well: bool
    found: str
    expected: str
    fix: str = ""


def look() -> list[Check]:
    """Everything that can be wrong before a sale even starts."""
    return [probe() for probe in _PROBES]


def _python() -> Check:
    found = ".".join(map(str, sys.version_info[:3]))
    return Check(
        "Python", sys.version_info[:2] >= PYTHON, found, "3.11 or newer", "make run PYTHON=/path/to/python3.11"
    )


def _packages() -> Check:
    pinned = _pinned(Path(settings.BASE_DIR) / "requirements.txt")
    wrong = []
    for name, version in pinned.items():
        try:
            found = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue  # not for this platform, or the next look says so
        if found != version:
            wrong.append(f"{name} {found}")
    missing = [name for name in ("django", "granian", "celery", "redis") if not _is_installed(name)]
    faults = ", ".join([*(f"{name} missing" for name in missing), *wrong])
    return Check("packages", not faults, faults or f"{len(pinned)} as locked", "as locked", "make run")


def _pinned(path: Path) -> dict[str, str]:
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    pairs = (line.split(" ")[0].partition("==") for line in lines if "==" in line and not line.startswith((" ", "#")))
    return {name.partition("[")[0]: version for name, _, version in pairs}


def _is_installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def _gate() -> Check:
    expected, fix = f"an answer at {_plain(settings.REDIS_URL)}", "make run   (or set REDIS_URL)"
    try:
        run_id = bridge.run(_run_id())
    except GateDown:
        return Check("gate", False, "no answer", expected, fix)
    return Check("gate", True, f"answers (run {run_id[:8]})", expected)


async def _run_id() -> str:
    return await gate().run_id()


def _plain(url: str) -> str:
    """An address without its password."""
    head, _, tail = url.rpartition("@")
    return f"{head.partition('://')[0]}://…@{tail}" if head else url


def _books() -> Check:
    expected, fix = "tables up to date", "python manage.py migrate"
    try:
        executor = MigrationExecutor(connection)
        behind = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except (DatabaseError, ImproperlyConfigured) as error:
        return Check("books", False, f"no answer: {type(error).__name__}", expected, "set DATABASE_URL")
    found = f"{len(behind)} migrations behind" if behind else f"up to date, {connection.vendor}"
    return Check("books", not behind, found, expected, fix)


def _clocks() -> Check:
    """Sales go by the gate's clock; pages, notices and admins' times by those of the machines they are made on."""
    asks = {"gate": _gate_ms} | ({"books": _books_ms} if connection.vendor == "postgresql" else {})
    apart, silent = {}, []
    for name, ask in asks.items():
        try:
            apart[name] = _apart_ms(ask)
        except (GateDown, DatabaseError):
            silent.append(name)
    found = [f"{name} {ms:+,d} ms" for name, ms in apart.items()] + [f"{name} no answer" for name in silent]
    off = any(abs(ms) > APART_MS for ms in apart.values())
    return Check(
        "clocks", not off and not silent, ", ".join(found), f"within {APART_MS} ms of this machine's",
        "chronyc makestep   (where it is off; or timedatectl set-ntp true)" if off else "bring back what is silent",
    )  # fmt: skip


def _apart_ms(ask: Callable[[], int]) -> int:
    """How far that clock is ahead of ours, to half of the time that the answer takes."""
    ask()  # who connects first takes longer
    before = time.time()
    there = ask()
    return round(there - (before + time.time()) / 2 * 1000)


def _gate_ms() -> int:
    return bridge.run(wall_ms())


def _books_ms() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT extract(epoch FROM clock_timestamp()) * 1000")
        return int(cursor.fetchone()[0])


def _sqlite() -> Check:
    found = sqlite3.sqlite_version
    well = tuple(map(int, found.split(".")[:2])) >= SQLITE
    return Check("SQLite", well or connection.vendor != "sqlite", found, "3.35 or newer", "set DATABASE_URL")


def _disk() -> Check:
    free = shutil.disk_usage(settings.VAR_DIR).free // 2**20
    return Check("disk", free >= FREE_MB, f"{free:,} MB free", f"{FREE_MB} MB", f"make room in {settings.VAR_DIR}")


def _private() -> Check:
    path = Path(settings.VAR_DIR) / "secrets.env"
    if not path.exists():
        return Check("secrets", True, "in the environment", "private")
    mode = path.stat().st_mode & 0o777
    return Check("secrets", not mode & 0o077, f"mode {mode:04o}", "mode 0600", f"chmod 600 {path}")


def _loopback() -> Check:
    """Loopback is where everything of a demo speaks."""
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", 0))
        except OSError as error:
            return Check("loopback", False, str(error), "127.0.0.1 can be bound", "ip link set lo up")
    return Check("loopback", True, "127.0.0.1", "127.0.0.1 can be bound")


_PROBES: tuple[Callable[[], Check], ...] = (
    _python, _packages, _loopback, _disk, _private, _sqlite, _books, _gate, _clocks,
)  # fmt: skip
