"""Rehearsals over real HTTP: the crowd comes, nothing real is touched, the copy goes, and a report stays."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from urllib.request import urlopen

import pytest
import redis
from django.contrib.auth.models import User
from django.core import mail
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from flashsale.admin import dashboard
from flashsale.life import notify, rehearse, settlement
from flashsale.models import (
    Allocation,
    ApiCall,
    Campaign,
    Channel,
    Contact,
    CrowdBackup,
    Delivery,
    DemoCharge,
    Event,
    FairnessReport,
    LimitSlot,
    ListEntry,
    Notice,
    PartnerKey,
    PaymentAttempt,
    Rehearsal,
    Reservation,
    Sale,
    SaleCheck,
    SaleSample,
    SandboxCall,
    Settlement,
    Stock,
    Unit,
    UnpaidHold,
    Webhook,
)  # fmt: skip
from flashsale.rules.identity import Axis
from flashsale.rules.rehearsals import PREFIX, Terms
from simulation import rehearsal
from tests.browser.site import Site, serving
from tests.factories import PHONE, draft_sale, lobby_sale, poco_campaign

pytestmark = pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one writer at a time")
PATIENCE_S = 180.0
# What a rehearsal writes while it runs, and what must be as before afterwards.
TABLES = (
    Allocation, ApiCall, Campaign, Channel, Contact, CrowdBackup, Delivery, DemoCharge, Event, FairnessReport,
    LimitSlot, ListEntry, Notice, PartnerKey, PaymentAttempt, Reservation, Sale, SaleCheck, SaleSample, SandboxCall,
    Settlement, Stock, Unit, UnpaidHold, Webhook,
)  # fmt: skip


@pytest.fixture(scope="module")
def db(shared_db: None) -> None:
    """What fixtures of pytest-django ask for: here it is the database that the server shares."""


@pytest.fixture(scope="module")
def site(db: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with redis.Redis.from_url(os.environ["REDIS_URL"]) as eraser:
        eraser.flushall()
    with serving(tmp_path_factory.mktemp("rehearsals")) as found:
        yield found


@pytest.fixture(scope="module")
def plan(site: Site) -> Sale:
    """A draft with a line for everybody and one for people on a list, in a campaign with a sale far ahead."""
    campaign = poco_campaign(code="rehearsed")
    lobby_sale(campaign, code="far-ahead", opens_in_s=86_400)
    lines = [
        {"code": "all", "channels": ["lazada"], "stock": {PHONE: 8}},
        {"code": "listed", "channels": ["mi.com"], "stock": {PHONE: 4}, "listed": [(Axis.PHONE, "081211112222")]},
    ]
    return draft_sale(campaign, code="rehearsed-plan", lines=lines, claim_s=4, hold_s=30, opens_in_s=86_400)


def _rows() -> dict[str, list[Any]]:
    """All rows but the clock's of live sales, which doors renew."""
    return {model.__name__: list(model.objects.order_by("pk").values()) for model in TABLES}


def _keys() -> set[bytes]:
    """The keys of sales in Redis."""
    with redis.Redis.from_url(os.environ["REDIS_URL"]) as client:
        return {key for key in client.scan_iter() if b"{" in key} | set(client.hgetall("fs:sales"))


def _text(url: str) -> str:
    with urlopen(url, timeout=PATIENCE_S) as answer:  # noqa: S310 - our own server
        return str(answer.read().decode())


def _until(condition: Any) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "the condition was not met in time"
        time.sleep(0.1)


def _apart(act: Callable[..., Any], *args: Any, **fields: Any) -> Any:
    """Runs it in a thread of its own, because the browser's loop may run in the thread of the test."""

    def run() -> Any:
        try:
            return act(*args, **fields)
        finally:
            connection.close()  # of that thread

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(run).result()


TERMS = Terms(people=40, no_shows=0.1, speed=20, minutes=1, seed=3)


