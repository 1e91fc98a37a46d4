"""A backup in the middle of a sale, the loss of all that came later, and the restore: the system balances."""

import json
import secrets
import shutil
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.core.management import CommandError, call_command
from django.db import connection

from flashsale.life import sale_control, staff_accounts
from flashsale.life.audit import Verdict, audit
from flashsale.management.backup import databases, files
from flashsale.models import Contact, Event, Record, Reservation, Sale, Trait, Unit
from flashsale.web.sessions import SessionStore
from simulation.postgres_server import PostgresServer
from tests.factories import Shopper, refusal, tend
from tests.faults.steps import called, pay
from tests.life.people import erased

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.slow,
    pytest.mark.skipif(connection.vendor == "sqlite", reason="about PostgreSQL; SQLite has a test of its own"),
]


def run(command: str, *arguments: Any) -> str:
    out = StringIO()
    call_command(command, *map(str, arguments), stdout=out)
    return out.getvalue()


def everything() -> Any:
    """What a refused restore must leave as it is."""
    return (
        list(Record.objects.order_by("position").values_list("hash", flat=True)),
        list(Reservation.objects.order_by("pk").values_list("pk", "state")),
        list(Sale.objects.order_by("pk").values_list("pk", "state", "epoch")),
    )


def names() -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT datname FROM pg_database")
        return {name for (name,) in cursor.fetchall()}


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "backup.key"
    path.write_text(secrets.token_hex(32), encoding="utf-8")
    path.chmod(0o600)
    return path


@pytest.fixture
def books(own_books: PostgresServer, gate: redis.Redis) -> Iterator[PostgresServer]:
    yield own_books
    for name in names():
        if "_before_" in name:
            databases._drop(name)


def rewritten(backup: Path, key_file: Path, **changed: Any) -> None:
    """Changes the manifest as a person with the key could."""
    path = backup / files.MANIFEST
    manifest = json.loads(path.read_text(encoding="utf-8")) | changed
    manifest["hmac"] = files._mac(manifest, files.read_key(key_file))
    path.write_text(json.dumps(manifest), encoding="utf-8")


