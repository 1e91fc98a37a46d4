"""A host is cut off from the network in the middle of a transaction: its locks end, and the others go on selling."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from django.db import connection

from config.database import database_settings
from flashsale.models import Sale
from tests.factories import lobby_sale
from tests.gate.proxy import Proxy

pytestmark = [
    pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate"),
    pytest.mark.skipif("connection.vendor == 'sqlite'", reason="SQLite is no server over a network"),
]  # fmt: skip
WAIT_MS = 4000
LOCK = "SELECT 1 FROM flashsale_sale WHERE id = %s FOR UPDATE"


@pytest.fixture
def sale() -> Sale:
    return lobby_sale()


@pytest.fixture
def link() -> Iterator[Proxy]:
    """What the other host's connections pass through."""
    with Proxy(int(connection.settings_dict["PORT"])) as proxy:
        yield proxy


def connect(port: int, idle_s: int) -> psycopg.Connection:
    """A session as the settings of a door, a web process or a worker make it."""
    there = connection.settings_dict
    url = f"postgres://{there['USER']}:{there['PASSWORD']}@127.0.0.1:{port}/{there['NAME']}"
    options = database_settings(url, pool=1, statement_s=30, idle_s=idle_s, test_sqlite=None)["OPTIONS"]
    return psycopg.connect(
        host="127.0.0.1", port=port, user=there["USER"], password=there["PASSWORD"], dbname=there["NAME"],
        options=options["options"],
    )  # fmt: skip


@contextmanager
def cut_off_with_the_sales_lock(link: Proxy, sale: Sale, idle_s: int) -> Iterator[None]:
    """Another host has locked the sale's row, and nothing of it is heard any more."""
    other = connect(link.port, idle_s)
    other.execute(LOCK, [sale.pk])
    link.cut_off.set()
    try:
        yield
    finally:
        other.close()


def locks_in_time(sale: Sale) -> bool:
    """Whether another process gets the sale's row within four seconds."""
    with connect(int(connection.settings_dict["PORT"]), idle_s=10) as mine:
        mine.execute(f"SET lock_timeout = {WAIT_MS}")
        try:
            mine.execute(LOCK, [sale.pk])
        except psycopg.errors.LockNotAvailable:
            return False
    return True


def test_without_a_limit_its_lock_stays(link: Proxy, sale: Sale) -> None:
    with cut_off_with_the_sales_lock(link, sale, idle_s=0):
        assert not locks_in_time(sale)


def test_with_the_limit_others_get_the_lock_soon_after(link: Proxy, sale: Sale) -> None:
    with cut_off_with_the_sales_lock(link, sale, idle_s=1):
        began = time.monotonic()
        assert locks_in_time(sale)
        assert time.monotonic() - began < WAIT_MS / 1000


def test_every_process_sets_the_limits_of_its_sessions() -> None:
    wanted = {
        "idle_in_transaction_session_timeout": "10s", "tcp_keepalives_idle": "10", "tcp_keepalives_interval": "5",
        "tcp_keepalives_count": "4",
    }  # fmt: skip
    with connect(int(connection.settings_dict["PORT"]), idle_s=10) as mine:
        assert {name: mine.execute(f"SHOW {name}").fetchone()[0] for name in wanted} == wanted
