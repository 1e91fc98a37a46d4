"""The page of events shows what partners read in their feed, with filters, and changes nothing."""

import re

import pytest
from django.test import Client
from django.urls import reverse

from flashsale.models import Event, Reservation, Sale
from tests.admin.orders import buy
from tests.factories import PHONE, lobby_sale

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]
LIST = reverse("admin:flashsale_event_changelist")


@pytest.fixture
def orders() -> list[Reservation]:
    """Two orders of one sale, and another sale."""
    lobby_sale(stock={PHONE: 1})
    return buy(lobby_sale(stock={PHONE: 2}), ["ani", "budi"])


def shown(client: Client, **query: str) -> list[int]:
    """The ids of the events on the page."""
    page = client.get(LIST, query)
    assert page.status_code == 200
    return [int(id_) for id_ in re.findall(r"/admin/flashsale/event/(\d+)/change/", page.content.decode())]


def test_the_newest_events_come_first_and_filters_find_those_of_a_type_a_sale_or_a_reservation(
    orders: list[Reservation], dave: Client
) -> None:
    first = orders[0]
    ids = {
        "all": Event.objects.all(),
        "type": Event.objects.filter(type="payment.paid"),
        "sale": Event.objects.filter(sale=first.sale_id),
        "channel": Event.objects.filter(channel=first.channel_id),
        "reservation": Event.objects.filter(reservation=first.pk),
    }
    newest = {name: list(rows.order_by("-pk").values_list("pk", flat=True)) for name, rows in ids.items()}
    assert [len(newest[name]) for name in ("type", "reservation")] == [2, 4]
    assert 0 < len(newest["sale"]) < len(newest["all"])
    assert shown(dave) == newest["all"]
    assert shown(dave, type="payment.paid") == newest["type"]
    assert shown(dave, sale__id__exact=str(first.sale_id)) == newest["sale"]
    assert shown(dave, channel__id__exact=str(first.channel_id)) == newest["channel"]
    assert shown(dave, reservation=str(first.pk)) == newest["reservation"]
    assert shown(dave, q=str(first.pk)) == newest["reservation"]
    assert shown(dave, type="no.such") == []


def test_the_page_of_a_reservation_leads_to_its_events(orders: list[Reservation], dave: Client) -> None:
    page = dave.get(reverse("admin:flashsale_reservation_change", args=[orders[0].pk])).content.decode()
    (link,) = re.findall(r'href="(/admin/flashsale/event/\?[^"]+)"', page)
    assert link == f"{LIST}?reservation={orders[0].pk}"


@pytest.mark.usefixtures("orders")
def test_no_event_can_be_added_changed_or_deleted(root: Client, dave: Client) -> None:
    event = Event.objects.filter(reservation__isnull=False).latest("pk")
    page = reverse("admin:flashsale_event_change", args=[event.pk])
    before = list(Event.objects.values())
    for client in (root, dave):
        text = client.get(page).content.decode()
        assert event.type in text
        assert 'name="_save"' not in text
        assert client.post(page, {"type": "sale.closed"}).status_code == 403
        assert client.get(reverse("admin:flashsale_event_add")).status_code == 403
        assert client.post(reverse("admin:flashsale_event_delete", args=[event.pk]), {"post": "yes"}).status_code == 403
    assert list(Event.objects.values()) == before


def test_an_event_of_a_sale_has_no_reservation(dave: Client) -> None:
    sale: Sale = lobby_sale(stock={PHONE: 1})
    event = Event.objects.get(sale=sale, type="sale.published")
    text = dave.get(reverse("admin:flashsale_event_change", args=[event.pk])).content.decode()
    assert "sale.published" in text
    assert "flashsale/reservation/" not in text.split("<h1>")[-1].split("</form>")[0]
