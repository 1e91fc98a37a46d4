"""Bundles: each person of a partner's request is judged alone, as the single request would be."""

from typing import Any

import pytest

from flashsale.gate import bridge, inspect, scripts
from flashsale.gate.client import GateDown
from flashsale.models import Sale
from flashsale.rules.token_buckets import TokenBucket
from flashsale.web.hot import bundle, door
from tests.factories import card_of, identity, open_now, tend
from tests.web.asgi import Reply, send_request
from tests.web.partner import Partner


def who(name: str) -> dict[str, Any]:
    return {"identity": {axis.value: value for axis, value in identity(name).items()}}


def enter(partner: Partner, *items: Any) -> Any:
    reply = partner.post("enter-bundle", {"items": list(items)})
    assert reply.status == 200, reply.body
    return reply.json["items"]


def seen(sale: Sale) -> int:
    card = card_of(sale)
    return bridge.run(inspect.counters(card, next(line for line in card.lines if line.code == "lazada")))["entered"]


def test_each_person_gets_the_answer_of_the_single_request_in_the_order_of_the_bundle(
    sale: Sale, lazada: Partner, akulaku: Partner
) -> None:
    akulaku.enter("elsewhere")
    lazada.enter("known")
    bad = {"identity": {"phone": "12", "email": "x@example.com"}}
    items = [who("ani"), bad, who("elsewhere"), 7, who("known"), {}, who("budi")]
    found = enter(lazada, *items)
    assert [one["status"] for one in found] == [201, 422, 409, 400, 200, 422, 201]
    codes = [one["problem"]["code"] for one in found if "problem" in one]
    assert codes == ["bad_identity", "place_elsewhere", "malformed", "bad_identity"]
    alone = [lazada.post("enter", item).json for item in (bad, who("elsewhere"), {})]
    for one, other in zip([found[1], found[2], found[5]], alone, strict=True):
        assert {**one["problem"], "request_id": ""} == {**other, "request_id": ""}
    assert [one["answer"]["index"] for one in found if "answer" in one] == [2, 1, 3]


def test_a_bundle_sent_again_gives_the_same_places(sale: Sale, lazada: Partner) -> None:
    people = [who(f"person{number}") for number in range(100)]
    first, again = enter(lazada, *people), enter(lazada, *people)
    assert {one["status"] for one in first} == {201}
    assert {one["status"] for one in again} == {200}
    assert [one["answer"]["index"] for one in again] == [one["answer"]["index"] for one in first]
    assert seen(sale) == 100


def test_a_person_who_stands_twice_in_a_bundle_has_one_place(sale: Sale, lazada: Partner) -> None:
    first, second = enter(lazada, who("ani"), who("ani"))
    assert (first["status"], second["status"]) == (201, 200)
    assert first["answer"]["index"] == second["answer"]["index"]
    assert seen(sale) == 1


def test_looks_of_a_bundle_are_those_of_the_places(sale: Sale, lazada: Partner, akulaku: Partner) -> None:
    mine, others = [lazada.enter(name) for name in ("ani", "budi")], akulaku.enter("cici")
    open_now(sale)
    tend(sale)
    items = [{"place": mine[0]}, {"place": others}, {"place": "nonsense"}, {"place": mine[1]}]
    found = lazada.post("look-bundle", {"items": items}).json["items"]
    assert [one["status"] for one in found] == [200, 403, 400, 200]
    assert [one["answer"]["index"] for one in (found[0], found[3])] == [1, 2]
    assert {one["answer"]["state"] for one in (found[0], found[3])} == {"called"}
    assert [one["problem"]["code"] for one in found[1:3]] == ["foreign_token", "bad_token"]


@pytest.mark.parametrize("items", [[], [{}] * 101, {}, None, "x"])
@pytest.mark.parametrize("verb", ["enter-bundle", "look-bundle"])
def test_a_bundle_has_one_to_a_hundred_people(sale: Sale, lazada: Partner, verb: str, items: Any) -> None:
    assert lazada.post(verb, {"items": items}).code == (400, "malformed")
    assert seen(sale) == 0


def test_a_bundle_may_be_larger_than_a_single_request_but_not_without_bound(sale: Sale, lazada: Partner) -> None:
    large = [who("ani") | {"carried": "x" * 9000}]
    assert enter(lazada, *large)[0]["status"] == 201
    assert lazada.post("enter", large[0]).code == (413, "too_large")
    assert lazada.post("enter-bundle", {"items": large * 15}).code == (413, "too_large")


def test_a_bundle_needs_a_key(sale: Sale) -> None:
    path = f"/v1/sales/{sale.code}/lines/mi.com/enter-bundle"
    page = send_request("POST", path, {"items": [who("ani")]}, origin="https://testserver")
    assert page.code == (401, "unauthenticated")
    assert send_request("POST", path, {"items": [who("ani")]}).code == (401, "unauthenticated")
    assert seen(sale) == 0


def test_the_limit_of_a_partner_counts_the_people_and_not_the_bundles(
    sale: Sale, lazada: Partner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flashsale.life.enter.PARTNER_BUCKET", TokenBucket(gap_ms=60_000, burst=3))
    found = enter(lazada, *(who(f"person{number}") for number in range(5)))
    assert [one["status"] for one in found] == [201, 201, 201, 429, 429]
    assert seen(sale) == 3


def test_the_people_of_a_bundle_count_as_requests_at_once(
    sale: Sale, lazada: Partner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "REQUESTS_MAX", 50)
    reply = lazada.post("enter-bundle", {"items": [who(f"person{number}") for number in range(50)]})
    assert reply.code == (503, "not_ready")
    assert len(enter(lazada, *(who(f"person{number}") for number in range(49)))) == 49
    assert door._running == 0


def test_one_person_whose_request_fails_does_not_take_the_answers_of_the_others(
    sale: Sale, lazada: Partner, monkeypatch: pytest.MonkeyPatch
) -> None:
    really, errors = scripts.enter, [GateDown("gone"), ValueError("nobody foresaw this")]

    async def fails(*what: Any, **how: Any) -> Any:
        if errors:
            raise errors.pop(0)
        return await really(*what, **how)

    monkeypatch.setattr(scripts, "enter", fails)
    found = enter(lazada, who("ani"), who("budi"), who("cici"))
    assert [one["status"] for one in found] == [503, 500, 201]
    assert found[0]["problem"]["retry_after_s"] == bundle.RETRY_AFTER_S
    assert seen(sale) == 1


def test_a_crowd_that_uses_up_a_block_of_indexes_is_entered_whole(sale: Sale, lazada: Partner) -> None:
    for start in range(0, 300, 100):
        found = enter(lazada, *(who(f"person{number}") for number in range(start, start + 100)))
        assert {one["status"] for one in found} == {201}
    assert seen(sale) == 300


def test_a_refusal_of_an_item_is_counted_as_that_of_a_single_request(sale: Sale, lazada: Partner) -> None:
    counted: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("flashsale.gate.refusal_counts.count", lambda *what: counted.append(what))
        enter(lazada, {}, who("ani"))
    assert counted == [(sale.code, "enter", "bad_identity")]


def reply_of(partner: Partner, language: str) -> Reply:
    return partner.post("enter-bundle", {"items": [{}]}, accept_language=language)


def test_the_problems_of_a_bundle_speak_the_language_of_the_caller(lazada: Partner) -> None:
    titles = {reply_of(lazada, language).json["items"][0]["problem"]["title"] for language in ("id", "en")}
    assert len(titles) == 2
