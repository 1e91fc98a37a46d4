"""A buyer takes a pass to the shop behind our page. The shop redeems it once and confirms; the hold decides."""

import json
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from django.test import Client
from jsonschema import Draft202012Validator
from pytest_django import Settings

from flashsale.life import passes as life
from flashsale.life.receipt import signer
from flashsale.models import ApiCall, Channel, CheckoutPass, DemoCharge, PartnerKey, PaymentAttempt, Reservation, Sale
from flashsale.rules import passes
from flashsale.rules.outcomes import Outcome
from flashsale.web import idempotency
from flashsale.web.api.document import openapi
from flashsale.web.hot import door, partners
from tests.factories import PHONE, rewrite
from tests.faults.steps import broken
from tests.races.crowd import at_once
from tests.web.partner import Partner, Shop, hot, key_of
from tests.web.shop import Visitor
from tests.web.shop_behind import CHECKOUT, OWN, holder, paid_at_shop, pass_of, shop_of, shop_sale

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate", "stopped_clock")]


@pytest.fixture
def sale(transactional_db: None, gate: Any) -> Sale:
    return shop_sale()


@pytest.fixture
def shop(sale: Sale) -> Partner:
    return shop_of(sale)


@pytest.fixture
def buyer(sale: Sale) -> Visitor:
    return holder(sale)[0]


def redeem(shop: Partner, text: str, key: str = "visit-1") -> Any:
    return Client(headers=shop.http | {"idempotency-key": key}).post(
        "/v1/passes/redeem", {"pass": text}, "application/json"
    )


def code_of(reply: Any) -> tuple[int, str]:
    return reply.status_code, reply.json()["code"]


def leads_back(visitor: Visitor) -> bool:
    """Whether the page gives no pass, and leads back to the waiting page."""
    reply = visitor.client.post(f"/s/{visitor.sale.code}/checkout")
    return (reply.status_code, reply.headers.get("Location")) == (302, f"/s/{visitor.sale.code}/")


def marks() -> Any:
    return list(CheckoutPass.objects.values()), list(Reservation.objects.values())


def test_a_buyer_pays_at_the_shop_and_owns_the_order(sale: Sale, shop: Partner, buyer: Visitor) -> None:
    row = Reservation.objects.get()
    redeemed = redeem(shop, pass_of(buyer))
    assert redeemed.status_code == 200, redeemed.content
    told = redeemed.json()
    assert (told["id"], told["number"]) == (f"{row.pk}.1", 1)
    assert (told["reservation"]["id"], told["reservation"]["state"]) == (str(row.pk), "held")
    assert told["reservation"]["amount"] == 1_799_000
    document = json.loads(openapi())
    schema = document["components"]["schemas"]["RedeemedPass"] | {"components": document["components"]}
    Draft202012Validator(schema).validate(told)
    reply = hot(shop, str(row.pk), paid_at_shop(buyer))
    assert (reply.status, reply.json["state"], reply.json["payment"]["state"]) == (200, "confirmed", "paid")
    assert (PaymentAttempt.objects.get().account, DemoCharge.objects.count(), broken(sale)) == ("partner", 0, [])
    events = Client(headers=shop.http).get("/v1/events").json()["results"]
    assert [one["type"] for one in events if one["reservation"]] == [
        "reservation.held", "payment.started", "payment.paid", "reservation.confirmed",
    ]  # fmt: skip
    assert buyer.get(f"order/{row.pk}").status_code == 200
    assert code_of(redeem(shop, pass_text(row, number=1), "later")) == (409, "not_held")
    assert leads_back(buyer)


def pass_text(row: Reservation, **changes: Any) -> str:
    """A pass that we have signed."""
    now = 4_000_000_000
    channel = f"{row.channel.campaign.code}/{row.channel.code}"
    made = passes.Pass("https://sale.example", channel, row.sale.code, row.pk, 1, now, now + passes.PASS_S)
    return passes.sign(made._replace(**changes), signer())


