"""Sessions of staff: a dump of the table opens nothing, and a session ends in time."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.db import connection
from django.test import Client
from django.utils import timezone

from flashsale.life import retention
from flashsale.web.sessions import LONGEST, SessionStore
from tests.loop import in_a_loop

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate"), pytest.mark.books]
IDLE = timedelta(hours=1)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that moves the time of Django forward."""
    real, moved = timezone.now, timedelta()

    def forward(by: timedelta) -> None:
        nonlocal moved
        moved += by

    monkeypatch.setattr(timezone, "now", lambda: real() + moved)
    return forward


@pytest.fixture
def staff(admin_user: Any) -> Client:
    """A browser whose user has logged in on the page."""
    browser = Client()
    answer = browser.post("/admin/login/?next=/admin/", {"username": "admin", "password": "password"})
    assert answer.status_code == 302
    return browser


def logged_in(browser: Client) -> bool:
    return browser.get("/admin/").status_code == 200


def dumped() -> list[Any]:
    """All values of all columns of the table."""
    with connection.cursor() as sql:
        sql.execute("SELECT * FROM django_session")
        return [value for row in sql.fetchall() for value in row]


def test_no_value_of_the_table_logs_anybody_in(staff: Client) -> None:
    cookie = staff.cookies["sessionid"].value
    values = [str(value) for value in dumped()]
    assert len(values) == 3
    assert [value for value in values if cookie in value] == []
    parts = [part for value in values for part in (value, *value.split(":"), value[:32])]
    for value in parts:
        thief = Client()
        thief.cookies["sessionid"] = value
        assert not logged_in(thief), value
    assert logged_in(staff)


def test_data_that_is_copied_into_another_row_is_not_valid(staff: Client) -> None:
    theirs = Session.objects.get().session_data
    mine = SessionStore()
    mine["x"] = 1
    mine.save()
    Session.objects.filter(session_key=mine.stored_key(mine.session_key)).update(session_data=theirs)
    thief = Client()
    thief.cookies["sessionid"] = mine.session_key
    assert not logged_in(thief)


def test_a_session_of_an_earlier_version_has_ended(admin_user: Any) -> None:
    from_before = Session(session_key="a" * 32, session_data="e30:1:x", expire_date=timezone.now() + timedelta(days=14))
    from_before.save()
    browser = Client()
    browser.cookies["sessionid"] = "a" * 32
    assert not logged_in(browser)


def test_a_session_ends_after_an_hour_without_a_request(staff: Client, clock: Any) -> None:
    clock(IDLE - timedelta(seconds=5))
    assert logged_in(staff)
    clock(IDLE - timedelta(seconds=5))
    assert logged_in(staff), "the hour starts anew with each use"
    clock(IDLE)
    assert not logged_in(staff)


def test_a_session_ends_after_twelve_hours_though_it_is_used(staff: Client, clock: Any) -> None:
    for _ in range(23):
        clock(timedelta(minutes=30))
        assert logged_in(staff)
    clock(timedelta(minutes=29))
    assert logged_in(staff)
    clock(timedelta(minutes=1))
    assert not logged_in(staff)


def test_a_row_with_a_later_end_does_not_make_a_session_longer(staff: Client, clock: Any) -> None:
    Session.objects.update(expire_date=timezone.now() + timedelta(days=14))
    clock(LONGEST)
    assert not logged_in(staff)


def test_a_new_password_does_not_make_a_session_longer(staff: Client, clock: Any) -> None:
    began = Session.objects.get().expire_date - IDLE
    for _ in range(12):
        clock(timedelta(minutes=55))
        assert logged_in(staff)
    page = staff.post(
        "/admin/password_change/",
        {"old_password": "password", "new_password1": "kuda-laut-93", "new_password2": "kuda-laut-93"},
    )
    assert page.status_code == 302
    assert logged_in(staff)
    assert Session.objects.latest("expire_date").expire_date <= began + LONGEST + timedelta(seconds=1)


def test_the_use_of_a_session_is_written_once_a_minute(staff: Client, clock: Any) -> None:
    first = Session.objects.get().expire_date
    clock(timedelta(seconds=50))
    assert logged_in(staff)
    assert Session.objects.get().expire_date == first
    clock(timedelta(seconds=20))
    assert logged_in(staff)
    assert Session.objects.get().expire_date > first


def test_logging_out_deletes_the_row(staff: Client) -> None:
    cookie = staff.cookies["sessionid"].value
    staff.post("/admin/logout/")
    assert Session.objects.count() == 0
    again = Client()
    again.cookies["sessionid"] = cookie
    assert not logged_in(again)


@pytest.mark.parametrize("cookie", ["", "x", "a" * 32, "a" * 40, "\u00e9" * 9, "' OR 1=1 --"])
def test_a_page_for_everybody_ignores_a_cookie_that_is_no_session(client: Client, cookie: str) -> None:
    client.cookies["sessionid"] = cookie
    assert client.get("/").status_code == 200
    assert Session.objects.count() == 0


def test_asynchronous_calls_store_no_cookie_either() -> None:
    async def through() -> tuple[str, bool, bool]:
        store = SessionStore()
        await store.aset("x", 1)
        await store.asave()
        again = SessionStore(store.session_key)
        assert await again.aget("x") == 1
        there = await again.aexists(store.session_key)
        await again.adelete()
        return store.session_key, there, await again.aexists(store.session_key)

    cookie, before, after = in_a_loop(through())
    assert (before, after) == (True, False)
    assert cookie not in str(dumped())


def test_sessions_that_have_ended_are_deleted(staff: Client) -> None:
    assert retention.forget_due() == 0
    Session.objects.update(expire_date=timezone.now() - timedelta(seconds=1))
    assert retention.forget_due() == 1
    assert Session.objects.count() == 0


def test_the_time_of_the_beginning_is_in_the_signed_data(staff: Client) -> None:
    store = SessionStore(staff.cookies["sessionid"].value)
    assert timezone.now() - datetime.fromisoformat(store["_began"]) < timedelta(minutes=1)
