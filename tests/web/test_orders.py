"""An order belongs to the browsers that have its place."""

import json
import re
import uuid
from typing import Any

import pytest
import redis
from django.contrib.auth.models import User
from django.core import mail
from django.test import Client

from flashsale.life import review
from flashsale.life.enter import digester
from flashsale.models import Cancellation, Contact, DemoCharge, Record, Reservation, Sale
from flashsale.providers.messages.mail import SMS_DOMAIN
from flashsale.rules import wall_clock
from flashsale.rules.identity import Axis, canonical_value
from flashsale.rules.reasons import ReasonCode
from flashsale.web.pages import codes
from tests.factories import end_now, forget, lobby_sale, open_now, poco_campaign, tend
from tests.faults.steps import come_due, reap
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


def code_of(answer: object) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]  # type: ignore[attr-defined]


def test_an_order_is_paid_once_however_often_it_is_sent(ani: Visitor) -> None:
    reservation = ani.reserve()
    first, again = ani.confirm(reservation), ani.confirm(reservation)
    assert first.json() == again.json() == {"order": f"/s/{ani.sale.code}/order/{reservation}"}
    row = Reservation.objects.get()
    assert (row.state, row.payment.payment_state, row.payment.method) == ("confirmed", "paid", "qris")
    # A QR code names no card or wallet, and the word of the buyer alone does not count.
    assert set(row.traits.values_list("axis", flat=True)) == {"phone", "email", "address", "device"}


def test_a_card_is_known_by_what_the_bank_says_and_never_in_clear(ani: Visitor) -> None:
    ani.confirm(ani.reserve(), method="card", instrument="kartu-ani-9")
    row = Reservation.objects.get()
    campaign = row.sale.campaign
    name = DemoCharge.objects.get().fingerprint
    assert name not in {"", "kartu-ani-9"}
    digest = digester(bytes(campaign.salt).hex(), campaign.canon_version).digest(Axis.PAYMENT, name)
    assert row.traits.get(axis="payment").digest == digest.hex()


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"phone": "081299999999"}, (403, "wrong_identity")),
        ({"amount": "1"}, (422, "wrong_price")),
        ({"amount": "-1"}, (400, "malformed")),
        ({"amount": "1e9"}, (400, "malformed")),
        ({"method": "cod"}, (400, "malformed")),
        ({"method": ""}, (400, "malformed")),
        ({"name": "  "}, (422, "bad_identity")),
        ({"name": "Ani\n\nVisit evil.example"}, (422, "bad_identity")),
        ({"email": "bukan-alamat"}, (422, "bad_identity")),
        ({"email": "ani@b@example.com"}, (422, "bad_identity")),
        ({"email": "ani@example.com\nBcc: b@example.com"}, (422, "bad_identity")),
        ({"email": "081234567890"}, (422, "bad_identity")),
        ({"address": "x" * 513}, (422, "bad_identity")),
        ({"instrument": "demo-declined"}, (402, "payment_declined")),
        ({"reservation": "x"}, (404, "not_found")),
        ({"reservation": str(uuid.uuid4())}, (404, "not_found")),
    ],
)
def test_what_does_not_fit_is_refused_and_the_hold_stays(
    ani: Visitor, changes: dict[str, str], refusal: tuple[int, str]
) -> None:
    reservation = ani.reserve()
    assert code_of(ani.confirm(reservation, **changes)) == refusal
    assert Reservation.objects.get().state == "held"
    assert ani.confirm(reservation).status_code == 200


@pytest.mark.parametrize("key", [None, "press-1"])
def test_a_declined_payment_that_is_sent_again_is_charged_once(ani: Visitor, key: str | None) -> None:
    reservation = ani.reserve()
    for _ in range(2):
        assert code_of(ani.confirm(reservation, key=key, instrument="demo-declined")) == (402, "payment_declined")
    assert DemoCharge.objects.count() == 1
    if key:
        assert code_of(ani.confirm(reservation, key=key)) == (422, "key_reused")
        assert code_of(ani.confirm(reservation, key="press-2", instrument="demo-declined")) == (402, "payment_declined")
        assert DemoCharge.objects.count() == 2
    assert ani.confirm(reservation, key="press-3").status_code == 200
    assert code_of(ani.confirm(reservation, key=key, instrument="demo-declined")) == (402, "payment_declined")
    assert Reservation.objects.get().state == "confirmed"