def test_the_same_request_gets_the_same_answer_and_every_other_is_refused(shop: Partner, buyer: Visitor) -> None:
    text = pass_of(buyer)
    first = redeem(shop, text)
    before = marks()
    again = redeem(shop, text)
    assert (again.status_code, again.json(), again["Idempotency-Replayed"]) == (200, first.json(), "true")
    assert code_of(redeem(shop, text, "visit-2")) == (409, "pass_spent")
    assert code_of(redeem(shop, text + "x")) == (422, "key_reused")
    assert marks() == before


def test_a_newer_pass_makes_the_older_ones_worthless(shop: Partner, buyer: Visitor) -> None:
    old, new = pass_of(buyer), pass_of(buyer)
    before = marks()
    assert code_of(redeem(shop, old)) == (409, "pass_spent")
    assert marks() == before
    assert redeem(shop, new, "visit-2").json()["number"] == 2
    # A thief who was faster with the first pass loses to the buyer's next one.
    third = pass_of(buyer)
    assert redeem(shop, third, "visit-3").json()["number"] == 3
    assert code_of(redeem(shop, new, "visit-4")) == (409, "pass_spent")


def test_a_shop_that_dies_sends_the_same_request_again(
    shop: Partner, buyer: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = pass_of(buyer)
    with monkeypatch.context() as patch:
        # The process dies after the pass is marked and before the answer is stored.
        patch.setattr(idempotency, "_store", lambda *_: 1 / 0)
        assert redeem(shop, text).status_code == 500
    mark = CheckoutPass.objects.get()
    assert (mark.redeemed, ApiCall.objects.get(key="visit-1").answer) == (1, None)
    assert code_of(redeem(shop, text, "visit-2")) == (409, "pass_spent")
    again = redeem(shop, text)
    assert again.status_code == 200
    assert CheckoutPass.objects.get() == mark
    assert CheckoutPass.objects.values_list("redeemed_at", "call").get() == (mark.redeemed_at, mark.call)


def test_with_the_hold_the_pass_ends(sale: Sale, shop: Partner, buyer: Visitor) -> None:
    text, row = pass_of(buyer), Reservation.objects.get()
    Reservation.objects.update(deadline_ms=row.deadline_ms - 3600_000)
    before = marks()
    assert code_of(redeem(shop, text)) == (409, "expired")
    assert leads_back(buyer)
    assert marks() == before
    Reservation.objects.update(deadline_ms=row.deadline_ms)
    assert buyer.post("release", {"reservation": str(row.pk)}).status_code == 200
    before = marks()
    assert code_of(redeem(shop, text)) == (409, "not_held")
    assert marks() == before


def test_a_pass_ends_after_two_minutes_and_with_the_hold_at_the_latest(shop: Partner, buyer: Visitor) -> None:
    row = Reservation.objects.get()
    keys = {signer().key_id: signer().public}
    made = passes.read(pass_of(buyer), keys)
    assert (made.expires - made.made, made.audience) == (120, f"{row.channel.campaign.code}/mi.com")
    old = pass_text(row, made=made.made - 121, expires=made.made - 1)
    before = marks()
    assert code_of(redeem(shop, old)) == (409, "pass_over")
    assert marks() == before
    Reservation.objects.update(deadline_ms=row.sale.line_ms(made.made * 1000) + 30_000)
    short = passes.read(pass_of(buyer), keys)
    assert 25 <= short.expires - short.made <= 30


def test_what_is_no_pass_of_this_shop_changes_nothing(sale: Sale, shop: Partner, buyer: Visitor) -> None:
    text, row = pass_of(buyer), Reservation.objects.get()
    lazada = Partner(key_of(sale.campaign, "lazada"), sale, "lazada")
    before = marks()
    refused = [
        redeem(lazada, text), redeem(shop, f"{text[:-4]}AAAA", "a"), redeem(shop, "x", "b"),
        redeem(shop, pass_text(row, audience=f"{row.channel.campaign.code}/lazada"), "c"),
        redeem(shop, pass_text(row, reservation=UUID(int=1)), "d"),
    ]  # fmt: skip
    assert {code_of(reply) for reply in refused} == {(400, "bad_pass")}
    assert code_of(redeem(shop, text, "")) == (400, "key_missing")
    body = {"pass": text, "reservation": str(row.pk)}
    client = Client(headers=shop.http | {"idempotency-key": "e"})
    assert code_of(client.post("/v1/passes/redeem", body, "application/json")) == (422, "unknown_field")
    assert code_of(client.post("/v1/passes/redeem", {"pass": 1}, "application/json")) == (400, "malformed")
    assert code_of(client.post("/v1/passes/redeem", {}, "application/json")) == (400, "malformed")
    assert Client().post("/v1/passes/redeem", {"pass": text}, "application/json").status_code == 401
    assert marks() == before
    assert redeem(shop, text).status_code == 200


def test_a_thief_with_the_pass_cannot_buy(sale: Sale, shop: Partner, buyer: Visitor) -> None:
    row = Reservation.objects.get()
    assert redeem(shop, pass_of(buyer)).status_code == 200
    thief = Visitor(sale, "thief")
    refused = hot(shop, str(row.pk), paid_at_shop(thief), key="stolen")
    assert refused.code == (403, "wrong_identity")
    assert (Reservation.objects.get().state, PaymentAttempt.objects.count()) == ("held", 0)


def test_of_requests_at_once_one_redeems(shop: Partner, buyer: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has one writer")
    channel = Channel.objects.get(code="mi.com").pk

    def results(text: str) -> list[Any]:
        return at_once([partial(life.redeem, text=text, channel=channel, call=call) for call in range(1, 9)])

    with monkeypatch.context() as patch:
        patch.setattr(life, "_unused", lambda row, _number: CheckoutPass.objects.filter(reservation=row))
        without = results(pass_of(buyer))
        assert sum(one is not Outcome.PASS_SPENT for one in without) > 1, "without the guard, several do"
    found = results(pass_of(buyer))
    assert sorted(one is Outcome.PASS_SPENT for one in found) == [False] + [True] * 7
    text = pass_of(buyer)
    same = at_once([partial(life.redeem, text=text, channel=channel, call=77)] * 8)
    assert {one.id for one in same} == {f"{Reservation.objects.get().pk}.3"}


def test_the_page_posts_the_pass_to_the_shop_and_nowhere_else(sale: Sale, buyer: Visitor) -> None:
    waiting = buyer.get().content.decode()
    assert f'action="/s/{sale.code}/checkout"' in waiting
    assert "Pay at Toko Mi" in waiting
    assert 'name="method"' not in waiting
    page = buyer.client.post(f"/s/{sale.code}/checkout")
    assert f'method="post" action="{CHECKOUT}"' in page.content.decode()
    assert "form-action 'self' https://www.shop.example;" in page["Content-Security-Policy"] + ";"
    assert "frame-ancestors 'none'" in page["Content-Security-Policy"]
    assert (page["Referrer-Policy"], "no-store" in page["Cache-Control"]) == ("same-origin", True)
    assert "shop.example" not in buyer.get()["Content-Security-Policy"]


def test_only_the_browser_with_the_place_gets_a_pass(sale: Sale, buyer: Visitor) -> None:
    assert leads_back(Visitor(sale, "budi"))
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = buyer.client.cookies
    assert strict.post(f"/s/{sale.code}/checkout").status_code == 403
    assert buyer.get("checkout").status_code == 405
    assert CheckoutPass.objects.count() == 0


def test_passes_of_a_reservation_have_a_limit(sale: Sale, buyer: Visitor) -> None:
    replies = [buyer.client.post(f"/s/{sale.code}/checkout").status_code for _ in range(21)]
    assert (replies[:20], replies[20]) == ([200] * 20, 503)
    assert CheckoutPass.objects.get().issued == 20


def test_a_line_without_a_shop_gives_no_pass(transactional_db: None, gate: Any) -> None:
    sale = shop_sale(checkout_url="")
    buyer, reservation = holder(sale)
    assert "checkout" not in buyer.get().content.decode()
    assert leads_back(buyer)
    assert CheckoutPass.objects.count() == 0
    assert buyer.confirm(reservation, method="partner", instrument="x").json()["code"] == "malformed"


def test_the_buyers_browser_cannot_say_that_the_shop_has_the_money(sale: Sale, buyer: Visitor) -> None:
    row = Reservation.objects.get()
    refused = buyer.confirm(str(row.pk), method="partner", instrument="MI-1")
    assert (refused.status_code, refused.json()["code"]) == (400, "malformed")
    assert (Reservation.objects.get().state, PaymentAttempt.objects.count()) == ("held", 0)


def test_the_shops_key_enters_and_reserves_for_no_person(shop: Partner, buyer: Visitor) -> None:
    before = marks()
    place = buyer.client.cookies[f"fs_place_{buyer.sale.code}"].value
    body = {"place": place, "identity": buyer.contacts, "items": [{"sku": PHONE, "quantity": 1}]}
    refused = {verb: shop.post(verb, body, idempotency_key="k").code for verb in door.VERBS}
    assert refused == dict.fromkeys(door.VERBS, (403, "forbidden"))
    assert marks() == before


def test_the_shop_reads_and_releases_what_was_made_on_our_page(sale: Sale, shop: Partner, buyer: Visitor) -> None:
    row = Reservation.objects.get()
    assert [one["id"] for one in Shop(shop).get().json()["results"]] == [str(row.pk)]
    lazada = Partner(key_of(sale.campaign, "lazada"), sale, "lazada")
    partners.forget_keys()
    assert Shop(lazada).get(f"/{row.pk}").status_code == 404
    assert Shop(shop).post(str(row.pk), "release").json()["state"] == "released"


def test_a_channel_that_could_not_work_is_refused(sale: Sale) -> None:
    for fields, field in (
        ({"payment_accounts": ""}, "checkout_url"),
        ({"payment_accounts": "partner, demo"}, "checkout_url"),
        ({"kind": "partner"}, "checkout_url"),
        ({"checkout_url": "http://www.shop.example/checkout"}, "checkout_url"),
        ({"checkout_url": "https://www.shop.example/checkout#x"}, "checkout_url"),
        ({"checkout_url": "https://a@www.shop.example/"}, "checkout_url"),
        ({"frame_origins": "https://*.shop.example"}, "frame_origins"),
        ({"frame_origins": "https://shop.example https://shop.example/path"}, "frame_origins"),
        ({"frame_origins": " ".join(f"https://s{n}.example" for n in range(11))}, "frame_origins"),
    ):
        channel = Channel(campaign=sale.campaign, **OWN | {"code": "other"} | fields)
        with pytest.raises(ValidationError) as refused:
            channel.full_clean()
        assert [*refused.value.message_dict] == [field], fields


def test_our_page_without_a_shop_has_no_keys(sale: Sale) -> None:
    rewrite(Channel.objects.filter(code="mi.com"), checkout_url="")
    with pytest.raises(ValidationError):
        PartnerKey.make(Channel.objects.get(code="mi.com"))


def test_an_earlier_key_of_ours_still_counts(shop: Partner, buyer: Visitor, settings: Settings) -> None:
    text = pass_of(buyer)
    settings.FLASHSALE_RECEIPT_OLD_KEYS = [signer().public]
    settings.FLASHSALE_RECEIPT_KEY = b"n" * 32
    signer.cache_clear()
    try:
        assert redeem(shop, text).status_code == 200
    finally:
        signer.cache_clear()