def test_a_rehearsal_sells_the_copy_touches_nothing_real_and_leaves_a_report(site: Site, plan: Sale) -> None:
    before, keys = _rows(), _keys()
    seen: list[tuple[str, str, int, int]] = []

    def look(_progress: Mapping[str, int]) -> None:
        """What the installation shows while the crowd is there."""
        copies = Sale.objects.filter(code__startswith=PREFIX).count()
        shown = [tile.sale.code for tile in dashboard._sale_tiles(User(is_superuser=True))]
        seen.append((_text(f"{site.url}/") + _text(f"{site.url}/v1/sales"), " ".join(shown), copies, _samples()))
        connection.close()  # of this thread

    row, key = rehearse.start(sale=plan, terms=TERMS)
    _apart(rehearsal.run, site.url, key, look)
    copy = Campaign.objects.get(code__startswith=PREFIX)
    orders = Reservation.objects.filter(sale__campaign=copy)
    assert orders.filter(state="confirmed").count() == 12
    assert {order.attempts.get().account for order in orders} == {"test"}
    assert Notice.objects.filter(reservation__in=orders, state="sent").count() == 0
    assert notify.send_due() == 0
    assert settlement.make_due() == 0
    assert SandboxCall.objects.count() == 0, "the checklist of a partner's sandbox is not written"

    assert rehearse.finish(rehearsal=row)
    assert not rehearse.finish(rehearsal=row), "a repeat does nothing"
    row.refresh_from_db()
    figures, report = row.figures, row.report
    assert figures is not None
    assert report is not None
    assert (row.state, row.why, report["units"]) == ("ended", "", 12)
    assert (figures["entered"], figures["paid"], figures["failed"], figures["over"]) == (40, 12, 0, True)
    assert figures["disappointed"] == 40 - 12 - figures["no_shows"]
    assert figures["early_wait_s"]["people"] + figures["late_wait_s"]["people"] == 40
    assert figures["late_wait_s"]["people"] >= 8
    assert figures["entered_by_line"] == {"all": 28, "listed": 12}
    assert set(figures["verbs"]) == {"enter", "status", "look", "reserve", "confirm"}
    assert {limit["what"] for limit in report["limits"]} >= {"door", "calling", "claim", "gateway", "quota", "entries"}
    assert {found["verdict"] for found in report["promises"]} == {"held", "not checkable here"}

    assert mail.outbox == []
    assert site.mails() == []
    assert max(copies for *_, copies, _ in seen) == 1, "the crowd was there while this looked"
    assert not any(PREFIX in page or PREFIX in board for page, board, *_ in seen)
    assert {count for *_, count in seen} == {0}, "no copy is sampled for the live board"
    after = _rows()
    assert {name for name in before if before[name] != after[name]} == set()
    assert _keys() == keys


def _samples() -> int:
    return SaleSample.objects.filter(sale__code__startswith=PREFIX).count()


def test_a_crowd_that_is_killed_leaves_nothing_behind(site: Site, plan: Sale) -> None:
    before, keys = _rows(), _keys()
    row, key = rehearse.start(sale=plan, terms=TERMS)
    env = os.environ | {rehearsal.KEY: key}
    command = [sys.executable, "-m", "simulation.rehearsal", "--url", site.url]
    with subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as crowd:
        _until(lambda: Rehearsal.objects.get(pk=row.pk).progress.get("entered", 0) > 0)
        crowd.kill()
    assert rehearse.sweep() == 0, "the crowd gave a sign of life some seconds ago"
    Rehearsal.objects.filter(pk=row.pk).update(seen_at=timezone.now() - timedelta(seconds=31))
    _until(lambda: rehearse.sweep() == 1)  # PostgreSQL may be too busy to delete at once
    row.refresh_from_db()
    assert (row.state, row.why, row.figures) == ("ended", "silent", None)
    assert row.report is not None
    assert {found["broken"] for found in row.report["promises"]} == {0}
    after = _rows()
    assert {name for name in before if before[name] != after[name]} == set()
    assert _keys() == keys


def test_a_stopped_crowd_leaves_and_reports_what_it_has_measured(site: Site, plan: Sale) -> None:
    row, key = rehearse.start(sale=plan, terms=TERMS)
    crowd = threading.Thread(target=rehearsal.run, args=(site.url, key, lambda _progress: None))
    crowd.start()
    _until(lambda: Rehearsal.objects.get(pk=row.pk).progress.get("entered", 0) > 0)
    rehearse.stop(rehearsal=row)
    crowd.join(PATIENCE_S)
    assert not crowd.is_alive()
    _until(lambda: rehearse.sweep() == 1)  # PostgreSQL may be too busy to delete at once
    row.refresh_from_db()
    assert (row.state, row.why, row.figures["over"]) == ("ended", "asked", False)
    assert Campaign.objects.filter(code__startswith=PREFIX).count() == 0


def test_the_command_prints_the_report_and_writes_it_into_a_folder(
    site: Site, plan: Sale, capsys: pytest.CaptureFixture[str], tmp_path: Any
) -> None:
    _apart(
        call_command,
        "rehearse",
        plan.code,
        url=site.url,
        people=10,
        no_shows=0.0,
        speed=50,
        minutes=1,
        seed=1,
        out=tmp_path,
    )
    printed = capsys.readouterr().out
    assert "10 of 10 entered" in printed
    assert "All promises held." in printed
    assert json.loads((tmp_path / "report.json").read_text())["figures"]["entered"] == 10
    assert "Wait until called" in (tmp_path / "report.txt").read_text()
    assert _samples() == 0