def test_a_key_that_cannot_be_one_is_refused(ani: Visitor) -> None:
    reservation = ani.reserve()
    for key in ("x" * 129, "naïve"):
        assert code_of(ani.confirm(reservation, key=key)) == (400, "key_missing")
    assert (DemoCharge.objects.count(), Reservation.objects.get().state) == (0, "held")


def test_the_keys_of_two_browsers_never_meet(gate: redis.Redis) -> None:
    sale = lobby_sale(channels=("mi.com",), opens_in_s=600)
    buyers = [Visitor(sale), Visitor(sale, "budi")]
    for buyer in buyers:
        buyer.enter()
    open_now(sale)
    tend(sale)
    orders = [buyer.confirm(buyer.reserve(), key="same").json()["order"] for buyer in buyers]
    assert len(set(orders)) == 2
    assert Reservation.objects.filter(state="confirmed").count() == 2


def test_another_browser_sees_and_changes_nothing(ani: Visitor) -> None:
    reservation = ani.reserve()
    ani.confirm(reservation)
    budi = Visitor(ani.sale, "budi")
    budi.enter()
    for visitor in (budi, Visitor(ani.sale)):
        assert visitor.get(f"order/{reservation}").status_code == 404
        assert visitor.post(f"order/{reservation}/cancel", {}).status_code == 404
        assert code_of(visitor.confirm(reservation)) == (404, "not_found")
        assert code_of(visitor.post("release", {"reservation": reservation})) == (404, "not_found")
    assert Reservation.objects.get().state == "confirmed"


