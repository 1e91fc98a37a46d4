"""Orders are reviewed, cancelled by two people, and their units go on, through the admin's forms alone."""

from collections.abc import Callable
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from flashsale.life import review
from flashsale.life.roll_over import move_on
from flashsale.models import Allocation, Appeal, Cancellation, Case, Reallocation, Reservation, ReviewRun, Sale, Unit
from tests.admin.forms import held, links, said, send
from tests.admin.orders import buy, cases, follow_up
from tests.factories import PHONE, card_of, lobby_sale

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]

REASON = "one_person_many_identities"
CASES = "/admin/flashsale/case/"


def _url(row: Any) -> str:
    return reverse(f"admin:flashsale_{row._meta.model_name}_change", args=[row.pk])


def _step(client: Client, row: Any, name: str, **typed: Any) -> HttpResponse:
    (url,) = links(client.get(_url(row)), name)
    return send(client, url, **typed)


def _open_all(client: Client, rows: list[Case]) -> None:
    assert {client.get(_url(row)).status_code for row in rows} == {200}


@pytest.fixture
def ring() -> Sale:
    """Three orders under three names from one device, and a fourth that has nothing to do with them."""
    sale = lobby_sale(stock={PHONE: 5})
    buy(sale, ["ani", "budi", "citra", "dewi"])
    for order in Reservation.objects.order_by("pk")[:3]:
        order.traits.filter(axis="device").update(digest="ab" * 16)
    return sale


@pytest.fixture
def reviewed(ring: Sale, bob: Client) -> Sale:
    """The ring, scored."""
    page = _step(bob, ring, "review")
    assert said(page) == ["The review has begun."]
    review.execute(run=ReviewRun.objects.get().pk)
    return ring


def test_the_review_finds_the_ring_and_shows_its_evidence(reviewed: Sale, bob: Client) -> None:
    assert len(cases()) == 3
    page = bob.get(_url(cases()[0]))
    panel = page.context["panel"]
    table = panel["evidence"]
    assert ["same device", "with 2 other people"] in [row[:2] for row in table.rows]
    assert ["linked group", "with 2 other people", "", 25] in table.rows
    assert table.foot[-1] == cases()[0].score
    assert [dot.kind for dot in panel["graph"].dots].count("order") == 2
    assert panel["beside"].head[-4:] == ["name", "address", "phone", "e-mail"]
    assert all("Jl. Mawar 1" in row[-3] for row in panel["beside"].rows)
    assert "device ×2" in bob.get(CASES).content.decode()
    assert "4 read, 4 scored of 4" in bob.get("/admin/flashsale/reviewrun/").content.decode()


def test_whoever_proposed_cannot_approve(reviewed: Sale, bob: Client) -> None:
    case = cases()[0]
    _step(bob, case, "propose", reason=REASON)
    page = _step(bob, case, "approve")
    assert said(page) == [
        f"{Case.objects.get(pk=case.pk)}: You proposed this cancellation yourself: another person has to approve it."
    ]
    case.refresh_from_db()
    assert (case.state, case.reason, case.decided_by) == ("proposed", REASON, None)
    assert case.reservation.state == "confirmed"


def test_another_person_approves_and_the_unit_returns(reviewed: Sale, bob: Client, carol: Client) -> None:
    case = cases()[0]
    _step(bob, case, "propose", reason=REASON)
    assert said(_step(carol, case, "approve")) == ["Approved: the order is cancelled."]
    case.refresh_from_db()
    assert (case.state, case.proposed_by.username, case.decided_by.username) == ("cancelled", "bob", "carol")
    assert Reservation.objects.get(pk=case.reservation_id).state == "cancelled"
    assert Unit.objects.filter(state="returned").count() == 1
    assert case.reservation.notices.get().kind == "cancelled"


def test_a_reason_outside_the_catalogue_is_refused(reviewed: Sale, bob: Client) -> None:
    for reason in ("", "unusual", "buyer_request"):
        _step(bob, cases()[0], "propose", reason=reason)
        assert cases()[0].state == "open"


def test_a_proposal_is_sent_back_or_dismissed_by_another(reviewed: Sale, bob: Client, carol: Client) -> None:
    case = cases()[0]
    _step(bob, case, "propose", reason=REASON)
    _step(bob, case, "reopen")
    assert cases()[0].state == "open"
    _step(bob, case, "propose", reason=REASON)
    _step(bob, case, "dismiss")
    assert cases()[0].state == "proposed"
    _step(carol, case, "dismiss")
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
    assert {case.state for case in cases()} == {"open"}, "nobody decides about what they have not seen"
    _open_all(bob, cases())
    assert said(send(bob, url, reason=REASON)) == ["Propose to cancel: 3 of 3 done."]
    page = carol.post(CASES, {"action": "approve", **chosen}, follow=True)
    carol.post(page.redirect_chain[-1][0])
    assert {case.state for case in cases()} == {"proposed"}, "what one person saw another has not"
    _open_all(carol, cases())
    send(carol, page.redirect_chain[-1][0])
    assert {case.state for case in cases()} == {"cancelled"}
    assert Cancellation.objects.count() == 3


