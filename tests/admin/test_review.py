"""Orders are reviewed, cancelled by two people, and their units move on, only through the admin's forms."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from flashsale.life import review
from flashsale.life.roll_over import move_units
from flashsale.life.schedule import publish
from flashsale.models import Allocation, Appeal, Cancellation, Case, Reallocation, Reservation, ReviewRun, Sale, Unit
from tests.admin.forms import action_links, form_values, messages_on, submit
from tests.admin.orders import buy, cases, follow_up
from tests.factories import PHONE, card_of, draft_sale, lobby_sale

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]

REASON = "one_person_many_identities"
CASES = "/admin/flashsale/case/"


def _change_url(row: Any) -> str:
    return reverse(f"admin:flashsale_{row._meta.model_name}_change", args=[row.pk])


def _act(client: Client, row: Any, name: str, **typed: Any) -> Any:
    (url,) = action_links(client.get(_change_url(row)), name)
    return submit(client, url, **typed)


def _open_all(client: Client, rows: list[Case]) -> None:
    assert {client.get(_change_url(row)).status_code for row in rows} == {200}


@pytest.fixture
def ring() -> Sale:
    """Three orders under three names from one device, and a fourth order without a link to them."""
    sale = lobby_sale(stock={PHONE: 5})
    buy(sale, ["ani", "budi", "citra", "dewi"])
    for order in Reservation.objects.order_by("pk")[:3]:
        order.traits.filter(axis="device").update(digest="ab" * 16)
    return sale


@pytest.fixture
def reviewed(ring: Sale, bob: Client) -> Sale:
    """The same sale after the review."""
    page = _act(bob, ring, "review")
    assert messages_on(page) == ["The review has begun."]
    review.execute(run=ReviewRun.objects.get().pk)
    return ring


def test_the_review_finds_the_ring_and_shows_its_evidence(reviewed: Sale, bob: Client) -> None:
    assert len(cases()) == 3
    page = bob.get(_change_url(cases()[0]))
    panel = page.context["panel"]
    table = panel["evidence"]
    assert ["same device", "with 2 other people"] in [row[:2] for row in table.rows]
    assert ["linked group", "with 2 other people", "", 25] in table.rows
    assert table.foot[-1] == cases()[0].score
    assert [node.kind for node in panel["graph"].nodes].count("order") == 2
    assert panel["side_by_side"].head[-5:] == ["name", "address", "phone", "e-mail", "clues"]
    assert all("Jl. Mawar 1" in row[-4] for row in panel["side_by_side"].rows)
    assert "device ×2" in bob.get(CASES).content.decode()
    assert "4 read, 4 scored of 4" in bob.get("/admin/flashsale/reviewrun/").content.decode()


def test_the_proposer_cannot_approve(reviewed: Sale, bob: Client) -> None:
    case = cases()[0]
    _act(bob, case, "propose", reason=REASON)
    page = _act(bob, case, "approve")
    assert messages_on(page) == [
        f"{Case.objects.get(pk=case.pk)}: You proposed this cancellation yourself. Another person has to approve it."
    ]
    case.refresh_from_db()
    assert (case.state, case.reason, case.decided_by) == ("proposed", REASON, None)
    assert case.reservation.state == "confirmed"


def test_another_person_approves_and_the_unit_returns(reviewed: Sale, bob: Client, carol: Client) -> None:
    case = cases()[0]
    _act(bob, case, "propose", reason=REASON)
    assert messages_on(_act(carol, case, "approve")) == ["Approved: the order is cancelled."]
    case.refresh_from_db()
    assert (case.state, case.proposed_by.username, case.decided_by.username) == ("cancelled", "bob", "carol")
    assert Reservation.objects.get(pk=case.reservation_id).state == "cancelled"
    assert Unit.objects.filter(state="returned").count() == 1
    assert case.reservation.notices.get().kind == "cancelled"


def test_a_reason_outside_the_catalogue_is_refused(reviewed: Sale, bob: Client) -> None:
    for reason in ("", "unusual", "buyer_request"):
        _act(bob, cases()[0], "propose", reason=reason)
        assert cases()[0].state == "open"


def test_a_proposal_is_sent_back_or_dismissed_by_another(reviewed: Sale, bob: Client, carol: Client) -> None:
    case = cases()[0]
    _act(bob, case, "propose", reason=REASON)
    _act(bob, case, "reopen")
    assert cases()[0].state == "open"
    _act(bob, case, "propose", reason=REASON)
    _act(bob, case, "dismiss")
    assert cases()[0].state == "proposed"
    _act(carol, case, "dismiss")
    assert Case.objects.get(pk=case.pk).state == "dismissed"
    assert Reservation.objects.filter(state="confirmed").count() == 4


def test_many_are_proposed_and_approved_after_a_sample(reviewed: Sale, bob: Client, carol: Client) -> None:
    chosen = {"_selected_action": [case.pk for case in cases()]}
    page = bob.post(CASES, {"action": "propose", **chosen}, follow=True)
    assert page.context["tables"][0].title == "Sample: 3 of 3"
    assert {case.state for case in cases()} == {"open"}
    url = page.redirect_chain[-1][0]
    assert len(page.context["unopened"]) == 3
    bob.post(url, {"reason": REASON})
    assert {case.state for case in cases()} == {"open"}, "a decision requires that the person has opened the sample"
    _open_all(bob, cases())
    assert messages_on(submit(bob, url, reason=REASON)) == ["Propose to cancel: 3 of 3 done."]
    page = carol.post(CASES, {"action": "approve", **chosen}, follow=True)
    carol.post(page.redirect_chain[-1][0])
    assert {case.state for case in cases()} == {"proposed"}, (
        "a sample that one person opened does not count for another person"
    )
    _open_all(carol, cases())
    submit(carol, page.redirect_chain[-1][0])
    assert {case.state for case in cases()} == {"cancelled"}
    assert Cancellation.objects.count() == 3


def test_a_case_is_opened_by_hand_and_holds_the_parcel(reviewed: Sale, bob: Client) -> None:
    order = Reservation.objects.filter(case=None).get()
    assert not order.do_not_ship
    assert messages_on(_act(bob, order, "open-case")) == [f"A case is open for {order.pk}."]
    assert Reservation.objects.get(pk=order.pk).do_not_ship


def test_an_appeal_is_noted_once_and_decided_by_a_third_person(
    reviewed: Sale, bob: Client, carol: Client, make_user: Callable[..., Client]
) -> None:
    case = cases()[0]
    _act(bob, case, "propose", reason=REASON)
    _act(carol, case, "approve")
    assert messages_on(_act(bob, case, "note-appeal")) == ["The appeal is noted."]
    assert action_links(bob.get(_change_url(case)), "note-appeal") == []
    appeal = Appeal.objects.get()
    for party in (bob, carol):
        assert messages_on(_act(party, appeal, "overturn")) == [
            f"{appeal}: You took part in this cancellation. Another person has to decide."
        ]
    assert Reservation.objects.get(pk=case.reservation_id).state == "cancelled"
    erin = make_user("erin", "reviewer")
    page = erin.get(_change_url(appeal))
    for url in (*action_links(page, "overturn"), *action_links(page, "uphold")):
        told = "Only a person who neither proposed nor approved the cancellation can decide."
        assert erin.get(url).context["consequences"][-1] == told
    assert messages_on(_act(erin, appeal, "overturn")) == ["Overturned: the order is valid again."]
    assert Reservation.objects.get(pk=case.reservation_id).state == "confirmed"
    (ledger,) = [erin.get("/admin/flashsale/appeal/").context["table"]]
    assert [[row[0], *row[1:]] for row in ledger.rows if row[0].startswith("One")] == [
        ["One person, several identities", 1, 1, 0, 1, 1, "0.0%"]
    ]


def test_returned_units_are_reallocated_and_listed(reviewed: Sale, alice: Client, bob: Client, carol: Client) -> None:
    for case in cases():
        _act(bob, case, "propose", reason=REASON)
        _act(carol, case, "approve")
    later = lobby_sale(reviewed.campaign, stock={PHONE: 0}, name="29 January")
    page = _act(alice, reviewed, "reallocate", target=later.allocations.get().pk, reserve="1")
    assert messages_on(page) == ["2 units have moved."]
    plan = Reallocation.objects.get()
    assert (plan.source, plan.target, plan.reserve, plan.made_by.username) == (
        reviewed,
        later.allocations.get(),
        1,
        "alice",
    )
    assert {serial for _, serial, _ in page.context["panel"]["units"]} == set(
        Unit.objects.filter(allocation__sale=later).values_list("serial", flat=True)
    )


def test_a_plan_for_a_line_without_the_offer_is_refused(
    reviewed: Sale, alice: Client, bob: Client, carol: Client
) -> None:
    _act(bob, cases()[0], "propose", reason=REASON)
    _act(carol, cases()[0], "approve")
    later = lobby_sale(reviewed.campaign, stock={"POCO-M3-6-128": 1})
    page = _act(alice, reviewed, "reallocate", target=later.allocations.get().pk, reserve="0")
    assert messages_on(page) == [f"{reviewed}: The follow-up sale's line does not sell {PHONE}."]
    assert not Reallocation.objects.exists()


def test_the_page_of_a_unit_shows_its_history(reviewed: Sale, bob: Client, carol: Client) -> None:
    case = cases()[0]
    _act(bob, case, "propose", reason=REASON)
    _act(carol, case, "approve")
    unit = Unit.objects.get(state="returned")
    later = follow_up(reviewed, reviewed.campaign)
    buy(later, ["eka"])
    page = bob.get(_change_url(unit))
    assert [(what, where) for _, what, where, _ in page.context["panel"]["history"]] == [
        ("set aside", "26 January – lazada"),
        ("reserved", "26 January – lazada, Lazada"),
        ("confirmed", "26 January – lazada, Lazada"),
        ("case opened", f"score {case.score:.0f}"),
        ("case decided", "cancelled"),
        ("cancelled", "One person, several identities"),
        ("moved to a follow-up sale", "29 January – lazada"),
        ("reserved", "29 January – lazada, Lazada"),
        ("confirmed", "29 January – lazada, Lazada"),
    ]


def test_the_history_of_a_unit_shows_a_roll_over(bob: Client) -> None:
    sale = draft_sale(stock={PHONE: 1}, channels=("lazada", "akulaku"))
    first, then = sale.allocations.all()
    later = sale.opens_at + timedelta(minutes=1)
    Allocation.objects.filter(pk=first.pk).update(successor=then, rolls_over_at=later)
    publish(sale=sale)
    unit = first.units.get()
    move_units(card_of(sale), first.pk, then.pk, {unit.pk: unit.version})
    history = bob.get(_change_url(unit)).context["panel"]["history"]
    assert [(what, where) for _, what, where, _ in history] == [
        ("set aside", "26 January – lazada"),
        ("rolled over, unclaimed", "26 January – akulaku"),
    ]


def test_viewers_and_schedulers_cannot_decide_cases(reviewed: Sale, dave: Client, alice: Client) -> None:
    case = cases()[0]
    url = reverse("admin:flashsale_case_propose") + f"?id={case.pk}"
    for client in (dave, alice):
        assert action_links(client.get(_change_url(case)), "propose") == []
        assert client.get(url).status_code == 403
        assert client.post(url, {"reason": REASON}).status_code == 403
    assert cases()[0].state == "open"
    assert form_values(dave.get(_change_url(case))).keys() <= {"csrfmiddlewaretoken"}
