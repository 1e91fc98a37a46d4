"""The document of a reservation is made by hand: it is that of the serializer, byte for byte, in every state."""

import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from rest_framework import serializers
from rest_framework.renderers import JSONRenderer

from flashsale.life import review
from flashsale.life.appeal import appeal
from flashsale.life.cancel import cancel
from flashsale.models import ApiCall, Reservation, Sale
from flashsale.providers import payments
from flashsale.web.api.confirm_once import own_reservations
from flashsale.web.api.reservation_document import as_text, reservation_document
from flashsale.web.api.serializers import ReservationSerializer
from tests.web.partner import ORDER, Partner, hot

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]


def by_its_fields() -> str:
    row = own_reservations().get()
    document = serializers.Serializer.to_representation(ReservationSerializer(row), row)
    return JSONRenderer().render(document).decode()


def by_hand() -> str:
    return as_text(reservation_document(own_reservations().get()))


def pays(lazada: Partner, held: dict[str, Any], **changes: str) -> str:
    reply = hot(lazada, held["reservation"], ORDER | changes)
    assert reply.status == 200
    return reply.body.decode()


@pytest.mark.parametrize("method", ["qris", "va", "card"])
def test_the_answer_of_an_order_is_what_a_reader_gets_and_what_its_key_keeps(
    lazada: Partner, held: dict[str, Any], method: str
) -> None:
    assert by_hand() == by_its_fields()
    answer = pays(lazada, held, method=method)
    assert json.loads(answer)["state"] == "confirmed"
    assert answer == by_hand() == by_its_fields() == ApiCall.objects.get().answer


@pytest.mark.parametrize("method", ["qris", "va", "card"])
def test_the_answer_of_a_buyer_who_pays_elsewhere_is_what_a_reader_gets_and_is_not_kept(
    lazada: Partner, held: dict[str, Any], method: str
) -> None:
    answer = pays(lazada, held, method=method, instrument=payments.DEMO_LATER)
    assert json.loads(answer)["payment"]["instructions"]["kind"]
    assert answer == by_hand() == by_its_fields()
    assert ApiCall.objects.get().answer is None


def test_an_end_a_refund_a_review_and_an_appeal_are_written_alike(
    lazada: Partner, held: dict[str, Any], sale: Sale
) -> None:
    pays(lazada, held)
    row = Reservation.objects.get()
    people = [User.objects.create_user(name) for name in ("one", "two")]
    case = review.propose(case=review.open_case(reservation=row), code="automated_order", by=people[0])
    assert by_hand() == by_its_fields()
    appeal(case=review.approve(case=case, by=people[1]))
    assert json.loads(by_hand())["appeal"]["state"] == "open"
    assert by_hand() == by_its_fields()


def test_a_cancelled_order_is_written_alike(lazada: Partner, held: dict[str, Any]) -> None:
    pays(lazada, held)
    row = Reservation.objects.get()
    cancel(reservation=row.pk, channel=row.channel_id, code="buyer_request")
    assert json.loads(by_hand())["payment"]["refunds"][0]["why"] == "cancelled"
    assert by_hand() == by_its_fields()


def test_an_order_whose_answer_cannot_be_made_is_confirmed_all_the_same(
    lazada: Partner, held: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_order: Any) -> str:
        raise KeyError

    monkeypatch.setattr("flashsale.web.api.confirm_once.order_text", fails)
    answer = pays(lazada, held)
    assert json.loads(answer)["state"] == "confirmed"
    assert answer == by_hand() == ApiCall.objects.get().answer
