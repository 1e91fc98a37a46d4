"""Alarms: raised once after a while, ended once after a while, and told once each by mail and by a signed webhook."""

import dataclasses
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError
from django.db.models import F
from django.utils import timezone
from pytest_django import Settings
from redis import Redis

from flashsale.gate import bridge
from flashsale.life import alarm_conditions, alarm_messages, alarms, monitor, webhooks
from flashsale.life.alarm_list import ALARMS
from flashsale.models import Alarm, AlarmMessage, Channel, Webhook
from flashsale.rules.webhooks import new_secret
from simulation.redis_server import RedisServer
from tests.factories import lobby_sale
from tests.faults.steps import close_gate
from tests.hooks import Hooks
from tests.mail_server import GOES_AWAY, MailServer, mail_server

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate", "_fresh_process")]

CALM = monitor.Monitored({}, (), gate_answers=True, ages_s=dict.fromkeys(monitor.SIGNS, 1.0))
TIMES = ("noticed_at", "seen_at", "raised_at", "ended_at")


@pytest.fixture
def _fresh_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process knows nothing of an earlier look."""
    monkeypatch.setattr(alarms, "_watcher", alarms._Watcher())


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> dict[str, monitor.Monitored]:
    """What the monitor knows; nothing is wrong unless the test changes it."""
    known = {"now": CALM}
    monkeypatch.setattr(monitor, "latest", lambda: known["now"])
    return known


@pytest.fixture
def mails(settings: Settings) -> Iterator[MailServer]:
    settings.FLASHSALE_ALARM_MAILS = ["siti@shop.example", "budi@shop.example"]
    with mail_server(settings) as server:
        yield server


@pytest.fixture
def hooks(settings: Settings, tmp_path: Path) -> Iterator[Hooks]:
    settings.FLASHSALE_WEBHOOK_LOCAL = True
    settings.FLASHSALE_ALARM_SECRET = new_secret()
    with Hooks(tmp_path / "hooks") as receiver:
        receiver.secret(settings.FLASHSALE_ALARM_SECRET)
        settings.FLASHSALE_ALARM_WEBHOOK = receiver.url
        yield receiver


def _later(**by: float) -> None:
    """Moves the times of all alarms and of their due messages into the past."""
    passed = timedelta(**by)
    Alarm.objects.update(**{name: F(name) - passed for name in TIMES})
    AlarmMessage.objects.update(due_at=F("due_at") - passed, sent_at=F("sent_at") - passed)


def _rows() -> list[tuple[str, bool, bool]]:
    """Each alarm: its code, whether it was raised, and whether it has ended."""
    rows = Alarm.objects.order_by("pk")
    return [(row.code, row.raised_at is not None, row.ended_at is not None) for row in rows]


def _subjects(server: MailServer) -> list[str]:
    return [str(letter["Subject"]) for letter in server.letters]


def _silent(seconds: float | None) -> monitor.Monitored:
    return dataclasses.replace(CALM, ages_s={**CALM.ages_s, "worker": seconds})


def test_a_trouble_that_comes_and_goes_is_one_alarm(seen: dict[str, Any]) -> None:
    seen["now"] = _silent(121)
    alarms.look()
    assert _rows() == [("worker_silent", False, False)]
    seen["now"] = CALM
    alarms.look()
    assert _rows() == []
    seen["now"] = _silent(None)
    alarms.look()
    _later(seconds=29)
    alarms.look()
    assert _rows() == [("worker_silent", False, False)]
    _later(seconds=1)
    alarms.look()
    assert _rows() == [("worker_silent", True, False)]
    for known, after_s in ((CALM, 59), (_silent(500), 30), (CALM, 59)):
        seen["now"] = known
        _later(seconds=after_s)
        alarms.look()
        assert _rows() == [("worker_silent", True, False)]
    assert Alarm.objects.get().facts == {"seconds": 500}
    # Redis does not answer, so the age of the worker is not known.
    seen["now"] = dataclasses.replace(CALM, gate_answers=False, ages_s=dict.fromkeys(monitor.SIGNS))
    _later(minutes=5)
    alarms.look()
    assert _rows() == [("worker_silent", True, False), ("gate_down", False, False)]
    seen["now"] = CALM
    alarms.look()
    alarms.look()
    assert _rows() == [("worker_silent", True, True)]
    _later(days=90, seconds=1)
    alarms.look()
    assert _rows() == []


def test_each_alarm_is_told_once_when_it_is_raised_and_once_when_it_ends(
    seen: dict[str, Any], mails: MailServer, hooks: Hooks
) -> None:
    mails.answers["MAIL"] = "421 later"
    hooks.answer("503")
    seen["now"] = _silent(300)
    for _ in range(2):
        alarms.look()
        _later(seconds=30)
    assert alarm_messages.send_due() == 0
    assert list(AlarmMessage.objects.order_by("way").values_list("what", "way", "attempts", "failure")) == [
        ("raised", "mail", 1, "try_later 421"), ("raised", "webhook", 1, "status 503"),
    ]  # fmt: skip
    assert (alarm_messages.send_due(), mails.letters) == (0, [])
    mails.answers["MAIL"] = GOES_AWAY
    _later(seconds=60)
    assert alarm_messages.send_due() == 0
    mails.answers.clear()
    hooks.answer("200")
    _later(minutes=2)
    assert alarm_messages.send_due() == 2
    alarms.look()
    assert alarm_messages.send_due() == 0
    seen["now"] = CALM
    _later(minutes=2)
    for _ in range(2):
        alarms.look()
        alarm_messages.send_due()
    alarm = Alarm.objects.get()
    title = "Tidak ada worker yang menyelesaikan tugas / No worker finishes tasks"
    assert _subjects(mails) == [f"[flashsale] ALARM: {title}", f"[flashsale] OK: {title}"]
    assert mails.recipients[-2:] == ["siti@shop.example", "budi@shop.example"]
    text = mails.letters[0].get_content()
    assert "docs/operate.md#alarm-worker_silent" in text
    assert "The last task ended 300 s ago." in text
    assert "/admin/flashsale/sale/board/" in text
    assert [str(letter["Message-ID"]) for letter in mails.letters] == [
        f"<alarm-{alarm.pk}-raised@flashsale>", f"<alarm-{alarm.pk}-ended@flashsale>",
    ]  # fmt: skip
    taken = hooks.taken
    assert list(taken) == [f"alarm-{alarm.pk}-raised", f"alarm-{alarm.pk}-ended"]
    first, last = taken.values()
    assert (first["type"], first["code"], first["until"]) == ("alarm.raised", "worker_silent", "")
    assert (last["type"], datetime.fromisoformat(last["until"]) > datetime.fromisoformat(last["since"])) == (
        "alarm.ended", True,
    )  # fmt: skip
    assert first["texts"]["en"]["text"].startswith("The last task ended 300 s ago.")


def test_staff_hear_of_a_webhook_that_was_switched_off_until_it_is_on_again(
    seen: dict[str, Any], mails: MailServer
) -> None:
    channel = Channel.objects.get(campaign=lobby_sale().campaign, code="lazada")
    row = webhooks.make(channel=channel.pk, url="https://shop.example/", types=[], by="shell")
    Webhook.objects.update(off="failing", off_at=timezone.now())
    alarms.look()
    assert _rows() == [("webhook_off", True, False)]
    assert alarm_messages.send_due() == 1
    assert "Lazada: its receiver answered that it is gone" in mails.letters[0].get_content()
    webhooks.change(webhook=row, by="channel:1", enabled=True)
    alarms.look()
    assert _rows() == [("webhook_off", True, True)]
    webhooks.change(webhook=row, by="channel:1", enabled=False)
    alarms.look()
    assert _rows() == [("webhook_off", True, True)]


def test_a_broken_promise_does_not_end_because_its_sale_is_not_checked_any_more(seen: dict[str, Any]) -> None:
    now = timezone.now()
    fault = monitor.Broken(1, "Never oversell", "unit 7 has 2 active reservations")
    check = monitor.SalePromises(7, "sale-7", now, now, 5, (fault,), now, 0.0, 25.0)
    seen["now"] = dataclasses.replace(CALM, sales={"sale-7": check})
    alarms.look()
    assert _rows() == [("promise_broken", True, False), ("books_behind", False, False)]
    broken = Alarm.objects.get(code="promise_broken")
    assert ALARMS["promise_broken"].sentence(broken.facts) == "sale-7: 1 Never oversell."
    seen["now"] = CALM
    _later(hours=2)
    alarms.look()
    assert _rows() == [("promise_broken", True, False)]
    seen["now"] = dataclasses.replace(CALM, sales={"sale-7": dataclasses.replace(check, broken=(), books_behind_s=0.0)})
    alarms.look()
    assert _rows() == [("promise_broken", True, True)]
    _later(days=1, hours=1)
    seen["now"] = dataclasses.replace(CALM, sales={"sale-7": check})
    alarms.look()
    seen["now"] = CALM
    _later(days=1, seconds=1)
    alarms.look()
    # A day later no check can say it any more.
    assert [row for row in _rows() if row[0] == "promise_broken"] == [("promise_broken", True, True)] * 2


def test_people_are_told_that_postgresql_is_away_and_the_alarm_becomes_a_row_when_it_is_back(
    seen: dict[str, Any], mails: MailServer, monkeypatch: pytest.MonkeyPatch, gate: Redis
) -> None:
    def away() -> None:
        raise OperationalError("connection refused")

    with monkeypatch.context() as patch:
        patch.setattr(alarms, "look", away)
        bridge.run(alarms.watch())
        assert mails.letters == []
        alarms._watcher.books_down_at = timezone.now() - timedelta(seconds=15)
        mails.answers["MAIL"] = "421 later"
        bridge.run(alarms.watch())
        assert mails.letters == []
        mails.answers.clear()
        bridge.run(alarms.watch())
        assert mails.letters == []  # within a minute no process tries again
        gate.delete("fs:alarm_books:mail")
        for _ in range(2):
            bridge.run(alarms.watch())
        # Another process finds that people were told.
        alarms._watcher = alarms._Watcher()
        alarms._watcher.books_down_at = timezone.now() - timedelta(seconds=15)
        gate.delete("fs:alarm_books:mail")
        bridge.run(alarms.watch())
    title = "PostgreSQL tidak menjawab / PostgreSQL does not answer"
    assert _subjects(mails) == [f"[flashsale] ALARM: {title}"]
    assert Alarm.objects.count() == 0
    bridge.run(alarms.watch())
    assert _rows() == [("books_down", True, False)]
    assert gate.exists("fs:alarm_books") == 0
    _later(minutes=2)
    alarms.look()
    assert alarm_messages.send_due() == 1
    assert _subjects(mails) == [f"[flashsale] ALARM: {title}", f"[flashsale] OK: {title}"]
    assert _rows() == [("books_down", True, True)]


def test_a_look_that_hangs_counts_as_no_answer_and_is_not_begun_twice(
    seen: dict[str, Any], mails: MailServer, monkeypatch: pytest.MonkeyPatch, gate: Redis
) -> None:
    begun, go_on = [], threading.Event()

    def hangs() -> None:
        begun.append(1)
        go_on.wait(60)

    monkeypatch.setattr(alarms, "ANSWER_S", 0.05)
    with monkeypatch.context() as patch:
        patch.setattr(alarms, "look", hangs)
        bridge.run(alarms.watch())
        assert alarms._watcher.books_down_at is not None
        alarms._watcher.books_down_at -= timedelta(seconds=15)
        bridge.run(alarms.watch())
        assert (len(begun), len(mails.letters)) == (1, 1)
        go_on.set()
    monkeypatch.setattr(alarms, "ANSWER_S", 60.0)
    bridge.run(alarms.watch())
    assert _rows() == [("books_down", True, False)]
    assert alarms._watcher.books_down_at is None


def test_a_redis_with_trouble_is_an_alarm_and_one_that_does_not_answer_ends_none(
    seen: dict[str, Any], own_redis: RedisServer, settings: Settings, own_gate: None
) -> None:
    settings.REDIS_URL = own_redis.url
    try:
        assert alarm_conditions.conditions().found == {}
        with Redis.from_url(own_redis.url) as client:
            client.set("x", "y" * 2_000_000)
        # The buffers of that connection are free again.
        with Redis.from_url(own_redis.url) as client:
            client.config_set("maxmemory", int(client.info("memory")["used_memory"] * 1.05))
        alarms.look()
        (alarm,) = Alarm.objects.all()
        assert (alarm.code, alarm.raised_at is not None) == ("gate_disk", True)
        assert alarm.facts["words"].endswith("% of maxmemory")
        own_redis.kill()
        _later(minutes=2)
        alarms.look()
        assert [code for code, _raised, ended in _rows() if ended] == []
    finally:
        bridge.run(close_gate())


def test_every_alarm_of_the_list_has_texts_that_fit_its_facts() -> None:
    facts = {
        "sale": "s", "titles": "t", "seconds": 5, "account": "a", "count": 3, "channel": "c", "why": "w", "words": "x",
        "ms": 9, "round": 7, "minutes": 4,
    }  # fmt: skip
    for code, kind in ALARMS.items():
        assert kind.code == code
        assert str(kind.text) % facts
        assert kind.sentence({}) in {str(kind.text), str(kind.title)}
