"""PostgreSQL is frozen (SIGSTOP), and its kernel answers keepalives. A click of the staff still gets an answer."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client

from config.database import SILENT_AFTER_S, database_settings
from config.postgresql import base
from config.postgresql.connection import Connection, limited_commits
from flashsale.models import Campaign
from simulation.postgres_server import PostgresServer
from tests.admin.forms import form_values
from tests.factories import poco_campaign

pytestmark = [
    pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate", "fast_passwords"),
    pytest.mark.skipif("connection.vendor == 'sqlite'", reason="SQLite is no server"),
    pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="not Linux"),
]  # fmt: skip
LIMIT_S = 0.5
SAFE, UNKNOWN = b"Nothing was changed.", b"It is not known whether your last click took effect."


def processes(server: PostgresServer) -> list[int]:
    """The processes of this server, the first of them before those that it has started."""
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text(encoding="utf-8")
    return [server.pid, *map(int, children.split())]


class Ice:
    """Freezes a server, and lets it go on."""

    def __init__(self, server: PostgresServer) -> None:
        self.server = server
        self.frozen: list[int] = []

    def freeze(self) -> None:
        self.frozen = processes(self.server)
        for process in self.frozen:
            os.kill(process, signal.SIGSTOP)

    def thaw(self) -> None:
        for process in self.frozen:
            os.kill(process, signal.SIGCONT)
        self.frozen = []
        connection.close()  # as after each request; the client of the tests leaves it open


@pytest.fixture
def ice(own_books: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ice]:
    monkeypatch.setitem(connection.settings_dict, "SILENCE_S", LIMIT_S)
    monkeypatch.setattr(base, "CHECK_S", LIMIT_S)
    options = connection.settings_dict["OPTIONS"]
    monkeypatch.setitem(options, "pool", options["pool"] | {"timeout": 1})
    monkeypatch.setitem(options, "connect_timeout", 1)
    found = Ice(own_books)
    yield found
    found.thaw()


@contextmanager
def before_statement(start: str, act: Callable[[], None]) -> Iterator[None]:
    def wrapper(execute: Any, sql: str, *args: Any) -> Any:
        if sql.startswith(start):
            act()
        return execute(sql, *args)

    with connection.execute_wrapper(wrapper):
        yield


def test_a_click_gets_an_answer_that_says_whether_something_was_changed(
    ice: Ice, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign = poco_campaign()
    client = Client(headers={"accept-language": "en", "accept": "text/html"}, raise_request_exception=False)
    client.force_login(User.objects.create_superuser("root"))
    url = f"/admin/flashsale/campaign/{campaign.pk}/change/"
    form = form_values(client.get(url))

    def click(name: str) -> Any:
        began = time.monotonic()
        answer = client.post(url, form | {"name": name})
        assert time.monotonic() - began < 30
        return answer

    # A frozen server is noticed by the check of a connection.
    ice.freeze()
    answer = click("frozen before")
    assert (answer.status_code, answer["Retry-After"]) == (503, "10")
    assert SAFE in answer.content
    ice.thaw()
    # In the middle of the work.
    with before_statement('UPDATE "flashsale_campaign"', ice.freeze):
        answer = click("frozen in the middle")
    assert answer.status_code == 503
    assert SAFE in answer.content
    ice.thaw()
    assert Campaign.objects.get().name == campaign.name
    # While it commits: the answer claims nothing.
    really = Connection.commit

    def commit(link: Connection) -> None:
        ice.freeze()
        really(link)

    with monkeypatch.context() as patch:
        patch.setattr(Connection, "commit", commit)
        answer = click("frozen at the end")
    assert answer.status_code == 503
    assert UNKNOWN in answer.content
    assert SAFE not in answer.content
    ice.thaw()
    # Here the server took the commit, and obeys when it goes on.
    deadline = time.monotonic() + 60
    while Campaign.objects.get().name == campaign.name:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert Campaign.objects.get().name == "frozen at the end"


def test_only_where_a_person_waits_a_commit_has_a_limit(ice: Ice) -> None:
    connection.ensure_connection()
    link: Any = connection.connection
    asked: list[float | None] = []

    def wait(_link: Any, gen: Any, _interval: float, timeout: float | None = None) -> Any:
        asked.append(timeout)
        gen.close()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("psycopg.Connection.wait", wait)
        link.commit()
        with limited_commits():
            link.commit()
        link.rollback()
    assert asked == [None, LIMIT_S, LIMIT_S]


def test_the_limit_is_longer_than_that_of_a_statement() -> None:
    def made(statement_s: int) -> Any:
        there = database_settings("postgres://h/n", pool=1, statement_s=statement_s, idle_s=10, test_sqlite=None)
        return there["SILENCE_S"]

    assert (made(30), made(0)) == (30 + SILENT_AFTER_S, None)
