"""Actions on a published sale, and the keys of partners."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from flashsale.gate import bridge
from flashsale.life import sale_control
from flashsale.life.status import BYTES_MAX, status
from flashsale.models import PartnerKey, Record, Sale, Stock, Unit
from tests.admin.forms import action_links, form_values, messages_on, submit
from tests.factories import PHONE, card_of, lobby_sale, open_now, poco_campaign
from tests.life.deliveries import wait_until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]

WIB = timedelta(hours=7)


def _change_url(sale: Sale) -> str:
    return reverse("admin:flashsale_sale_change", args=[sale.pk])


def _typed_time(at: datetime) -> str:
    return (at.astimezone(UTC) + WIB).strftime("%Y-%m-%dT%H:%M:%S")


def test_a_sale_is_paused_with_a_message_and_resumed(alice: Client) -> None:
    sale = lobby_sale()
    paused = submit(alice, action_links(alice.get(_change_url(sale)), "pause")[0], message="Back in ten minutes")
    assert messages_on(paused) == ["26 January is paused."]
    sale.refresh_from_db()
    assert (sale.state, sale.message) == ("paused", "Back in ten minutes")
    assert action_links(paused, "pause") == []
    submit(alice, action_links(paused, "resume")[0])
    sale.refresh_from_db()
    assert (sale.state, sale.message) == ("published", "")


def test_shoppers_are_told_in_both_languages_without_a_pause(alice: Client) -> None:
    sale = open_now(lobby_sale(channels=("mi.com",)))
    url = action_links(alice.get(_change_url(sale)), "tell")[0]
    texts = {
        "message": "Pembayaran sedang lambat. Tempat Anda aman.",
        "message_en": "Payments are slow. Your place is safe.",
    }
    told = submit(alice, url, **texts)
    assert messages_on(told) == ["26 January: shoppers read the message."]
    sale.refresh_from_db()
    assert (sale.state, sale.message) == ("published", "\n".join(texts.values()))
    card = card_of(sale)
    # A process keeps a status for a quarter of a second.
    wait_until(lambda: bridge.run(status(card=card, line=card.lines[0]))["message"] == sale.message)
    document = bridge.run(status(card=card, line=card.lines[0]))
    assert len(json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()) <= BYTES_MAX
    for language, shown, other in (("id", "message", "message_en"), ("en", "message_en", "message")):
        page = Client().get(f"/s/{sale.code}/", headers={"accept-language": language}).content.decode()
        note = page.partition('id="message"')[2].partition("</p>")[0]
        assert (texts[shown] in note, texts[other] in note) == (True, False)
    refused = submit(alice, url, message="a" * 100, message_en="b" * 100)
    assert refused.context["form"].errors == {
        "message": ["202 bytes; at most 200. Letters beyond A to Z take two to four."]
    }
    assert Sale.objects.get().message == sale.message
    assert submit(alice, url, message="x", message_en="").status_code == 200
    submit(alice, url, message="", message_en="")
    assert Sale.objects.get().message == ""
    records = list(Record.objects.filter(what="tell").order_by("pk").values_list("who", "why"))
    assert [bool(why) for _, why in records] == [True, True, False]
    assert {who for who, _ in records} == {f"staff:{User.objects.get(username='alice').pk}"}
    sale_control.call_off(sale=Sale.objects.get(), message="Over")
    assert action_links(alice.get(_change_url(sale)), "tell") == []


def test_an_opening_is_postponed_in_the_campaigns_zone(alice: Client) -> None:
    sale = lobby_sale()
    page = alice.get(action_links(alice.get(_change_url(sale)), "postpone")[0])
    assert form_values(page)["opens_at"] == [_typed_time(sale.opens_at)]
    later = sale.opens_at.replace(microsecond=0) + timedelta(hours=2)
    submit(alice, page.wsgi_request.get_full_path(), opens_at=_typed_time(later), message="The truck is late")
    now = Sale.objects.get(pk=sale.pk)
    assert (now.opens_at, now.closes_at, now.message) == (
        later, sale.closes_at + (later - sale.opens_at), "The truck is late",
    )  # fmt: skip


def test_a_refused_action_keeps_what_was_typed(alice: Client) -> None:
    sale = lobby_sale()
    url = action_links(alice.get(_change_url(sale)), "postpone")[0]
    before, earlier = Sale.objects.values().get(), _typed_time(sale.opens_at - timedelta(minutes=1))
    refused = submit(alice, url, opens_at=earlier, message="The truck is <late>")
    assert (refused.status_code, refused.redirect_chain) == (200, [])
    assert messages_on(refused) == ["26 January: The new opening must be later than the present one."]
    typed = form_values(refused)
    assert (typed["opens_at"], typed["message"]) == ([earlier], ["The truck is <late>"])
    assert Sale.objects.values().get() == before
    assert not Record.objects.filter(what="postpone").exists()
    # The page is a page like the first one: with another time, its form does it.
    later = sale.opens_at.replace(microsecond=0) + timedelta(hours=2)
    assert alice.post(url, typed | {"opens_at": _typed_time(later)}).status_code == 302
    assert (Sale.objects.get().opens_at, Sale.objects.get().message) == (later, "The truck is <late>")


def test_an_opening_is_postponed_by_a_year_at_most(alice: Client) -> None:
    sale = lobby_sale()
    Sale.objects.filter(pk=sale.pk).update(opens_at=sale.opens_at.replace(microsecond=0))
    before = Sale.objects.values().get()
    url = action_links(alice.get(_change_url(sale)), "postpone")[0]
    latest = before["opens_at"] + timedelta(days=365)
    too_late = [_typed_time(latest + timedelta(seconds=1)), "9999-12-31T23:59:59"]
    for opens_at in too_late:
        refused = submit(alice, url, opens_at=opens_at, message="Some day")
        assert refused.context["form"].errors == {"opens_at": ["At most a year after the present opening."]}
        assert Sale.objects.values().get() == before
    submit(alice, url, opens_at=_typed_time(latest))
    assert Sale.objects.get().opens_at == latest


def test_units_are_added_until_the_sale_opens(alice: Client) -> None:
    sale = lobby_sale(stock={PHONE: 10})
    stock = Stock.objects.get()
    page = submit(alice, action_links(alice.get(_change_url(sale)), "add-units")[0], stock=stock.pk, quantity="12")
    assert Unit.objects.filter(allocation__sale=sale).count() == 12
    page = submit(alice, action_links(page, "add-units")[0], stock=stock.pk, quantity="11")
    assert messages_on(page) == ["26 January: There are 12 units already."]
    open_now(sale)
    assert action_links(alice.get(_change_url(sale)), "add-units") == []


def test_the_brake_slows_the_line_and_the_pages(alice: Client) -> None:
    sale = lobby_sale()
    page = submit(alice, action_links(alice.get(_change_url(sale)), "brake")[0], rate_per_s="50", poll_ms="20000")
    now = Sale.objects.get(pk=sale.pk)
    assert (now.rate_per_s, now.poll_ms) == (50, 20_000)
    assert form_values(alice.get(action_links(page, "brake")[0]))["poll_ms"] == ["20000"]


def test_an_open_sale_is_closed_early(alice: Client) -> None:
    sale = open_now(lobby_sale())
    submit(alice, action_links(alice.get(_change_url(sale)), "close-early")[0])
    page = alice.get(_change_url(sale))
    assert page.context["panel"]["phase"] == "closed"
    assert [action_links(page, name) for name in ("pause", "brake", "close-early", "call-off")] == [[], [], [], []]


def test_calling_off_requires_a_message(alice: Client) -> None:
    sale = lobby_sale()
    url = action_links(alice.get(_change_url(sale)), "call-off")[0]
    assert submit(alice, url, message="").context["form"].errors == {"message": ["This field is required."]}
    assert Sale.objects.get(pk=sale.pk).state == "published"
    submit(alice, url, message="The phones were stolen")
    now = Sale.objects.get(pk=sale.pk)
    assert (now.state, now.message) == ("called_off", "The phones were stolen")


def test_a_partner_key_is_shown_once_and_kept_as_a_hash(alice: Client) -> None:
    channel = poco_campaign().channels.get(code="lazada")
    page = submit(
        alice, action_links(alice.get(reverse("admin:flashsale_channel_change", args=[channel.pk])), "make-key")[0]
    )
    key = page.context["key"]
    assert "no-store" in page["Cache-Control"]
    stored = PartnerKey.objects.get()
    assert (stored.channel, stored.digest) == (channel, PartnerKey.digest_of(key))
    url = reverse("admin:flashsale_partnerkey_change", args=[stored.pk])
    assert key not in alice.get(url).content.decode()
    submit(alice, action_links(alice.get(url), "revoke")[0])
    assert PartnerKey.objects.get().revoked_at is not None


def test_a_test_key_is_made_for_the_sandbox_of_the_channel(alice: Client) -> None:
    channel = poco_campaign().channels.get(code="lazada")
    page = alice.get(reverse("admin:flashsale_channel_change", args=[channel.pk]))
    shown = submit(alice, action_links(page, "make-test-key")[0]).content.decode()
    (key,) = PartnerKey.objects.all()
    assert 'class="key">fs_test_' in shown
    assert key.channel.campaign.sandbox_of == channel
    assert key.channel.code == "lazada"
    inside = alice.get(reverse("admin:flashsale_channel_change", args=[key.channel_id]))
    assert action_links(inside, "make-test-key") == []
    # Two keys may be active; a third is not offered.
    submit(alice, action_links(page, "make-test-key")[0])
    assert action_links(alice.get(page.request["PATH_INFO"]), "make-test-key") == []


def test_the_times_of_a_key_are_in_the_campaigns_zone(alice: Client) -> None:
    channel = poco_campaign(time_zone="Asia/Jayapura").channels.get(code="lazada")
    key, _ = PartnerKey.make(channel)
    PartnerKey.objects.update(made_at=datetime(2027, 1, 29, 1, tzinfo=UTC))
    pages = ["partnerkey_changelist", "partnerkey_change", "channel_change"]
    for page, row in zip(pages, (None, key, channel), strict=True):
        url = reverse(f"admin:flashsale_{page}", args=[row.pk] if row else [])
        assert "29 January 2027 10:00 WIT" in alice.get(url).content.decode(), page


def test_the_own_page_has_no_keys(alice: Client) -> None:
    channel = poco_campaign().channels.get(code="mi.com")
    assert action_links(alice.get(reverse("admin:flashsale_channel_change", args=[channel.pk])), "make-key") == []
