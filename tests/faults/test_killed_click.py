"""The web process is killed (SIGKILL) in the middle of a click in the admin: nothing is half done, repeating is safe.

Each click is sent three times with the same form, as by a person whose page never came: the first process dies before
its commit, the second one after it, the third one lives.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from flashsale.gate import bridge, inspect
from flashsale.life import sale_control, schedule, tick
from flashsale.models import Event, ListEntry, Offer, Proposal, Record, Sale, Stock, Unit
from flashsale.rules.states import SaleState
from tests import servers
from tests.admin.forms import form_values
from tests.factories import PHONE, card_of, draft_sale, lobby_sale, open_now
from tests.faults.steps import broken

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]


class Door:
    """A server whose processes die where the test says."""

    def __init__(self, session: str) -> None:
        self.session = session
        env = {**os.environ, "DATABASE_URL": servers.books_url(), "DJANGO_SETTINGS_MODULE": "config.settings"}
        command = [sys.executable, "-m", "tests.faults.dying_click"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env, text=True)

    def post(self, url: str, data: dict[str, Any], *, dies: str) -> dict[str, Any]:
        """What became of a request: its status, or the signal that killed its process."""
        assert self.process.stdin
        assert self.process.stdout
        request = {"session": self.session, "url": url, "data": data, "dies": dies}
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer


@pytest.fixture
def staff(gate: Any, transactional_db: None) -> Client:
    """Ani, a scheduler who is logged in."""
    call_command("roles", verbosity=0)
    for name in ("ani", "budi"):
        User.objects.create_user(name, is_staff=True).groups.add(Group.objects.get(name="scheduler"))
    client = Client(headers={"accept-language": "en"})
    client.force_login(User.objects.get(username="ani"))
    return client


@pytest.fixture
def door(staff: Client, monkeypatch: pytest.MonkeyPatch) -> Iterator[Door]:
    monkeypatch.setenv("FLASHSALE_TWO_PEOPLE_UNITS", "10")
    door = Door(staff.cookies["sessionid"].value)
    with door.process:
        yield door
        assert door.process.stdin
        door.process.stdin.close()


def _open() -> Sale:
    return open_now(lobby_sale(stock={PHONE: 5}))


def _paused() -> Sale:
    sale = _open()
    sale_control.pause(sale=sale, message="Wait")
    return sale


def _proposed() -> Sale:
    sale = draft_sale(stock={PHONE: 11})
    schedule.publish(sale=sale, by=User.objects.get(username="budi"))
    return sale


def _listed() -> Sale:
    sale = draft_sale(stock={PHONE: 5})
    sale.allocations.update(listed_only=True)
    return sale


Typed = Callable[[Sale], dict[str, Any]]


def _table(text: str) -> Typed:
    return lambda sale: {"content": text.format(sale=sale.code, line=sale.allocations.get().code, sku=PHONE)}


# What people click, the sale, what they type, and the record of it.
CLICKS: list[tuple[str, Callable[[], Sale], Typed, str]] = [
    ("pause", _open, lambda _: {"message": "Wait"}, "pause"),
    ("resume", _paused, lambda _: {}, "resume"),
    ("tell", _open, lambda _: {"message": "Sabar", "message_en": "Wait"}, "tell"),
    ("brake", _open, lambda _: {"rate_per_s": 50, "poll_ms": 20_000}, "brake"),
    (
        "postpone", lambda: lobby_sale(stock={PHONE: 5}),
        lambda sale: {"opens_at": f"{sale.opens_at + timedelta(hours=9):%Y-%m-%dT%H:%M:%S}"}, "postpone",
    ),
    (
        "add-units", lambda: lobby_sale(stock={PHONE: 5}),
        lambda sale: {"stock": Stock.objects.get(allocation__sale=sale).pk, "quantity": 9}, "add_units",
    ),
    (
        "add-units", lambda: lobby_sale(stock={PHONE: 5}),
        lambda sale: {"stock": Stock.objects.get(allocation__sale=sale).pk, "quantity": 50}, "propose_add_units",
    ),
    ("close-early", _open, lambda _: {}, "close_early"),
    ("call-off", _open, lambda _: {"message": "Over"}, "call_off"),
    ("publish", lambda: draft_sale(stock={PHONE: 5}), lambda _: {}, "publish"),
    ("publish", lambda: draft_sale(stock={PHONE: 11}), lambda _: {}, "propose_publish"),
    ("publish", _proposed, lambda _: {}, "publish"),
    ("import", lambda: draft_sale(stock={PHONE: 5}), _table("sku,name,price\n{sku},A,5\nNEW,B,7\n"), "apply_plan"),
    ("import", lambda: draft_sale(stock={PHONE: 5}), _table("line,sku,units\n{line},{sku},9\n"), "apply_plan"),
    (
        "import", _listed,
        _table("line,axis,value\n{line},phone,0812 0000 0001\n{line},phone,0812 0000 0002\n"), "list",
    ),
]  # fmt: skip


def _books(sale: Sale) -> dict[str, Any]:
    """All that a click may change."""
    lines = sale.allocations.values_list("pk", flat=True)
    return {
        "sale": Sale.objects.filter(pk=sale.pk).values().get(),
        "units": Unit.objects.filter(allocation__in=lines).count(),
        "stock": list(Stock.objects.filter(allocation__in=lines).order_by("pk").values()),
        "offers": list(Offer.objects.filter(sale=sale).order_by("pk").values()),
        "listed": ListEntry.objects.filter(allocation__in=lines).count(),
        "proposals": list(Proposal.objects.filter(sale=sale).order_by("pk").values()),
        "records": list(Record.objects.order_by("position").values_list("what", flat=True)),
        "events": Event.objects.count(),
    }


def _agree(sale: Sale) -> None:
    """Redis has what PostgreSQL has, and every promise of the sale holds."""
    if sale.state == SaleState.DRAFT:
        return
    card = card_of(sale)
    assert bridge.run(inspect.revision(card)) == sale.revision
    assert (
        len(bridge.run(inspect.offered_units(card, card.lines[0])))
        == Unit.objects.filter(allocation__sale=sale).count()
    )
    assert broken(sale) == []


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite is written by one process at a time")
def test_a_killed_click_is_done_wholly_or_not_at_all_and_repeating_it_is_safe(
    door: Door, staff: Client, settings: Settings
) -> None:
    settings.FLASHSALE_TWO_PEOPLE_UNITS = 10
    for name, make, typed, what in CLICKS:
        sale = make()
        url = f"{reverse(f'admin:flashsale_sale_{name}')}?id={sale.pk}"
        form = {**form_values(staff.get(url)), **typed(sale)}
        if name == "import":
            page = staff.post(url, form)  # it says what would change
            assert page.context["preview"].obstacles == [], page.context["preview"]
            form = form_values(page)
        before = _books(sale)
        assert door.post(url, form, dies="before") == {"killed": signal.SIGKILL}, (name, what)
        assert _books(sale) == before, (name, what)
        assert door.post(url, form, dies="after") == {"killed": signal.SIGKILL}, (name, what)
        done = _books(sale)
        new = done["records"][len(before["records"]) :]
        assert new.count(what) == 1, (name, new)
        assert done["events"] - before["events"] <= 1
        # Another process finds what Redis has not heard.
        bridge.run(tick.mend_all(whole=False))
        sale.refresh_from_db()
        _agree(sale)
        mended = _books(sale)
        assert door.post(url, form, dies="")["status"] in {200, 302}, (name, what)
        assert _books(sale) == mended, (name, what)
