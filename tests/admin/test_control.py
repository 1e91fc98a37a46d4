"""What may still be decided about a published sale, and the keys of partners."""

from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client
from django.urls import reverse

from flashsale.models import PartnerKey, Sale, Stock, Unit
from tests.admin.forms import held, links, said, send
from tests.factories import PHONE, lobby_sale, open_now, poco_campaign

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]

WIB = timedelta(hours=7)


def _page(sale: Sale) -> str:
    return reverse("admin:flashsale_sale_change", args=[sale.pk])


def _wall(at: datetime) -> str:
    return (at.astimezone(UTC) + WIB).strftime("%Y-%m-%dT%H:%M:%S")


def test_a_pause_tells_shoppers_why_and_ends(alice: Client) -> None:
    sale = lobby_sale()
    paused = send(alice, links(alice.get(_page(sale)), "pause")[0], message="Back in ten minutes")
    assert said(paused) == ["26 January is paused."]
    sale.refresh_from_db()
    assert (sale.state, sale.message) == ("paused", "Back in ten minutes")
    assert links(paused, "pause") == []
    send(alice, links(paused, "resume")[0])
    sale.refresh_from_db()
    assert (sale.state, sale.message) == ("published", "")


def test_an_opening_is_postponed_in_the_campaigns_zone(alice: Client) -> None:
    sale = lobby_sale()
    page = alice.get(links(alice.get(_page(sale)), "postpone")[0])
    assert held(page)["opens_at"] == [_wall(sale.opens_at)]
    later = sale.opens_at.replace(microsecond=0) + timedelta(hours=2)
    send(alice, page.wsgi_request.get_full_path(), opens_at=_wall(later), message="The truck is late")
    now = Sale.objects.get(pk=sale.pk)
    assert (now.opens_at, now.closes_at, now.message) == (
        later, sale.closes_at + (later - sale.opens_at), "The truck is late",
    )  # fmt: skip


def test_an_opening_is_postponed_by_a_year_at_most(alice: Client) -> None:
    sale = lobby_sale()
    Sale.objects.filter(pk=sale.pk).update(opens_at=sale.opens_at.replace(microsecond=0))
    before = Sale.objects.values().get()
    url = links(alice.get(_page(sale)), "postpone")[0]
    latest = before["opens_at"] + timedelta(days=365)
    too_late = [_wall(latest + timedelta(seconds=1)), "9999-12-31T23:59:59"]
    for wall in too_late:
        refused = send(alice, url, opens_at=wall, message="Some day")
        assert refused.context["form"].errors == {"opens_at": ["At most a year after the present opening."]}
        assert Sale.objects.values().get() == before
    send(alice, url, opens_at=_wall(latest))
    assert Sale.objects.get().opens_at == latest


def test_units_are_added_until_the_sale_opens(alice: Client) -> None:
    sale = lobby_sale(stock={PHONE: 10})
    stock = Stock.objects.get()
    page = send(alice, links(alice.get(_page(sale)), "add-units")[0], stock=stock.pk, quantity="12")
    assert Unit.objects.filter(allocation__sale=sale).count() == 12
    page = send(alice, links(page, "add-units")[0], stock=stock.pk, quantity="11")
    assert said(page) == ["26 January: There are 12 units already."]
    open_now(sale)
    assert links(alice.get(_page(sale)), "add-units") == []


def test_the_brake_slows_the_line_and_the_pages(alice: Client) -> None:
    sale = lobby_sale()
    page = send(alice, links(alice.get(_page(sale)), "brake")[0], rate_per_s="50", poll_ms="20000")
    now = Sale.objects.get(pk=sale.pk)
    assert (now.rate_per_s, now.poll_ms) == (50, 20_000)
    assert held(alice.get(links(page, "brake")[0]))["poll_ms"] == ["20000"]


def test_an_open_sale_is_closed_early(alice: Client) -> None:
    sale = open_now(lobby_sale())
    send(alice, links(alice.get(_page(sale)), "close-early")[0])
    page = alice.get(_page(sale))
    assert page.context["panel"]["phase"] == "closed"
    assert [links(page, step) for step in ("pause", "brake", "close-early", "call-off")] == [[], [], [], []]


def test_nobody_is_sent_home_without_a_word(alice: Client) -> None:
    sale = lobby_sale()
    url = links(alice.get(_page(sale)), "call-off")[0]
    assert send(alice, url, message="").context["form"].errors == {"message": ["This field is required."]}
    assert Sale.objects.get(pk=sale.pk).state == "published"
    send(alice, url, message="The phones were stolen")
    now = Sale.objects.get(pk=sale.pk)
    assert (now.state, now.message) == ("called_off", "The phones were stolen")


def test_a_partner_key_is_shown_once_and_kept_as_a_hash(alice: Client) -> None:
    channel = poco_campaign().channels.get(code="lazada")
    page = send(alice, links(alice.get(reverse("admin:flashsale_channel_change", args=[channel.pk])), "make-key")[0])
    key = page.context["key"]
    assert "no-store" in page["Cache-Control"]
    stored = PartnerKey.objects.get()
    assert (stored.channel, stored.digest) == (channel, PartnerKey.digest_of(key))
    url = reverse("admin:flashsale_partnerkey_change", args=[stored.pk])
    assert key not in alice.get(url).content.decode()
    send(alice, links(alice.get(url), "revoke")[0])
    assert PartnerKey.objects.get().revoked_at is not None


def test_our_own_page_has_no_keys(alice: Client) -> None:
    channel = poco_campaign().channels.get(code="mi.com")
    assert links(alice.get(reverse("admin:flashsale_channel_change", args=[channel.pk])), "make-key") == []
