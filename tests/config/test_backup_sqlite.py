"""The database of a demo (SQLite) is backed up, lost and restored by the same commands."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from config import secrets
from simulation.processes import free_port
from simulation.redis_server import RedisServer
from simulation.run_lock import DemoLock

ROOT = Path(__file__).parents[2]
MAKE = """
import django; django.setup()
from tests.factories import lobby_sale, Shopper
sale = lobby_sale(channels=("lazada",))
Shopper(sale, "ani").enter()
print(sale.code)
"""


@pytest.mark.slow
def test_a_demo_is_backed_up_and_restored(tmp_path: Path) -> None:
    with RedisServer(folder=tmp_path / "redis", port=free_port()) as server:
        dropped = ("DATABASE", "BROKER", "LIMITS")
        env = {
            **{name: value for name, value in os.environ.items() if not name.startswith(dropped)},
            **secrets.generate(), "REDIS_URL": server.url, "FLASHSALE_VAR": str(tmp_path / "var"),
            "FLASHSALE_CODE_SENDER": "email", "DJANGO_SETTINGS_MODULE": "config.settings", "PYTHONPATH": str(ROOT),
        }  # fmt: skip

        def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
            command = [sys.executable, *arguments]
            return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=600, check=False)

        def good(*arguments: str) -> str:
            done = run(*arguments)
            assert done.returncode == 0, done.stdout + done.stderr
            return done.stdout

        books, to = tmp_path / "var/books.sqlite3", str(tmp_path / "backups")
        good("manage.py", "migrate", "--verbosity=0")
        code = good("-c", MAKE).splitlines()[-1]
        good("manage.py", "backup", "--to", to)
        assert "The backup can be restored." in good("manage.py", "restore", "--from", to, "--check")
        assert rows(books, "UPDATE flashsale_sale SET code = 'later'") == []
        refused = run("manage.py", "restore", "--from", to)
        assert (refused.returncode, "has data. --replace" in refused.stderr) == (1, True)
        lock = tmp_path / "var/run.lock"
        with DemoLock(lock):
            refused = run("manage.py", "restore", "--from", to, "--replace")
            process = f"the demo (stop it with: kill {os.getpid()})"
            assert (refused.returncode, process in refused.stderr) == (1, True)
        assert rows(books, "SELECT code FROM flashsale_sale") == [("later",)]
        told = good("manage.py", "restore", "--from", to, "--replace")
        assert f"Paused: {code}." in told
        assert rows(books, "SELECT code, state FROM flashsale_sale") == [(code, "paused")]
        (aside,) = books.parent.glob("books.sqlite3_before_*")
        assert rows(aside, "SELECT code FROM flashsale_sale") == [("later",)]
        assert "promise" in good("manage.py", "audit")


def rows(path: Path, statement: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as link:
        found = link.execute(statement).fetchall()
        link.commit()
    return found
