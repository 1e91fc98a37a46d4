"""An order belongs to the browser whose place it was made with."""

import re
import uuid
from collections.abc import Iterator

import pytest
import redis
from django.contrib.auth.models import User
from django.test import Client

from flashsale.life import review
from flashsale.models import Cancellation, Reservation, Sale
from flashsale.rules.reasons import ReasonCode
from tests.factories import lobby_sale, open_now, tend
from tests.web.shop import Visitor

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def sale(gate: redis.Redis) -> Sale:
    return lobby_sale(channels=("mi.com",), opens_in_s=600)


@pytest.fixture
def ani(sale: Sale) -> Iterator[Visitor]:
    """Somebody whose turn it is."""
    visitor = Visitor(sale)
    visitor.get()
    visitor.enter()
    open_now(sale)
    tend(sale)
    return visitor


def word(answer: object) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]  # type: ignore[attr-defined]


def test_an_order_is_paid_once_however_often_it_is_sent(ani: Visitor) -> None:
    reservation = ani.reserve()
    first, again = ani.confirm(reservation), ani.confirm(reservation)
    assert first.json() == again.json() == {"order": f"/s/{ani.sale.code}/order/{reservation}"}
    row = Reservation.objects.get()
    assert (row.state, row.payment.state, row.payment.method) == ("confirmed", "paid", "qris")
    assert set(row.traits.values_list("axis", flat=True)) == {"phone", "email", "payment", "address", "device"}


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
        ({"instrument": "demo-declined"}, (402, "payment_declined")),
        ({"reservation": "x"}, (404, "not_found")),
        ({"reservation": str(uuid.uuid4())}, (404, "not_found")),
    ],
)
def test_what_does_not_fit_is_refused_and_the_hold_stays(
    ani: Visitor, changes: dict[str, str], refusal: tuple[int, str]
) -> None:
    reservation = ani.reserve()
    assert word(ani.confirm(reservation, **changes)) == refusal
    assert Reservation.objects.get().state == "held"
    assert ani.confirm(reservation).status_code == 200


def test_another_browser_sees_and_changes_nothing(ani: Visitor) -> None:
    reservation = ani.reserve()
    ani.confirm(reservation)
    budi = Visitor(ani.sale, "budi")
    budi.enter()
    for visitor in (budi, Visitor(ani.sale)):
        assert visitor.get(f"order/{reservation}").status_code == 404
        assert visitor.post(f"order/{reservation}/cancel", {}).status_code == 404
        assert word(visitor.confirm(reservation)) == (404, "not_found")
        assert word(visitor.post("release", {"reservation": reservation})) == (404, "not_found")
    assert Reservation.objects.get().state == "confirmed"


def test_the_order_can_be_read_while_the_gate_is_down(ani: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    reservation = ani.reserve()
    ani.confirm(reservation)
    monkeypatch.setattr("flashsale.life.places.cards.card_of", None)
    page = ani.get(f"order/{reservation}").content.decode()
    assert "Confirmed" in page
    assert "Rp\u00a01.799.000" in page


def test_a_held_unit_is_given_back(ani: Visitor) -> None:
    reservation = ani.reserve()
    assert ani.post("release", {"reservation": reservation}).json() == {"released": True}
    assert Reservation.objects.get().state == "released"


def test_a_buyer_cancels_by_the_page(ani: Visitor) -> None:
    reservation = ani.reserve()
    ani.confirm(reservation)
    answer = ani.client.post(f"/s/{ani.sale.code}/order/{reservation}/cancel", {"sure": "yes"}, follow=True)
    assert "Buyer&#x27;s request" in answer.content.decode()
    assert Cancellation.objects.get().reason == ReasonCode.BUYER_REQUEST


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
    (path,) = re.findall(r'href="(/appeal/[^"]+)"', page)
    assert "One person, several identities" in Client(headers={"accept-language": "en"}).get(path).content.decode()


def test_changes_need_the_pages_own_form(ani: Visitor) -> None:
    reservation = ani.reserve()
    strict = Client(enforce_csrf_checks=True)
    strict.cookies.update(ani.client.cookies)
    assert strict.post(f"/s/{ani.sale.code}/order/{reservation}/release").status_code == 403
    assert Reservation.objects.get().state == "held"
