"""The admin's list of all money that waits, and the actions of people on refunds."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from flashsale.life import cancel, inbox
from flashsale.models import Record, Refund
from tests.admin.forms import messages_on, submit
from tests.admin.orders import buy
from tests.factories import lobby_sale

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]


@pytest.fixture
def owed(gate: Any) -> Refund:
    (order,) = buy(lobby_sale(), ["ani"])
    cancel.cancel(reservation=order.pk, channel=order.channel_id, code="buyer_request")
    Refund.objects.update(state="impossible", next_look_at=timezone.now())
    inbox.store(account="demo", references=[order.attempts.get().reference], body=b"", headers={})
    return Refund.objects.get()


def post(client: Client, action: str, row: Refund, **data: Any) -> list[str]:
    url = reverse(f"admin:flashsale_refund_{action}") + f"?id={row.pk}"
    return messages_on(submit(client, url, **data))


def test_the_list_names_what_to_do_by_whom_and_links_to_the_row(bob: Client, owed: Refund) -> None:
    page = bob.get(reverse("admin:flashsale_refund_waiting")).content.decode()
    assert "transfer it by hand (a reviewer): 1" in page
    assert reverse("admin:flashsale_refund_change", args=[owed.pk]) in page
    assert "A notification was stored" in page
    one = bob.get(reverse("admin:flashsale_refund_waiting") + "?action=transfer").content.decode()
    assert owed.reference in one
    assert "A notification was stored" not in one
    first = bob.get(reverse("admin:index")).content.decode()
    assert "Money that waits" in first
    assert "?action=transfer" in first


def test_only_those_who_may_see_refunds_see_the_list(client: Client, django_user_model: Any, owed: Refund) -> None:
    client.force_login(django_user_model.objects.create_user("eve", is_staff=True))
    assert client.get(reverse("admin:flashsale_refund_waiting")).status_code == 403


def test_a_transfer_takes_two_people(bob: Client, carol: Client, owed: Refund) -> None:
    assert post(bob, "transferred", owed, reference="BCA-1") == ["Noted. Another person has to confirm the transfer."]
    assert "Another person has to confirm the transfer." in post(bob, "confirm-transfer", owed)[0]
    owed.refresh_from_db()
    assert (owed.state, owed.provider_id) == ("transferred", "BCA-1")
    assert post(carol, "confirm-transfer", owed) == ["The transfer is confirmed."]
    owed.refresh_from_db()
    assert (owed.state, owed.confirmed_by.username if owed.confirmed_by else "") == ("confirmed", "carol")
    assert list(Record.objects.filter(what__contains="transfer").values_list("what", flat=True).order_by("pk")) == [
        "transfer", "confirm_transfer",
    ]  # fmt: skip
