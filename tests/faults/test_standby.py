"""A synchronous standby takes the primary's place in the middle of a sale: nothing acknowledged is lost."""

import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from django.db import connection
from django.db.utils import ConnectionHandler, OperationalError
from rich.console import Console

from config.database import database_settings
from config.postgresql.connection import ONLY_LOCAL, READ_ONLY
from flashsale.management.doctor import postgresql
from flashsale.models import Campaign
from simulation.postgres_server import find_programs
from simulation.processes import free_port
from simulation.scale import postgres_faults, rounds, selling
from simulation.scale.postgres_pair import PostgresPair
from tests import soak
from tests.factories import poco_campaign

pytestmark = [
    pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate"), pytest.mark.slow,
    pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has no standby"),
]  # fmt: skip
PLAIN = "django.db.backends.postgresql"
WAIT_S = 120.0
INSERT = "INSERT INTO mark VALUES (%s)"
# The process that waits for the standby with a commit.
WAITING = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'"


@contextmanager
def connected(pair: PostgresPair, engine: str = "", *, pool: int = 4, statement_s: int = 1) -> Iterator[Any]:
    """A connection of Django to the pair, with a pool of its own."""
    there = database_settings(pair.url, pool=pool, statement_s=statement_s, idle_s=10, test_sqlite=None)
    handler = ConnectionHandler({"default": {}, "pair": there | ({"ENGINE": engine} if engine else {})})
    found: Any = handler["pair"]
    try:
        yield found
    finally:
        found.close()
        found.close_pool()


@pytest.fixture
def marks(pair: PostgresPair) -> PostgresPair:
    """The pair with an empty table."""
    pair.primary.execute("DROP TABLE IF EXISTS mark", "CREATE TABLE mark (name text)")
    return pair


def write(link: Any, name: str) -> None:
    """One transaction with one statement."""
    link.set_autocommit(False)
    try:
        with link.cursor() as cursor:
            cursor.execute(INSERT, [name])
        link.commit()
    finally:
        if link.connection is not None and link.connection.closed:
            link.close()
        else:
            link.set_autocommit(True)


def names(pair: PostgresPair) -> set[str]:
    return {name for (name,) in pair.primary.execute("SELECT name FROM mark")}


