"""The fairness report tells of a sale that is over what the books know, and what the gate knew while it knew it."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from flashsale.gate import bridge, refusal_counts
from flashsale.life import close, fairness_report, review
from flashsale.life.reallocate import reallocate
from flashsale.models import Case, FairnessReport, Reservation, Sale
from flashsale.rules.identity import Axis
from flashsale.rules.outcomes import Outcome
from tests.factories import PHONE, Shopper, draft_sale, end_now, lobby_sale, open_now, poco_campaign, refusal, tend
from tests.faults.steps import buy

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate"), pytest.mark.books]


def stale(sale: Sale) -> None:
    FairnessReport.objects.filter(sale=sale).update(made_at=timezone.now() - 2 * fairness_report.FRESH)


@pytest.fixture
def held() -> Sale:
    """Eight units: six orders behind one tablet, one honest one, one person who was called and did not come."""
    sale = lobby_sale(poco_campaign(), stock={PHONE: 8})
    people = [Shopper(sale, f"person-{n}") for n in range(8)]
    for person in people:
        person.enter()
    open_now(sale)
    tend(sale)
    for person in people[:6]:
        buy(person, device="the reseller's tablet")
    buy(people[6], device="a phone of one's own")
    return sale


def test_there_is_no_report_before_the_end(held: Sale) -> None:
    assert refusal(fairness_report.report, sale=held) is Outcome.NOT_FOUND
    assert not FairnessReport.objects.exists()


def test_it_tells_how_the_sale_went(held: Sale) -> None:
    for word in ("limit_reached", "limit_reached", "not_open"):
        refusal_counts.count(held.code, "enter", word)
    refusal_counts.count("no-such-sale", "enter", "not_found")
    bridge.run(refusal_counts.flush())
    told = fairness_report.report(sale=end_now(held))
    assert told["draw"] == {"drawn": True, "verified": True, "commitment": held.commitment}
    assert told["order"] == {"kept": True, "reservations": 7, "wrong": 0, "before_call": 0}
    (line,) = told["lines"]
    assert (line["entered"], line["cohort"], line["called"], line["no_shows"]) == (8, 8, 8, 1)
    assert line["calls"][-1][1] == 8
    assert line["units"] == {
        "new": 8, "moved_in": 0, "moved_out": 0, "free": 1, "held": 0, "sold": 7, "returned": 0,
    }  # fmt: skip
    assert told["channels"] == [{"channel": "lazada", "name": "Lazada", "bought": 7, "kept": 7}]
    assert told["refused"] == [
        {"verb": "enter", "reason": "limit_reached", "times": 2}, {"verb": "enter", "reason": "not_open", "times": 1},
    ]  # fmt: skip
    by_axis = {row["axis"]: row for row in told["concentration"]}
    assert by_axis[Axis.PHONE]["bought"] == {"holders": 7, "largest": 1, "gini": 0}
    assert by_axis[Axis.DEVICE]["bought"] == {"holders": 2, "largest": 6, "gini": 0.3571}
    assert told["cancellations"] == {
        "total": 0, "reasons": [], "appeals": {"received": 0, "outcomes": []}, "ledger": [], "refunds": [],
    }  # fmt: skip


def test_it_tells_the_sale_as_a_story(held: Sale) -> None:
    first = min(held.reservations.values_list("made_at", flat=True))
    opened = first.replace(microsecond=0) - timedelta(seconds=10)
    rows = list(Reservation.objects.order_by("index"))
    for second, row in enumerate(rows, 1):
        at = opened + timedelta(seconds=second)
        Reservation.objects.filter(pk=row.pk).update(made_at=at, confirmed_at=at + timedelta(seconds=10))
    Sale.objects.filter(pk=held.pk).update(opens_at=opened)
    held.refresh_from_db()
    told = fairness_report.report(sale=end_now(held))
    assert told["headline"] == {"people": 8, "units": 8, "bought": 7, "buyers": 7, "most": 1, "sold_s": 17}
    timeline = told["over_time"]
    assert timeline["at_s"] == list(range(1, len(timeline["at_s"]) + 1))
    assert timeline["at_s"][-1] >= 17
    assert timeline["reserved"][:9] == [1, 2, 3, 4, 5, 6, 7, 7, 7]
    assert timeline["bought"][9:18] == [0, 1, 2, 3, 4, 5, 6, 7, *timeline["bought"][17:18]]
    assert (timeline["called"][-1], timeline["sold_s"]) == (8, 17)
    # Quarters of two people are too small to be told.
    assert told["by_entering"] == []
    by_axis = {row["axis"]: row for row in told["more_than_one"]}
    assert by_axis[Axis.PHONE] == {"axis": Axis.PHONE, "holders": 0, "units": 0, "of": 7}
    # One tablet has six of the units. A single holder is not told.
    assert by_axis[Axis.DEVICE] == {"axis": Axis.DEVICE, "holders": None, "units": None, "of": 7}


def test_buyers_are_told_by_the_quarter_of_the_draw_in_which_they_entered() -> None:
    sale = lobby_sale(poco_campaign(), stock={PHONE: 30})
    people = [Shopper(sale, f"person-{n}") for n in range(20)]
    for person in people:
        person.enter()
    open_now(sale)
    late = [Shopper(sale, f"late-{n}") for n in range(5)]
    for person in late:
        person.enter()
    for _ in range(3):
        tend(sale)
    for person in (*people[:3], *people[5:7], people[19], late[4]):
        buy(person, device=f"device of {person.name}")
    told = fairness_report.report(sale=end_now(sale))
    assert told["by_entering"] == [
        {"part": "1", "people": 5, "bought": 3},
        {"part": "2", "people": 5, "bought": 2},
        {"part": "3", "people": 5, "bought": 0},
        {"part": "4", "people": 5, "bought": 1},
        {"part": "later", "people": 5, "bought": 1},
    ]


def test_a_broken_order_is_told(held: Sale) -> None:
    first = Reservation.objects.order_by("number").first()
    assert first is not None
    early = first.made_at - timedelta(hours=1)
    Reservation.objects.filter(pk=first.pk).update(made_at=early)
    assert fairness_report.report(sale=end_now(held))["order"] == {
        "kept": False, "reservations": 7, "wrong": 0, "before_call": 1,
    }  # fmt: skip
    Reservation.objects.filter(pk=first.pk).update(index=99)
    stale(held)
    assert fairness_report.report(sale=held)["order"]["wrong"] == 1


def test_it_follows_units_that_came_back(held: Sale, django_user_model: Any) -> None:
    sari, tono = (django_user_model.objects.create_user(name) for name in ("sari", "tono"))
    review.execute(run=review.start(sale=held).pk)
    orders = list(Reservation.objects.order_by("pk"))
    cases = [review.open_case(reservation=row) for row in orders if not Case.objects.filter(reservation=row).exists()]
    for case in [*Case.objects.all(), *cases]:
        case.refresh_from_db()
        if case.state == "open":
            reason = "cancelled_by_mistake" if case in cases else "one_person_many_identities"
            review.propose(case=case, code=reason, by=sari)
            review.approve(case=case, by=tono)
    later = draft_sale(held.campaign, stock={PHONE: 0}, name="29 January")
    reallocate(source=held, target=later.allocations.get(), reserve=5)
    told = fairness_report.report(sale=end_now(held))
    assert told["cancellations"]["total"] == 7
    assert told["cancellations"]["reasons"] == [
        {"reason": "one_person_many_identities", "orders": 6}, {"reason": "other", "orders": 1},
    ]  # fmt: skip
    assert told["cancellations"]["refunds"] == [{"state": "refund_due", "orders": 7}]
    moved = {"sale": later.code, "name": "29 January", "units": 2, "states": {"free": 2}}
    assert told["returned"] == {
        "to_line": 0, "units": 7, "restored": 0, "resting": 5, "moved": [moved], "came_in": 0,
    }  # fmt: skip
    assert told["channels"][0] == {"channel": "lazada", "name": "Lazada", "bought": 7, "kept": 0}


def test_what_the_gate_counted_outlives_the_gate(held: Sale, gate: Any) -> None:
    before = {}
    refusal_counts.count(held.code, "reserve", "not_called")
    bridge.run(refusal_counts.flush())
    assert close.close(sale=end_now(held).pk)
    gate.flushall()
    told = fairness_report.report(sale=held)
    assert told["refused"] == [{"verb": "reserve", "reason": "not_called", "times": 1}]
    assert told["lines"][0]["no_shows"] == 1
    before = dict(told)
    assert fairness_report.report(sale=held) == before
    stale(held)
    assert fairness_report.report(sale=held)["refused"] == before["refused"]


def test_it_holds_no_personal_data_and_no_order(held: Sale) -> None:
    text = json.dumps(fairness_report.report(sale=end_now(held)))
    digests = [hex_ for row in Reservation.objects.all() for hex_ in row.limit_slots.values_list("digest", flat=True)]
    ids = [str(row.pk) for row in Reservation.objects.all()]
    assert [secret for secret in (*digests, *ids, "person-", "@example.com", "0812") if secret in text] == []
