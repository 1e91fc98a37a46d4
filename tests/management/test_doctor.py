"""Each check of `manage.py doctor` finds what it is for, and names the command that fixes it."""

import json
import resource
import socket
import stat
from collections.abc import Iterator
from datetime import timedelta
from importlib import metadata
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pytest
import redis
from celery import current_app
from django.contrib.staticfiles import storage
from django.contrib.staticfiles.finders import get_finders
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from flashsale.gate import bridge, untrusted_peers
from flashsale.management import doctor_checks
from flashsale.management.doctor import postgresql, web, work
from flashsale.management.doctor import redis as redis_checks
from flashsale.management.doctor.check import Check
from flashsale.models import Campaign
from simulation.processes import free_port
from tests.beacons import CHAIN, Relay
from tests.factories import lobby_sale, poco_campaign
from tests.mail_server import mail_server

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]
SIGNS = ["FLASHSALE_HOSTS names sale.example.co.id"]


@pytest.fixture(autouse=True)
def production(settings: Settings) -> None:
    settings.FLASHSALE_SIGNS_OF_PRODUCTION = SIGNS


def fails(check: Check, *words: str) -> None:
    """The check says that this is a problem, what it found, and a way to fix it."""
    assert not check.ok, check
    assert check.fix, check
    assert [word for word in words if word not in f"{check.found}\n{check.fix}"] == [], check


def only(checks: list[Check]) -> Check:
    (check,) = checks
    return check


