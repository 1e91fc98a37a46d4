"""SIGTERM while a crowd buys: no answer is lost, all that was acknowledged is in PostgreSQL, and it takes seconds."""

import asyncio
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, transaction
from pytest_django import Settings

from flashsale.management.doctor import work
from flashsale.models import Notice, Reservation
from simulation.processes import Process, free_port, wait_http
from simulation.scale.selling_crowd import Crowd
from tests import servers
from tests.factories import PHONE, identity, lobby_sale, open_now, poco_campaign, tend
from tests.faults.steps import broken
from tests.mail_server import MailServer, mail_server
from tests.web.partner import key_of

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("gate"),
    pytest.mark.slow,
    pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one writer at a time"),
]
ROOT = Path(__file__).parents[2]
TOGETHER, UNITS = 8, 2000
# The container engine kills after its stop_grace_period: 20 s for doors and web, 45 s for workers, 10 s for beats.
GRACE_S = {"door": 20.0, "web": 20.0, "worker": 45.0, "beat": 10.0}


class Site:
    """The processes of an installation, with the options of docker-compose.yml. Each can be stopped and started."""

    def __init__(self, folder: Path, mail_port: int, redis_url: str) -> None:
        self.folder = folder
        self.env = {
            "DJANGO_SETTINGS_MODULE": "config.settings", "DATABASE_URL": servers.books_url(), "REDIS_URL": redis_url,
            "EMAIL_URL": f"smtp://127.0.0.1:{mail_port}", "FLASHSALE_DB_POOL": "4", "FLASHSALE_VAR": str(folder),
        }  # fmt: skip
        self.ports = {name: free_port() for name in ("door", "second door", "web")}
        self.processes = {name: self._granian(name) for name in self.ports} | {
            "worker": self._celery("worker", "worker", "--concurrency=1", "--without-gossip", "--without-mingle"),
            "beat": self._celery("beat", "beat", "--hostname=beat-a@%h", "--enable-remote-control"),
        }

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.ports[name]}"

    def _granian(self, name: str) -> Process:
        kind = ["--interface=asgi", "--loop=uvloop", "--backlog=4096", "--backpressure=2048", "config.asgi:application"]
        if "web" in name:
            kind = ["--interface=wsgi", "--blocking-threads=4", "--backpressure=128", "config.wsgi:application"]
        common = ["--host=127.0.0.1", f"--port={self.ports[name]}", "--workers=1", "--http=1", "--no-ws"]
        common += ["--respawn-failed-workers", "--workers-kill-timeout=15", "--no-access-log"]
        return self._process(name, [sys.executable, "-m", "granian", *common, *kind])

    def _celery(self, name: str, *options: str) -> Process:
        return self._process(name, [sys.executable, "-m", "celery", "--app=config.celery", *options])

    def _process(self, name: str, command: list[str]) -> Process:
        return Process(name=name, command=command, log=self.folder / f"{name}.log", env=self.env, cwd=ROOT)

    def start(self, name: str) -> None:
        process = self.processes[name].start()
        if name in self.ports:
            wait_http(f"{self.url(name)}/livez", process=process, seconds=120)

    def stop(self, name: str) -> tuple[float, int | None]:
        """Sends SIGTERM. Returns how long the process took, and its exit code."""
        began, grace = time.monotonic(), GRACE_S[name.removeprefix("second ")]
        code = self.processes[name].stop(seconds=grace)
        return time.monotonic() - began, code

    def refuses(self, name: str) -> bool:
        """Whether the server takes no new connection."""
        try:
            socket.create_connection(("127.0.0.1", self.ports[name]), timeout=1).close()
        except OSError:
            return True
        return False


@pytest.fixture
def mails(settings: Settings) -> Iterator[MailServer]:
    with mail_server(settings) as server:
        yield server


@pytest.fixture(autouse=True)
def production(settings: Settings) -> None:
    settings.FLASHSALE_SIGNS_OF_PRODUCTION = ["FLASHSALE_HOSTS names sale.example.co.id"]


@pytest.fixture
def site(tmp_path: Path, redis_url: str, settings: Settings, mails: MailServer) -> Iterator[Site]:
    with ExitStack() as stack:
        found = Site(tmp_path, settings.EMAIL_PORT, redis_url)
        for process in found.processes.values():
            stack.callback(process.kill)
            process.start()
        for name in found.ports:
            wait_http(f"{found.url(name)}/livez", process=found.processes[name], seconds=120)
        yield found


