"""The audit trail: each change writes its record in one transaction. Tables refuse edits, and the audit finds them."""

import json
from functools import partial
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction

from flashsale.life import audit, cancel, review, sale_control
from flashsale.life.appeal import appeal
from flashsale.models import Record
from flashsale.rules.trail import text_digest
from tests import guard
from tests.factories import PHONE, Shopper, lobby_sale, open_now, poco_campaign, tend
from tests.faults.steps import buy
from tests.races.crowd import at_once

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate"), pytest.mark.books]


def records(*names: str) -> list[tuple[Any, ...]]:
    return list(Record.objects.order_by("position").values_list(*names))


@pytest.fixture
def decided(admin_user: Any) -> Any:
    """A published sale that was paused and resumed: six records."""
    sale = lobby_sale(poco_campaign())
    sale_control.pause(sale=sale, message="Ani asked us to wait", by=admin_user)
    sale_control.pause(sale=sale, message="again", by=admin_user)
    sale_control.resume(sale=sale, by=admin_user)
    return sale


def test_every_decision_has_one_record_with_who_and_why_and_no_personal_data(decided: Any, admin_user: Any) -> None:
    staff = f"staff:{admin_user.pk}"
    assert records("who", "what", "subject", "why") == [
        ("shell", "plan", f"campaign:{decided.campaign_id}", ""),
        ("shell", "plan", f"sale:{decided.pk}", ""),
        ("shell", "publish", f"sale:{decided.pk}", ""),
        ("clock", "rebuild", f"sale:{decided.pk}", ""),
        (staff, "pause", f"sale:{decided.pk}", text_digest("Ani asked us to wait")),
        (staff, "resume", f"sale:{decided.pk}", ""),
    ]
    published = json.loads(Record.objects.get(what="publish").facts)
    assert published["commitment"] == decided.commitment
    assert published["units"] == {"lazada": {PHONE: 10}}
    assert json.loads(Record.objects.get(what="pause").facts) == {"state": "paused"}
    assert "Ani" not in str(records("facts", "why"))


def test_a_change_that_fails_leaves_no_record(decided: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(decided), "save", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        sale_control.brake(sale=decided, rate_per_s=7, poll_ms=0)
    assert Record.objects.count() == 6


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE flashsale_record SET who = 'somebody' WHERE position = 3",
        "DELETE FROM flashsale_record WHERE position = 6",
        pytest.param(
            "TRUNCATE flashsale_record",
            marks=pytest.mark.skipif("connection.vendor == 'sqlite'", reason="SQLite has no TRUNCATE"),
        ),
    ],
)
def test_the_database_refuses_to_change_the_past(decided: Any, statement: str) -> None:
    before = records("position", "who", "hash")
    with pytest.raises(DatabaseError, match="records are only added"), transaction.atomic(), connection.cursor() as sql:
        sql.execute(statement)
    assert records("position", "who", "hash") == before


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("UPDATE flashsale_record SET who = 'somebody' WHERE position = 5", "record 5 is not what was written"),
        ("DELETE FROM flashsale_record WHERE position = 2", "record 2 is missing"),
        ("UPDATE flashsale_record SET previous = 'x' WHERE position = 4", "record 4 does not follow the one before it"),
        ("UPDATE flashsale_record SET facts = '{}' WHERE position = 3", "record 3 is not what was written"),
    ],
)
def test_the_audit_names_the_first_record_that_was_changed(decided: Any, statement: str, found: str) -> None:
    finding = audit.audit(campaign=decided.campaign.code)[-1]
    assert (finding.promise, finding.verdict) == (0, audit.Verdict.HELD)
    with guard.taken_off() as sql:
        sql.execute(statement)
    assert audit.audit(campaign=decided.campaign.code)[-1].broken == (found,)


