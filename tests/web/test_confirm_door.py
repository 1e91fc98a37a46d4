"""The hot door of paying answers as the REST view does, for many at once, within the provider's pace."""

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client

from flashsale.gate import bridge
from flashsale.gate.provider_pace import next_turn
from flashsale.models import ApiCall, DemoCharge, PaymentAttempt, Reservation, Sale
from flashsale.providers import payments
from flashsale.web.hot import confirm_door
from tests.faults.steps import broken, in_gate, money_astray, the_payment
from tests.web.partner import ORDER, Partner, called_at, contact_of, hot, path_of

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]
UNKNOWN = str(uuid4())


def rest(partner: Partner, id_: str, body: object, *, key: str = "k1", **headers: str) -> Any:
    sent = partner.http | {"idempotency-key": key} | {name.replace("_", "-"): value for name, value in headers.items()}
    text = body if isinstance(body, str) else json.dumps(body)
    client = Client(headers={name: value for name, value in sent.items() if value})
    return client.post(path_of(id_), text, content_type=sent.get("content-type", "application/json"))


def told(document: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name != "request_id"}


@pytest.mark.parametrize(
    ("changes", "headers"),
    [
        ({}, {"authorization": "Bearer fs_live_wrong"}),
        ({}, {"authorization": ""}),
        ({}, {"idempotency_key": ""}),
        ({}, {"idempotency_key": "x" * 129}),
        ({"price": 1}, {}),
        ({"price": "1799000"}, {}),
        ({"method": "barter"}, {}),
        ({"colour": "red"}, {}),
        ({"identity": {"phone": "0812"}}, {}),
        ({"identity": {**ORDER["identity"], "phone": "0812"}}, {}),  # type: ignore[dict-item]
        ({"contact": {}}, {}),
        ({"instrument": "demo-declined"}, {}),
    ],
)
def test_a_refusal_is_that_of_the_rest_view_and_changes_nothing(
    lazada: Partner, held: dict[str, Any], changes: dict[str, Any], headers: dict[str, str]
) -> None:
    id_, body = held["reservation"], ORDER | changes
    first = hot(lazada, id_, body, **headers)
    second = rest(lazada, id_, body, **headers)
    assert (first.status, told(first.json)) == (second.status_code, told(second.json()))
    assert Reservation.objects.get().state == "held"


def test_an_unknown_reservation_is_not_found_at_either_door(
    lazada: Partner, akulaku: Partner, held: dict[str, Any]
) -> None:
    known = held["reservation"]
    other_spellings = known.upper(), known.replace("-", ""), f"{{{known}}}", f"urn:uuid:{known}"
    for id_ in (UNKNOWN, "nothing", *other_spellings):
        assert hot(lazada, id_, ORDER).code == (404, "not_found")
        assert rest(lazada, id_, ORDER).status_code == 404
    assert hot(akulaku, held["reservation"], ORDER).code == (404, "not_found")
    assert Reservation.objects.get().state == "held"


def test_an_order_is_answered_alike_by_both_doors_and_charged_once(lazada: Partner, held: dict[str, Any]) -> None:
    id_ = held["reservation"]
    first, again = hot(lazada, id_, ORDER), rest(lazada, id_, ORDER)
    assert (first.status, first.json["state"], first.json["payment"]["state"]) == (200, "confirmed", "paid")
    assert (again.status_code, again.json(), again["Idempotency-Replayed"]) == (200, first.json, "true")
    replayed = hot(lazada, id_, ORDER)
    assert (replayed.body, replayed.headers["idempotency-replayed"]) == (first.body, "true")
    assert hot(lazada, id_, ORDER | {"price": 2}).code == (422, "key_reused")
    assert hot(lazada, id_, ORDER, key="k2").json["state"] == "confirmed"
    assert (DemoCharge.objects.count(), PaymentAttempt.objects.count(), ApiCall.objects.count()) == (1, 1, 2)


