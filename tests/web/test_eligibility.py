"""May this identity still buy? The answer says no more than entering and reserving would say, and changes nothing."""

from collections.abc import Callable
from typing import Any

import pytest
import redis
from django.test import Client

from flashsale.gate import scripts
from flashsale.life.schedule import publish
from flashsale.models import Channel, LimitSlot, ListEntry, Sale
from flashsale.rules.identity import Axis
from flashsale.rules.states import AllocationMode
from flashsale.web import limits
from flashsale.web.hot import partners
from tests.factories import PHONE, card_of, draft_sale, identity, lobby_sale, open_now, poco_campaign, tend
from tests.web.asgi import Reply
from tests.web.partner import Partner, key_of
from tests.web.shop_behind import shop_of, shop_sale

pytestmark = pytest.mark.usefixtures("gate", "transactional_db")


def who(name: str) -> dict[str, str]:
    return {axis.value: value for axis, value in identity(name).items()}


def ask(partner: Partner, person: str | dict[str, str], **members: object) -> Any:
    named = who(person) if isinstance(person, str) else person
    body = {"sale": partner.sale.code, "line": partner.line, "identity": named} | members
    return Client(headers=partner.http).post("/v1/eligibility", body, "application/json")


def word(partner: Partner, person: str | dict[str, str]) -> str | None:
    """The reason of an answer, None if the person may buy."""
    reply = ask(partner, person)
    assert reply.status_code == 200, reply.content
    document = reply.json()
    assert document.keys() == {"eligible", "reason", "now"}
    assert document["eligible"] is (document["reason"] is None)
    return document["reason"]


def refusal(reply: Any) -> tuple[int, str]:
    return reply.status_code, reply.json()["code"]


def enters(partner: Partner, person: str | dict[str, str]) -> str | None:
    """The word with which entering refuses the person, None if it does not."""
    reply: Reply = partner.post("enter", {"identity": who(person) if isinstance(person, str) else person})
    return None if reply.status in {200, 201} else reply.json["code"]


def opened(sale: Sale) -> None:
    for _drawn_then_called in range(2):
        open_now(sale)
        tend(sale)


def buys(partner: Partner, name: str, quantity: int = 1) -> None:
    place = partner.enter(name)
    opened(partner.sale)
    reply = partner.reserve(place, key=name, quantity=quantity)
    assert reply.status == 201, reply.body


def test_a_person_who_may_buy_is_told_so_and_nothing_changes(lazada: Partner, snapshot: Callable[[], Any]) -> None:
    def state() -> Any:
        keys, rows = snapshot()
        return {key: value for key, value in keys.items() if not key.startswith(b"limits:")}, rows

    before = state()
    assert [word(lazada, "ani") for _ in range(3)] == [None, None, None]
    assert state() == before
    assert lazada.post("enter", {"identity": who("ani")}).json["index"] == 1


def test_a_person_whose_limit_is_used_up_is_told_so_before_and_after_entering(lazada: Partner) -> None:
    buys(lazada, "ani")
    assert word(lazada, "ani") == "limit_reached"
    assert word(lazada, "budi") is None


def test_a_direct_line_answers_what_reserving_would_say() -> None:
    campaign = poco_campaign()
    door = {"code": "door", "channels": ["lazada"], "stock": {PHONE: 5}, "mode": AllocationMode.DIRECT}
    line = {"code": "line", "channels": ["akulaku"], "stock": {PHONE: 5}}
    sale = lobby_sale(campaign, lines=[door, line])
    ours, other = Partner(key_of(campaign, "lazada"), sale, "door"), Partner(key_of(campaign, "akulaku"), sale, "line")
    other.enter("ani")
    opened(sale)
    assert word(ours, "ani") is None
    body = {"identity": who("ani"), "items": [{"sku": PHONE, "quantity": 1}]}
    assert ours.post("reserve", body, idempotency_key="k1").status == 201
    assert word(ours, "ani") == "limit_reached"
    assert ours.post("reserve", body, idempotency_key="k2").code == (409, "limit_reached")


def test_only_people_on_the_list_of_a_line_are_eligible_in_it() -> None:
    listed = [(Axis.PHONE, identity("ani")[Axis.PHONE])]
    line = {"code": "members", "channels": ["lazada"], "stock": {PHONE: 5}, "listed": listed}
    sale = lobby_sale(lines=[line])
    ours = Partner(key_of(sale.campaign, "lazada"), sale, "members")
    assert (word(ours, "ani"), word(ours, "budi")) == (None, "not_eligible")
    assert (enters(ours, "ani"), enters(ours, "budi")) == (None, "not_eligible")