def test_a_trail_that_was_cut_short_is_found_by_the_noted_head(decided: Any, capsys: Any) -> None:
    head = audit.trail_head()
    sale_control.brake(sale=decided, rate_per_s=7, poll_ms=0)
    call_command("audit", head=head, json=True)
    assert json.loads(capsys.readouterr().out)["trail"] == {
        "title": "Audit trail", "verdict": "held", "broken": [], "head": audit.trail_head(),
    }  # fmt: skip
    with guard.taken_off() as sql:
        sql.execute("DELETE FROM flashsale_record WHERE position >= 6")
    assert audit.audit()[-1].broken == ()
    with pytest.raises(CommandError, match="Broken: the audit trail"):
        call_command("audit", head=head)
    with pytest.raises(CommandError, match="POSITION:HASH"):
        call_command("audit", head="6")


def test_a_cancellation_without_a_record_is_found() -> None:
    sale = lobby_sale(poco_campaign(), stock={PHONE: 1})
    ani = Shopper(sale, "ani")
    ani.enter()
    open_now(sale)
    tend(sale)
    order = buy(ani)
    cancel.cancel(reservation=order.pk, channel=order.channel_id, code="buyer_request")
    told_of = Record.objects.get(what="cancel")
    assert (told_of.who, told_of.subject) == (f"channel:{order.channel_id}", f"reservation:{order.pk}")
    assert (told_of.why, told_of.facts) == ("buyer_request", '{"units":1}')
    with guard.taken_off() as sql:
        sql.execute("DELETE FROM flashsale_record WHERE what = 'cancel'")
    assert audit.audit()[-1].broken == (f"the cancellation of reservation {order.pk} has no record",)


@pytest.mark.skipif("connection.vendor == 'sqlite'", reason="SQLite has one writer anyway")
def test_concurrent_writers_make_one_chain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the lock, writers fork the chain, and the table refuses that. With it, all records are in one order."""
    sales = [lobby_sale(poco_campaign()) for _ in range(4)]

    def brake_all(rate: int) -> list[Any]:
        acts = [partial(sale_control.brake, sale=sale, rate_per_s=rate, poll_ms=0) for sale in sales]
        return [answer for answer in at_once(acts) if isinstance(answer, DatabaseError)]

    monkeypatch.setattr("flashsale.models.record.TRAIL_LOCK", None)
    assert any(brake_all(rate) for rate in range(5, 50))
    monkeypatch.undo()
    before = Record.objects.count()
    assert [brake_all(rate) for rate in range(50, 60)] == [[]] * 10
    assert Record.objects.count() == before + 40
    assert audit.audit()[-1].broken == ()


def test_a_case_has_records_from_its_opening_to_its_end(decided: Any, admin_user: Any, django_user_model: Any) -> None:
    dewi = django_user_model.objects.create_user("dewi")
    sale = lobby_sale(decided.campaign, stock={PHONE: 1})
    ani = Shopper(sale, "ani")
    ani.enter()
    open_now(sale)
    tend(sale)
    order = buy(ani)
    case = review.open_case(reservation=order, by=dewi)
    review.propose(case=case, code="cancelled_by_mistake", by=dewi)
    review.reopen(case=case, by=admin_user)
    review.propose(case=case, code="cancelled_by_mistake", by=dewi)
    review.approve(case=case, by=admin_user)
    case.refresh_from_db()
    appeal(case=case)
    rows = Record.objects.filter(subject=f"reservation:{order.pk}").order_by("position")
    assert list(rows.values_list("who", "what", "why")) == [
        (f"staff:{dewi.pk}", "open_case", ""),
        (f"staff:{dewi.pk}", "propose", "cancelled_by_mistake"),
        (f"staff:{admin_user.pk}", "reopen", ""),
        (f"staff:{dewi.pk}", "propose", "cancelled_by_mistake"),
        (f"staff:{admin_user.pk}", "cancel", "cancelled_by_mistake"),
        ("buyer", "appeal", "cancelled_by_mistake"),
    ]
    assert json.loads(rows[4].facts) == {"units": 1, "case": case.pk, "rules": "", "proposed_by": dewi.pk}
