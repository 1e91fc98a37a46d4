"""What settings promise to operators. Each test reads them in a new process."""

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

PRINT_SETTINGS = """
import json
from config import settings as s
print(json.dumps({name: getattr(s, name) for name in %r}, default=str))
"""

SHOW_TIMEOUT = """
import importlib, json, django
importlib.import_module(%r)
django.setup()
from django.db import connection
with connection.cursor() as cursor:
    cursor.execute("SHOW statement_timeout")
    print(json.dumps(cursor.fetchone()[0]))
"""


def _settings(*names: str, var: Path, **env: str) -> dict[str, Any]:
    values: dict[str, Any] = _run(PRINT_SETTINGS % (names,), var=var, **env)
    return values


def _run(program: str, *, var: Path, **env: str) -> Any:
    clean = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "PYTHONPATH"}}
    command = [sys.executable, "-c", program]
    root = Path(settings.BASE_DIR)
    environment = {**clean, "FLASHSALE_VAR": str(var), **env}
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    return json.loads(done.stdout)


def test_nothing_starts_without_secrets(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="SecretsMissing: Missing secrets: FLASHSALE_SECRET_KEY"):
        _settings("DEBUG", var=tmp_path)


def test_a_demo_needs_no_configuration(tmp_path: Path) -> None:
    found = _settings("REDIS_URL", "BROKER_URL", "EMAIL_BACKEND", "EMAIL_FILE_PATH", var=tmp_path, FLASHSALE_DEMO="1")
    assert found == {
        "REDIS_URL": f"unix://{tmp_path}/redis.sock?db=0",
        "BROKER_URL": f"redis+socket://{tmp_path}/redis.sock?virtual_host=1",
        "EMAIL_BACKEND": "django.core.mail.backends.filebased.EmailBackend",
        "EMAIL_FILE_PATH": f"{tmp_path}/outbox",
    }


def test_a_folder_that_a_demo_made_stays_a_demo(tmp_path: Path) -> None:
    _settings("DEBUG", var=tmp_path, FLASHSALE_DEMO="1")
    assert _settings("FLASHSALE_DEMO", "SESSION_COOKIE_SECURE", var=tmp_path) == {
        "FLASHSALE_DEMO": True,
        "SESSION_COOKIE_SECURE": False,
    }


@pytest.mark.parametrize(
    ("redis", "broker"),
    [
        ("redis://gate:6379/0", "redis://gate:6379/1"),
        ("redis://gate:6379", "redis://gate:6379/1"),
        ("rediss://user:word@gate:6379/0?x=1", "rediss://user:word@gate:6379/1"),
        ("rediss://:word@gate:6379/0?x=1&ssl_ca_certs=/ca.crt", "rediss://:word@gate:6379/1?ssl_ca_certs=/ca.crt"),
    ],
)
def test_the_default_broker_is_the_second_database_of_the_same_redis(redis: str, broker: str, tmp_path: Path) -> None:
    found = _settings("BROKER_URL", var=tmp_path, FLASHSALE_DEMO="1", REDIS_URL=redis)
    assert found == {"BROKER_URL": broker}


@pytest.mark.parametrize(
    ("broker", "checked"),
    [
        ("redis://broker:6379/0", "redis://broker:6379/0"),
        ("rediss://broker:6379/0", "rediss://broker:6379/0?ssl_cert_reqs=required"),
        ("rediss://broker:6379/0?ssl_ca_certs=/ca", "rediss://broker:6379/0?ssl_ca_certs=/ca&ssl_cert_reqs=required"),
        ("rediss://broker:6379/0?ssl_cert_reqs=none", "rediss://broker:6379/0?ssl_cert_reqs=none"),
    ],
)
def test_celery_checks_the_brokers_certificate_unless_the_address_says_no(
    broker: str, checked: str, tmp_path: Path
) -> None:
    found = _settings("CELERY_BROKER_URL", var=tmp_path, FLASHSALE_DEMO="1", BROKER_URL=broker)
    assert found == {"CELERY_BROKER_URL": checked}


def test_a_deep_data_folder_still_gets_a_usable_socket(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 90)
    socket = _settings("REDIS_SOCKET", var=deep, FLASHSALE_DEMO="1")["REDIS_SOCKET"]
    assert len(socket) < 108


