"""The order page shows how to pay, follows the payment, and offers only ways to pay that are possible."""

import re
from datetime import timedelta
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import redis
from django.utils import timezone, translation

from flashsale.models import PaymentAttempt, Reservation, Sale
from flashsale.providers import payments
from flashsale.providers.payments import Method
from flashsale.web.pages import paying, texts
from tests.factories import lobby_sale, open_now, poco_campaign, tend
from tests.web.shop import Visitor

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def sale(gate: redis.Redis) -> Sale:
    return lobby_sale(channels=("mi.com",), opens_in_s=600)


@pytest.fixture
def ani(sale: Sale) -> Visitor:
    """A visitor whose place is called."""
    visitor = Visitor(sale)
    visitor.get()
    visitor.enter()
    open_now(sale)
    tend(sale)
    return visitor


def page_of(visitor: Visitor, reservation: str) -> str:
    answer = visitor.get(f"order/{reservation}")
    assert answer.status_code == 200
    return str(answer.content.decode())


def mark_of(visitor: Visitor, reservation: str) -> Any:
    return visitor.get(f"order/{reservation}/payment").json()["mark"]


def test_a_payment_by_qris_shows_code_product_total_and_time_until_it_is_paid(ani: Visitor) -> None:
    reservation = ani.reserve()
    assert ani.confirm(reservation, method="qris", instrument="").status_code == 200
    attempt = PaymentAttempt.objects.get()
    assert (attempt.state, attempt.method) == ("waiting", "qris")
    page = page_of(ani, reservation)
    drawn = re.search(r"<svg.*?</svg>", page, re.DOTALL)
    assert drawn is not None
    assert ET.fromstring(drawn[0]).get("class") == "qr"  # noqa: S314 - our own SVG
    assert drawn[0] == paying.qr_svg(attempt.instructions["qr"])
    for text in ("POCO M3", "Rp 1.799.000", "<p>QRIS</p>", "Pay within:", "Scan the code", "take a screenshot"):
        assert text in page.replace("\xa0", " ")
    mark = mark_of(ani, reservation)
    assert f'data-mark="{mark}"' in page
    payments.DemoProvider().pay(reference=attempt.reference)
    ani.confirm(reservation, method="qris", instrument="")
    assert mark_of(ani, reservation) != mark
    paid = page_of(ani, reservation)
    assert "<svg" not in paid
    assert "data-mark" not in paid
    assert "QRIS: paid" in paid


def test_a_virtual_account_shows_bank_and_number_to_copy(ani: Visitor) -> None:
    reservation = ani.reserve()
    ani.confirm(reservation, method="va", instrument="")
    shown = PaymentAttempt.objects.get().instructions
    page = page_of(ani, reservation)
    assert "<svg" not in page
    assert f'data-copy="{shown["number"]}"' in page
    assert "<dd>Bank Demo</dd>" in page
    assert "choose Virtual Account (BRIVA at BRI) and type the number." in page
    assert "Pay exactly Rp 1.799.000." in page.replace("\xa0", " ")


def test_a_bill_and_a_wallet_say_where_the_buyer_pays(ani: Visitor) -> None:
    reservation = ani.reserve()
    ani.confirm(reservation, method="va", instrument="")
    link = {"kind": "deeplink", "deeplink": "gojek://pay", "url": "https://pay.example/qr"}
    for shown, words in (
        ({"kind": "va", "biller": "70012", "number": "99"}, "choose the payment of bills, and type the company code"),
        (link, "The app is not on this device? Go on here"),
        (link | {"qr": "0002"}, "open the picture of the code below, save it"),
        ({"kind": "redirect", "url": "https://pay.example/"}, "Go on to pay"),
    ):
        PaymentAttempt.objects.update(instructions=shown)
        assert words in page_of(ani, reservation)


@pytest.mark.parametrize(("account", "shown"), [("demo", True), ("other", False)])
def test_the_bank_of_the_demo_is_offered_only_for_its_own_payments(
    ani: Visitor, settings: Any, account: str, shown: bool
) -> None:
    reservation = ani.reserve()
    ani.confirm(reservation, method="va", instrument="")
    settings.FLASHSALE_OUTBOX_URL = "/outbox"
    PaymentAttempt.objects.update(account=account)
    assert ("pay in the outbox of this demo" in page_of(ani, reservation)) is shown