def test_a_sale_in_progress_is_backed_up_lost_and_restored_and_balances(
    books: PostgresServer, gate: redis.Redis, tmp_path: Path, key_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sale, (ani, budi, cici) = called("ani", "budi", "cici", stock=5, claim_s=600)
    SessionStore().save()
    left, _sari, _tono = (User.objects.create_user(name, is_staff=True) for name in ("left", "sari", "tono"))
    held, paid = ani.reserve().id, pay(budi, budi.reserve().id)
    tend(sale)
    to = tmp_path / "backups"
    told = run("backup", "--to", to, "--key-file", key_file, "--with-secrets")
    assert "The secrets are in this backup, encrypted" in told
    shutil.rmtree(to)
    told = run("backup", "--to", to, "--key-file", key_file)
    assert "THE SECRETS ARE NOT IN THIS BACKUP" in told
    (backup,) = to.iterdir()
    assert sorted(path.name for path in backup.iterdir()) == ["books.dump.enc", "manifest.json"]
    assert {path.stat().st_mode & 0o777 for path in backup.iterdir()} == {0o600}
    assert sale.code.encode() not in (backup / "books.dump.enc").read_bytes()
    manifest = json.loads((backup / "manifest.json").read_text(encoding="utf-8"))
    assert (manifest["rows"]["flashsale_reservation"], "django_session" in manifest["rows"]) == (2, False)

    # The later part, which is lost: an order, and people who entered. A dismissal and an erasure are not lost.
    lost = pay(cici, cici.reserve().id)
    late = [Shopper(sale, f"late-{number}") for number in range(60)]
    for person in late:
        person.enter()
        tend(sale)
    staff_accounts.switch_off(user=left, by=None)
    request = erased("budi")
    assert (request.state, Contact.objects.filter(reservation=paid).exists()) == ("approved", False)
    before = everything()
    told = run("restore", "--from", to, "--key-file", key_file, "--check")
    assert "The audit of the restored database holds." in told
    assert (Record.objects.latest("position").what, everything()[1:]) == ("backup_tried", before[1:])
    assert redis.Redis.from_url(f"{settings.REDIS_URL.removesuffix('/0')}/15").dbsize() == 0
    refusals(books, backup, key_file, monkeypatch)

    told = run("restore", "--from", to, "--key-file", key_file, "--replace")
    assert f"Paused: {sale.code}." in told
    assert "The audit of the restored database holds." in told
    assert "Switched off again: left" in told
    assert f"People who are erased again (requests): {request.pk}\n" in told
    assert len([name for name in names() if "_before_" in name]) == 1
    restored(sale, ani, held, paid, lost)
    # Redis knew the line, so indexes go on right behind it: no index is given to two people.
    late_indexes = [person.place.index for person in late]
    tend(sale)
    dodi = Shopper(sale, "dodi")
    dodi.enter()
    assert max(late_indexes) < dodi.place.index <= max(late_indexes) + 100
    assert [person.look().index for person in late] == late_indexes

    gate.flushall()
    backup = backup.rename(to / "flashsale-20990101T000000000000Z")
    run("restore", "--from", backup, "--key-file", key_file, "--replace", "--renamed", "--entries", 5000)
    restored(sale, ani, held, paid, lost)
    people_go_on(sale, ani, cici, late)


def people_go_on(sale: Sale, ani: Shopper, cici: Shopper, late: list[Shopper]) -> None:
    """Redis was lost, too: people bring their places back, and the buyer whose order was lost buys again."""
    late_indexes = [person.place.index for person in late]
    tend(sale)
    edi = Shopper(sale, "edi")
    edi.enter()
    assert edi.place.index > 5000
    assert [person.look().index for person in late] == late_indexes
    sale_control.resume(sale=Sale.objects.get(pk=sale.pk))
    tend(sale)
    held = Reservation.objects.get(state="held").pk
    assert pay(ani, held).state == "confirmed"
    assert pay(cici, cici.reserve(key="again").id).state == "confirmed"
    assert [finding for finding in audit() if finding.verdict is Verdict.BROKEN] == []


def restored(sale: Sale, ani: Shopper, held: Any, paid: Reservation, lost: Reservation) -> None:
    """The books are those of the backup, the sale is paused under a new epoch, and no person gets a unit."""
    row = Sale.objects.get(pk=sale.pk)
    assert (row.state, row.epoch > 1000, row.message) == ("paused", True, row.message)
    states = dict(Reservation.objects.values_list("pk", "state"))
    assert states == {held: "held", paid.pk: "confirmed"}
    assert lost.pk not in states
    assert sorted(Unit.objects.values_list("state", flat=True)) == ["free", "free", "free", "held", "sold"]
    assert Session.objects.count() == 0
    assert not User.objects.get(username="left").is_active
    assert not Contact.objects.filter(reservation=paid).exists()
    assert not Trait.objects.filter(reservation=paid).exists()
    assert Event.objects.latest("pk").pk > 1_000_000_000
    assert ani.look().index == ani.place.index
    assert refusal(Shopper.reserve, ani, key="another") in {"paused", "place_spent"}


def refusals(books: PostgresServer, backup: Path, key_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each restore that is refused leaves everything as it was."""
    folder = backup.parent.parent
    before, there = everything(), names()

    def refused(words: str, *arguments: Any, source: Path = backup) -> None:
        with pytest.raises(CommandError, match=words):
            run("restore", "--from", source, *arguments)
        assert (everything(), names()) == (before, there)

    key = ("--key-file", key_file)
    refused("has data. --replace keeps it", *key)
    refused("The backup is encrypted", "--replace")
    other = folder / "other.key"
    other.write_text(secrets.token_hex(32), encoding="utf-8")
    other.chmod(0o600)
    refused("The key is not the one of this backup", "--replace", "--key-file", other)
    other.chmod(0o644)
    refused("chmod 600", "--replace", "--key-file", other)
    refused("There is no backup in", *key, source=folder / "none")
    with psycopg.connect(books.url):
        refused("1 programs are connected to postgres", "--replace", *key)
    with monkeypatch.context() as patch:
        patch.setattr(settings, "FLASHSALE_PEPPER", b"another pepper, 32 bytes long ...")
        refused("other secrets than the one of the backup: FLASHSALE_PEPPER", "--replace", *key)

    def copy(name: str) -> Path:
        return Path(shutil.copytree(backup, folder / name))

    renamed = copy("flashsale-20990101T000000000000Z")
    refused("says 20990101T000000, and the backup in it was made at", "--replace", *key, source=renamed)
    shutil.rmtree(renamed)
    damaged = copy("damaged")
    content = bytearray((damaged / "books.dump.enc").read_bytes())
    content[len(content) // 2] ^= 1
    (damaged / "books.dump.enc").write_bytes(content)
    refused("is damaged or missing", "--replace", *key, source=damaged)
    newer = copy("newer")
    rewritten(newer, key_file, migrations=["flashsale.0001_books", "flashsale.9999_from_the_future"])
    refused("by a release that this one does not know: flashsale.9999", "--replace", *key, source=newer)
    newer_format = copy("format")
    rewritten(newer_format, key_file, format=2)
    refused("format 2. This release reads format 1", "--replace", *key, source=newer_format)
    short = copy("short")
    manifest = json.loads((short / "manifest.json").read_text(encoding="utf-8"))
    rewritten(short, key_file, rows=manifest["rows"] | {"flashsale_unit": 3})
    refused("other numbers of rows than the manifest: .*flashsale_unit", "--replace", *key, source=short)
    (short / "manifest.json").write_text("{", encoding="utf-8")
    refused("is damaged: it is no JSON", "--replace", *key, source=short)

    backups_that_fail(folder / "failed", monkeypatch)
    assert (everything(), names()) == (before, there)


def backups_that_fail(to: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is left of a backup that fails, and the secrets never go out as text."""
    with pytest.raises(CommandError, match="--with-secrets needs --key-file"):
        run("backup", "--to", to, "--with-secrets")
    with monkeypatch.context() as patch:
        patch.setattr(databases, "_program", lambda _: "/bin/false")
        with pytest.raises(CommandError, match="pg_dump failed"):
            run("backup", "--to", to)
    assert list(to.iterdir()) == []
