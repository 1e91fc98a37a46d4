"""A sale is published while its campaign gets another time zone: they lock in one order, so none ends in a deadlock."""

import time
from threading import Event, Thread
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError, connection
from django.test import Client
from django.utils import timezone

from flashsale.books import reservations
from flashsale.life import schedule
from flashsale.models import Campaign, Sale
from tests.admin.forms import form_values
from tests.factories import draft_sale, poco_campaign

pytestmark = [
    pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate", "fast_passwords"),
    pytest.mark.skipif("connection.vendor == 'sqlite'", reason="SQLite has one writer at a time"),
]  # fmt: skip
WAIT_S = 60
WAITS = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid)))"


class Race:
    """A publication that goes on when the change of the campaign has its lock, or waits for it."""

    def __init__(self, sale: Sale, patch: pytest.MonkeyPatch) -> None:
        self.sale = sale
        self.sale_locked, self.campaign_locked = Event(), Event()
        self.ended: dict[str, Any] = {}
        really = reservations.lock_sale

        def lock_sale(*args: Any, **fields: Any) -> Any:
            found = really(*args, **fields)
            self.sale_locked.set()
            deadline = time.monotonic() + WAIT_S
            while not self.campaign_locked.is_set() and not self._other_waits():
                assert time.monotonic() < deadline
                time.sleep(0.02)
            return found

        patch.setattr(schedule, "lock_sale", lock_sale)

    @staticmethod
    def _other_waits() -> bool:
        with connection.cursor() as cursor:
            cursor.execute(WAITS)
            return bool(cursor.fetchone()[0])

    def _publish(self) -> None:
        try:
            self.ended["publication"] = schedule.publish(sale=Sale.objects.get(pk=self.sale.pk)).state
        except OperationalError as error:
            self.ended["publication"] = str(error)
        finally:
            self.campaign_locked.set()
            connection.close()

    def _note(self, execute: Any, sql: str, *args: Any) -> Any:
        found = execute(sql, *args)
        if "flashsale_campaign" in sql and "FOR NO KEY UPDATE" in sql:
            self.campaign_locked.set()
        return found

    def run(self, client: Client) -> dict[str, Any]:
        """Runs both, and returns how they have ended."""
        url = f"/admin/flashsale/campaign/{self.sale.campaign_id}/change/"
        form = form_values(client.get(url)) | {"time_zone": "WITA", "keep_times": "clock"}
        thread = Thread(target=self._publish)
        thread.start()
        try:
            assert self.sale_locked.wait(WAIT_S)
            with connection.execute_wrapper(self._note):
                self.ended["zone"] = client.post(url, form).status_code
        finally:
            self.sale_locked.set()
            thread.join(WAIT_S)
        assert not thread.is_alive()
        return self.ended


@pytest.fixture
def sale() -> Sale:
    return draft_sale(poco_campaign())


@pytest.fixture
def client(sale: Sale) -> Client:
    found = Client(headers={"accept-language": "en"}, raise_request_exception=False)
    found.force_login(User.objects.create_superuser("root"))
    return found


def test_without_the_order_of_locks_one_of_them_ends_in_a_deadlock(
    sale: Sale, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    really, calls = reservations.lock_campaign, []

    def second_call_only(campaign: int) -> Any:
        calls.append(campaign)
        return None if len(calls) == 1 else really(campaign)

    monkeypatch.setattr(schedule, "lock_campaign", second_call_only)
    ended = Race(sale, monkeypatch).run(client)
    assert "deadlock detected" in str(ended["publication"]) or ended["zone"] == 503


def test_with_it_the_publication_ends_and_the_form_of_the_old_page_is_refused(
    sale: Sale, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    opens_at = sale.opens_at
    ended = Race(sale, monkeypatch).run(client)
    assert ended == {"publication": "published", "zone": 302}
    campaign = Campaign.objects.get()
    assert (campaign.time_zone, campaign.is_frozen) == ("Asia/Jakarta", True)
    assert Sale.objects.get().opens_at == opens_at
    assert campaign.frozen_at <= timezone.now()
