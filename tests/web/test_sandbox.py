"""Test keys and live keys see each other's sales in no way, and test sales are made, bounded and deleted."""

from collections.abc import Callable
from datetime import timedelta
from itertools import product
from typing import Any

import pytest
from django.core import mail
from django.db.models import F
from django.test import Client
from django.utils import timezone

from flashsale.life import notify, sandbox, settlement
from flashsale.life.audit import audit
from flashsale.life.waiting_money import people_wait
from flashsale.models import (
    Case,
    Channel,
    Contact,
    DemoCharge,
    Event,
    FairnessReport,
    Inbox,
    LimitSlot,
    Notice,
    PartnerKey,
    PaymentAttempt,
    Record,
    Refund,
    Reservation,
    Sale,
    SandboxCall,
    Settlement,
    Unit,
)  # fmt: skip
from flashsale.providers import payments
from tests.factories import card_of, rewrite
from tests.web.partner import Partner, Shop, hot, key_of
from tests.web.sandbox_partner import SandboxPartner, age, magic, ordinary, sandbox_key

HOUR, DAY = timedelta(hours=1), timedelta(hours=25)
VERBS = ("enter", "look", "leave", "wait", "receipt", "reserve", "enter-bundle", "look-bundle")
OUT_OF_BOUNDS = (
    ("units", 0), ("units", 51), ("claim_s", 301), ("hold_s", 1), ("lobby_s", 61), ("limit", 3), ("units", "5"),
)  # fmt: skip
NOT_FOUND = (404, "not_found")


@pytest.fixture
def tester(sale: Sale) -> SandboxPartner:
    return SandboxPartner(sandbox_key(sale))


class TestKeys:
    """A test key sees test sales only, and a live key none of them."""

    def test_a_test_key_begins_with_fs_test_and_belongs_to_the_sandbox_of_its_channel(self, sale: Sale) -> None:
        live = Channel.objects.get(campaign=sale.campaign, code="lazada")
        first, again = sandbox.sandbox_channel(live), sandbox.sandbox_channel(live)
        assert first == again
        assert first.campaign.sandbox_of == live
        assert [(row.axis, row.hard, row.checked_at) for row in first.campaign.axes.order_by("pk")] == [
            (row.axis, row.hard, row.checked_at) for row in sale.campaign.axes.order_by("pk")
        ]
        assert PartnerKey.make(first)[1].startswith("fs_test_")
        assert key_of(sale.campaign, "lazada").startswith("fs_live_")

    def test_a_test_key_does_not_find_a_live_sale_and_changes_nothing(
        self, sale: Sale, tester: SandboxPartner, snapshot: Callable[[], Any]
    ) -> None:
        before = snapshot()
        for verb in VERBS:
            assert Partner(tester.key, sale, "lazada").post(verb, {"identity": ordinary()}).code == NOT_FOUND, verb
        assert snapshot() == before

    def test_a_live_key_does_not_find_a_test_sale_and_changes_nothing(
        self, tester: SandboxPartner, lazada: Partner, akulaku: Partner, snapshot: Callable[[], Any]
    ) -> None:
        tester.make()
        before = snapshot()
        for live, verb in product((lazada, akulaku), VERBS):
            assert Partner(live.key, tester.sale, "test").post(verb, {"identity": ordinary()}).code == NOT_FOUND, verb
        assert snapshot() == before

    def test_eligibility_and_lists_are_not_found_either(
        self, sale: Sale, tester: SandboxPartner, lazada: Partner
    ) -> None:
        tester.make()
        for key, code, line in ((tester.key, sale.code, "lazada"), (lazada.key, tester.sale.code, "test")):
            client = Client(headers={"authorization": f"Bearer {key}", "idempotency-key": "list-1"})
            asked = {"sale": code, "line": line, "identity": ordinary()}
            assert client.post("/v1/eligibility", asked, "application/json").json()["code"] == "not_found"
            people = {"axis": "phone", "people": ["081234567890"]}
            listed = client.post(f"/v1/sales/{code}/lines/{line}/list", people, "application/json")
            assert listed.json()["code"] == "not_found"

    def test_the_test_key_of_another_channel_does_not_find_it_either(self, sale: Sale, tester: SandboxPartner) -> None:
        tester.make()
        other = sandbox_key(sale, "akulaku")
        assert Partner(other, tester.sale, "test").post("enter", {"identity": ordinary()}).code == NOT_FOUND

    def test_reservations_and_events_of_the_two_keys_are_apart(
        self, held: dict[str, Any], tester: SandboxPartner, lazada: Partner
    ) -> None:
        who = ordinary()
        (place,) = tester.make().called(who)
        test_id, live_id = tester.reserve(place).json["reservation"], held["reservation"]
        live = Shop(lazada)
        assert [row["id"] for row in tester.shop.get().json()["results"]] == [test_id]
        assert [row["id"] for row in live.get().json()["results"]] == [live_id]
        for shop, foreign in ((tester.shop, live_id), (live, test_id)):
            assert shop.get(f"/{foreign}").status_code == 404
            assert shop.post(foreign, "release").json()["code"] == "not_found"
        assert hot(lazada, test_id, tester.order(who), key="other").code == NOT_FOUND
        assert hot(tester.partner, live_id, tester.order(who), key="other").code == NOT_FOUND
        mine = tester.client.get("/v1/events").json()["results"]
        theirs = live.client.get("/v1/events").json()["results"]
        assert {event["sale"] for event in mine} == {tester.sale.code}
        assert tester.sale.code not in {event["sale"] for event in theirs}
        assert set(Reservation.objects.values_list("state", flat=True)) == {"held"}

    def test_a_live_key_makes_no_test_sale_and_plays_no_bank(self, lazada: Partner) -> None:
        live = SandboxPartner(lazada.key)
        for path in ("sales", "payments/fs-X-1"):
            assert live.post(path, **{"idempotency-key": "k"}).json()["code"] == "not_found"
        assert live.client.get("/v1/test/conformance").json()["code"] == "not_found"
        assert Sale.objects.filter(campaign__sandbox_of__isnull=False).count() == 0

    def test_shoppers_find_no_page_of_a_test_sale_and_no_list_names_it(self, tester: SandboxPartner) -> None:
        code = tester.make().sale.code
        assert {Client().get(f"/s/{code}/{page}").status_code for page in ("", "find", "rules", "fairness")} == {404}
        assert Client().post(f"/s/{code}/codes", {}, "application/json").status_code == 404
        assert code not in Client().get("/").content.decode()
        assert code not in [one["code"] for one in Client().get("/v1/sales").json()["results"]]
        assert Client().get(f"/v1/sales/{code}").json()["code"] == code

    def test_the_card_of_a_live_sale_is_the_one_that_the_release_before_reads(
        self, sale: Sale, tester: SandboxPartner
    ) -> None:
        live, test = card_of(sale), card_of(tester.make().sale)
        assert (live.test, test.test) == (False, True)
        assert b'"test":' not in live.seal()
        for card in (live, test):
            assert type(card).unseal(card.seal(), code=card.code) == card


