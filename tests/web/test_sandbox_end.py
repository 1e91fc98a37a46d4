"""The end of test sales, when other ones run, when something fails, and when processes die."""

from datetime import timedelta
from typing import Any

import pytest
import redis
from django.apps import apps
from django.db import DatabaseError
from django.db.models import ProtectedError
from django.utils import timezone

from flashsale.gate import bridge, load, sale_cards
from flashsale.life import deliver, sandbox, snapshot
from flashsale.life.audit import audit
from flashsale.life.close import close
from flashsale.life.sale_card import card_of
from flashsale.models import (
    ApiCall,
    Campaign,
    Delivery,
    Record,
    Sale,
    SandboxCall,
)
from tests.faults.steps import come_due, reap
from tests.web.asgi import send_request
from tests.web.sandbox_partner import SandboxPartner, age, magic, ordinary, sandbox_key

HOUR, DAY = timedelta(hours=1), timedelta(hours=25)


@pytest.fixture
def tester(sale: Sale) -> SandboxPartner:
    return SandboxPartner(sandbox_key(sale))


def counted_in(gate: Any, campaign: Campaign) -> dict[str, list[bytes]]:
    """The counts of people in the gate, by key."""
    keys = {name: f"fs:{{{campaign.pk}}}:{name}" for name in ("used:campaign", "unpaid")}
    return {name: sorted(gate.hvals(key)) for name, key in keys.items()}


def rows() -> dict[Any, int]:
    """How many rows each table has."""
    return {model: model._base_manager.count() for model in apps.get_models()}


def test_people_of_a_deleted_test_sale_are_not_counted_while_others_run(
    tester: SandboxPartner, gate: redis.Redis
) -> None:
    stays = ordinary()
    (place,) = tester.make().called(stays)
    held = tester.reserve(place, key="r-stays").json["reservation"]
    assert tester.confirm(held, stays, key="p-stays").status == 200
    campaign = tester.sale.campaign
    before = counted_in(gate, campaign)
    # The first one buys, the second one lets the hold end, the third one releases it.
    people = [ordinary() for _ in range(3)]
    places = tester.make().called(stays, *people)
    ids = [tester.reserve(place, key=f"r{n}").json["reservation"] for n, place in enumerate(places)]
    assert tester.confirm(ids[0], stays, key="p0").status == 200
    assert tester.confirm(ids[1], people[0], key="p1").status == 200
    assert tester.shop.post(ids[3], "release").status_code == 200
    come_due(tester.sale)
    assert reap(tester.sale) == 1
    assert counted_in(gate, campaign)["unpaid"] == [b"1", b"1"]
    assert len(counted_in(gate, campaign)["used:campaign"]) > len(before["used:campaign"])
    age(tester.sale, DAY)
    sandbox.forget_test_sales()
    assert not Sale.objects.filter(pk=tester.sale.pk).exists()
    assert counted_in(gate, campaign) == before
    assert [finding.promise for finding in audit(campaign=campaign.code) if finding.broken] == []


def test_one_test_sale_that_cannot_end_keeps_no_other_from_its_end(
    tester: SandboxPartner, monkeypatch: pytest.MonkeyPatch
) -> None:
    sales = []
    for _ in range(3):
        tester.make().open()
        sales.append(tester.sale)
    delete = sandbox.delete_test_sale
    for sale in sales:
        age(sale, HOUR)

    def closes(*, sale: int) -> bool:
        if sale == sales[0].pk:
            raise DatabaseError("this one fails")
        return close(sale=sale)

    with monkeypatch.context() as failing:
        failing.setattr(sandbox, "close", closes)
        sandbox.forget_test_sales()
    assert [Sale.objects.get(pk=sale.pk).state for sale in sales] == ["published", "closed", "closed"]
    sandbox.forget_test_sales()
    for sale in sales:
        age(sale, DAY)
    monkeypatch.setattr(sandbox, "DELETED_AT_ONCE", 2)
    poison = {sales[0].pk: ProtectedError("named", set()), sales[1].pk: DatabaseError("fails")}

    def deletes(sale: Sale) -> bool:
        if sale.pk in poison:
            raise poison[sale.pk]
        return delete(sale)

    monkeypatch.setattr(sandbox, "delete_test_sale", deletes)
    assert sandbox.forget_test_sales() == 1
    assert {sale.pk for sale in Sale.objects.filter(campaign=tester.sale.campaign)} == set(poison)


