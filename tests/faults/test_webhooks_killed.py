"""The worker that delivers webhooks is killed in the middle of a message: the next one sends it again, with its id."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connection
from pytest_django import Settings

from flashsale.models import Delivery
from simulation.processes import Process
from simulation.redis_server import RedisServer
from tests import servers
from tests.faults.steps import buy, called
from tests.hooks import Hooks
from tests.life.deliveries import books, channel_id, copy_of_the_books, later, wait_until, webhook_to

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("gate"),
    pytest.mark.slow,
    pytest.mark.skipif("connection.vendor == 'sqlite'", reason="SQLite has no other process at the same time"),
]
ROOT = Path(__file__).parents[2]


@pytest.fixture
def worker(own_redis: RedisServer, tmp_path: Path) -> Iterator[Process]:
    """A Celery worker with its beat, on a broker of its own."""
    options = ("--pool", "solo", "--beat", "--without-gossip", "--without-mingle", "--loglevel", "WARNING")
    env = {
        "DATABASE_URL": servers.books_url(), "BROKER_URL": own_redis.url, "FLASHSALE_WEBHOOK_LOCAL": "1",
        "DJANGO_SETTINGS_MODULE": "config.settings",
    }  # fmt: skip
    command = [sys.executable, "-m", "celery", "--app", "config.celery", "worker", *options]
    process = Process(name="worker", command=command, log=tmp_path / "worker.log", env=env, cwd=ROOT)
    yield process
    process.kill()


def test_a_worker_that_dies_in_the_middle_of_a_message_loses_none_and_keeps_the_order(
    worker: Process, tmp_path: Path, settings: Settings
) -> None:
    settings.FLASHSALE_WEBHOOK_LOCAL = True
    sale, people = called("ani", "budi", stock=2)
    with Hooks(tmp_path / "hooks") as hooks:
        row = webhook_to(hooks, channel_id(sale))
        hooks.answer("hang")
        for person in people:
            buy(person)
        with worker:
            wait_until(lambda: len(hooks.ledger) == 2)
            worker.kill()
        # It had sent the first event of each order, and noted nothing.
        cut_off = [one["id"] for one in hooks.ledger]
        assert set(row.deliveries.values_list("state", "attempts")) == {("due", 0)}
        hooks.answer("200")
        later(seconds=31)
        with worker:
            wait_until(lambda: not Delivery.objects.filter(state="due").exists())
        told = hooks.ledger
        assert sorted(one["id"] for one in told[2:4]) == sorted(cut_off)
        assert len(told) == 2 + 8
        for person in {one["event"]["reservation"] for one in told}:
            sequences = [one["event"]["sequence"] for one in told[2:] if one["event"]["reservation"] == person]
            assert sequences == [1, 2, 3, 4]
        assert copy_of_the_books(hooks.taken) == books(channel_id(sale))
    connection.close()