class TestSales:
    """Test sales on demand."""

    def test_a_sale_is_made_opens_and_calls(self, tester: SandboxPartner) -> None:
        tester.make(units=3, claim_s=60, hold_s=40)
        assert {name: tester.document[name] for name in ("line", "claim_s", "hold_s", "limit")} == {
            "line": "test", "claim_s": 60, "hold_s": 40, "limit": 2,
        }  # fmt: skip
        assert [item["sku"] for item in tester.document["items"]] == ["TEST-A", "TEST-B"]
        (place,) = tester.called(ordinary())
        assert tester.partner.post("look", {"place": place}).json["state"] == "called"
        assert tester.reserve(place).status == 201
        assert Unit.objects.filter(allocation__sale=tester.sale).count() == 6

    def test_the_same_key_gives_the_same_sale(self, tester: SandboxPartner) -> None:
        first = tester.make(key="ci-1").document
        assert tester.make(key="ci-1").document == first
        assert tester.post("sales", {"units": 7}, **{"idempotency-key": "ci-1"}).json()["code"] == "key_reused"
        assert Sale.objects.filter(code=first["sale"]).count() == 1

    def test_a_draft_that_a_dead_process_left_behind_is_published_by_its_key(
        self, tester: SandboxPartner, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as dying:
            dying.setattr(sandbox, "publish", lambda **_: 1 / 0)
            tester.client.raise_request_exception = False
            assert tester.post("sales", **{"idempotency-key": "ci-1"}).status_code == 500
        draft = Sale.objects.get(campaign__sandbox_of__isnull=False)
        assert draft.state == "draft"
        Sale.objects.filter(pk=draft.pk).update(
            lobby_at=timezone.now() - sandbox.KEPT, opens_at=timezone.now() - sandbox.OPEN_FOR
        )
        reply = tester.post("sales", **{"idempotency-key": "ci-1"})
        assert reply.status_code == 200, reply.content
        assert Sale.objects.get(pk=draft.pk).state == "published"

    def test_a_parameter_out_of_bounds_makes_no_sale(self, tester: SandboxPartner) -> None:
        for name, value in OUT_OF_BOUNDS:
            reply = tester.post("sales", {name: value}, **{"idempotency-key": "k"})
            assert reply.status_code in {400, 422}
            assert name in reply.content.decode()
        assert Sale.objects.filter(campaign__sandbox_of__isnull=False).count() == 0

    def test_a_channel_has_so_many_at_once_and_in_a_day(
        self, tester: SandboxPartner, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sandbox, "RUNNING_MAX", 2)
        monkeypatch.setattr(sandbox, "SALES_MAX", 3)
        first = tester.make().sale
        tester.make()
        reply = tester.post("sales", **{"idempotency-key": "third"})
        assert (reply.status_code, reply.json()["code"], reply["Retry-After"]) == (429, "too_many_requests", "60")
        age(first, HOUR)
        age(tester.make().sale, HOUR)
        assert tester.post("sales", **{"idempotency-key": "fourth"})["Retry-After"] == "3600"
        assert Sale.objects.filter(campaign=tester.sale.campaign).count() == 3


OF_SALES = (
    Case, Contact, DemoCharge, Event, FairnessReport, Inbox, LimitSlot, Notice, PaymentAttempt, Refund, Reservation,
    Unit, SandboxCall,
)  # fmt: skip


class TestTheEnd:
    """What a test sale leaves behind: nothing."""

    def test_a_test_sale_is_closed_when_it_is_over_and_deleted_after_a_day(
        self, tester: SandboxPartner, gate: Any
    ) -> None:
        live = {model: model.objects.count() for model in (*OF_SALES, Sale)}
        keys = set(gate.scan_iter())
        who, review = ordinary(), magic("confirm-review")
        places = tester.make().called(who, review)
        for number, (place, person) in enumerate(zip(places, (who, review), strict=True)):
            held = tester.reserve(place, key=f"r{number}").json["reservation"]
            assert tester.confirm(held, person, key=f"p{number}").status == 200
        assert tester.shop.post(held, "cancel", {"reason": "buyer_request"}).status_code == 200
        age(tester.sale, HOUR)
        assert sandbox.forget_test_sales() == 0
        tester.sale.refresh_from_db()
        assert tester.sale.state == "closed"
        age(tester.sale, DAY)
        SandboxCall.objects.update(at=timezone.now() - DAY)
        assert sandbox.forget_test_sales() == 1
        assert {model: model.objects.count() for model in (*OF_SALES, Sale)} == live
        assert {
            key for key in gate.scan_iter() if not any(one in key for one in (b":tick:", b"limits:", b"pace"))
        } - keys == set()
        assert [finding.promise for finding in audit() if finding.broken] == []
        assert [row.what for row in Record.objects.filter(sale=tester.sale.pk).order_by("position")][:2] == [
            "plan", "publish",
        ]  # fmt: skip
        assert sandbox.forget_test_sales() == 0

    def test_a_sale_with_a_hold_is_kept_until_the_hold_has_ended(self, tester: SandboxPartner) -> None:
        (place,) = tester.make().called(ordinary())
        assert tester.reserve(place).status == 201
        age(tester.sale, DAY)
        assert sandbox.forget_test_sales() == 0
        assert Reservation.objects.filter(sale=tester.sale, state="held").count() == 1

    def test_live_sales_are_not_touched(self, sale: Sale) -> None:
        age(sale, 10 * DAY)
        assert sandbox.forget_test_sales() == 0
        sale.refresh_from_db()
        assert sale.state == "published"


class TestNothingLeaves:
    """Letters, money, reviews and settlements of test sales."""

    def test_no_letter_goes_out_and_no_person_waits_for_money(self, tester: SandboxPartner) -> None:
        (place,) = tester.make().called(who := ordinary())
        held = tester.reserve(place).json["reservation"]
        channel = tester.sale.campaign.channels.get()
        assert not channel.order_letters
        Channel.objects.filter(pk=channel.pk).update(order_letters=True)  # an admin may do this
        assert tester.confirm(held, who, "test-refund-failed").status == 200
        assert tester.shop.post(held, "cancel", {"reason": "buyer_request"}).status_code == 200
        assert Refund.objects.get().state in {"due", "failed"}
        rewrite(Notice.objects.all(), due_at=timezone.now())
        mail.outbox.clear()
        notify.send_due()
        assert mail.outbox == []
        assert set(Notice.objects.values_list("state", flat=True)) == {"dropped"}
        assert [(action.name, count) for action, count in people_wait(timezone.now()) if count] == []

    def test_the_money_of_a_test_sale_is_at_the_test_account_and_a_live_sale_never_is(
        self, tester: SandboxPartner
    ) -> None:
        (place,) = tester.make().called(who := ordinary())
        assert tester.confirm(tester.reserve(place).json["reservation"], who).status == 200
        assert PaymentAttempt.objects.get().account == "test"
        assert payments.method_of("qris", names="test") is None
        assert payments.names_problems("test") == [
            "'test' is no payment account of this server; there are demo, partner"
        ]
        found = payments.method_of("qris", names="", test=True)
        assert found is not None
        assert found[0].account == "test"
        assert [one.name for one in payments.methods_of(names="demo, partner", test=True)] == [
            *payments.METHODS, "partner",
        ]  # fmt: skip

    def test_no_settlement_is_made_of_it(self, tester: SandboxPartner) -> None:
        (place,) = tester.make().called(who := ordinary())
        assert tester.confirm(tester.reserve(place).json["reservation"], who).status == 200
        rewrite(Event.objects.all(), at=F("at") - 2 * DAY)
        settlement.make_due()
        assert Settlement.objects.count() == 0
        assert tester.client.get("/v1/settlements").json()["results"] == []
