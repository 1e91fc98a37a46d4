"""TLS to Redis and PostgreSQL as docs/operate.md says: the right authority is accepted, each other one is refused."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from django.conf import settings

from config import secrets
from simulation.postgres_server import PostgresServer
from simulation.processes import ServerNotReady, free_port
from simulation.redis_server import RedisServer
from tests.tls import Authority

ROOT = Path(settings.BASE_DIR)
CONNECTIONS = ("gate", "gate on uvloop", "limits", "broker", "books")
REFUSED = "certificate verify failed"
# A pool that cannot connect tries for this long in these tests, in seconds. It logs each time why.
SHORT = {"POOL_S": "2"}


@dataclass(frozen=True, slots=True)
class Servers:
    """Redis and PostgreSQL with TLS on the loopback. Their certificate names "localhost", not 127.0.0.1."""

    redis_port: int
    postgres_port: int
    authority: Authority


@pytest.fixture(scope="module")
def tls() -> Iterator[Servers]:
    """Both servers, with a certificate of one authority."""
    folder = Path(tempfile.mkdtemp(prefix="flashsale-tls-"))
    folder.chmod(0o711)  # PostgreSQL may run as another user, who must be able to enter
    authority = Authority(folder / "ca", "the shop")
    made, redis_port = authority.certificate("localhost"), free_port()
    files = ["--tls-cert-file", made.cert, "--tls-key-file", made.key, "--tls-ca-cert-file", authority.ca]
    extra = ["--tls-port", str(redis_port), *map(str, files), "--tls-auth-clients", "no", "--requirepass", "word"]
    redis = RedisServer(folder=folder / "redis", port=free_port(), extra=extra)
    redis._answers = lambda: b"Ready to accept" in (folder / "redis/redis.log").read_bytes()  # type: ignore[method-assign]
    postgres = PostgresServer(folder=folder / "postgres", port=free_port(), durable=False)
    try:
        try:
            redis.start()
        except ServerNotReady as error:
            pytest.skip(f"this Redis has no TLS: {error}")
        postgres.start()
        postgres.stop()
        data = folder / "postgres/data"
        for file, name in ((made.cert, "server.crt"), (made.key, "server.key")):
            shutil.copy(file, data / name)
            os.chown(data / name, data.stat().st_uid, -1)
        with (data / "postgresql.conf").open("a") as configuration:
            configuration.write("ssl = on\n")
        postgres.start()
        yield Servers(redis_port, postgres.port, authority)
    finally:
        redis.stop()
        postgres.stop()
        shutil.rmtree(folder, ignore_errors=True)


def results(tls: Servers, folder: Path, ca: Path | None, *, host: str = "localhost", **more: str) -> dict[str, str]:
    """What a process of ours finds with these settings; without `ca` it trusts the authorities of the machine."""
    redis_query = f"?ssl_ca_certs={ca}" if ca else ""
    books_query = f"sslmode=verify-full&sslrootcert={ca or '/etc/ssl/certs/ca-certificates.crt'}"
    env = {
        "PATH": os.environ["PATH"],
        "FLASHSALE_VAR": str(folder),
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "REDIS_URL": f"rediss://:word@{host}:{tls.redis_port}/0{redis_query}",
        "DATABASE_URL": f"postgres://flashsale@{host}:{tls.postgres_port}/postgres?{books_query}",
        **secrets.generate(),
        **more,
    }
    command = [sys.executable, "-m", "tests.config.tls_client"]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout.splitlines()[-1]) | {"log": done.stderr}
    return found


@pytest.mark.slow
def test_every_connection_uses_tls_with_the_right_authority(tls: Servers, tmp_path: Path) -> None:
    found = results(tls, tmp_path, tls.authority.ca)
    assert [found[name] for name in CONNECTIONS] == ["ok"] * 5, found
    assert found["doctor of Redis"].endswith(", TLS")
    assert found["doctor of PostgreSQL"].endswith("migrations missing")


@pytest.mark.slow
def test_every_connection_refuses_another_authority_and_says_so(tls: Servers, tmp_path: Path) -> None:
    other = Authority(tmp_path / "other", "another shop")
    found = results(tls, tmp_path, other.ca, **SHORT)
    assert {name: found[name] for name in CONNECTIONS[:4] if REFUSED not in found[name]} == {}
    assert found["books"] != "ok"
    assert REFUSED in found["log"], "the pool's log says why PostgreSQL is not reached"
    for row in ("doctor of Redis", "doctor of PostgreSQL"):
        assert REFUSED in found[row]


@pytest.mark.slow
def test_every_connection_refuses_a_certificate_without_a_known_authority(tls: Servers, tmp_path: Path) -> None:
    found = results(tls, tmp_path, None, **SHORT)
    assert {name: found[name] for name in CONNECTIONS[:4] if REFUSED not in found[name]} == {}
    assert found["books"] != "ok"


@pytest.mark.slow
def test_every_connection_refuses_a_certificate_of_another_name(tls: Servers, tmp_path: Path) -> None:
    found = results(tls, tmp_path, tls.authority.ca, host="127.0.0.1", **SHORT)
    assert {name: found[name] for name in CONNECTIONS[:4] if "127.0.0.1" not in found[name]} == {}
    assert [name for name in CONNECTIONS if found[name] == "ok"] == []
    assert 'does not match host name "127.0.0.1"' in found["doctor of PostgreSQL"]
    assert "IP address mismatch" in found["doctor of Redis"]


@pytest.mark.slow
def test_doctor_says_when_a_connection_accepts_other_servers(tls: Servers, tmp_path: Path) -> None:
    weak = {
        "REDIS_URL": f"rediss://:word@localhost:{tls.redis_port}/0?ssl_cert_reqs=none",
        "DATABASE_URL": f"postgres://flashsale@localhost:{tls.postgres_port}/postgres?sslmode=require",
    }
    found = results(tls, tmp_path, None, **weak)
    assert found["doctor of Redis"].endswith("TLS that accepts other servers")
    assert found["books"] == "ok"


def test_the_documented_addresses_are_those_of_this_test() -> None:
    text = (ROOT / "docs/operate.md").read_text(encoding="utf-8")
    for part in ("?sslmode=verify-full&sslrootcert=/", "rediss://:password@", "?ssl_ca_certs=/"):
        assert part in text
