"""PostgreSQL at a name with two addresses, for test_lost_packets.py: one address drops packets, then the other does.

Run as root, in a mount namespace of its own. Prints one JSON object: how long each way stands, in seconds. The name
stands in a file that is mounted over /etc/hosts, and is read by the resolver of the C library.
"""

import itertools
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
from django.conf import settings
from django.db.utils import ConnectionHandler
from psycopg._conninfo_attempts import conninfo_attempts

from config import database
from simulation.postgres_server import PostgresServer
from simulation.scale.hosts import Cable, Host, Networks

NAME, PORT = "books.test", 5432
# With the real values, each way takes half a minute.
QUICK = {"keepalives_idle": 1, "keepalives_interval": 1, "keepalives_count": 2, "tcp_user_timeout": 3000}
STATEMENT_S = 300
numbers = itertools.count(1)
SLEEP = "SELECT pg_sleep(600)"


class Drops:
    """Lets a host lose all packets to host 1, without a word."""

    def __init__(self, host: Host) -> None:
        self.host = host

    def _route(self, verb: str) -> None:
        with self.host.inside():
            subprocess.run(["ip", "route", verb, "blackhole", f"{Cable.INNER.address(1)}/32"], check=True)

    def begin(self) -> None:
        self._route("add")

    def end(self) -> None:
        self._route("delete")


def seconds(work: Callable[[], object]) -> float:
    """How long this takes. It may fail."""
    began = time.monotonic()
    with suppress(Exception):
        work()
    return round(time.monotonic() - began, 1)


def connected(**fields: Any) -> Any:
    """A connection of Django to the name, with a pool and settings of its own."""
    made = database.database_settings(
        f"postgres://flashsale@{NAME}:{PORT}/postgres", pool=2, statement_s=STATEMENT_S, idle_s=10, test_sqlite=None
    )
    made["OPTIONS"] |= fields
    alias = f"books-{next(numbers)}"  # all connections of an alias share a pool
    return ConnectionHandler({"default": {}, alias: made})[alias]


def ask(link: Any, statement: str = "SELECT 1") -> Any:
    with link.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchone()


class Standing:
    """A statement that a thread has sent, whose server is gone then. Waits until PostgreSQL runs it."""

    def __init__(self, link: Any, statement: str = SLEEP) -> None:
        self.took: float | None = None
        link.inc_thread_sharing()

        def work() -> None:
            self.took = seconds(lambda: ask(link, statement))

        self.thread = threading.Thread(target=work, daemon=True)
        self.thread.start()


def sleeping(url: str, number: int) -> None:
    with psycopg.connect(url, autocommit=True) as link:
        count = "SELECT count(*) FROM pg_stat_activity WHERE query = %s"
        while link.execute(count, [SLEEP]).fetchone() != (number,):
            time.sleep(0.05)


def main(folder: Path, *, quick: bool) -> None:
    """Runs all of it."""
    found: dict[str, Any] = {}
    fast = QUICK if quick else {}
    with Networks():
        dead, alive = Host(2), Host(3)
        with alive.inside():
            server = PostgresServer(
                folder=folder / "postgres", port=PORT, durable=False, host=Cable.INNER.address(alive.number)
            ).start()
        try:
            first = Drops(dead)
            first.begin()
            link = connected(**fast)
            found["addresses"] = [one["hostaddr"] for one in conninfo_attempts({"host": NAME})]
            began = time.monotonic()
            found["answer"] = ask(link)[0]
            found["connect, first address drops"] = round(time.monotonic() - began, 1)

            first.end()  # it refuses at once now
            without = connected(keepalives=0, tcp_user_timeout=0)  # the control
            for each in (link, without):
                ask(each)
            standing = {"statement, keepalives": Standing(link), "statement, without them": Standing(without)}
            sleeping(server.url, 2)
            sent, idle = connected(**fast), connected(**fast)
            for each in (sent, idle):
                ask(each)
            idle.close()  # into the pool
            second = Drops(alive)
            first.begin()
            second.begin()
            standing["statement, not acknowledged"] = Standing(sent)
            began = time.monotonic()
            found["check of a pool"] = seconds(lambda: ask(idle))
            found["connect, both drop"] = seconds(lambda: ask(connected(**fast)))
            for name in ("statement, keepalives", "statement, not acknowledged"):
                standing[name].thread.join(90)
            found |= {name: one.took for name, one in standing.items()}
            second.end()
        finally:
            server.kill()
    print(json.dumps(found))  # noqa: T201 - what the test reads


if __name__ == "__main__":
    settings.configure()
    main(Path(sys.argv[1]), quick=sys.argv[2] == "quick")