def test_the_order_can_be_read_while_the_gate_is_down(ani: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    reservation = ani.reserve()
    ani.confirm(reservation)
    monkeypatch.setattr("flashsale.life.places.sale_cards.card_of", None)
    page = ani.get(f"order/{reservation}").content.decode()
    assert "Confirmed" in page
    assert "Rp\u00a01.799.000" in page


def test_a_held_unit_is_given_back(ani: Visitor) -> None:
    reservation = ani.reserve()
    assert ani.post("release", {"reservation": reservation}).json() == {"released": True}
    assert Reservation.objects.get().state == "released"


def test_a_buyer_cancels_by_the_page_with_a_fresh_code(ani: Visitor) -> None:
    reservation = ani.reserve()
    ani.confirm(reservation)
    assert "A paid order is cancelled only with a new code." in ani.get(f"order/{reservation}").content.decode()
    asked = ani.act(reservation, "code", follow=True).content.decode()
    assert "Code sent to your e-mail" in asked
    assert "Sent by e-mail. The code has six digits and is valid for 10 minutes." in asked
    assert mail.outbox[-1].to == [ani.contacts["email"]]
    code = mail.outbox[-1].subject[-6:]
    refused = ani.act(reservation, "cancel", code=f"{(int(code) + 1) % 10**6:06d}")
    assert (refused.status_code, Reservation.objects.get().state) == (422, "confirmed")
    assert "The e-mail code is wrong or expired" in refused.content.decode()
    answer = ani.act(reservation, "cancel", follow=True, code=code, sure="yes")
    assert "Buyer&#x27;s request" in answer.content.decode()
    assert Cancellation.objects.get().reason == ReasonCode.BUYER_REQUEST
    assert ani.act(reservation, "cancel", code=code).status_code == 302
    assert Record.objects.filter(what="cancel").count() == 1


def test_a_stolen_place_cookie_alone_cancels_no_paid_order(ani: Visitor) -> None:
    reservation = ani.reserve()
    ani.confirm(reservation)
    thief = Visitor(ani.sale)
    thief.client.cookies[f"fs_place_{ani.sale.code}"] = ani.client.cookies[f"fs_place_{ani.sale.code}"].value
    for code in ("", "000000"):
        assert thief.act(reservation, "cancel", code=code, sure="yes").status_code == 422
    assert thief.act(reservation, "code").status_code == 302
    sent = mail.outbox[-1]
    wrong = f"{(int(sent.subject[-6:]) + 1) % 10**6:06d}"
    guesses = [thief.act(reservation, "cancel", code=wrong).status_code for _ in range(7)]
    assert (sent.to, guesses) == ([ani.contacts["email"]], [422] * 5 + [429] * 2)
    assert thief.act(reservation, "cancel", code=sent.subject[-6:]).status_code == 429
    assert (Reservation.objects.get().state, Cancellation.objects.exists()) == ("confirmed", False)


def test_a_code_that_was_sent_for_something_else_cancels_nothing(gate: redis.Redis) -> None:
    sale = lobby_sale(poco_campaign(limit=2), channels=("mi.com",), opens_in_s=600)
    ani, budi = Visitor(sale), Visitor(sale, "budi")
    entering = ani.codes()
    for buyer in (ani, budi):
        buyer.enter()
    open_now(sale)
    tend(sale)
    mine, other = (buyer.reserve() for buyer in (ani, budi))
    ani.confirm(mine)
    budi.confirm(other)
    ani.client.cookies["fs_order_code"] = entering["email"]
    assert ani.act(mine, "cancel", code=entering["email_code"]).status_code == 422
    budi.act(other, "code")
    ani.client.cookies["fs_order_code"] = budi.client.cookies["fs_order_code"].value
    assert ani.act(mine, "cancel", code=mail.outbox[-1].subject[-6:]).status_code == 422
    assert set(Reservation.objects.values_list("state", flat=True)) == {"confirmed"}


def test_an_old_code_cancels_nothing(ani: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    reservation = ani.reserve()
    ani.confirm(reservation)
    ani.act(reservation, "code")
    later = wall_clock.now_ms() + codes.VALID_MS
    monkeypatch.setattr(wall_clock, "now_ms", lambda: later)
    assert ani.act(reservation, "cancel", code=mail.outbox[-1].subject[-6:]).status_code == 422
    assert Reservation.objects.get().state == "confirmed"


def test_without_contact_data_or_for_a_hold_no_code_is_sent(ani: Visitor) -> None:
    reservation = ani.reserve()
    mail.outbox.clear()
    assert ani.act(reservation, "code").status_code == ani.act(reservation, "cancel").status_code == 409
    ani.confirm(reservation)
    Contact.objects.all().delete()
    assert ani.act(reservation, "code").status_code == 403
    assert (mail.outbox, Reservation.objects.get().state) == ([], "confirmed")


def test_a_campaign_that_proves_only_phones_sends_the_code_to_the_phone(gate: redis.Redis) -> None:
    campaign = poco_campaign(axes={Axis.PHONE: "hard enter", Axis.EMAIL: "soft"})
    sale = lobby_sale(campaign, channels=("mi.com",), opens_in_s=600)
    ani = Visitor(sale)
    ani.enter()
    open_now(sale)
    tend(sale)
    reservation = ani.reserve()
    ani.confirm(reservation)
    assert "Code sent to your phone" in ani.act(reservation, "code", follow=True).content.decode()
    assert mail.outbox[-1].to == [f"{canonical_value(Axis.PHONE, ani.contacts['phone'])}@{SMS_DOMAIN}"]
    assert ani.act(reservation, "cancel", code=mail.outbox[-1].subject[-6:]).status_code == 302
    assert Reservation.objects.get().state == "cancelled"


def test_the_page_says_what_follows_from_a_cancellation_while_the_sale_is_running(ani: Visitor) -> None:
    reservation = ani.reserve()
    ani.confirm(reservation)
    ani.act(reservation, "code")
    follows = "after two of these I cannot reserve again in this campaign"
    assert follows in ani.get(f"order/{reservation}").content.decode()
    end_now(ani.sale)
    page = ani.get(f"order/{reservation}").content.decode()
    assert "Yes, cancel it and refund me." in page
    assert follows not in page


def test_the_order_leads_to_the_page_of_its_cancellation(ani: Visitor) -> None:
    reservation = ani.reserve()
    ani.confirm(reservation)
    one, two = User.objects.create_user("one"), User.objects.create_user("two")
    case = review.open_case(reservation=Reservation.objects.get())
    assert "People are looking at this order" in ani.get(f"order/{reservation}").content.decode()
    review.propose(case=case, code=ReasonCode.ONE_PERSON_MANY_IDENTITIES, by=one)
    review.approve(case=case, by=two)
    page = ani.get(f"order/{reservation}").content.decode()
    assert "due as soon as the cancellation is final" in page
    (link,) = re.findall(r'href="(/appeal#[^"]+)"', page)
    other = Client(headers={"accept-language": "en"})
    assert "One person, several identities" in other.post("/appeal", {"link": link}, follow=True).content.decode()


def test_changes_need_the_pages_own_form(ani: Visitor) -> None:
    reservation = ani.reserve()
    strict = Client(enforce_csrf_checks=True)
    strict.cookies.update(ani.client.cookies)
    assert strict.post(f"/s/{ani.sale.code}/order/{reservation}/release").status_code == 403
    assert Reservation.objects.get().state == "held"


def script_data(visitor: Visitor) -> dict[str, Any]:
    """The data that line.js starts with."""
    return json.loads(visitor.get().content.decode().partition('type="application/json">')[2].partition("</script>")[0])


def test_a_second_device_finds_the_hold_pays_it_and_finds_the_order(ani: Visitor) -> None:
    reservation = ani.reserve()
    phone = Visitor(ani.sale)
    assert (phone.enter().status, "made" in script_data(Visitor(ani.sale))) == (200, False)
    row = Reservation.objects.get()
    held = {"id": reservation, "deadline": row.deadline_ms, "amount": 1_799_000}
    assert script_data(phone)["made"] == {"reservation": held, "order": None}
    order = phone.confirm(reservation).json()["order"]
    for device in (ani, phone):
        assert (script_data(device)["made"], script_data(device)["ended"]) == (
            {"reservation": None, "order": order},
            None,
        )
        assert f'id="order" href="{order}"' in device.get().content.decode()
    assert phone.get(f"order/{reservation}").status_code == 200


@pytest.mark.parametrize(("how", "ended"), [("release", "released"), ("cancel", "cancelled")])
def test_every_device_learns_how_an_order_ended_and_finds_it(ani: Visitor, how: str, ended: str) -> None:
    reservation = ani.reserve()
    if how == "cancel":
        ani.confirm(reservation)
    phone = Visitor(ani.sale)
    phone.enter()
    code = ""
    if how == "cancel":
        ani.act(reservation, "code")
        code = mail.outbox[-1].subject[-6:]
    assert ani.act(reservation, how, code=code).status_code == 302
    assert (script_data(phone)["made"], script_data(phone)["ended"]) == ({"reservation": None, "order": None}, ended)
    assert f'href="/s/{ani.sale.code}/order/{reservation}"' in phone.get().content.decode()


def test_a_hold_past_its_deadline_has_expired_before_a_task_ends_it(ani: Visitor) -> None:
    ani.reserve()
    Reservation.objects.update(deadline_ms=1)
    assert (script_data(ani)["made"]["reservation"], script_data(ani)["ended"]) == (None, "expired")


def test_a_buyer_finds_the_order_in_a_sale_that_the_gate_has_forgotten(ani: Visitor) -> None:
    order = ani.confirm(ani.reserve()).json()["order"]
    forget(ani.sale)
    assert f'href="{order}"' in ani.get().content.decode()
    assert order not in Visitor(ani.sale).get().content.decode()


@pytest.mark.parametrize("state", ["held", "confirmed", "expired"])
def test_proving_only_one_axis_of_the_buyer_shows_and_cancels_nothing(ani: Visitor, state: str) -> None:
    reservation = ani.reserve()
    if state == "confirmed":
        ani.confirm(reservation)
    if state == "expired":
        come_due(ani.sale)
        reap(ani.sale)
    thief = Visitor(ani.sale, "thief")
    thief.contacts["phone"] = ani.contacts["phone"]
    assert thief.enter().code == (403, "wrong_identity")
    assert ("made" in script_data(thief), "made" in script_data(ani)) == (False, True)
    assert reservation not in thief.get().content.decode()
    assert thief.get(f"order/{reservation}").status_code == 404
    assert thief.client.post(f"/s/{ani.sale.code}/order/{reservation}/cancel").status_code == 404
    assert Reservation.objects.get().state == state


def test_two_places_are_not_joined_after_the_draw_and_lead_to_their_orders(gate: redis.Redis) -> None:
    sale = lobby_sale(poco_campaign(limit=2), channels=("mi.com",), opens_in_s=600)
    ani, budi, both = Visitor(sale), Visitor(sale, "budi"), Visitor(sale)
    both.contacts["phone"] = budi.contacts["phone"]
    ani.enter()
    budi.enter()
    open_now(sale)
    tend(sale)
    order = budi.confirm(budi.reserve()).json()["order"]
    assert both.enter().code == (403, "wrong_identity")
    assert (ani.hot("look").json["state"], budi.hot("look").json["state"]) == ("called", "spent")
    assert script_data(budi)["made"]["order"] == order
    assert f'href="{order}"' in budi.get().content.decode()