def test_the_waiting_page_leads_back_to_a_payment_under_way(ani: Visitor) -> None:
    reservation = ani.reserve()
    assert "See how to pay" not in ani.get().content.decode()
    ani.confirm(reservation, method="va", instrument="")
    page = ani.get().content.decode()
    assert f'<a class="go" href="/s/{ani.sale.code}/order/{reservation}">See how to pay</a>' in page


def test_a_card_without_a_token_of_the_provider_is_refused_and_nothing_starts(ani: Visitor) -> None:
    reservation = ani.reserve()
    answer = ani.confirm(reservation, method="card", instrument="")
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed")
    assert PaymentAttempt.objects.count() == 0
    assert Reservation.objects.get().state == "held"


def test_another_browser_does_not_see_how_a_payment_stands(ani: Visitor, sale: Sale) -> None:
    reservation = ani.reserve()
    ani.confirm(reservation, method="va", instrument="")
    other = Visitor(sale, "budi")
    answer = other.get(f"order/{reservation}/payment")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize("where", ["campaign", "channel"])
def test_a_buyer_of_our_page_is_no_partner_whose_word_counts_as_payment(gate: redis.Redis, where: str) -> None:
    names = "demo,partner"
    channel = {"code": "mi.com", "name": "mi.com", "kind": "own page"}
    campaign = poco_campaign(
        channels=[channel | ({"payment_accounts": names} if where == "channel" else {})],
        **({"payment_accounts": names} if where == "campaign" else {}),
    )
    ani = Visitor(lobby_sale(campaign, channels=("mi.com",), opens_in_s=600))
    ani.get()
    ani.enter()
    open_now(ani.sale)
    tend(ani.sale)
    reservation = ani.reserve()
    answer = ani.confirm(reservation, method="partner", instrument="I-say-so")
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed")
    assert PaymentAttempt.objects.count() == 0
    assert Reservation.objects.get().state == "held"
    assert 'value="partner"' not in ani.get().content.decode()
    assert ani.confirm(reservation).status_code == 200
    assert Reservation.objects.get().state == "confirmed"


@pytest.mark.parametrize(
    "link",
    [
        "javascript:alert(1)", "javascript://x/%0Aalert(1)", "JavaScript://x/%0Aalert(1)", "data:text/html,x",
        "data://text/html,x", "file:///etc/passwd", "//evil.example", "x y://pay", "é://pay", "gojek://a\nb",
    ],
)  # fmt: skip
def test_a_link_that_is_none_is_not_shown(ani: Visitor, link: str) -> None:
    reservation = ani.reserve()
    ani.confirm(reservation, method="va", instrument="")
    PaymentAttempt.objects.update(instructions={"kind": "redirect", "url": link, "deeplink": link})
    shown = paying.steps(Reservation.objects.get())
    assert shown is not None
    assert (shown["url"], shown["deeplink"]) == ("", "")
    PaymentAttempt.objects.update(
        instructions={"url": "https://bank.example/pay", "deeplink": "gojek://gopay/pay?id=1"}
    )
    page = page_of(ani, reservation)
    assert 'href="https://bank.example/pay"' in page
    assert 'href="gojek://gopay/pay?id=1"' in page


def test_a_time_that_is_over_leaves_no_time(ani: Visitor) -> None:
    reservation = ani.reserve()
    ani.confirm(reservation, method="va", instrument="")
    past = timezone.now() - timedelta(seconds=1)
    PaymentAttempt.objects.update(instructions={"number": "88", "expires_at": past.isoformat()})
    assert 'data-left="0"' in page_of(ani, reservation)


def test_only_methods_that_take_the_total_are_offered_and_bounds_inside_it_are_said() -> None:
    offered = [
        Method("qris", "qr", amount_max=10_000_000),
        Method("va", "va", amount_min=10_000),
        Method("gopay", "deeplink", amount_max=1_000_000),
        Method("va_bca", "va", amount_min=20_000_000),
    ]
    with translation.override("id"):
        found = texts.methods(offered, least=1_799_000, most=12_000_000, currency="IDR")
    assert [name for name, _ in found] == ["qris", "va"]
    assert found[0][1].replace("\xa0", " ") == "QRIS, sampai Rp 10.000.000"
    assert texts.method("new_way") == "NEW WAY"