def until(condition: Callable[[], Any], seconds: float = 120.0) -> None:
    """Waits for a condition. Fails when the time is over."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def in_the_middle(table: str, crowd: Crowd, server: str, end: Callable[[], Any], has_begun: Callable[[], bool]) -> Any:
    """Ends a server while its requests wait for a lock of this table in PostgreSQL. The lock goes when that begins."""
    with ThreadPoolExecutor(1) as thread:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"LOCK TABLE {table} IN EXCLUSIVE MODE")
            before = None
            while before != (before := crowd.answers.total()) or not crowd.under_way[server]:
                time.sleep(1.0)
            cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = %s::regclass", [table])
            assert cursor.fetchone()[0] > 0
            ending = thread.submit(end)
            until(lambda: has_begun() or ending.done())
        return ending.result()


def test_of_each_kind_of_process_loses_nothing_that_was_acknowledged(
    site: Site, mails: MailServer, record_property: Any
) -> None:
    partner = {"code": "lazada", "name": "Lazada", "payment_accounts": "partner", "order_letters": True}
    campaign = poco_campaign(channels=[partner])
    sale = lobby_sale(campaign, stock={PHONE: UNITS}, max_entries=20_000, rate_per_s=100_000, claim_s=600)
    crowd = Crowd(
        line=f"/v1/sales/{sale.code}/lines/lazada", key=key_of(campaign, "lazada"), sku=PHONE,
        doors=[site.url("door"), site.url("second door")], webs=[site.url("web"), site.url("second door")],
        identity=lambda name: {axis.value: value for axis, value in identity(name).items()},
    )  # fmt: skip
    open_now(sale)
    tend(sale)
    with ThreadPoolExecutor(1) as thread:
        buying = thread.submit(asyncio.run, crowd.buy(together=TOGETHER, most=UNITS))
        try:
            took = stop_each(site, crowd)
        finally:
            crowd.ends = True
        buying.result(timeout=120)
    record_property("took", took)
    assert crowd.strange == []
    assert crowd.repeated == []
    assert {failure.partition(": ")[2] for failure in crowd.failures} == {"ClientConnectorError"}  # nothing was reset
    rows = dict(Reservation.objects.filter(sale=sale).values_list("id", "state"))
    assert {str(id_): state for id_, state in rows.items()} == {one.order: "confirmed" for one in crowd.buyers}
    until(lambda: not broken(sale))
    until(lambda: not Notice.objects.filter(state="due").exists())
    assert Counter(mails.recipients) == {f"{one.name}@example.com": 1 for one in crowd.buyers}


def stop_each(site: Site, crowd: Crowd) -> dict[str, float]:
    """Stops each kind of process in turn, after one that is killed. Returns the seconds that each took to stop."""

    def ordered() -> int:
        return sum(bool(one.order) for one in crowd.buyers)

    def sold_more() -> None:
        there = ordered()
        until(lambda: ordered() > there + TOGETHER)

    def stopped(name: str, table: str) -> float:
        sold_more()
        seconds, code = in_the_middle(table, crowd, site.url(name), lambda: site.stop(name), lambda: site.refuses(name))
        assert code == 0, site.processes[name].last_log_lines()
        return float(seconds)

    sold_more()
    # The control: the crowd notices a process that does not stop in order.
    killed = site.processes["second door"]
    in_the_middle("flashsale_reservation", crowd, site.url("second door"), killed.kill, lambda: not killed.running)
    crowd.doors, crowd.webs = [site.url("door")], [site.url("web")]
    sold_more()
    assert any("ClientConnectorError" not in failure for failure in crowd.failures)
    crowd.failures.clear()
    crowd.repeated.clear()

    took = {}
    until(lambda: [check.ok for check in work.celery()] == [True, True])
    for name in ("worker", "beat"):
        took[name], code = site.stop(name)
        assert code == 0, site.processes[name].last_log_lines()
    assert [check.ok for check in work.celery()] == [False, False]
    site.start("worker")  # no beat: the doors go on by themselves, and the letters wait for it
    took["web"] = stopped("web", "flashsale_contact")
    crowd.webs = [site.url("door")]
    took["door"] = stopped("door", "flashsale_reservation")
    site.start("door")
    site.start("beat")
    sold_more()
    return took
