"""Magic identities and instruments: each gives its refusal or state in a test sale, and nothing in a live sale."""

from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from flashsale.life import inbox
from flashsale.models import Case, Reservation, Sale, SandboxCall
from flashsale.rules.conformance import CHECKS
from flashsale.rules.magic import BY_NAME, IDENTITIES, INSTRUMENTS, Magic
from flashsale.rules.outcomes import Outcome
from flashsale.web import problems
from tests.factories import PHONE, lobby_sale, open_now
from tests.web.partner import ORDER, Partner, Shop, hot, key_of
from tests.web.sandbox_partner import SandboxPartner, magic, ordinary, sandbox_key


@pytest.fixture
def tester(sale: Sale) -> SandboxPartner:
    return SandboxPartner(sandbox_key(sale)).make()


def _of(verb: str, when: str) -> list[Magic]:
    found = [one for one in IDENTITIES if (one.verb, one.when) == (verb, when)]
    assert found
    return found


def _refused(one: Magic) -> tuple[int, str]:
    return problems.status_of(one.outcome), one.outcome.value


class TestEnter:
    """Refusals of entering."""

    def test_a_magic_person_is_refused_each_time_and_gets_no_place(self, tester: SandboxPartner) -> None:
        for one in _of("enter", "always"):
            who = magic(one.name)
            for _ in range(2):
                assert tester.enter(who).code == _refused(one)
        assert tester.enter(ordinary()).json["index"] == 1

    def test_a_magic_person_enters_with_the_second_request(self, tester: SandboxPartner) -> None:
        for one in _of("enter", "once"):
            who = magic(one.name)
            refused = tester.enter(who)
            assert refused.code == _refused(one)
            assert refused.headers["retry-after"] == "2"
            assert tester.enter(who).status == 201

    def test_any_spelling_of_any_axis_is_magic(self, tester: SandboxPartner) -> None:
        for who in (
            {"phone": BY_NAME["enter-line-full"].phone(1234), "email": "ani@example.com"},
            {"phone": "+62 811-000-01-0007", "email": "ani@example.com"},
            {"phone": "081234567890", "email": "Enter-Line-Full+run7@MAGIC.test"},
        ):
            assert tester.enter(who).code == (409, "line_full"), who

    def test_a_name_that_does_not_exist_is_no_ordinary_person(self, tester: SandboxPartner) -> None:
        for who in ({"email": "enter-line-ful@magic.test"}, {"phone": "0811000990000"}):
            refused = tester.enter(ordinary() | who)
            assert refused.code == (422, "bad_identity")
            assert "/v1/test/magic" in refused.json["detail"]


class TestReserve:
    """Refusals of reserving. The person enters and is called as every other one."""

    def test_a_magic_person_is_refused_each_time_and_holds_nothing(self, tester: SandboxPartner) -> None:
        tester.make(units=50)
        people = _of("reserve", "always")
        for one, place in zip(people, tester.called(*(magic(one.name) for one in people)), strict=True):
            for key in ("a", "b"):
                assert tester.reserve(place, key=f"{one.name}-{key}").code == _refused(one)
            seen = tester.partner.post("look", {"place": place}).json["state"]
            assert seen == {"not_called": "waiting", "lapsed": "lapsed"}.get(one.outcome.value, "called")
        assert Reservation.objects.count() == 0

    def test_the_same_key_succeeds_after_one_refusal_that_held_nothing(self, tester: SandboxPartner) -> None:
        people = _of("reserve", "once")
        for one, place in zip(people, tester.called(*(magic(one.name) for one in people)), strict=True):
            held = Reservation.objects.count()
            refused = tester.reserve(place, key=one.name)
            assert refused.code == _refused(one)
            assert refused.headers["retry-after"] == "2"
            assert Reservation.objects.count() == held
            assert tester.reserve(place, key=one.name).status == 201

    def test_a_lost_answer_holds_units_and_only_the_same_key_gets_it(self, tester: SandboxPartner) -> None:
        (place,) = tester.called(magic("reserve-unknown"))
        assert tester.reserve(place).code == (503, "unknown")
        held = Reservation.objects.get()
        assert tester.reserve(place, key="another").code == (409, "place_spent")
        again = tester.reserve(place)
        assert (again.status, again.json["reservation"]) == (201, str(held.pk))
        assert again.headers["idempotency-replayed"] == "true"
        assert Reservation.objects.count() == 1

    def test_a_request_without_a_key_is_refused_as_always(self, tester: SandboxPartner) -> None:
        (place,) = tester.called(magic("reserve-sold-out"))
        body = {"place": place, "items": [{"sku": "TEST-A", "quantity": 1}]}
        assert tester.partner.post("reserve", body).code == (400, "key_missing")