def test_lists_may_have_spaces_and_proxies_must_be_networks(tmp_path: Path) -> None:
    proxies, hosts = "FLASHSALE_TRUSTED_PROXIES", "FLASHSALE_HOSTS"
    env = {"FLASHSALE_DEMO": "1", proxies: "10.0.0.1/8, fd00::/8 ,", hosts: "shop.example, 127.0.0.1"}
    assert _settings(proxies, "ALLOWED_HOSTS", var=tmp_path, **env) == {
        proxies: ["10.0.0.0/8", "fd00::/8"], "ALLOWED_HOSTS": ["shop.example", "127.0.0.1"],
    }  # fmt: skip
    with pytest.raises(RuntimeError, match="'nginx' does not appear to be an IPv4 or IPv6 network"):
        _settings(proxies, var=tmp_path, **env | {proxies: "10.0.0.0/8,nginx"})


@pytest.mark.books
@pytest.mark.django_db
def test_a_commit_is_on_the_disk_before_it_is_acknowledged() -> None:
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            answers = [cursor.execute(f"PRAGMA {name}").fetchone()[0] for name in ("synchronous", "journal_mode")]
            assert answers == [2, "wal"]  # 2 is FULL
        else:
            cursor.execute("SHOW synchronous_commit")
            assert cursor.fetchone() == ("on",)


@pytest.mark.django_db
@pytest.mark.skipif("connection.vendor == 'sqlite'", reason="SQLite has no statement timeout")
@pytest.mark.parametrize(
    ("process", "variables", "ends_after"),
    [
        ("config.asgi", {}, "30s"),
        ("config.wsgi", {}, "30s"),
        ("config.wsgi", {"FLASHSALE_DB_STATEMENT_S": "5"}, "5s"),
        ("config.celery", {}, "0"),
    ],
)
def test_only_web_processes_end_statements_after_30_s(
    process: str, variables: dict[str, str], ends_after: str, tmp_path: Path
) -> None:
    env = {"FLASHSALE_DEMO": "1", "DJANGO_SETTINGS_MODULE": "config.settings", "DATABASE_URL": servers.books_url()}
    assert _run(SHOW_TIMEOUT % process, var=tmp_path, **env, **variables) == ends_after


def test_options_in_the_database_url_are_kept(tmp_path: Path) -> None:
    url = "postgres://u:p@h:5432/n?options=-c%20work_mem%3D8MB"
    env = {"FLASHSALE_DEMO": "1", "DATABASE_URL": url, "FLASHSALE_DB_STATEMENT_S": "30"}
    options = _settings("DATABASES", var=tmp_path, **env)["DATABASES"]["default"]["OPTIONS"]
    assert options["options"] == (
        "-c work_mem=8MB -c idle_in_transaction_session_timeout=10000 -c tcp_keepalives_idle=10"
        " -c tcp_keepalives_interval=5 -c tcp_keepalives_count=4 -c tcp_user_timeout=30000 -c statement_timeout=30000"
    )
    assert (options["keepalives_idle"], options["tcp_user_timeout"]) == (10, 30_000)


def test_connections_go_to_the_one_of_several_hosts_that_takes_writes(tmp_path: Path) -> None:
    def books(url: str, **more: str) -> dict[str, Any]:
        env = {"FLASHSALE_DEMO": "1", "DATABASE_URL": url, **more}
        return dict(_settings("DATABASES", var=tmp_path, **env)["DATABASES"]["default"])

    found = books("postgres://u:p@a:5432,b:5433/n")
    assert (found["HOST"], found["PORT"], found["ENGINE"]) == ("a,b", "5432,5433", "config.postgresql")
    assert found["OPTIONS"]["target_session_attrs"] == "read-write"
    assert books("postgres://u:p@a/n?target_session_attrs=any")["OPTIONS"]["target_session_attrs"] == "any"
    pooled = books("postgres://u:p@a:6432/n", FLASHSALE_DB_POOLER="transaction")
    assert (pooled["POOLED"], "options" in pooled["OPTIONS"]) == (True, False)