def test_a_case_is_opened_by_hand_and_holds_the_parcel(reviewed: Sale, bob: Client) -> None:
    order = Reservation.objects.filter(case=None).get()
    assert not order.do_not_ship
    assert said(_step(bob, order, "open-case")) == [f"A case is open for {order.pk}."]
    assert Reservation.objects.get(pk=order.pk).do_not_ship


def test_an_appeal_is_noted_once_and_decided_by_a_third_person(
    reviewed: Sale, bob: Client, carol: Client, person: Callable[..., Client]
) -> None:
    case = cases()[0]
    _step(bob, case, "propose", reason=REASON)
    _step(carol, case, "approve")
    assert said(_step(bob, case, "note-appeal")) == ["The appeal is noted."]
    assert links(bob.get(_url(case)), "note-appeal") == []
    appeal = Appeal.objects.get()
    for party in (bob, carol):
        assert said(_step(party, appeal, "overturn")) == [
            f"{appeal}: You took part in this cancellation: somebody else has to decide."
        ]
    assert Reservation.objects.get(pk=case.reservation_id).state == "cancelled"
    erin = person("erin", "reviewer")
    assert said(_step(erin, appeal, "overturn")) == ["Overturned: the order stands again."]
    assert Reservation.objects.get(pk=case.reservation_id).state == "confirmed"
    (ledger,) = [erin.get("/admin/flashsale/appeal/").context["table"]]
    assert [[row[0], *row[1:]] for row in ledger.rows if row[0].startswith("One")] == [
        ["One person, several identities", 1, 1, 0, 1, "0.0%"]
    ]


def test_returned_units_are_reallocated_and_listed(reviewed: Sale, alice: Client, bob: Client, carol: Client) -> None:
    for case in cases():
        _step(bob, case, "propose", reason=REASON)
        _step(carol, case, "approve")
    later = lobby_sale(reviewed.campaign, stock={PHONE: 0}, name="29 January")
    page = _step(alice, reviewed, "reallocate", target=later.allocations.get().pk, reserve="1")
    assert said(page) == ["2 units have moved."]
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


def test_a_plan_that_cannot_be_kept_is_refused_in_words(
    reviewed: Sale, alice: Client, bob: Client, carol: Client
) -> None:
    _step(bob, cases()[0], "propose", reason=REASON)
    _step(carol, cases()[0], "approve")
    later = lobby_sale(reviewed.campaign, stock={"POCO-M3-6-128": 1})
    page = _step(alice, reviewed, "reallocate", target=later.allocations.get().pk, reserve="0")
    assert said(page) == [f"{reviewed}: The follow-up sale's line does not sell {PHONE}."]
    assert not Reallocation.objects.exists()


def test_a_unit_tells_its_whole_way(reviewed: Sale, bob: Client, carol: Client) -> None:
    case = cases()[0]
    _step(bob, case, "propose", reason=REASON)
    _step(carol, case, "approve")
    unit = Unit.objects.get(state="returned")
    later = follow_up(reviewed, reviewed.campaign)
    buy(later, ["eka"])
    page = bob.get(_url(unit))
    assert [(what, where) for _, what, where, _ in page.context["panel"]["way"]] == [
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


def test_a_unit_tells_that_nobody_claimed_it_in_its_first_line(bob: Client) -> None:
    sale = lobby_sale(stock={PHONE: 1}, channels=("lazada", "akulaku"))
    first, then = sale.allocations.all()
    Allocation.objects.filter(pk=first.pk).update(successor=then, rolls_over_at=sale.opens_at)
    unit = first.units.get()
    move_on(card_of(sale), first.pk, then.pk, {unit.pk: unit.version})
    way = bob.get(_url(unit)).context["panel"]["way"]
    assert [(what, where) for _, what, where, _ in way] == [
        ("set aside", "26 January – lazada"),
        ("rolled over, unclaimed", "26 January – akulaku"),
    ]


def test_whoever_only_looks_decides_nothing(reviewed: Sale, dave: Client, alice: Client) -> None:
    case = cases()[0]
    url = reverse("admin:flashsale_case_propose") + f"?id={case.pk}"
    for client in (dave, alice):
        assert links(client.get(_url(case)), "propose") == []
        assert client.get(url).status_code == 403
        assert client.post(url, {"reason": REASON}).status_code == 403
    assert cases()[0].state == "open"
    assert held(dave.get(_url(case))).keys() <= {"csrfmiddlewaretoken"}