class TestConfirm:
    """Refusals and states of confirming, at the hot door and at the REST view."""

    @pytest.fixture
    def hold(self, tester: SandboxPartner) -> Any:
        def hold(who: dict[str, str]) -> str:
            (place,) = tester.called(who)
            return str(tester.reserve(place).json["reservation"])

        return hold

    def test_a_magic_person_is_refused_each_time_and_the_hold_stays(self, tester: SandboxPartner) -> None:
        people = _of("confirm", "always")
        known = [magic(one.name) for one in people]
        for one, who, place in zip(people, known, tester.called(*known), strict=True):
            id_ = tester.reserve(place, key=one.name).json["reservation"]
            assert tester.confirm(id_, who, key=one.name).code == _refused(one)
            reply = tester.shop.post(id_, "confirm", tester.order(who), key=f"rest-{one.name}")
            assert (reply.status_code, reply.json()["code"]) == _refused(one)
            assert Reservation.objects.get(pk=id_).state == "held"
            assert Reservation.objects.get(pk=id_).attempts.count() == 0

    def test_the_same_key_succeeds_after_one_refusal_that_charged_nothing(
        self, tester: SandboxPartner, hold: Any
    ) -> None:
        who = magic("confirm-not-ready")
        id_ = hold(who)
        assert tester.confirm(id_, who).code == (503, "not_ready")
        assert Reservation.objects.get().attempts.count() == 0
        assert tester.confirm(id_, who).json["state"] == "confirmed"

    def test_a_lost_answer_confirms_and_the_same_key_gets_it(self, tester: SandboxPartner, hold: Any) -> None:
        who = magic("confirm-unknown")
        id_ = hold(who)
        assert tester.confirm(id_, who).code == (503, "unknown")
        assert Reservation.objects.get().state == "confirmed"
        again = tester.confirm(id_, who)
        assert (again.status, again.json["state"]) == (200, "confirmed")
        assert again.headers["idempotency-replayed"] == "true"
        assert Reservation.objects.get().attempts.count() == 1

    def test_an_order_comes_under_review_and_must_not_be_shipped(self, tester: SandboxPartner, hold: Any) -> None:
        who = magic("confirm-review")
        id_ = hold(who)
        assert tester.confirm(id_, who).json["state"] == "confirmed"
        read = tester.shop.get(f"/{id_}").json()
        assert (read["state"], read["review"], read["do_not_ship"]) == ("confirmed", "open", True)
        types = [event["type"] for event in tester.client.get("/v1/events").json()["results"]]
        assert "case.opened" in types
        assert Case.objects.count() == 1

    def test_test_declined_is_declined_and_another_instrument_pays(self, tester: SandboxPartner, hold: Any) -> None:
        id_ = hold(who := ordinary())
        assert tester.confirm(id_, who, "test-declined").code == (402, "payment_declined")
        assert Reservation.objects.get().state == "held"
        assert tester.confirm(id_, who, "any-card", key="pay-2").json["state"] == "confirmed"

    def test_test_unavailable_is_paid_once_and_the_same_key_gets_the_answer(
        self, tester: SandboxPartner, hold: Any
    ) -> None:
        id_ = hold(who := ordinary())
        assert tester.confirm(id_, who, "test-unavailable").code == (503, "unknown")
        assert Reservation.objects.get().state == "held"
        assert tester.confirm(id_, who, "test-unavailable").json["state"] == "confirmed"
        assert Reservation.objects.get().attempts.count() == 1

    @pytest.mark.parametrize(("paid", "state"), [(True, "confirmed"), (False, "held")])
    def test_test_later_waits_for_the_test_bank(
        self, tester: SandboxPartner, hold: Any, paid: bool, state: str
    ) -> None:
        id_ = hold(who := ordinary())
        reply = tester.confirm(id_, who, "test-later").json
        assert (reply["state"], reply["payment"]["state"]) == ("held", "started")
        assert reply["payment"]["instructions"]["qr"].startswith("000201")
        reference = reply["payment"]["reference"]
        for _ in range(2):
            bank = tester.post(f"payments/{reference}", {"paid": paid}).json()
            assert bank == {"reference": reference, "state": "paid" if paid else "declined"}
        inbox.read_inbox()
        read = tester.shop.get(f"/{id_}").json()
        assert (read["state"], read["payment"]["state"]) == (state, "paid" if paid else "declined")

    def test_test_late_takes_money_after_the_hold_and_the_units_are_bought_again(self, sale: Sale) -> None:
        tester = SandboxPartner(sandbox_key(sale, "akulaku")).make(hold_s=2)
        (place,) = tester.called(who := ordinary())
        id_ = tester.reserve(place).json["reservation"]
        reference = tester.confirm(id_, who, "test-late").json["payment"]["reference"]
        Reservation.objects.update(deadline_ms=1)
        tester.expire()
        assert tester.shop.get(f"/{id_}").json()["state"] == "expired"
        assert tester.post(f"payments/{reference}", {"paid": True}).json()["state"] == "paid"
        inbox.read_inbox()
        read = tester.shop.get(f"/{id_}").json()
        assert (read["state"], read["payment"]["state"]) in {("confirmed", "paid"), ("expired", "refunded")}

    def test_test_refund_failed_is_paid_and_its_refund_fails(self, tester: SandboxPartner, hold: Any) -> None:
        id_ = hold(who := ordinary())
        assert tester.confirm(id_, who, "test-refund-failed").json["state"] == "confirmed"
        assert tester.shop.post(id_, "cancel", {"reason": "buyer_request"}).status_code == 200
        tester.sweep()
        assert tester.shop.get(f"/{id_}").json()["payment"]["state"] == "refund_failed"

    def test_the_bank_of_another_channel_is_not_found(self, sale: Sale, tester: SandboxPartner, hold: Any) -> None:
        id_ = hold(who := ordinary())
        reference = tester.confirm(id_, who, "test-later").json["payment"]["reference"]
        other = SandboxPartner(sandbox_key(sale, "akulaku"))
        assert other.post(f"payments/{reference}", {"paid": True}).status_code == 404
        inbox.read_inbox()
        assert Reservation.objects.get().state == "held"