class TestWhatAnAttackerLearns:
    """A person with a partner's key asks about people of another partner."""

    def test_one_value_alone_gets_no_answer(self, lazada: Partner) -> None:
        buys(lazada, "ani")
        for part in ({"phone": who("ani")["phone"]}, {"email": who("ani")["email"]}, {}):
            assert refusal(ask(lazada, part)) == (422, "bad_identity")

    def test_that_a_person_bought_in_another_line_of_this_sale_looks_like_standing_there(
        self, sale: Sale, lazada: Partner, akulaku: Partner
    ) -> None:
        places = akulaku.enter("ani"), akulaku.enter("budi")
        opened(sale)
        assert akulaku.reserve(places[0]).status == 201
        answers = [ask(lazada, name).json() | {"now": None} for name in ("ani", "budi")]
        assert answers == [{"eligible": False, "reason": "place_elsewhere", "now": None}] * 2
        assert [enters(lazada, name) for name in ("ani", "budi")] == ["place_elsewhere"] * 2

    @pytest.mark.parametrize("bought", [0, 1, 2])
    def test_how_much_is_left_of_a_limit_is_never_said(self, bought: int) -> None:
        campaign = poco_campaign(limit=2)
        first = lobby_sale(campaign, channels=("akulaku",))
        if bought:
            buys(Partner(key_of(campaign, "akulaku"), first, "akulaku"), "ani", bought)
        second = lobby_sale(campaign, channels=("lazada",))
        partners.forget_keys()
        ours = Partner(key_of(campaign, "lazada"), second, "lazada")
        expected = "limit_reached" if bought == 2 else None
        assert ask(ours, "ani").json() | {"now": None} == {
            "eligible": bought < 2, "reason": expected, "now": None,
        }  # fmt: skip
        assert enters(ours, "ani") == expected

    def test_on_which_value_a_limit_is_used_is_never_said(self, sale: Sale, akulaku: Partner) -> None:
        buys(akulaku, "ani")
        second = lobby_sale(sale.campaign, channels=("lazada",))
        partners.forget_keys()
        ours = Partner(key_of(sale.campaign, "lazada"), second, "lazada")
        mixed = [who("budi") | {"phone": who("ani")["phone"]}, who("budi") | {"email": who("ani")["email"]}]
        answers = [ask(ours, person).json() | {"now": None} for person in (who("ani"), *mixed)]
        assert answers == [{"eligible": False, "reason": "limit_reached", "now": None}] * 3
        assert [enters(ours, person) for person in mixed] == ["limit_reached"] * 2

    def test_a_line_of_another_channel_gets_no_answer(self, lazada: Partner) -> None:
        stolen = Partner(lazada.key, lazada.sale, "akulaku")
        assert refusal(ask(stolen, "ani")) == (403, "forbidden")
        assert refusal(ask(lazada, "ani", sale="nothing")) == (404, "not_found")
        assert refusal(ask(lazada, "ani", sale="%00")) == (404, "not_found")
        assert refusal(ask(lazada, "ani", line="nothing")) == (404, "not_found")

    def test_a_shop_behind_our_page_gets_no_answer_because_it_may_not_enter(self) -> None:
        shop = shop_of(shop_sale())
        for body in ("ani", {"phone": "0812"}):
            assert refusal(ask(shop, body)) == (403, "forbidden")
        assert enters(shop, "ani") == "forbidden"

    def test_outside_of_the_hours_to_enter_there_is_no_answer_about_a_person(
        self, gate: redis.Redis, lazada: Partner
    ) -> None:
        buys(lazada, "ani")
        gate.hset(scripts.keys_of(card_of(lazada.sale)).state, "closes", 1)
        assert {refusal(ask(lazada, name)) for name in ("ani", "budi")} == {(409, "closed")}

    def test_before_the_lobby_there_is_no_answer(self) -> None:
        sale = publish(sale=draft_sale(opens_in_s=3 * 24 * 3600))
        ours = Partner(key_of(sale.campaign, "lazada"), sale, "lazada")
        assert refusal(ask(ours, "ani")) == (409, "not_open")

    @pytest.mark.usefixtures("stopped_clock")
    def test_its_questions_have_a_limit_of_their_own(
        self, lazada: Partner, akulaku: Partner, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(limits, "ELIGIBILITY", limits.Limit("eligibility", 2, 60))
        monkeypatch.setattr("flashsale.web.api.shoppers.EligibilityAnswer.limit", limits.ELIGIBILITY)
        assert [ask(lazada, "ani").status_code for _ in range(2)] == [200, 200]
        refused = ask(lazada, "budi")
        assert refusal(refused) == (429, "too_many_requests")
        assert refused["RateLimit-Policy"] == '"eligibility";q=2;w=60'
        assert lazada.post("enter", {"identity": who("ani")}).status == 201
        assert Client(headers=lazada.http).get("/v1/reservations").status_code == 200
        assert ask(akulaku, "cici").status_code == 200

    def test_it_cannot_ask_while_redis_has_lost_the_sale(self, gate: redis.Redis, lazada: Partner) -> None:
        gate.hset(scripts.keys_of(card_of(lazada.sale)).state, "run", "of another server")
        assert refusal(ask(lazada, "ani")) == (503, "not_ready")

    def test_asking_often_about_a_person_does_not_keep_the_person_out(self, lazada: Partner, akulaku: Partner) -> None:
        codes = {ask(akulaku, "ani").status_code for _ in range(40)}
        assert codes == {200, 429}
        assert lazada.post("enter", {"identity": who("ani")}).status == 201


class TestHandingInAList:
    """A partner names the people who may enter its own line."""

    @pytest.fixture
    def draft(self) -> Sale:
        line = {"code": "members", "channels": ["lazada"], "stock": {PHONE: 5}, "listed": []}
        return draft_sale(poco_campaign(), lines=[line])

    @pytest.fixture
    def ours(self, draft: Sale) -> Partner:
        return Partner(key_of(draft.campaign, "lazada"), draft, "members")

    def send(self, partner: Partner, *people: object, axis: str = "phone", key: str = "k1") -> Any:
        path = f"/v1/sales/{partner.sale.code}/lines/{partner.line}/list"
        client = Client(headers=partner.http)
        body = {"axis": axis, "people": list(people)}
        return client.post(path, body, "application/json", headers={"idempotency-key": key})

    def test_people_are_added_once_and_only_as_digests(self, draft: Sale, ours: Partner) -> None:
        first = self.send(ours, who("ani")["phone"], who("budi")["phone"])
        assert (first.status_code, first.json()) == (200, {"line": "members", "added": 2, "listed": 2})
        again = self.send(ours, who("ani")["phone"], who("budi")["phone"])
        assert (again.json(), again["Idempotency-Replayed"]) == (first.json(), "true")
        other = self.send(ours, "+62 " + who("ani")["phone"][1:], who("cici")["phone"], key="k2")
        assert other.json() == {"line": "members", "added": 1, "listed": 3}
        assert refusal(self.send(ours, who("dodi")["phone"], key="k2")) == (422, "key_reused")
        assert not any(who("ani")["phone"][-8:] in str(vars(row)) for row in ListEntry.objects.all())
        publish(sale=draft)
        assert (word(ours, "ani"), word(ours, "dodi")) == (None, "not_eligible")
        assert enters(ours, "cici") is None

    def test_one_bad_value_refuses_all_and_is_not_repeated(self, ours: Partner) -> None:
        reply = self.send(ours, who("ani")["phone"], "not a phone 0815")
        assert refusal(reply) == (422, "bad_identity")
        assert reply.json()["detail"] == "people: value 2 is no phone. No person was added."
        assert not ListEntry.objects.exists()

    def test_the_bounds_hold(self, ours: Partner) -> None:
        many = [f"0812{n:08d}" for n in range(1001)]
        assert refusal(self.send(ours, *many)) == (400, "malformed")
        assert self.send(ours, *many[:1000]).json() == {"line": "members", "added": 1000, "listed": 1000}
        assert refusal(self.send(ours, key="k2")) == (400, "malformed")
        assert refusal(self.send(ours, 7, key="k2")) == (400, "malformed")
        assert refusal(self.send(ours, *["x" * 256] * 600, key="k2")) == (413, "too_large")
        assert refusal(self.send(ours, "x", axis="shoe_size", key="k2")) == (400, "malformed")
        assert refusal(self.send(ours, "x", axis="device", key="k2")) == (422, "bad_identity")
        assert ListEntry.objects.count() == 1000

    def test_a_full_list_takes_no_more(self, ours: Partner, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("flashsale.life.schedule.LIST_MAX", 1)
        assert self.send(ours, who("ani")["phone"]).status_code == 200
        assert refusal(self.send(ours, who("budi")["phone"], key="k2")) == (403, "forbidden")
        assert ListEntry.objects.count() == 1

    def test_after_the_publication_a_list_is_closed(self, draft: Sale, ours: Partner) -> None:
        self.send(ours, who("ani")["phone"])
        publish(sale=draft)
        assert refusal(self.send(ours, who("budi")["phone"], key="k2")) == (403, "forbidden")
        assert ListEntry.objects.count() == 1

    def test_only_the_one_channel_of_the_line_may_fill_it(self, draft: Sale, ours: Partner) -> None:
        stranger = Partner(key_of(draft.campaign, "akulaku"), draft, "members")
        partners.forget_keys()
        assert refusal(self.send(stranger, who("ani")["phone"])) == (404, "not_found")
        line = draft.allocations.get()
        line.channels.add(Channel.objects.get(campaign=draft.campaign, code="akulaku"))
        for partner in (ours, stranger):
            assert refusal(self.send(partner, who("ani")["phone"])) == (403, "forbidden")
        line.channels.set([Channel.objects.get(campaign=draft.campaign, code="lazada")])
        line.listed_only = False
        line.save()
        assert refusal(self.send(ours, who("ani")["phone"])) == (403, "forbidden")
        assert not ListEntry.objects.exists()

    def test_a_key_is_required(self, ours: Partner) -> None:
        assert refusal(self.send(ours, who("ani")["phone"], key="")) == (400, "key_missing")
        assert not ListEntry.objects.exists()


def test_a_question_takes_no_limit(lazada: Partner) -> None:
    opened(lazada.sale)
    word(lazada, "ani")
    assert not LimitSlot.objects.exists()
