"""When Redis or PostgreSQL does not answer, the response says so with Retry-After, and nothing is lost."""

from typing import Any

import pytest
from django.db import InterfaceError, OperationalError
from django.test import Client

from flashsale.books import reservations
from flashsale.gate.client import GateDown
from flashsale.life import cancel, confirm, release, start_payment
from flashsale.models import Reservation
from flashsale.providers import payments
from flashsale.rules.outcomes import Outcome
from tests.factories import open_now
from tests.web.partner import ORDER, Partner
from tests.web.shop import Visitor

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]
BOOKS = pytest.mark.parametrize("error", [OperationalError, InterfaceError])


def fails(error: type[Exception]) -> Any:
    def fail(*_: Any, **__: Any) -> Any:
        raise error

    return fail


def post(lazada: Partner, held: dict[str, Any], verb: str, body: object) -> Any:
    headers = lazada.http | {"idempotency-key": verb}
    return Client(headers=headers).post(
        f"/v1/reservations/{held['reservation']}/{verb}", body or {}, content_type="application/json"
    )


@pytest.mark.parametrize(
    ("verb", "body", "where", "name", "error"),
    [
        ("confirm", ORDER, start_payment, "_start", OperationalError),
        ("confirm", ORDER, confirm, "settle", InterfaceError),
        ("confirm", ORDER, payments.DemoProvider, "begin", payments.ProviderDown),
        ("release", None, release, "end", InterfaceError),
        ("release", None, release, "give_back", GateDown),
        ("cancel", {"reason": "buyer_request"}, cancel, "cancel_locked", OperationalError),
        ("cancel", {"reason": "buyer_request"}, cancel, "give_back", GateDown),
    ],
)
def test_a_partners_write_answers_unknown_and_the_same_key_has_one_effect(
    *, lazada: Partner, held: dict[str, Any], monkeypatch: pytest.MonkeyPatch, verb: str, body: Any, where: Any,
    name: str, error: type[Exception],
) -> None:  # fmt: skip
    if verb == "cancel":
        assert post(lazada, held, "confirm", ORDER).status_code == 200
    with monkeypatch.context() as patch:
        patch.setattr(where, name, fails(error))
        reply = post(lazada, held, verb, body)
        assert (reply.status_code, reply.json()["code"], reply["Retry-After"]) == (503, "unknown", "2")
    reply = post(lazada, held, verb, body)
    became = {"confirm": "confirmed", "release": "released", "cancel": "cancelled"}[verb]
    assert (reply.status_code, reply.json()["state"]) == (200, became)
    assert Reservation.objects.get().state == became


@BOOKS
def test_a_reservation_answers_unknown_also_if_it_cannot_be_written_off(
    lazada: Partner, sale: Any, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    place = lazada.enter("ani")
    for _frozen_then_called in range(2):
        open_now(sale)
    with monkeypatch.context() as patch:
        patch.setattr(reservations, "_commit", fails(error))
        reply = lazada.reserve(place)
        assert (reply.status, reply.json["code"], reply.headers["retry-after"]) == (503, "unknown", "2")
        patch.setattr(reservations, "_commit", lambda _, ws: {w.id: Outcome.PAUSED for w in ws})
        patch.setattr("flashsale.life.reserve.abandon_refused", fails(error))
        reply = lazada.reserve(place)
        assert (reply.status, reply.json["code"]) == (503, "unknown")
    assert lazada.reserve(place).status == 201
    assert Reservation.objects.get().state == "held"


@BOOKS
def test_our_own_page_says_that_it_is_busy_and_the_order_is_there_afterwards(
    sale: Any, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    ani = Visitor(sale)
    ani.enter()
    for _frozen_then_called in range(2):
        open_now(sale)
    held = ani.reserve()
    with monkeypatch.context() as patch:
        patch.setattr("flashsale.web.pages.orders.confirm_order", fails(error))
        reply = ani.confirm(held)
        assert (reply.status_code, reply.json()["code"], reply["Retry-After"]) == (503, "not_ready", "2")
        patch.setattr("flashsale.web.pages.orders._own", fails(error))
        busy = ani.get(f"order/{held}")
        assert (busy.status_code, busy["Retry-After"]) == (503, "20")
        assert ani.client.post(f"/s/{sale.code}/order/{held}/release").status_code == 302
    assert ani.confirm(held).status_code == 200
    assert Reservation.objects.get().state == "confirmed"