def until(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + WAIT_S
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


@contextmanager
def waiting_commit(pair: PostgresPair, work: Callable[[], None]) -> Iterator[int]:
    """Runs `work` in a thread while there is no standby. Yields the process that waits with its commit."""
    pair.lose_standby()
    thread = threading.Thread(target=work)
    thread.start()
    ((process,),) = until(lambda: pair.primary.execute(WAITING))
    try:
        yield process
    finally:
        if thread.is_alive():
            pair.primary.execute(f"SELECT pg_cancel_backend({process})")
        thread.join(WAIT_S)


def test_with_the_plain_engine_a_commit_that_is_made_to_stop_waiting_is_acknowledged_and_lost(
    marks: PostgresPair,
) -> None:
    results: list[str] = []
    with connected(marks, PLAIN) as link:
        write(link, "before")
        link.inc_thread_sharing()
        with waiting_commit(marks, lambda: results.append(write(link, "lost") or "acknowledged")):
            pass
    assert results == ["acknowledged"]
    marks.primary.kill()
    marks.standby.start()
    marks.fail_over()
    assert names(marks) == {"before"}
    marks.repair()


@pytest.mark.parametrize("in_transaction", [True, False])
def test_with_ours_it_is_an_error_and_the_connection_is_closed(marks: PostgresPair, *, in_transaction: bool) -> None:
    errors: list[str] = []

    def work() -> None:
        try:
            if in_transaction:
                write(link, "lost")
            else:
                with link.cursor() as cursor:
                    cursor.execute(INSERT, ["lost"])
        except OperationalError as error:
            errors.append(str(error))

    with connected(marks) as link:
        write(link, "before")
        link.inc_thread_sharing()
        with waiting_commit(marks, work):
            pass
        assert errors == [ONLY_LOCAL]
        assert link.connection is None or link.connection.closed
    marks.regain_standby()


def test_a_commit_waits_for_the_standby_longer_than_a_statement_may_take(marks: PostgresPair) -> None:
    results: list[str] = []
    with connected(marks) as link:
        write(link, "before")
        link.inc_thread_sharing()
        with waiting_commit(marks, lambda: results.append(write(link, "waits") or "acknowledged")):
            time.sleep(1.5)  # more than the limit of a statement
            assert results == []
            marks.regain_standby()
            until(lambda: results)
    marks.primary.kill()
    marks.fail_over()
    assert names(marks) == {"before", "waits"}
    marks.repair()


def test_a_server_that_refuses_writes_is_left_at_once_and_used_again_later(marks: PostgresPair) -> None:
    reload = "SELECT pg_reload_conf()"
    with connected(marks) as link:
        write(link, "before")
        marks.primary.execute("ALTER SYSTEM SET default_transaction_read_only = on", reload)
        until(lambda: marks.primary.execute("SHOW default_transaction_read_only") == [("on",)])
        # A connection in use: its next statement.
        with pytest.raises(OperationalError, match=READ_ONLY):
            until(lambda: write(link, "refused"))
        assert link.connection is None or link.connection.closed
        # The connections in the pool, and new ones.
        link.close()
        with pytest.raises(OperationalError):
            write(link, "refused")
        link.close()
        marks.primary.execute("ALTER SYSTEM RESET default_transaction_read_only", reload)
        until(lambda: _writes(link, "after"))
    assert names(marks) == {"before", "after"}


def _writes(link: Any, name: str) -> bool:
    try:
        write(link, name)
    except OperationalError:
        link.close()
        return False
    return True


def test_the_pool_finds_the_new_primary_although_all_its_connections_are_dead(marks: PostgresPair) -> None:
    with connected(marks) as link:
        pool = link.pool
        pool.open()
        pool.resize(4)
        until(lambda: pool.get_stats()["pool_available"] == 4)
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            marks.standby.execute("INSERT INTO mark VALUES ('a standby takes no writes')")
        marks.primary.kill()
        marks.fail_over()
        write(link, "at the new primary")  # the first attempt
    assert names(marks) == {"at the new primary"}
    marks.repair()


def commands_of_the_manual(block: str) -> str:
    """The commands of a block of docs/operate.md, in the chapter "A standby"."""
    text = (Path(__file__).parents[2] / "docs/operate.md").read_text(encoding="utf-8")
    found = text.partition(f"```{block}\n")[2].partition("```")[0]
    assert found
    return found


def run_manual(block: str, pair: PostgresPair) -> str:
    """Runs these commands, and returns what they printed."""
    addresses = {"PRIMARY": pair.primary.url, "STANDBY": pair.standby.url}
    env = {**os.environ, **addresses, "PATH": f"{find_programs()}{os.pathsep}{os.environ['PATH']}"}
    command = ["bash", "-e", "-c", commands_of_the_manual(block)]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout


def test_the_commands_of_the_manual_make_a_standby_synchronous_and_promote_it(marks: PostgresPair) -> None:
    marks.primary.execute("ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_reload_conf()")
    until(lambda: marks.primary.execute("SELECT sync_state FROM pg_stat_replication") == [("async",)])
    run_manual("standby-on", marks)
    until(lambda: "| sync" in run_manual("standby-on", marks))
    with connected(marks) as link:
        write(link, "before")
        link.close()  # as at the end of a request; the dead connection is in the pool
        marks.primary.kill()
        run_manual("standby-promote", marks)
        write(link, "at the new primary")
    marks.primary, marks.standby = marks.standby, marks.primary
    assert names(marks) == {"before", "at the new primary"}
    marks.repair()


def test_backup_and_restore_reach_the_primary_of_several_hosts(books_of_pair: PostgresPair, tmp_path: Path) -> None:
    # A host that is gone stands first, then the standby, which is a moment late with a new database.
    ports = f"{free_port()},{books_of_pair.standby.port},{books_of_pair.primary.port}"
    connection.close()
    link: Any = connection
    link.close_pool()
    connection.settings_dict |= {"HOST": ",".join(["127.0.0.1"] * 3), "PORT": ports}
    call_command("backup", to=str(tmp_path), verbosity=0)
    poco_campaign()
    call_command("restore", "--check", "--from", str(tmp_path), verbosity=0)
    assert Campaign.objects.exists()
    call_command("restore", "--replace", "--from", str(tmp_path), verbosity=0)
    assert not Campaign.objects.exists()
    found = books_of_pair.primary.execute("SELECT datname FROM pg_database WHERE datname LIKE 'postgres_before_%'")
    assert len(found) == 1


def test_a_sale_goes_on_at_the_promoted_standby_and_nothing_acknowledged_is_lost(
    books_of_pair: PostgresPair, redis_url: str, tmp_path: Path, record_property: Any
) -> None:
    killed, *others = postgres_faults.faults(books_of_pair)
    env = {"DATABASE_URL": books_of_pair.url, "REDIS_URL": redis_url, "FLASHSALE_VAR": str(tmp_path)}
    with selling.doors(2, folder=tmp_path, env=env) as addresses:
        results = []
        for number, fault in enumerate([killed, *(others * soak.ROUNDS if soak.SEED else [])]):
            found = selling.play_round(
                fault, number, code=f"standby-{number}", addresses=addresses, buyers=40, together=8
            )
            results.append(found)
            record_property(f"{fault.name}: stood", f"{found.stood_s:.1f} s")
            assert (found.faults_found, found.orders) == ([], 40)
    Console(width=200).print(rounds.table(results))
    assert "1 standby (synchronous)" in postgresql.postgresql().found
    books_of_pair.lose_standby()
    doctor = postgresql.postgresql()
    assert "no standby is connected: no commit ends" in doctor.found
    assert "ALTER SYSTEM RESET synchronous_standby_names" in doctor.fix
