"""The REST API: reservations for the channel that made them."""

import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from flashsale.life import review
from flashsale.life.appeal import appeal
from flashsale.models import ApiCall, Cancellation, DemoCharge, PaymentAttempt, Reservation, Sale, Unit
from flashsale.providers.payments import DemoProvider, ProviderDown
from flashsale.web.hot import partners
from tests.factories import PHONE, open_now
from tests.faults.steps import dies, nth, the_payment
from tests.web.partner import ORDER, WHO, Partner, Shop

pytestmark = pytest.mark.usefixtures("gate")

CONTACT: dict[str, str] = ORDER["contact"]  # type: ignore[assignment]
NOBODYS = "00000000-0000-0000-0000-000000000000"


@pytest.fixture
def shop(lazada: Partner) -> Shop:
    return Shop(lazada)


@pytest.fixture
def other(akulaku: Partner) -> Shop:
    return Shop(akulaku)


def _refusal(reply: Any) -> tuple[int, str]:
    assert reply["Content-Type"] == "application/problem+json", reply.content
    return reply.status_code, reply.json()["code"]


class TestReservations:
    """Reading reservations."""

    def test_a_channel_sees_its_reservation(self, shop: Shop, held: dict[str, Any]) -> None:
        reply = shop.get(f"/{held['reservation']}")
        document = reply.json()
        assert (reply.status_code, reply["Cache-Control"]) == (200, "no-store")
        assert (document["state"], document["do_not_ship"], document["payment"]) == ("held", True, None)
        assert (document["amount"], document["currency"]) == (1_799_000, "IDR")
        serial = Unit.objects.get(state="held").serial
        assert document["items"] == [{"serial": serial, "sku": PHONE, "price": 1_799_000}]
        assert [row["id"] for row in shop.get().json()["results"]] == [held["reservation"]]

    def test_four_questions_to_the_books_tell_everything(
        self,
        shop: Shop,
        held: dict[str, Any],
        django_assert_num_queries: DjangoAssertNumQueries,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(partners, "FRESH_S", 3600.0)  # on a busy machine the keys would be read once more
        path, people = f"/{held['reservation']}", [User.objects.create_user(name) for name in ("one", "two")]
        with django_assert_num_queries(3):  # no refunds, because there is no payment
            assert shop.get(path).json()["payment"] is None
        shop.post(held["reservation"], "confirm", ORDER)
        case = review.open_case(reservation=Reservation.objects.get())
        case = review.propose(case=case, code="automated_order", by=people[0])
        appeal(case=review.approve(case=case, by=people[1]))
        with django_assert_num_queries(4):
            document = shop.get(path).json()
        assert (document["review"], document["appeal"]["state"]) == ("cancelled", "open")
        assert (document["payment"]["state"], document["cancellation"]["reason"]) == ("refund_due", "automated_order")

    def test_another_channels_do_not_exist(self, other: Shop, held: dict[str, Any]) -> None:
        id_ = held["reservation"]
        assert other.get().json()["results"] == []
        assert _refusal(other.get(f"/{id_}")) == (404, "not_found")
        for verb, body in (("confirm", ORDER), ("release", None), ("cancel", {"reason": "buyer_request"})):
            assert _refusal(other.post(id_, verb, body, key=verb)) == (404, "not_found")
        assert Reservation.objects.get().state == "held"
        assert PaymentAttempt.objects.count() == 0

    def test_the_list_can_be_narrowed_and_paged(self, sale: Sale, lazada: Partner, shop: Shop) -> None:
        places = [lazada.enter(f"shopper{n}") for n in range(3)]
        open_now(sale)
        open_now(sale)
        made = [lazada.reserve(place, key=f"k{n}").json["reservation"] for n, place in enumerate(places)]
        first = shop.get("?limit=2").json()
        second = shop.client.get(first["next"]).json()
        assert [row["id"] for row in first["results"] + second["results"]] == made[::-1]
        assert second["next"] is None
        assert len(shop.get(f"?sale={sale.code}&state=held").json()["results"]) == 3
        assert shop.get("?state=confirmed").json()["results"] == []
        assert _refusal(shop.get("?state=eaten")) == (400, "malformed")
        assert _refusal(shop.get("?sale=%00")) == (400, "malformed")
        assert _refusal(shop.get("?cursor=nonsense")) == (404, "not_found")

    @pytest.mark.usefixtures("sale")
    def test_without_a_key_nothing_is_shown(self, client: Client) -> None:
        for headers in ({}, {"authorization": "Bearer fs_live_" + "A" * 43}):
            reply = client.get("/v1/reservations", headers=headers)
            assert (_refusal(reply), reply["WWW-Authenticate"]) == ((401, "unauthenticated"), "Bearer")


class TestConfirm:
    """Held → confirmed."""

    def test_the_right_buyer_at_the_right_price_gets_the_units(self, shop: Shop, held: dict[str, Any]) -> None:
        reply = shop.post(held["reservation"], "confirm", ORDER)
        document = reply.json()
        assert (reply.status_code, document["state"], document["do_not_ship"]) == (200, "confirmed", False)
        assert (document["payment"]["state"], document["payment"]["method"]) == ("paid", "qris")
        assert Unit.objects.get(reservation_units__reservation=held["reservation"]).state == "sold"
        assert WHO["phone"] not in reply.content.decode()

    def test_the_same_request_again_gets_the_same_answer(self, shop: Shop, held: dict[str, Any]) -> None:
        first, second = (shop.post(held["reservation"], "confirm", ORDER) for _ in range(2))
        assert (first.status_code, first.content) == (second.status_code, second.content)
        assert [reply.get("Idempotency-Replayed") for reply in (first, second)] == [None, "true"]
        assert PaymentAttempt.objects.count() == 1

    def test_another_key_changes_nothing_more(self, shop: Shop, held: dict[str, Any]) -> None:
        first, second = (shop.post(held["reservation"], "confirm", ORDER, key=key) for key in ("k1", "k2"))
        assert first.json() == second.json()
        assert PaymentAttempt.objects.count() == 1

    @pytest.mark.parametrize(
        ("change", "expected"),
        [
            ({"price": 1}, (422, "wrong_price")),
            ({"identity": {**WHO, "phone": "081200000001"}}, (403, "wrong_identity")),
            ({"identity": {"email": WHO["email"]}}, (422, "bad_identity")),
            ({"contact": CONTACT | {"email": "bukan-alamat"}}, (422, "bad_identity")),
            ({"contact": CONTACT | {"email": "ani@b@example.com"}}, (422, "bad_identity")),
            ({"contact": CONTACT | {"name": "Ani\nevil.example"}}, (422, "bad_identity")),
            ({"contact": CONTACT | {"phone": "-"}}, (422, "bad_identity")),
            ({"instrument": "demo-declined"}, (402, "payment_declined")),
        ],
    )
    def test_a_refusal_leaves_the_units_held(
        self, shop: Shop, held: dict[str, Any], change: dict[str, Any], expected: tuple[int, str]
    ) -> None:
        assert _refusal(shop.post(held["reservation"], "confirm", ORDER | change)) == expected
        assert Reservation.objects.get().state == "held"
        assert shop.post(held["reservation"], "confirm", ORDER, key="k2").status_code == 200

    FAULTS: tuple[tuple[dict[str, Any], str], ...] = (
        ({"price": "1799000"}, "#/price"), ({"price": True}, "#/price"), ({"price": -1}, "#/price"),
        ({"price": None}, "#/price"), ({"method": "cash"}, "#/method"), ({"method": None}, "#/method"),
        ({"language": "de"}, "#/language"), ({"identity": {"shoe": "43"}}, "#/identity"),
        ({"identity": []}, "#/identity"), ({"identity": {"phone": 1}}, "#/identity/phone"),
        ({"contact": {"name": "Ani"}}, "#/contact/address"), ({"contact": None}, "#/contact"),
        ({"instrument": "x" * 201}, "#/instrument"), ({"instrument": "\x00"}, "#/instrument"),
    )  # fmt: skip

    def test_a_field_at_fault_is_named(self, shop: Shop, held: dict[str, Any]) -> None:
        for number, (change, pointer) in enumerate(self.FAULTS):
            reply = shop.post(held["reservation"], "confirm", ORDER | change, key=str(number))
            assert (_refusal(reply), reply.json()["errors"][0]["pointer"]) == ((400, "malformed"), pointer)
        assert Reservation.objects.get().state == "held"


class TestGivingBack:
    """Held → released, confirmed → cancelled."""

    def test_a_release_frees_the_units(self, shop: Shop, held: dict[str, Any]) -> None:
        assert shop.post(held["reservation"], "release").json()["state"] == "released"
        assert Unit.objects.filter(state="free", allocation__code="lazada").count() == 10
        assert _refusal(shop.post(held["reservation"], "confirm", ORDER, key="k2")) == (409, "not_held")

    def test_the_buyers_own_wish_cancels_once(self, shop: Shop, held: dict[str, Any]) -> None:
        shop.post(held["reservation"], "confirm", ORDER, key="k1")
        first, second = (
            shop.post(held["reservation"], "cancel", {"reason": "buyer_request"}, key=key) for key in ("k2", "k3")
        )
        assert (first.json()["state"], first.json()["payment"]["state"]) == ("cancelled", "refund_due")
        assert (first.json()["cancellation"]["reason"], second.status_code) == ("buyer_request", 200)
        assert Cancellation.objects.count() == 1
        assert Unit.objects.filter(reservation_units__reservation=held["reservation"]).get().state == "free"

    def test_any_other_reason_is_for_people_to_decide(self, shop: Shop, held: dict[str, Any]) -> None:
        shop.post(held["reservation"], "confirm", ORDER, key="k1")
        refused = shop.post(held["reservation"], "cancel", {"reason": "automated_order"}, key="k2")
        assert _refusal(refused) == (403, "forbidden")
        assert _refusal(shop.post(held["reservation"], "cancel", {"reason": "mood"}, key="k3")) == (400, "malformed")
        assert Reservation.objects.get().state == "confirmed"

    def test_what_is_only_held_cannot_be_cancelled(self, shop: Shop, held: dict[str, Any]) -> None:
        refused = shop.post(held["reservation"], "cancel", {"reason": "buyer_request"})
        assert _refusal(refused) == (409, "not_cancellable")


class TestKeys:
    """Idempotency-Key."""

    def test_writes_need_a_key(self, shop: Shop, held: dict[str, Any]) -> None:
        for key in ("", "x" * 129, "naïve"):
            assert _refusal(shop.post(held["reservation"], "release", key=key)) == (400, "key_missing")
        assert Reservation.objects.get().state == "held"
        assert ApiCall.objects.count() == 0

    def test_a_key_belongs_to_its_body(self, shop: Shop, held: dict[str, Any]) -> None:
        shop.post(held["reservation"], "confirm", ORDER | {"price": 1})
        assert _refusal(shop.post(held["reservation"], "confirm", ORDER)) == (422, "key_reused")
        assert _refusal(shop.post(held["reservation"], "release")) == (422, "key_reused")
        assert Reservation.objects.get().state == "held"

    def test_a_refusal_is_judged_anew(self, shop: Shop, held: dict[str, Any]) -> None:
        wrong = {"reason": "buyer_request"}
        assert shop.post(held["reservation"], "cancel", wrong, key="again").status_code == 409
        shop.post(held["reservation"], "confirm", ORDER)
        assert shop.post(held["reservation"], "cancel", wrong, key="again").status_code == 200

    def test_a_declined_payment_belongs_to_its_key_and_is_charged_once(self, shop: Shop, held: dict[str, Any]) -> None:
        id_, declined = held["reservation"], ORDER | {"instrument": "demo-declined"}
        first, second = (shop.post(id_, "confirm", declined) for _ in range(2))
        assert _refusal(first) == _refusal(second) == (402, "payment_declined")
        assert first.json()["detail"] == second.json()["detail"]
        assert [reply.get("Idempotency-Replayed") for reply in (first, second)] == [None, "true"]
        assert list(DemoCharge.objects.values_list("reference", "state")) == [(nth(id_, 1), "declined")]
        assert _refusal(shop.post(id_, "confirm", ORDER)) == (422, "key_reused")
        assert _refusal(shop.post(id_, "confirm", declined, key="k2")) == (402, "payment_declined")
        assert DemoCharge.objects.count() == 2
        assert shop.post(id_, "confirm", ORDER, key="k3").json()["state"] == "confirmed"
        for key in ("k1", "k2"):
            assert _refusal(shop.post(id_, "confirm", declined, key=key)) == (402, "payment_declined")
        assert (DemoCharge.objects.count(), the_payment().number) == (3, 3)

    @pytest.mark.parametrize("at", ["_store_refusal", "confirm.settle"])
    def test_dying_before_the_refusal_is_stored_charges_nothing_more(
        self, shop: Shop, held: dict[str, Any], monkeypatch: pytest.MonkeyPatch, at: str
    ) -> None:
        where = f"flashsale.life.{at}" if "." in at else f"flashsale.web.api.confirm_once.{at}"
        id_, declined = held["reservation"], ORDER | {"instrument": "demo-declined"}
        with monkeypatch.context() as dying:
            dying.setattr(where, dies)
            assert shop.post(id_, "confirm", declined).status_code == 500
        assert DemoCharge.objects.get().state == "declined"
        assert [_refusal(shop.post(id_, "confirm", declined)) for _ in range(2)] == [(402, "payment_declined")] * 2
        assert DemoCharge.objects.count() == 1

    def test_a_key_whose_payment_was_replaced_charges_nothing_more(
        self, shop: Shop, held: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        id_, declined = held["reservation"], ORDER | {"instrument": "demo-declined"}
        with monkeypatch.context() as dying:
            dying.setattr("flashsale.web.api.confirm_once._store_refusal", dies)
            assert shop.post(id_, "confirm", declined, key="k1").status_code == 500
        assert shop.post(id_, "confirm", ORDER | {"instrument": "demo-later"}, key="k2").json()["state"] == "held"
        assert _refusal(shop.post(id_, "confirm", declined, key="k1")) == (402, "payment_declined")
        assert (DemoCharge.objects.count(), the_payment().payment_state) == (2, "started")
        DemoProvider().pay(reference=the_payment().reference)
        for _ in range(2):
            later = shop.post(id_, "confirm", ORDER | {"instrument": "demo-later"}, key="k2")
            assert later.json()["state"] == "confirmed"
        assert _refusal(shop.post(id_, "confirm", declined, key="k1")) == (402, "payment_declined")
        assert DemoCharge.objects.count() == 2

    def test_a_payment_of_which_nothing_is_known_is_asked_for_again_under_its_key(
        self, shop: Shop, held: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def down(*_: object, **__: object) -> None:
            raise ProviderDown

        with monkeypatch.context() as patch:
            patch.setattr(DemoProvider, "begin", down)
            assert _refusal(shop.post(held["reservation"], "confirm", ORDER)) == (503, "unknown")
        assert shop.post(held["reservation"], "confirm", ORDER).json()["state"] == "confirmed"
        assert DemoCharge.objects.count() == 1

    def test_the_kept_refusal_holds_no_personal_data(self, shop: Shop, held: dict[str, Any]) -> None:
        shop.post(held["reservation"], "confirm", ORDER | {"instrument": "demo-declined"})
        kept = json.dumps(ApiCall.objects.values("key", "fingerprint", "answer", "refused", "attempt").get())
        assert [value for value in (*WHO.values(), "Merdeka", "demo-declined") if value in kept] == []

    def test_keys_of_two_channels_are_two_keys(self, shop: Shop, other: Shop, held: dict[str, Any]) -> None:
        assert _refusal(other.post(NOBODYS, "release")) == (404, "not_found")
        assert shop.post(held["reservation"], "release").status_code == 200

    def test_the_kept_answer_holds_no_personal_data(self, shop: Shop, held: dict[str, Any]) -> None:
        shop.post(held["reservation"], "confirm", ORDER)
        kept = json.dumps(ApiCall.objects.values("key", "fingerprint", "answer").get())
        assert [value for value in (*WHO.values(), "Merdeka") if value in kept] == []


class TestHttp:
    """Bodies, content types and methods that are not valid."""

    def _send(self, shop: Shop, body: bytes, content_type: str = "application/json") -> tuple[int, str]:
        path = f"/v1/reservations/{NOBODYS}/confirm"
        return _refusal(shop.client.post(path, body, content_type, headers={"idempotency-key": "k"}))

    def test_what_cannot_be_read_is_refused(self, shop: Shop) -> None:
        for body in (b"{", b"[]", b"null", b'{"price": NaN}', b"[" * 8000, b"\xff", b'{"a": "\\ud800"}'):
            assert (body, self._send(shop, body)) == (body, (400, "malformed"))
        assert self._send(shop, b"x" * 9000) == (413, "too_large")
        assert self._send(shop, b"{}", "text/plain") == (415, "wrong_type")

    def test_another_method_is_refused(self, shop: Shop) -> None:
        assert _refusal(shop.client.put("/v1/reservations")) == (405, "wrong_method")
        assert _refusal(shop.client.delete(f"/v1/reservations/{NOBODYS}/confirm")) == (405, "wrong_method")

    def test_a_path_that_leads_nowhere_is_a_problem_too(self, client: Client) -> None:
        for path in ("/v1/", "/v1/nothing", "/v1/reservations/7", "/v1/sales/a/b"):
            assert _refusal(client.post(path)) == (404, "not_found")

    def test_a_refusal_speaks_the_callers_language(self, client: Client) -> None:
        title = client.get("/v1/nothing", headers={"accept-language": "en"}).json()["title"]
        assert title == "There is nothing here."

    def test_an_accident_shows_no_stack(self, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
        def broken(*_args: object) -> None:
            raise ZeroDivisionError("inside")

        monkeypatch.setattr("flashsale.web.api.reservations.own_reservations", broken)
        reply = shop.get()
        assert _refusal(reply) == (500, "internal")
        assert b"inside" not in reply.content
        assert reply["X-Request-Id"] == reply.json()["request_id"]
