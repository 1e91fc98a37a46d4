"""A shop offers some methods of a payment account: by a setting, or by the names of a campaign or a channel."""

from typing import Any

import pytest
import redis
from django.core.exceptions import ImproperlyConfigured, ValidationError

from flashsale.life import schedule
from flashsale.management import doctor_checks
from flashsale.models import Campaign, PaymentAttempt, Reservation, Sale
from flashsale.models.frozen import FrozenChange
from flashsale.providers import payments
from tests.factories import draft_sale, lobby_sale, open_now, poco_campaign, tend
from tests.web.shop import Visitor

DEMO = "flashsale.providers.payments.demo.DemoProvider"
ALL = [method.name for method in payments.configured["demo"].methods()]


def names_of(names: str, **more: bool) -> list[str]:
    return [method.name for method in payments.methods_of(names=names, **more)]


def test_an_account_offers_all_its_methods_or_those_that_are_named() -> None:
    assert names_of("demo") == names_of("") == names_of("demo, demo:qris") == ALL
    assert names_of("demo:va , demo:qris", own_page=True) == [name for name in ALL if name in {"va", "qris"}]
    assert names_of("partner, demo:qris") == ["partner", "qris"]
    assert payments.method_of("qris", names="demo:va") is None
    found = payments.method_of("va", names="demo:va")
    assert found is not None
    assert (found[0].account, found[1].name) == ("demo", "va")


def test_the_setting_holds_for_all_campaigns(settings: Any) -> None:
    settings.FLASHSALE_PAYMENT_METHODS = {"demo": ("va", "qris")}
    assert names_of("") == names_of("demo") == [name for name in ALL if name in {"va", "qris"}]
    assert names_of("demo:card") == []
    (problem,) = payments.names_problems("demo:card")
    assert problem.startswith("'demo' offers no 'card'; it offers ")
    assert "card" not in problem.partition("it offers")[2]


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ({"midtrans": ("qris",)}, "names the account 'midtrans', and FLASHSALE_PAYMENT_PROVIDER has demo. Name one"),
        ({"demo": ("va", "gopay", "ovo")}, "'demo' has no method 'gopay', 'ovo'. It has "),
    ],
)
def test_the_server_does_not_start_with_a_method_that_does_not_exist(settings: Any, chosen: Any, words: str) -> None:
    settings.FLASHSALE_PAYMENT_METHODS = chosen
    with pytest.raises(ImproperlyConfigured, match=words):
        payments._load(DEMO)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("names", "words"), [("demo:ovo", "'demo' offers no 'ovo'"), ("demo, ovo", "'ovo' is no payment account")]
)
@pytest.mark.parametrize("where", ["campaign", "channel"])
def test_a_sale_whose_buyers_could_not_pay_so_is_not_published(
    gate: redis.Redis, where: str, names: str, words: str
) -> None:
    channel = {"code": "lazada", "name": "Lazada"} | ({"payment_accounts": names} if where == "channel" else {})
    campaign = poco_campaign(channels=[channel], **({"payment_accounts": names} if where == "campaign" else {}))
    sale = draft_sale(campaign)
    with pytest.raises(ValidationError, match=words):
        schedule.publish(sale=sale)
    sale.refresh_from_db()
    campaign.refresh_from_db()
    assert (sale.state, campaign.frozen_at, gate.keys("fs:{*")) == ("draft", None, [])


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("gate")
def test_a_buyer_sees_the_chosen_methods_and_is_refused_the_others_and_the_choice_is_frozen() -> None:
    channels = [{"code": "mi.com", "name": "mi.com", "kind": "own page"}]
    sale = lobby_sale(
        poco_campaign(channels=channels, payment_accounts="demo:qris"), channels=("mi.com",), opens_in_s=600
    )
    ani = Visitor(sale)
    ani.get()
    ani.enter()
    open_now(sale)
    tend(sale)
    reservation = ani.reserve()
    page = ani.get().content.decode()
    assert [name for name in ALL if f'value="{name}"' in page] == ["qris"]
    refused = ani.confirm(reservation, method="va", instrument="")
    assert (refused.status_code, refused.json()["code"]) == (400, "malformed")
    assert (PaymentAttempt.objects.count(), Reservation.objects.get().state) == (0, "held")
    assert ani.confirm(reservation, method="qris", instrument="").status_code == 200
    campaign = Campaign.objects.get()
    campaign.payment_accounts = "demo"
    with pytest.raises(FrozenChange):
        campaign.save()
    assert Campaign.objects.get().payment_accounts == "demo:qris"


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("gate")
def test_doctor_names_a_published_sale_whose_method_is_gone(settings: Any) -> None:
    campaign = poco_campaign(channels=[{"code": "lazada", "name": "Lazada", "payment_accounts": "demo:va"}])
    sale = lobby_sale(campaign)
    fine = doctor_checks._payment_names()
    assert (fine.name, fine.ok, fine.found) == ("payment names", True, "1 checked")
    settings.FLASHSALE_PAYMENT_METHODS = {"demo": ("qris",)}
    gone = doctor_checks._payment_names()
    assert (gone.ok, gone.found) == (False, f"{sale.code}: 'demo' offers no 'va'; it offers qris")
    assert Sale.objects.get().state == "published"
