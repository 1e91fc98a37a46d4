"""A form of an old page saves nothing and says so; the audit trail has old and new values of every change by staff."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, Permission, User
from django.test import Client
from django.urls import reverse

from flashsale.life import schedule
from flashsale.models import Campaign, CampaignAxis, Channel, Record, Sale, Stock
from flashsale.models.frozen import Frozen
from flashsale.rules.trail import text_digest
from tests.admin.forms import form_values, messages_on, submit
from tests.factories import BIG_PHONE, PHONE, draft_sale, lobby_sale, poco_campaign

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]

NOTHING = "Nothing was changed: the form has the values that were stored already."
OLD_PAGE = "is not in the state that your page showed. This is its present state. Make your change again."


def _url(row: Any) -> str:
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])


def _facts(what: str = "change") -> Any:
    """The facts of the newest record, which must be of this kind."""
    record = Record.objects.first()
    assert record.what == what
    return json.loads(record.facts)


def test_a_form_that_changes_nothing_says_so_and_leaves_no_record(alice: Client) -> None:
    sale = draft_sale()
    whole = {name: getattr(sale, name).replace(microsecond=0) for name in ("lobby_at", "opens_at", "closes_at")}
    Sale.objects.update(**whole)
    records = Record.objects.count()
    assert messages_on(submit(alice, _url(sale))) == [NOTHING]
    assert messages_on(submit(alice, _url(sale.campaign), _continue="1")) == [NOTHING]
    assert Record.objects.count() == records


def test_of_two_people_who_change_one_row_the_second_is_told(alice: Client, root: Client) -> None:
    sale = draft_sale()
    old = form_values(alice.get(_url(sale)))
    submit(root, _url(sale), name="27 January")
    before, records = Sale.objects.values().get(), Record.objects.count()
    answer = alice.post(_url(sale), {**old, "code": "another"}, follow=True)
    (text,) = messages_on(answer)
    assert text.startswith(f"Nothing was saved: 27 January {OLD_PAGE} The last change: change, by root, ")
    assert form_values(answer)["name"] == ["27 January"]
    assert (Sale.objects.values().get(), Record.objects.count()) == (before, records)
    submit(alice, _url(sale), code="another")
    assert (Sale.objects.get().name, Sale.objects.get().code) == ("27 January", "another")


def test_a_form_of_a_draft_that_was_published_meanwhile_says_so(alice: Client) -> None:
    sale = draft_sale()
    old = form_values(alice.get(_url(sale)))
    schedule.publish(sale=sale)
    before = Sale.objects.values().get()
    (text,) = messages_on(alice.post(_url(sale), {**old, "name": "renamed"}, follow=True))
    assert text.startswith(f"Nothing was saved: 26 January {OLD_PAGE} The last change: ")
    assert Sale.objects.values().get() == before


def test_a_campaign_that_was_frozen_meanwhile_keeps_its_time_to_appeal(alice: Client) -> None:
    sale = draft_sale()
    old = form_values(alice.get(_url(sale.campaign)))
    schedule.publish(sale=sale)
    (text,) = messages_on(alice.post(_url(sale.campaign), {**old, "appeal_s": "1"}, follow=True))
    assert text.startswith(f"Nothing was saved: POCO M3 Indonesia {OLD_PAGE}")
    assert Campaign.objects.get().appeal_s == 24 * 3600


@pytest.mark.parametrize("change", ["units", "offer", "line", "deleted line", "channels of a line"])
def test_a_page_is_old_when_any_row_of_its_form_has_changed(alice: Client, change: str) -> None:
    sale = draft_sale(channels=("lazada", "akulaku"))
    line = sale.allocations.order_by("pk").last()
    old = form_values(alice.get(_url(sale)))
    {
        "units": lambda: Stock.objects.filter(allocation=line).update(quantity=77),
        "offer": lambda: sale.offers.filter(sku=PHONE).update(price=1),
        "line": lambda: sale.allocations.filter(pk=line.pk).update(name="renamed"),
        "deleted line": line.delete,
        "channels of a line": lambda: line.channels.set(sale.campaign.channels.filter(code="mi-store")),
    }[change]()
    (text,) = messages_on(alice.post(_url(sale), {**old, "name": "renamed"}, follow=True))
    assert text.startswith(f"Nothing was saved: 26 January {OLD_PAGE}")
    assert Sale.objects.get().name == "26 January"


def test_a_form_without_the_state_that_it_showed_is_refused(alice: Client) -> None:
    sale = draft_sale()
    typed = form_values(alice.get(_url(sale))) | {"name": ["renamed"]}
    for seen in ([], ["made up"]):
        (text,) = messages_on(alice.post(_url(sale), typed | {"_seen": seen}, follow=True))
        assert text.startswith(f"Nothing was saved: 26 January {OLD_PAGE}")
        assert Sale.objects.get().name == "26 January"


def test_a_form_with_an_error_can_be_corrected_and_sent_again(alice: Client) -> None:
    sale = draft_sale()
    page = submit(alice, _url(sale), code="UPPER")
    assert "code" in page.context["adminform"].form.errors
    alice.post(_url(sale), {**form_values(page), "code": "lower"})
    assert Sale.objects.get().code == "lower"


def test_a_row_that_was_deleted_meanwhile_is_named(alice: Client) -> None:
    sale = draft_sale()
    old = form_values(alice.get(_url(sale)))
    url = _url(sale)
    sale.delete()
    (text,) = messages_on(alice.post(url, old, follow=True))
    assert "Perhaps it was deleted?" in text


def test_every_admin_with_a_form_notices_an_old_page(root: Client) -> None:
    sale = lobby_sale()
    draft = draft_sale(sale.campaign)
    rows: list[Any] = [draft, poco_campaign(), Channel.objects.get(campaign=sale.campaign, code="akulaku")]
    rows += [User.objects.create_user("eve"), Group.objects.create(name="helpers")]
    with_forms = {model for model, page in admin.site._registry.items() if page.has_change_permission(_request(root))}
    assert {type(row) for row in rows} == with_forms
    for row in rows:
        old = form_values(root.get(_url(row)))
        field = "username" if isinstance(row, User) else "name"
        type(row)._base_manager.filter(pk=row.pk).update(**{field: "renamed"})
        (text,) = messages_on(root.post(_url(row), old, follow=True))
        assert text.startswith(f"Nothing was saved: renamed {OLD_PAGE}")
        assert getattr(type(row)._base_manager.get(pk=row.pk), field) == "renamed"


def _request(client: Client) -> Any:
    return client.get("/admin/").wsgi_request


def test_the_trail_has_old_and_new_values_of_a_sale_its_offers_lines_and_units(alice: Client) -> None:
    sale = draft_sale()
    offer, line, stock = sale.offers.first(), sale.allocations.get(), Stock.objects.get()
    akulaku = sale.campaign.channels.get(code="akulaku")
    opens = sale.opens_at.replace(microsecond=0) + timedelta(minutes=5)
    typed = {
        "name": "27 January", "limit": "1", "offers-0-price": "2", "allocations-0-channels": [akulaku.pk],
        f"allocations-0-units_{offer.pk}": "12", "allocations-0-name": "Line",
        "opens_at": (opens + timedelta(hours=7)).strftime("%Y-%m-%dT%H:%M:%S"),
    }  # fmt: skip
    old = {name: getattr(sale, name).isoformat() for name in ("lobby_at", "opens_at", "closes_at")}
    lazada = sale.campaign.channels.get(code="lazada")
    submit(alice, _url(sale), **typed)
    sale.refresh_from_db()
    times = {name: [old[name], getattr(sale, name).isoformat()] for name in old}
    assert _facts() == {
        "changed": {
            f"sale:{sale.pk}": {"name": ["26 January", "27 January"], "limit": [None, 1], **times},
            f"offer:{offer.pk}": {"price": [1_799_000, 2]},
            f"allocation:{line.pk}": {"name": ["", "Line"], "channels": [[lazada.pk], [akulaku.pk]]},
            f"stock:{stock.pk}": {"quantity": [10, 12]},
        }
    }
    submit(alice, _url(sale), **{f"allocations-0-units_{offer.pk}": "", "offers-1-DELETE": "on"})
    big = {"sale": sale.pk, "sku": BIG_PHONE, "name": "POCO M3 6 GB/128 GB", "price": 2_299_000}
    assert list(_facts()["deleted"].values()) == [big, {"allocation": line.pk, "offer": offer.pk, "quantity": 12}]


def test_the_trail_has_old_and_new_values_of_a_campaign_its_axes_and_channels(alice: Client) -> None:
    campaign = poco_campaign()
    axis, channel = campaign.axes.get(axis="payment"), campaign.channels.get(code="lazada")
    place = list(CampaignAxis.objects.filter(campaign=campaign).order_by("pk")).index(axis)
    typed = {
        "appeal_s": "7200", f"axes-{place}-hard": "on", "channels-0-entry_url": "https://new.example/",
        "channels-TOTAL_FORMS": 5, "channels-4-code": "new", "channels-4-name": "New", "channels-4-kind": "partner",
    }  # fmt: skip
    submit(alice, _url(campaign), **typed)
    new = Channel.objects.get(code="new")
    assert _facts() == {
        "changed": {
            f"campaign:{campaign.pk}": {"appeal_s": [86_400, 7200]},
            f"campaignaxis:{axis.pk}": {"hard": [False, True]},
            f"channel:{channel.pk}": {"entry_url": ["https://lazada.example/flash", "https://new.example/"]},
        },
        "added": {
            f"channel:{new.pk}": {
                "campaign": campaign.pk, "code": "new", "name": "New", "kind": "partner", "entry_url": "",
                "entries_max": 0, "payment_accounts": "", "order_letters": False, "signatures_required": False,
                "quotas": "", "checkout_url": "", "frame_origins": "",
            }
        },
    }  # fmt: skip


def test_a_wrong_address_of_a_shop_is_corrected_in_a_running_sale(alice: Client) -> None:
    own = {"code": "mi.com", "name": "mi.com", "kind": "own page", "payment_accounts": "partner"}
    sale = lobby_sale(poco_campaign(channels=[own]), channels=("mi.com",))
    url, channel = _url(sale.campaign), Channel.objects.get()
    wrong = {
        "channels-0-checkout_url": "http://shop.example/checkout",
        "channels-0-frame_origins": "https://*.shop.example; script-src *",
    }
    page, records = submit(alice, url, **wrong), Record.objects.count()
    (errors,) = (
        formset.errors for formset in page.context["inline_admin_formsets"][1:2] for formset in [formset.formset]
    )
    assert sorted(errors[0]) == ["checkout_url", "frame_origins"]
    channel.refresh_from_db()
    assert (channel.checkout_url, channel.frame_origins, Record.objects.count()) == ("", "", records)
    right = {"checkout_url": "https://shop.example/checkout", "frame_origins": "https://shop.example"}
    submit(alice, url, **{f"channels-0-{name}": value for name, value in right.items()})
    changed = {name: ["", value] for name, value in right.items()}
    assert _facts() == {"changed": {f"channel:{channel.pk}": changed}}
    assert b"Make a key" in alice.get(_url(channel)).content


def test_the_trail_has_the_values_of_added_and_deleted_rows(alice: Client) -> None:
    sale = draft_sale()
    submit(alice, reverse("admin:flashsale_campaign_add"), code="another", name="Another")
    added = _facts("add")["added"][f"campaign:{Campaign.objects.get(code='another').pk}"]
    assert (added["name"], added["limit"], added["appeal_s"]) == ("Another", 1, 86_400)
    alice.post(reverse("admin:flashsale_sale_delete", args=[sale.pk]), {"post": "yes"})
    assert not Sale.objects.exists()
    deleted = _facts("delete")["deleted"]
    assert deleted[f"sale:{sale.pk}"]["name"] == "26 January"
    assert [row["sku"] for name, row in deleted.items() if name.startswith("offer:")] == [PHONE, BIG_PHONE]


def test_the_trail_has_every_change_of_users_and_groups_without_personal_data(root: Client) -> None:
    user, group = User.objects.create_user("eve", email="eve@example.com"), Group.objects.create(name="helpers")
    submit(root, _url(user), is_staff="on", groups=[group.pk], first_name="Eve")
    assert _facts() == {
        "changed": {
            f"user:{user.pk}": {
                "is_staff": [False, True], "groups": [[], [group.pk]], "first_name": ["", text_digest("Eve")],
            }
        }
    }  # fmt: skip
    permission = Permission.objects.get(codename="change_case")
    submit(root, _url(group), permissions=[permission.pk])
    assert _facts() == {"changed": {f"group:{group.pk}": {"permissions": [[], [permission.pk]]}}}
    password = reverse("admin:auth_user_password_change", args=[user.pk])
    submit(root, password, usable_password="true", password1="correct horse 9", password2="correct horse 9")
    user.refresh_from_db()
    assert user.check_password("correct horse 9")
    assert _facts() == {"fields": ["password"]}
    trail = str(list(Record.objects.values_list("facts", "subject")))
    assert [word for word in ("eve", "Eve", "example.com", "horse", "pbkdf2", user.password) if word in trail] == []
    page = root.get(reverse("admin:auth_user_history", args=[user.pk]), follow=True)
    assert {row.subject for row in page.context["cl"].result_list} == {f"user:{user.pk}"}


@pytest.mark.parametrize("model", [model for model in admin.site._registry if issubclass(model, Frozen)])
def test_every_frozen_field_is_shown_read_only(alice: Client, model: Any) -> None:
    sale = lobby_sale()
    row = {Campaign: sale.campaign, Channel: sale.campaign.channels.get(code="lazada"), Sale: sale}[model]
    form = alice.get(_url(row)).context["adminform"].form
    assert set(form.fields) & set(model.frozen_fields()) == set()
    before = model.objects.values().get(pk=row.pk)
    typed = dict.fromkeys(model.frozen_fields(), "1")
    alice.post(_url(row), {**form_values(alice.get(_url(row))), **typed})
    assert model.objects.values().get(pk=row.pk) == before