def test_a_draft_that_is_published_at_the_moment_of_its_end_is_kept(
    tester: SandboxPartner, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as dying:
        dying.setattr(sandbox, "publish", lambda **_: 1 / 0)
        tester.client.raise_request_exception = False
        assert tester.post("sales", **{"idempotency-key": "ci-1"}).status_code == 500
    draft = Sale.objects.get(campaign__sandbox_of__isnull=False)
    age(draft, DAY)
    stale = Sale.objects.get(pk=draft.pk)
    assert tester.post("sales", **{"idempotency-key": "ci-1"}).status_code == 200
    sandbox.delete_test_sale(stale)
    assert Sale.objects.get(pk=draft.pk).state == "published"
    assert tester.client.get(f"/v1/sales/{draft.code}").status_code == 200


def test_no_row_of_a_test_sale_is_left_after_a_day(sale: Sale, tester: SandboxPartner) -> None:
    hook = {"url": "https://shop.example/hooks"}
    assert tester.client.post("/v1/webhooks", hook, "application/json", headers={"idempotency-key": "w1"}).status_code
    before = rows()
    instruments = ["any", "any", "test-late", "test-refund-failed"]
    people = [ordinary(), magic("confirm-review"), ordinary(), ordinary()]
    places = tester.make().called(*people)
    ids = [tester.reserve(place, key=f"r{n}").json["reservation"] for n, place in enumerate(places)]
    for id_, who, instrument in zip(ids, people, instruments, strict=True):
        assert tester.confirm(id_, who, instrument, key=f"p-{id_}").status == 200
    assert tester.shop.post(ids[3], "cancel", {"reason": "buyer_request"}).status_code == 200
    come_due(tester.sale)
    assert reap(tester.sale) == 1
    reference = tester.shop.get(f"/{ids[2]}").json()["payment"]["reference"]
    assert tester.post(f"payments/{reference}", {"paid": True}).json()["state"] == "paid"
    tester.sweep()
    bridge.run(deliver.deliver_due(wait_s=0))
    assert Delivery.objects.count() > 10
    age(tester.sale, HOUR)
    sandbox.forget_test_sales()
    age(tester.sale, DAY)
    SandboxCall.objects.update(at=timezone.now() - DAY)
    assert sandbox.forget_test_sales() == 1
    # A partner relies on its keys for two days, and the audit trail is only added to.
    assert {model for model, count in rows().items() if count != before[model]} == {ApiCall, Record}


def test_a_deleted_test_sale_is_not_found_by_processes_that_knew_it(
    tester: SandboxPartner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sale_cards, "FRESH_S", 0.0)
    (place,) = tester.make().called(ordinary())

    def passes(by: timedelta) -> int:
        age(tester.sale, by)
        tester.sale.refresh_from_db()
        bridge.run(sale_cards.store_card(card_of(tester.sale)))
        codes = {tester.partner.post(verb, {"place": place}).json.get("code") for verb in ("look", "receipt")}
        assert "not_found" not in codes
        return sandbox.forget_test_sales()

    # A process keeps the card of a sale that Redis does not list any more for a day after its end.
    assert passes(timedelta(hours=24, minutes=5)) == 0
    assert passes(timedelta(minutes=20)) == 1
    for verb in ("enter", "look", "leave", "wait", "receipt", "reserve", "enter-bundle", "look-bundle"):
        body = {"place": place, "identity": ordinary(), "items": []}
        assert tester.partner.post(verb, body, idempotency_key="late").code == (404, "not_found"), verb
    path = f"/v1/sales/{tester.sale.code}/lines/test/status"
    assert send_request("GET", path).code == (404, "not_found")


def test_a_deletion_that_dies_between_redis_and_postgresql_is_done_by_the_next_one(
    tester: SandboxPartner, gate: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = tester.make().sale
    campaign = keeper.campaign
    tester.open()
    # In the middle of PostgreSQL, then after it.
    for module, name in ((snapshot, "counts_of_sale"), (load, "count_less")):
        (place,) = tester.make().called(who := ordinary())
        held = tester.reserve(place, key=f"r-{name}").json["reservation"]
        assert tester.confirm(held, who, key=f"p-{name}").status == 200
        age(tester.sale, DAY)
        with monkeypatch.context() as dying:
            dying.setattr(module, name, lambda *_: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                sandbox.forget_test_sales()
        assert [finding.promise for finding in audit(campaign=campaign.code) if finding.broken] == []
        sandbox.forget_test_sales()
        assert not Sale.objects.filter(pk=tester.sale.pk).exists()
    # The person of the second one stays counted until the last test sale is deleted.
    assert counted_in(gate, campaign) == {"used:campaign": [b"1", b"1"], "unpaid": []}
    age(keeper, DAY)
    assert sandbox.forget_test_sales() == 1
    assert counted_in(gate, campaign) == {"used:campaign": [], "unpaid": []}
