"""A worker is stopped: the alarm is raised and told, the manual is followed, and the alarm ends.

The worker is a real process with its own beat. Times are moved and not waited for.
"""

import re
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.db.models import F
from django.test import Client
from pytest_django import Settings
from redis import Redis

from flashsale.gate.keys import SIGNS
from flashsale.life import alarm_messages, alarms
from flashsale.life.alarm_list import ALARMS
from flashsale.models import Alarm, AlarmMessage
from simulation.processes import Process
from tests import servers
from tests.life.deliveries import wait_until
from tests.mail_server import MailServer, mail_server

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]
ROOT = Path(__file__).parents[2]
CODE = "worker_silent"


@pytest.fixture
def mails(settings: Settings) -> Iterator[MailServer]:
    settings.FLASHSALE_ALARM_MAILS = ["siti@shop.example"]
    with mail_server(settings) as server:
        yield server


@pytest.fixture
def worker(tmp_path: Path, redis_url: str, settings: Settings, mails: MailServer) -> Iterator[Process]:
    """A worker with its beat. It looks for alarms, too, and its mails go to the same server."""
    options = ("--pool", "solo", "--beat", "--schedule", str(tmp_path / "beat"), "--without-gossip", "--without-mingle")
    process = Process(
        name="worker",
        command=[sys.executable, "-m", "celery", "--app", "config.celery", "worker", *options, "--loglevel", "WARNING"],
        log=tmp_path / "worker.log",
        env={
            "DJANGO_SETTINGS_MODULE": "config.settings", "DATABASE_URL": servers.books_url(), "REDIS_URL": redis_url,
            "FLASHSALE_VAR": str(tmp_path), "FLASHSALE_DEMO": "1",
            "FLASHSALE_ALARM_MAILS": "siti@shop.example",
            "EMAIL_URL": f"smtp://{settings.EMAIL_HOST}:{settings.EMAIL_PORT}",
        },
        cwd=ROOT,
    )  # fmt: skip
    yield process
    process.kill()


def _paragraph() -> dict[str, str]:
    """The parts of the paragraph that the alarm names, by their bold beginnings."""
    text = (ROOT / "docs/operate.md").read_text(encoding="utf-8")
    _file, _, anchor = ALARMS[CODE].paragraph.partition("#")
    title = anchor.replace("alarm-", "Alarm ", 1)
    found = re.search(rf"^### {title}\n(.+?)(?=^##)", text, re.MULTILINE | re.DOTALL)
    assert found is not None
    parts = re.split(r"\*\*([^*]+)\*\*", " ".join(found[1].split()))
    return {name.rstrip(":"): said.strip() for name, said in zip(parts[1::2], parts[2::2], strict=True)}


def _age_s(gate: Redis) -> float:
    """The age of the worker's last sign of life; a year without one."""
    sign = gate.hget(SIGNS, "worker")
    return time.time() - int(sign) / 1000 if sign else 365 * 86_400


def _pass_time(gate: Redis, *, seconds: int) -> None:
    """As if so much time had passed since the last sign and since the last look."""
    if sign := gate.hget(SIGNS, "worker"):
        gate.hset(SIGNS, "worker", int(sign) - 1000 * seconds)
    passed = timedelta(seconds=seconds)
    Alarm.objects.update(**{name: F(name) - passed for name in ("noticed_at", "seen_at", "raised_at", "ended_at")})
    AlarmMessage.objects.update(due_at=F("due_at") - passed)


def _states() -> list[tuple[bool, bool]]:
    """Of each alarm about the worker, whether it was raised and whether it has ended."""
    rows = Alarm.objects.filter(code=CODE).order_by("pk")
    return [(row.raised_at is not None, row.ended_at is not None) for row in rows]


def _about_it(mails: MailServer) -> list[str]:
    """The first words of the subjects of the mails about the worker."""
    subjects = [str(letter["Subject"]) for letter in mails.letters]
    return [subject.split(":")[0] for subject in subjects if "No worker finishes tasks" in subject]


def _looks_until(states: list[tuple[bool, bool]]) -> None:
    """Looks, as each process does, until the alarms about the worker are so. The worker may be looking itself."""

    def found() -> bool:
        alarms.look()
        alarm_messages.send_due()
        return _states() == states

    wait_until(found)


def test_a_stopped_worker_raises_an_alarm_and_the_manual_ends_it(
    worker: Process, gate: Redis, mails: MailServer
) -> None:
    desk = Client(headers={"accept-language": "en"})
    desk.force_login(User.objects.create_superuser("root"))
    worker.start()
    wait_until(lambda: _age_s(gate) < 60, seconds=120)
    _looks_until([])

    worker.stop()
    _pass_time(gate, seconds=180)
    _looks_until([(False, False)])
    _pass_time(gate, seconds=30)
    _looks_until([(True, False)])
    wait_until(lambda: _about_it(mails) == ["[flashsale] ALARM"])
    board = desk.get("/admin/flashsale/sale/board/").content.decode()
    assert "No worker finishes tasks" in board
    assert ALARMS[CODE].paragraph in board

    manual = _paragraph()
    assert manual["Look at"].startswith("`docker compose ps worker`")
    assert not worker.running
    assert manual["Do"].startswith("`docker compose up --detach worker`")
    worker.start()
    wait_until(lambda: _age_s(gate) < 60, seconds=120)
    assert "the alarm ends by itself" in manual["It is over"]
    _looks_until([(True, False)])
    _pass_time(gate, seconds=60)
    _looks_until([(True, True)])
    wait_until(lambda: _about_it(mails) == ["[flashsale] ALARM", "[flashsale] OK"])
    assert "No worker finishes tasks" not in desk.get("/admin/flashsale/sale/board/").content.decode()
