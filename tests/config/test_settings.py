"""What settings promise to operators: read as another process would read them."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import connection

from tests import servers

PRINT = """
import json
from config import settings as s
print(json.dumps({name: getattr(s, name) for name in %r}, default=str))
"""

SHOW = """
import importlib, json, django
importlib.import_module(%r)
django.setup()
from django.db import connection
with connection.cursor() as cursor:
    cursor.execute("SHOW statement_timeout")
    print(json.dumps(cursor.fetchone()[0]))
"""


def _read(*names: str, var: Path, **env: str) -> dict[str, Any]:
    found: dict[str, Any] = _run(PRINT % (names,), var=var, **env)
    return found


def _run(program: str, *, var: Path, **env: str) -> Any:
    clean = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "PYTHONPATH"}}
    command = [sys.executable, "-c", program]
    root = Path(settings.BASE_DIR)
    told = {**clean, "FLASHSALE_VAR": str(var), **env}
    done = subprocess.run(command, cwd=root, env=told, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    return json.loads(done.stdout)


def test_nothing_starts_without_secrets(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="SecretsMissing: Missing: FLASHSALE_SECRET_KEY"):
        _read("DEBUG", var=tmp_path)


def test_a_demo_needs_no_configuration(tmp_path: Path) -> None:
    found = _read("REDIS_URL", "BROKER_URL", "EMAIL_BACKEND", "EMAIL_FILE_PATH", var=tmp_path, FLASHSALE_DEMO="1")
    assert found == {
        "REDIS_URL": f"unix://{tmp_path}/redis.sock?db=0",
        "BROKER_URL": f"redis+socket://{tmp_path}/redis.sock?virtual_host=1",
        "EMAIL_BACKEND": "django.core.mail.backends.filebased.EmailBackend",
        "EMAIL_FILE_PATH": f"{tmp_path}/outbox",
    }


def test_a_folder_that_a_demo_made_stays_a_demo(tmp_path: Path) -> None:
    _read("DEBUG", var=tmp_path, FLASHSALE_DEMO="1")
    assert _read("FLASHSALE_DEMO", "SESSION_COOKIE_SECURE", var=tmp_path) == {
        "FLASHSALE_DEMO": True,
        "SESSION_COOKIE_SECURE": False,
    }


@pytest.mark.parametrize(
    ("redis", "broker"),
    [
        ("redis://gate:6379/0", "redis://gate:6379/1"),
        ("redis://gate:6379", "redis://gate:6379/1"),
        ("rediss://user:word@gate:6379/0?x=1", "rediss://user:word@gate:6379/1"),
    ],
)
def test_the_broker_is_the_second_database_unless_told_otherwise(redis: str, broker: str, tmp_path: Path) -> None:
    found = _read("BROKER_URL", var=tmp_path, FLASHSALE_DEMO="1", REDIS_URL=redis)
    assert found == {"BROKER_URL": broker}


def test_a_deep_data_folder_still_gets_a_usable_socket(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 90)
    socket = _read("REDIS_SOCKET", var=deep, FLASHSALE_DEMO="1")["REDIS_SOCKET"]
    assert len(socket) < 108


def test_lists_may_have_spaces_and_proxies_must_be_networks(tmp_path: Path) -> None:
    proxies, hosts = "FLASHSALE_TRUSTED_PROXIES", "FLASHSALE_HOSTS"
    told = {"FLASHSALE_DEMO": "1", proxies: "10.0.0.1/8, fd00::/8 ,", hosts: "shop.example, 127.0.0.1"}
    assert _read(proxies, "ALLOWED_HOSTS", var=tmp_path, **told) == {
        proxies: ["10.0.0.0/8", "fd00::/8"], "ALLOWED_HOSTS": ["shop.example", "127.0.0.1"],
    }  # fmt: skip
    with pytest.raises(RuntimeError, match="'nginx' does not appear to be an IPv4 or IPv6 network"):
        _read(proxies, var=tmp_path, **told | {proxies: "10.0.0.0/8,nginx"})


@pytest.mark.books
@pytest.mark.django_db
def test_the_books_wait_for_the_disk() -> None:
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            answers = [cursor.execute(f"PRAGMA {name}").fetchone()[0] for name in ("synchronous", "journal_mode")]
            assert answers == [2, "wal"]  # 2 is FULL
        else:
            cursor.execute("SHOW synchronous_commit")
            assert cursor.fetchone() == ("on",)


@pytest.mark.django_db
@pytest.mark.skipif("connection.vendor == 'sqlite'", reason="SQLite ends no statement")
@pytest.mark.parametrize(
    ("process", "told", "ends_after"),
    [
        ("config.asgi", {}, "30s"),
        ("config.wsgi", {}, "30s"),
        ("config.wsgi", {"FLASHSALE_DB_STATEMENT_S": "5"}, "5s"),
        ("config.celery", {}, "0"),
    ],
)
def test_a_statement_of_those_who_serve_ends_after_half_a_minute_and_of_nobody_else(
    process: str, told: dict[str, str], ends_after: str, tmp_path: Path
) -> None:
    env = {"FLASHSALE_DEMO": "1", "DJANGO_SETTINGS_MODULE": "config.settings", "DATABASE_URL": servers.books_url()}
    assert _run(SHOW % process, var=tmp_path, **env, **told) == ends_after


def test_what_the_address_of_the_books_asks_for_stays(tmp_path: Path) -> None:
    url = "postgres://u:p@h:5432/n?options=-c%20work_mem%3D8MB"
    env = {"FLASHSALE_DEMO": "1", "DATABASE_URL": url, "FLASHSALE_DB_STATEMENT_S": "30"}
    options = _read("DATABASES", var=tmp_path, **env)["DATABASES"]["default"]["OPTIONS"]
    assert options["options"] == "-c work_mem=8MB -c statement_timeout=30000"
    assert (options["keepalives_idle"], options["tcp_user_timeout"]) == (10, 30_000)