@pytest.mark.parametrize(("method", "kind", "field"), [("qris", "qr", "qr"), ("va", "va", "number")])
def test_a_buyer_who_pays_elsewhere_sees_how_and_the_same_request_tells_the_result(
    lazada: Partner, held: dict[str, Any], method: str, kind: str, field: str
) -> None:
    body = ORDER | {"method": method, "instrument": payments.DEMO_LATER}
    first = hot(lazada, held["reservation"], body)
    shown = first.json["payment"]
    assert (first.status, first.json["state"], shown["state"]) == (200, "held", "started")
    assert (shown["instructions"]["kind"], bool(shown["instructions"][field])) == (kind, True)
    payments.DemoProvider().pay(reference=shown["reference"])
    paid = hot(lazada, held["reservation"], body).json
    assert (paid["state"], paid["payment"]["state"], paid["payment"]["instructions"]) == ("confirmed", "paid", None)


def test_a_payment_beyond_the_providers_pace_waits_for_its_turn_and_the_same_request_buys(
    lazada: Partner, sale: Sale, held: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    id_ = held["reservation"]
    with monkeypatch.context() as slow:
        slow.setattr(payments.provider, "pace", 0.1)
        bridge.run(next_turn("demo", pace=0.1))
        first, again = hot(lazada, id_, ORDER), hot(lazada, id_, ORDER)
    assert (first.status, first.json["state"], first.json["payment"]["state"]) == (202, "held", "preparing")
    assert 5 <= int(first.headers["retry-after"]) <= 10
    assert (again.status, DemoCharge.objects.count()) == (202, 0)
    turn = the_payment().turn_at
    assert turn is not None
    PaymentAttempt.objects.update(turn_at=the_payment().made_at)
    bought = hot(lazada, id_, ORDER)
    assert (bought.status, bought.json["state"], DemoCharge.objects.count()) == (200, "confirmed", 1)
    assert broken(sale) == money_astray() == []


def test_many_at_once_are_one_batch_and_a_bad_one_refuses_itself_only(lazada: Partner, sale: Sale) -> None:
    _, people = called_at(lazada, sale, 6)
    bodies = [ORDER | {"identity": who, "contact": contact_of(who)} for _, who in people]
    bodies[2] |= {"price": 1}
    bodies[4] |= {"instrument": "demo-declined"}

    with ThreadPoolExecutor(len(people)) as threads:
        keys = [id_ for id_, _ in people]
        replies = list(threads.map(lambda id_, body: hot(lazada, id_, body, key=id_), keys, bodies))
    assert [reply.status for reply in replies] == [200, 200, 422, 200, 402, 200]
    assert sorted(Reservation.objects.values_list("state", flat=True)) == ["confirmed"] * 4 + ["held"] * 2
    assert in_gate(sale)["sold"] == 4
    assert broken(sale) == money_astray() == []


def test_a_partner_with_too_many_confirmations_waits_and_the_others_do_not(
    lazada: Partner, akulaku: Partner, sale: Sale, held: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    id_, channel = held["reservation"], sale.campaign.channels.get(code="lazada").pk
    with monkeypatch.context() as busy:
        busy.setattr(confirm_door, "_by_channel", Counter({channel: confirm_door.PARTNER_REQUESTS_MAX}))
        refused = hot(lazada, id_, ORDER)
        assert (refused.code, refused.headers["retry-after"]) == ((429, "too_many_requests"), "1")
        assert hot(akulaku, id_, ORDER).code == (404, "not_found")
        assert confirm_door._by_channel[channel] == confirm_door.PARTNER_REQUESTS_MAX
    assert (Reservation.objects.get().state, PaymentAttempt.objects.count()) == ("held", 0)
    assert ApiCall.objects.filter(channel=channel).count() == 0
    assert hot(lazada, id_, ORDER).status == 200
    assert hot(lazada, id_, ORDER | {"price": 1}, key="k2").status == 422
    assert confirm_door._by_channel[channel] == 0, "answers and refusals make room again"