def test_redis_that_may_forget_is_a_problem(redis_url: str, settings: Settings) -> None:
    settings.LIMITS_URL = settings.REDIS_URL
    settings.BROKER_URL = settings.REDIS_URL.removesuffix("/0") + "/1"
    with redis.Redis.from_url(redis_url) as link:
        before = {name: link.config_get(name)[name] for name in ("maxmemory", "maxmemory-policy", "appendonly")}
        try:
            link.config_set("maxmemory", "512mb")
            link.config_set("appendonly", "yes")
            fine = only(redis_checks.redis_servers())
            assert (fine.ok, fine.name) == (True, "Redis: REDIS_URL, LIMITS_URL, BROKER_URL"), fine
            link.config_set("maxmemory-policy", "allkeys-lru")
            fails(only(redis_checks.redis_servers()), "allkeys-lru", "maxmemory-policy noeviction")
            link.config_set("maxmemory-policy", "noeviction")
            link.config_set("maxmemory", str(link.info()["used_memory"] * 5 // 4))
            fails(only(redis_checks.redis_servers()), "% of the memory is used", "CONFIG SET maxmemory")
            link.config_set("maxmemory", "0")
            fails(only(redis_checks.redis_servers()), "maxmemory is not set")
            link.config_set("maxmemory", "512mb")
            link.config_set("appendonly", "no")
            fails(only(redis_checks.redis_servers()), "appendonly is no", "CONFIG SET appendonly yes")
        finally:
            for name, value in before.items():
                link.config_set(name, value)


def test_redis_that_is_away_or_a_replica_is_a_problem(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.LIMITS_URL = settings.BROKER_URL = settings.REDIS_URL
    real = bridge.run

    def facts(**changed: Any) -> None:
        monkeypatch.setattr(bridge, "run", lambda call: real(call) | changed)

    for changed, words in (
        ({"role": "slave"}, "it is a slave"),
        ({"connected_clients": 9000, "maxclients": 10000}, "9000 of 10000 connections"),
        ({"aof_enabled": 1, "aof_last_write_status": "err"}, "cannot be written"),
    ):
        facts(maxmemory=1 << 30, **changed)
        fails(only(redis_checks.redis_servers()), words)
    monkeypatch.undo()
    settings.LIMITS_URL = f"redis://127.0.0.1:{free_port()}/0"
    assert [(check.ok, check.name) for check in redis_checks.redis_servers()][1] == (False, "Redis: LIMITS_URL")


@pytest.mark.parametrize(
    ("replicas", "good", "words"),
    [
        (0, None, ["no replica"]),
        (0, 0, ["no replica", "is set"]),
        (1, None, []),
        (1, 1, ["is set"]),
        (2, None, ["is 0"]),
        (2, 1, []),
    ],
)
def test_a_master_with_one_replica_must_take_writes_without_it(
    replicas: int, good: int | None, words: list[str]
) -> None:
    facts = {"connected_slaves": replicas} | ({} if good is None else {"min_slaves_good_slaves": good})
    found = list(dict(redis_checks._alone(facts, "sentinel")))
    assert [word in text for word, text in zip(words, found, strict=True)] == [True] * len(words)
    assert len(dict(redis_checks._alone(facts, "cluster"))) == (replicas == 0)


@pytest.mark.skipif(connection.vendor == "sqlite", reason="about PostgreSQL")
def test_postgresql_that_may_lose_commits_or_has_no_room_is_a_problem(settings: Settings) -> None:
    fails(postgresql.postgresql(), "fsync is off: a power cut damages the database", "ALTER SYSTEM SET fsync = on")
    with connection.cursor() as cursor:
        cursor.execute("SET synchronous_commit = off")
        try:
            fails(postgresql.postgresql(), "synchronous_commit is off: a power cut loses orders")
        finally:
            cursor.execute("RESET synchronous_commit")
    fails(postgresql.postgresql(500), "500 processes × 8 (FLASHSALE_DB_POOL) + 10 need 4010 connections", "4013")
    assert "need" not in postgresql.postgresql(2).found
    values = dict.fromkeys(("fsync", "full_page_writes", "synchronous_commit"), "on")
    values |= {"superuser_reserved_connections": "3"}
    found = dict(postgresql._problems(values, version=130004, used=90, most=97, processes=0))
    assert list(found) == ["version 13", "few connections are left"]
    assert not dict(postgresql._problems(values, version=170004, used=20, most=97, processes=9))


def test_a_proxy_that_is_not_trusted_is_a_problem(settings: Settings, gate: redis.Redis, client: Client) -> None:
    settings.FLASHSALE_TRUSTED_PROXIES = []
    fails(web.proxies(), "trusted: none", "set FLASHSALE_TRUSTED_PROXIES")
    settings.FLASHSALE_TRUSTED_PROXIES = ["10.0.0.0/8"]
    assert web.proxies().ok
    for peer in ("10.1.2.3", "203.0.113.7", "2001:db8:1:2::3", "no address"):
        client.get("/v1/sales", REMOTE_ADDR=peer, headers={"X-Forwarded-For": "198.51.100.1"})
    client.get("/v1/sales", REMOTE_ADDR="192.0.2.1")
    bridge.run(untrusted_peers.flush())
    found = web.proxies()
    fails(found, "203.0.113.0/24", "2001:db8:1::/48", "FLASHSALE_TRUSTED_PROXIES=")
    assert not any(text in found.found for text in ("203.0.113.7", "10.1.2", "192.0.2", "::3"))
    assert 0 < gate.ttl("fs:untrusted_peers") <= 24 * 3600
    for number in range(60):
        untrusted_peers.note(f"198.51.{number}.1")
    bridge.run(untrusted_peers.flush())
    assert gate.zcard("fs:untrusted_peers") == untrusted_peers.NETWORKS_MAX


def test_addresses_and_cookies_without_tls_are_a_problem(settings: Settings) -> None:
    settings.FLASHSALE_URL, settings.CSRF_TRUSTED_ORIGINS = "https://sale.example", ["https://sale.example"]
    settings.SESSION_COOKIE_SECURE = settings.CSRF_COOKIE_SECURE = True
    settings.SECURE_HSTS_SECONDS = 60
    assert web.tls().ok
    for name, value, words in (
        ("FLASHSALE_URL", "http://sale.example", "http://sale.example is no https"),
        ("SESSION_COOKIE_SECURE", False, "cookies are sent without TLS"),
        ("SECURE_HSTS_SECONDS", 0, "FLASHSALE_HSTS_SECONDS"),
    ):
        before = getattr(settings, name)
        setattr(settings, name, value)
        fails(web.tls(), words)
        setattr(settings, name, before)


def test_static_files_that_are_not_collected_are_a_problem(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.HASHED_STATIC, settings.STATIC_ROOT = True, str(tmp_path)
    manifest = storage.ManifestStaticFilesStorage(location=str(tmp_path), base_url="/static/")
    monkeypatch.setattr(web, "staticfiles_storage", manifest)
    fails(web.static_files(), "missing", "collectstatic")
    names = {name for finder in get_finders() for name, _ in finder.list([])}
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "staticfiles.json").write_text(
        json.dumps({"version": "1.1", "paths": {name: name for name in names}, "hash": ""}), encoding="utf-8"
    )
    assert web.static_files().ok
    gone = min(names)
    (tmp_path / gone).unlink()
    fails(web.static_files(), f"1 of {len(names)} missing: {gone}")


def test_few_open_files_are_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    for soft, ok in ((65536, True), (1024, False)):
        monkeypatch.setattr(resource, "getrlimit", lambda _, soft=soft: (soft, 65536))
        assert web.open_files().ok is ok
    fails(web.open_files(), "1,024", "ulimit -n 65536")


def test_a_time_zone_without_data_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    campaign = poco_campaign()
    assert (web.time_zones().ok, web.time_zones().found) == (True, "Asia/Jakarta +0700")
    Campaign.objects.filter(pk=campaign.pk).update(time_zone="Asia/Makassar")

    def data(name: str) -> ZoneInfo:
        if name == "Asia/Makassar":
            raise ZoneInfoNotFoundError(name)
        return ZoneInfo(name)

    monkeypatch.setattr(web, "ZoneInfo", data)
    fails(web.time_zones(), "no data of Asia/Makassar", "tzdata")


def test_files_that_others_can_read_are_a_problem(settings: Settings, tmp_path: Path) -> None:
    settings.BASE_DIR, settings.VAR_DIR = tmp_path, tmp_path / "var"
    env = tmp_path / ".env"
    env.touch(mode=0o600)
    settings.VAR_DIR.mkdir(mode=0o700)
    assert web.private_files().ok
    env.chmod(0o640)
    fails(web.private_files(), f"{env} has mode 0640", f"chmod 600 {env}")
    env.chmod(0o600)
    settings.VAR_DIR.chmod(0o755)
    fails(web.private_files(), f"chmod 700 {settings.VAR_DIR}")
    assert stat.S_IMODE(settings.VAR_DIR.stat().st_mode) == 0o755


class Nodes:
    """What Celery's remote control would say: which nodes answer, and how many tasks they had at each question."""

    def __init__(self, nodes: list[str], done: Iterator[int]) -> None:
        self.nodes, self.done = nodes, done

    def ping(self) -> dict[str, Any] | None:
        return {node: {"ok": "pong"} for node in self.nodes} or None

    def stats(self) -> dict[str, Any] | None:
        count = next(self.done)
        return {node: {"total": {work.BEAT_TASK: count}} for node in self.nodes}


def test_a_worker_or_a_beat_that_does_not_answer_is_a_problem(
    monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    def nodes(*names: str, done: tuple[int, ...] = (5,) * 9) -> list[tuple[str, bool]]:
        monkeypatch.setattr(
            current_app.control, "inspect", lambda **_: Nodes([*names], iter([*done, *done[-1:] * 999]))
        )
        return [(check.name, check.ok) for check in work.celery()]

    monkeypatch.setattr(work, "BEAT_SEEN_S", 0.05)
    assert nodes("worker@a", "beat-a@b") == [("Celery worker", True), ("Celery beat", True)]
    assert nodes("celery@a", done=(5, 5, 6)) == [("Celery worker", True), ("Celery beat", True)]
    monkeypatch.setattr(work, "_tasks_come", lambda _: False)
    assert nodes("worker@a") == [("Celery worker", True), ("Celery beat", False)]
    assert nodes("beat-a@b") == [("Celery worker", False), ("Celery beat", True)]
    nodes()
    worker, beat = work.celery()
    fails(worker, "none answers", "docker compose up --detach worker")
    fails(beat, "none answers", "beat-a beat-b")

    def no_broker(**_: Any) -> None:
        raise ConnectionError

    monkeypatch.setattr(current_app.control, "inspect", no_broker)
    fails(only(work.celery()), "no broker: ConnectionError", "BROKER_URL")


def test_a_mail_server_that_refuses_us_is_a_problem_and_no_mail_goes_out_unless_asked(settings: Settings) -> None:
    with mail_server(settings) as mails:
        assert work.mail().ok
        assert (mails.letters, mails.recipients) == ([], [])
        sent = work.mail("ops@example.com")
        assert (sent.ok, "took a message to ops@example.com" in sent.found, mails.recipients) == (
            True, True, ["ops@example.com"],
        )  # fmt: skip
        mails.answers["RCPT"] = "550 not for us"
        fails(work.mail("ops@example.com"), "SMTPRecipientsRefused")
        settings.EMAIL_HOST_USER, settings.EMAIL_HOST_PASSWORD = "shop", "wrong"
        fails(work.mail(), "SMTP", "EMAIL_URL")
    settings.EMAIL_PORT, settings.EMAIL_HOST_USER = free_port(), ""
    fails(work.mail(), "ConnectionRefusedError")


def test_a_backup_that_is_old_or_was_never_tried_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    fails(work.backups(), "last backup never", "backup --to DIR", "restore --from DIR --check")
    times: dict[str, Any] = {"backup": timezone.now(), "backup_tried": timezone.now() - timedelta(days=3)}
    monkeypatch.setattr(work, "_last", times.get)
    assert work.backups().ok
    times["backup"] -= timedelta(hours=27)
    fails(work.backups(), "last backup 27 hours ago", "backup --to DIR")
    # Continuous archiving is a backup, too.
    monkeypatch.setattr(work, "_last_archived", timezone.now)
    assert work.backups().ok
    times["backup_tried"] = None
    fails(work.backups(), "tried never")


def test_a_problem_of_production_is_only_mentioned_on_a_machine_of_ones_own(settings: Settings) -> None:
    settings.FLASHSALE_SIGNS_OF_PRODUCTION = []
    found = work.backups()
    assert (found.ok, "a problem in production only" in found.found) == (True, True)


def test_doctor_prints_all_of_it_as_json_and_exits_with_1(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(work, "celery", list)
    monkeypatch.setattr(doctor_checks, "_CHECKS", (work.backups, web.open_files))
    monkeypatch.setattr(work, "mail", lambda to: asked.append(to) or Check("mail", True, "", ""))
    monkeypatch.setattr(postgresql, "postgresql", lambda count: asked.append(count) or Check("pg", True, "", ""))
    with pytest.raises(SystemExit) as end:
        call_command("doctor", "--json", "--processes", "7", "--send-mail", "ops@example.com")
    told = json.loads(capsys.readouterr().out)
    assert (end.value.code, told["ok"], asked) == (1, False, [7, "ops@example.com"])
    rows = {row.pop("name"): row for row in told["checks"]}
    assert rows["backups"] == {
        "ok": False, "found": "last backup never\ntried never",
        "expected": "a backup of the last day, and one of the last month that was restored to try it",
        "fix": "python manage.py backup --to DIR   (each day, from cron)\npython manage.py restore --from DIR --check",
    }  # fmt: skip
    settings.FLASHSALE_SIGNS_OF_PRODUCTION = []
    call_command("doctor", "--json")
    assert json.loads(capsys.readouterr().out)["ok"] is True


def test_a_machine_that_cannot_run_it_is_a_problem(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, tmp_path: Path
) -> None:
    usual = [check() for check in (doctor_checks._python, doctor_checks._disk, doctor_checks._loopback)]
    assert all(check.ok for check in usual), usual
    with monkeypatch.context() as patch:
        patch.setattr(doctor_checks, "PYTHON", (3, 99))
        patch.setattr(doctor_checks, "FREE_MB", 1 << 40)
        patch.setattr(doctor_checks, "SQLITE", (99, 0))
        patch.setattr(connection, "vendor", "sqlite")
        patch.setattr(metadata, "version", lambda _: "0.0")
        fails(doctor_checks._python(), "make run PYTHON=")
        fails(doctor_checks._disk(), "MB free", "free some space")
        fails(doctor_checks._sqlite(), "set DATABASE_URL")
        fails(doctor_checks._packages(), "django 0.0", "make run")

        def taken(*_: Any) -> None:
            raise OSError("Cannot assign requested address")

        patch.setattr(socket.socket, "bind", taken)
        fails(doctor_checks._loopback(), "Cannot assign", "ip link set lo up")
    settings.VAR_DIR = tmp_path
    secrets = tmp_path / "secrets.env"
    secrets.touch(mode=0o600)
    assert doctor_checks._secrets().ok
    secrets.chmod(0o644)
    fails(doctor_checks._secrets(), "mode 0644", f"chmod 600 {secrets}")


def test_codes_and_settings_that_cannot_work_are_a_problem(settings: Settings) -> None:
    settings.FLASHSALE_CODE_PROBLEMS = ["FLASHSALE_SMS_URL is missing."]
    fails(doctor_checks._codes(), "FLASHSALE_SMS_URL is missing.")
    settings.FLASHSALE_CODE_PROBLEMS = []
    settings.FLASHSALE_CODE_SENDER = ["sms"]
    settings.FLASHSALE_SMS_URL = f"http://127.0.0.1:{free_port()}/send"
    fails(doctor_checks._codes(), "sms: no connection to 127.0.0.1")
    settings.FLASHSALE_REFUSALS = ["FLASHSALE_DEMO is on."]
    fails(doctor_checks._mode(), "FLASHSALE_DEMO is on.")


def test_relays_that_give_no_signed_round_are_a_problem_of_a_sale_that_waits_for_one(settings: Settings) -> None:
    with Relay() as relay:
        settings.FLASHSALE_BEACON_RELAYS, settings.FLASHSALE_BEACON_CHAIN = (relay.url,), CHAIN
        lobby_sale(draw_version=2)
        assert (work.relays().ok, work.relays().found) == (True, "not asked: no sale waits for public randomness")
        sale = lobby_sale(draw_version=2, beacon="drand")
        assert (work.relays().ok, work.relays().found) == (True, f"{relay.url}: a signed round")
        for relay.mode in ("late", "wrong"):
            fails(work.relays(), f"{relay.url}: no signed round", "FLASHSALE_BEACON_RELAYS", sale.code)
        settings.FLASHSALE_BEACON_RELAYS = (f"http://127.0.0.1:{free_port()}",)
        fails(work.relays(), "no signed round", sale.code)
