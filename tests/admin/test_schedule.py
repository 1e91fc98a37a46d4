"""A sale is planned, published and watched only through the admin's forms."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from flashsale.gate import bridge
from flashsale.gate.client import GateDown
from flashsale.life import places, status
from flashsale.models import Campaign, Channel, Reservation, Sale, Stock, Unit
from tests.admin.forms import action_links, form_values, messages_on, submit
from tests.factories import PHONE, Shopper, draft_sale, lobby_sale, open_now, tend

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]

ADD_SALE = "/admin/flashsale/sale/add/"
WIB = timedelta(hours=7)


def _change_url(sale: Sale) -> str:
    return reverse("admin:flashsale_sale_change", args=[sale.pk])


def _typed_time(at: datetime) -> str:
    return (at.astimezone(UTC) + WIB).strftime("%Y-%m-%dT%H:%M:%S")


def _add_campaign(alice: Client) -> Campaign:
    axes = {
        "axes-TOTAL_FORMS": 2, "axes-0-axis": "phone", "axes-0-hard": "on", "axes-0-checked_at": "enter",
        "axes-1-axis": "email", "axes-1-hard": "on", "axes-1-checked_at": "enter",
    }  # fmt: skip
    channels = {
        "channels-TOTAL_FORMS": 2,
        "channels-0-code": "lazada", "channels-0-name": "Lazada", "channels-0-kind": "partner",
        "channels-1-code": "mi.com", "channels-1-name": "mi.com", "channels-1-kind": "own page",
    }  # fmt: skip
    submit(alice, "/admin/flashsale/campaign/add/", code="poco-m3", name="POCO M3", **axes, **channels)
    return Campaign.objects.get(code="poco-m3")


def _add_sale(alice: Client, campaign: Campaign, *, code: str, opens: str, closes: str, **typed: Any) -> Any:
    offers = {
        "offers-TOTAL_FORMS": 1,
        "offers-0-sku": PHONE, "offers-0-name": "POCO M3 4 GB/64 GB", "offers-0-price": 1_799_000,
    }  # fmt: skip
    sale = {"campaign": campaign.pk, "code": code, "name": code, "opens_at": opens, "closes_at": closes}
    return submit(alice, ADD_SALE, **sale, **offers, **typed)


def _add_line(alice: Client, sale: Sale, units: int) -> HttpResponse:
    offer = sale.offers.get()
    lazada = Channel.objects.get(campaign=sale.campaign, code="lazada")
    line = {"allocations-TOTAL_FORMS": 1, "allocations-0-code": "lazada", "allocations-0-channels": [lazada.pk]}
    return submit(alice, _change_url(sale), **line, **{f"allocations-0-units_{offer.pk}": units})


@pytest.mark.parametrize(
    ("drawn", "told"),
    [
        ({}, ["Draw 1: the order follows from the secret alone."]),
        ({"draw_version": 2, "freeze_s": 30}, ["Draw 2: the lines freeze on 29 January 2027 09:59:30 WIB"]),
        (
            {"draw_version": 2, "beacon": "drand"},
            [
                "Draw 2: the lines freeze on 29 January 2027 09:59 WIB",
                "Public randomness: the numbers wait for a round",
            ],
        ),
    ],
)
def test_the_page_of_publishing_says_what_the_kind_of_the_draw_means(
    alice: Client, drawn: dict[str, Any], told: list[str]
) -> None:
    opens = datetime(2027, 1, 29, 3, tzinfo=UTC)
    sale = draft_sale(opens_at=opens, closes_at=opens + timedelta(hours=2), lobby_at=opens - timedelta(days=1), **drawn)
    page = alice.get(action_links(alice.get(_change_url(sale)), "publish")[0])
    texts = [text for text in page.context["consequences"] if text.startswith(("Draw", "Public"))]
    assert [text[: len(start)] for text, start in zip(texts, told, strict=True)] == told


def _publish(alice: Client, sale: Sale) -> HttpResponse:
    (url,) = action_links(alice.get(_change_url(sale)), "publish")
    return submit(alice, url)


def _published_sale(alice: Client, *, code: str, opens: str, closes: str, units: int = 3) -> Sale:
    _add_sale(alice, _add_campaign(alice), code=code, opens=opens, closes=closes)
    sale = Sale.objects.get(code=code)
    _add_line(alice, sale, units)
    _publish(alice, sale)
    sale.refresh_from_db()
    return sale


def test_the_slot_of_29_january_10_00_wib_is_stored_as_03_00_utc_and_shown_as_it_was_typed(alice: Client) -> None:
    sale = _published_sale(alice, code="29-jan", opens="2027-01-29T10:00", closes="2027-01-29T12:00", units=500)
    assert sale.state == "published"
    assert sale.opens_at == datetime(2027, 1, 29, 3, tzinfo=UTC)
    assert sale.closes_at == datetime(2027, 1, 29, 5, tzinfo=UTC)
    assert sale.lobby_at == datetime(2027, 1, 28, 3, tzinfo=UTC)
    assert Unit.objects.filter(allocation__sale=sale, state="free").count() == 500
    page = alice.get(_change_url(sale)).content.decode()
    assert "29 January 2027 10:00 WIB" in page
    assert "29 January 2027 10:00 WIB" in alice.get("/admin/flashsale/sale/").content.decode()
    assert sale.commitment in page


def test_a_draft_shows_its_times_in_the_campaigns_zone_and_names_it(alice: Client) -> None:
    _add_sale(alice, _add_campaign(alice), code="29-jan", opens="2027-01-29T10:00", closes="2027-01-29T12:00")
    page = alice.get(_change_url(Sale.objects.get()))
    assert form_values(page)["opens_at"] == ["2027-01-29T10:00:00"]
    assert "Time in Asia/Jakarta (WIB)." in page.content.decode()


def test_times_are_typed_in_the_zone_of_the_chosen_campaign(alice: Client) -> None:
    campaign = _add_campaign(alice)
    Campaign.objects.filter(pk=campaign.pk).update(time_zone="Asia/Jayapura")
    _add_sale(alice, campaign, code="east", opens="2027-01-29T10:00", closes="2027-01-29T12:00")
    assert Sale.objects.get().opens_at == datetime(2027, 1, 29, 1, tzinfo=UTC)


def test_a_sale_scheduled_through_forms_runs(alice: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "FRESH_S", 0.0)
    opens = timezone.now() + timedelta(hours=1)
    sale = _published_sale(alice, code="soon", opens=_typed_time(opens), closes=_typed_time(opens + timedelta(hours=1)))
    assert sale.state == "published"
    ani = Shopper(sale, "ani")
    ani.enter()
    open_now(sale)
    tend(sale)
    ani.reserve()
    assert Reservation.objects.get().state == "held"
    table = alice.get(_change_url(sale)).context["panel"]["figures"]
    assert table.rows == [["lazada", 1, 1, 2, 1, 0]]


def test_the_page_before_publication_shows_the_sums_of_the_units(alice: Client) -> None:
    sale = draft_sale(stock={PHONE: 10, "POCO-M3-6-128": 5}, channels=("lazada", "akulaku"))
    page = alice.get(action_links(alice.get(_change_url(sale)), "publish")[0])
    times, units = page.context["tables"]
    assert [row[2:] for row in units.rows] == [[10, 5, 15], [10, 5, 15]]
    assert units.foot == ["total", "", 20, 10, 30]
    assert times.rows[0][1].endswith(" WIB")
    sale.refresh_from_db()
    assert sale.state == "draft"


def test_a_draft_without_lines_cannot_be_published(alice: Client) -> None:
    _add_sale(alice, _add_campaign(alice), code="empty", opens="2027-01-29T10:00", closes="2027-01-29T12:00")
    page = alice.get(action_links(alice.get(_change_url(Sale.objects.get())), "publish")[0])
    assert page.context["obstacles"] == ["The sale has no line yet: add one."]
    assert alice.post(page.wsgi_request.get_full_path(), {}, follow=True).status_code == 200
    assert Sale.objects.get().state == "draft"


def test_a_sale_that_closes_before_it_opens_is_refused(alice: Client) -> None:
    page = _add_sale(alice, _add_campaign(alice), code="odd", opens="2027-01-29T10:00", closes="2027-01-29T09:00")
    assert page.context["adminform"].form.errors == {"closes_at": ["The sale must open before it closes."]}
    assert not Sale.objects.exists()


def test_the_units_of_a_draft_can_change(alice: Client) -> None:
    _add_sale(alice, _add_campaign(alice), code="draft", opens="2027-01-29T10:00", closes="2027-01-29T12:00")
    sale = Sale.objects.get()
    _add_line(alice, sale, 3)
    field = f"allocations-0-units_{sale.offers.get().pk}"
    assert form_values(alice.get(_change_url(sale)))[field] == ["3"]
    submit(alice, _change_url(sale), **{field: "0"})
    assert Stock.objects.get().quantity == 0
    submit(alice, _change_url(sale), **{field: ""})
    assert not Stock.objects.exists()


def test_a_tranche_has_an_opening_a_list_and_a_successor(alice: Client) -> None:
    _add_sale(alice, _add_campaign(alice), code="rerun", opens="2027-01-29T10:00", closes="2027-01-29T12:00")
    sale = Sale.objects.get()
    units_of = f"units_{sale.offers.get().pk}"
    first, then = sale.campaign.channels.order_by("pk")
    lines = {
        "allocations-TOTAL_FORMS": 2,
        "allocations-0-code": "everybody", "allocations-0-channels": [then.pk], f"allocations-0-{units_of}": 0,
        "allocations-0-opens_at": "2027-01-29T10:30:00",
        "allocations-1-code": "wronged", "allocations-1-channels": [first.pk], f"allocations-1-{units_of}": 5,
        "allocations-1-listed_only": "on", "allocations-1-mode": "line",
    }  # fmt: skip
    submit(alice, _change_url(sale), **lines)
    everybody, wronged = sale.allocations.order_by("code")
    rolls = {"allocations-1-successor": everybody.pk, "allocations-1-rolls_over_at": "2027-01-29T10:30"}
    submit(alice, _change_url(sale), **rolls)
    page = alice.get(_change_url(sale))
    wronged.refresh_from_db()
    half_past_ten = datetime(2027, 1, 29, 3, 30, tzinfo=UTC)
    assert (everybody.opens_at, wronged.successor, wronged.rolls_over_at) == (half_past_ten, everybody, half_past_ten)
    assert form_values(page)["allocations-1-rolls_over_at"] == ["2027-01-29T10:30:00"]
    listing = action_links(page, "list")[0]
    added = submit(
        alice, listing, line=wronged.pk, axis="phone", people="0812 1111 1111\n+6281222222222\n0812-1111-1111"
    )
    assert messages_on(added) == ["2 people are new on the list."]
    _publish(alice, sale)
    assert Sale.objects.get().state == "published"


def test_the_form_of_a_published_sale_changes_nothing(alice: Client) -> None:
    sale = lobby_sale()
    page = alice.get(_change_url(sale))
    assert page.context["adminform"].form.fields == {}
    before = Sale.objects.values().get()
    typed = {"name": "renamed", "code": "other", "claim_s": "1", "opens_at": "2030-01-01T00:00", "max_entries": "7"}
    assert alice.post(_change_url(sale), {**form_values(page), **typed}).status_code == 403
    assert Sale.objects.values().get() == before
    sale.opens_at += timedelta(minutes=1)
    with pytest.raises(ValidationError, match="published"):
        sale.full_clean()


def test_a_published_campaign_keeps_all_its_fields(alice: Client) -> None:
    sale = lobby_sale()
    url = reverse("admin:flashsale_campaign_change", args=[sale.campaign_id])
    campaign, axes = Campaign.objects.values().get(), list(sale.campaign.axes.values())
    channels = list(sale.campaign.channels.order_by("pk").values())
    typed = {"name": "renamed", "limit": "5", "time_zone": "UTC", "appeal_s": "1", "undo_s": "0"}
    more = {"axes-TOTAL_FORMS": 6, "axes-5-axis": "account", "channels-0-entry_url": "https://elsewhere.example/"}
    answer = submit(alice, url, **typed, **more)
    assert messages_on(answer) == ["Nothing was changed: the form has the values that were stored already."]
    assert (Campaign.objects.values().get(), list(sale.campaign.axes.values())) == (campaign, axes)
    assert list(sale.campaign.channels.order_by("pk").values()) == channels
    formsets = alice.get(url).context["inline_admin_formsets"]
    lazada, akulaku = (form.fields for form in formsets[1].formset.forms[:2])
    assert all(lazada[name].disabled for name in ("code", "name", "kind", "entry_url"))
    assert not akulaku["entry_url"].disabled


def test_pages_say_when_redis_does_not_answer(alice: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    sale = lobby_sale()

    async def down(*, code: str) -> Any:
        raise GateDown(code)

    monkeypatch.setattr(places, "sale_card", down)
    for url in (_change_url(sale), "/admin/"):
        assert "Redis (the gate) does not answer" in alice.get(url).content.decode()


def test_the_first_page_shows_running_sales_with_their_figures(alice: Client) -> None:
    sale = lobby_sale(stock={PHONE: 7})
    Shopper(sale, "ani").enter()
    page = alice.get("/admin/").content.decode()
    assert "26 January" in page
    assert "0 sold, 0 held, 7 free" in page
    assert bridge.run(places.sale_card(code=sale.code)).code == sale.code


def test_viewers_and_reviewers_cannot_schedule(dave: Client, make_user: Callable[..., Client]) -> None:
    sale = draft_sale()
    assert dave.get(ADD_SALE).status_code == 403
    assert action_links(dave.get(_change_url(sale)), "publish") == []
    url = reverse("admin:flashsale_sale_publish") + f"?id={sale.pk}"
    for client in (dave, make_user("eve", "reviewer")):
        assert client.post(url, {}).status_code == 403
    sale.refresh_from_db()
    assert sale.state == "draft"


def test_a_draft_can_be_saved_as_its_form_shows_it(alice: Client) -> None:
    sale = draft_sale()
    page = reverse("admin:flashsale_sale_change", args=[sale.pk])
    assert alice.post(page, form_values(alice.get(page))).status_code == 302
    sale.refresh_from_db()
    assert (sale.draw_version, sale.beacon, sale.freeze_s) == (1, "", None)