class TestLive:
    """In a live sale, a magic identity is an ordinary person, and a magic instrument an ordinary card."""

    def test_live_people_with_magic_identities_buy_as_all_others(self, sale: Sale) -> None:
        sale = lobby_sale(sale.campaign, stock={PHONE: 50})
        lazada = Partner(key_of(sale.campaign, "lazada"), sale, "lazada")
        known = [{"phone": one.phone(1), "email": one.email("live")} for one in IDENTITIES]
        places = [lazada.post("enter", {"identity": who}).json["place"] for who in known]
        for _drawn_then_called in range(2):
            open_now(sale)
        for one, who, place in zip(IDENTITIES, known, places, strict=True):
            held = lazada.reserve(place, sku=PHONE, key=one.name)
            assert held.status == 201, one
            body = ORDER | {"identity": who, "instrument": "test-declined"}
            confirmed = hot(lazada, held.json["reservation"], body, key=one.name)
            assert (confirmed.status, confirmed.json["state"]) == (200, "confirmed")
            assert Shop(lazada).get(f"/{held.json['reservation']}").json()["do_not_ship"] is False
        assert SandboxCall.objects.count() == 0


class TestList:
    """The list of magic values, for everybody."""

    def test_the_list_names_every_value_and_needs_no_key(self) -> None:
        reply = Client().get("/v1/test/magic")
        assert reply["Cache-Control"] == "public, max-age=300"
        assert [one["name"] for one in reply.json()["instruments"]] == [one.name for one in INSTRUMENTS]
        rows = {one["name"]: one for one in reply.json()["identities"]}
        assert list(rows) == [one.name for one in IDENTITIES]
        assert rows["reserve-sold-out"] == {
            "name": "reserve-sold-out", "call": "reserve", "code": "sold_out", "when": "always",
            "what": BY_NAME["reserve-sold-out"].what, "email": "reserve-sold-out@magic.test",
            "phone": "0811000120000", "text": "magic:reserve-sold-out", "national_id": "9900000012000000",
        }  # fmt: skip

    def test_numbers_and_names_are_there_once_and_only_what_may_be_repeated_is_refused_once(self) -> None:
        assert len({one.number for one in IDENTITIES}) == len({one.name for one in IDENTITIES}) == len(IDENTITIES)
        repeatable = {Outcome.NOT_READY, Outcome.UNKNOWN, Outcome.PAUSED, Outcome.TOO_MANY_REQUESTS}
        assert {one.outcome for one in IDENTITIES if one.when in {"once", "lost"}} == repeatable
        assert {one.outcome for one in IDENTITIES if one.when == "always"} & repeatable == set()

    def test_the_manual_has_every_value_and_every_check(self) -> None:
        manual = (Path(__file__).resolve().parents[2] / "docs/sandbox.md").read_text(encoding="utf-8")
        rows = [
            f"| {one.number:02d} | `{one.name}` | `{one.outcome.value}` | {one.when} | {one.what} |"
            for one in IDENTITIES
        ]
        rows += [f"| `{one.name}` | {one.what} |" for one in INSTRUMENTS]
        rows += [f"| `{one.name}` | {one.how} | {one.why} |" for one in CHECKS]
        assert [row for row in rows if f"{row}\n" not in manual] == []
