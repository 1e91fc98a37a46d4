"""A process is stopped between Redis and PostgreSQL. It continues when the sale has changed."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import redis

from flashsale.gate import bridge
from flashsale.life import sale_control, tick
from flashsale.models import Reservation, Sale
from tests import servers
from tests.factories import Shopper, card_of, tend
from tests.faults.steps import broken, called

pytestmark = [pytest.mark.django_db(transaction=True)]


RUN = "import django; django.setup(); from tests.races import frozen; frozen.main()"


def paused(sale: Sale, gate: redis.Redis) -> None:
    sale_control.pause(sale=sale)


def rebuilt(sale: Sale, gate: redis.Redis) -> None:
    gate.flushall()
    bridge.run(tick.mend_all())
    tend(sale)


def wakes_up_after(
    what: Callable[[Sale, redis.Redis], None], gate: redis.Redis, *, guarded: bool
) -> tuple[str, Sale, Shopper]:
    """Runs `what` while a process is stopped. Returns the outcome that the process prints, the sale and its person."""
    sale, (ani, budi) = called("ani", "budi", stock=1)
    first = min(ani, budi, key=lambda person: person.number())
    told = {
        "sale": sale.code, "token": first.entry and first.entry.token, "guarded": guarded, "epoch": card_of(sale).epoch,
    }  # fmt: skip
    environment = os.environ | {"DATABASE_URL": servers.books_url(), "DJANGO_SETTINGS_MODULE": "config.settings"}
    command = [sys.executable, "-c", RUN, json.dumps(told)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, env=environment, text=True, **pipes) as door:
        assert door.stdin
        assert door.stdout
        assert door.stdout.readline() == "taken\n"
        door.send_signal(signal.SIGSTOP)
        try:
            door.stdin.write("\n")
            door.stdin.flush()
            what(sale, gate)
        finally:
            door.send_signal(signal.SIGCONT)
        word = door.stdout.readline().strip()
    return word, sale, first


def test_without_the_books_look_at_the_sale_it_reserves_after_a_pause(gate: redis.Redis) -> None:
    word, *_ = wakes_up_after(paused, gate, guarded=False)
    assert word == "reserved"
    assert Reservation.objects.filter(state="held").count() == 1


def test_after_a_pause_it_is_refused(gate: redis.Redis) -> None:
    word, sale, _ = wakes_up_after(paused, gate, guarded=True)
    assert word == "paused"
    assert Reservation.objects.exclude(state="abandoned").count() == 0
    assert broken(sale) == []


def test_without_the_books_look_at_the_epoch_the_gate_offers_what_it_has_taken(gate: redis.Redis) -> None:
    word, sale, _ = wakes_up_after(rebuilt, gate, guarded=False)
    assert word == "reserved"
    assert any("Redis offers unit" in line for line in broken(sale))


def test_after_a_rebuild_it_is_refused_and_asking_again_succeeds(gate: redis.Redis) -> None:
    word, sale, first = wakes_up_after(rebuilt, gate, guarded=True)
    assert word == "not_ready"
    assert Reservation.objects.exclude(state="abandoned").count() == 0
    assert first.reserve().replayed is False
    assert broken(sale) == []
