"""Above a number of units, one person proposes to publish and another one publishes exactly what was proposed."""

from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone, translation

from flashsale.life import erase_person, person_requests, review, sale_control, schedule
from flashsale.models import Contact, Proposal, Record, Sale, StaffCampaign, Stock, Unit
from flashsale.rules.identity import Axis
from flashsale.rules.outcomes import Refused
from flashsale.rules.states import SaleState
from simulation import logins, practice
from tests.admin.forms import form_values, messages_on, submit
from tests.admin.orders import buy
from tests.factories import PHONE, draft_sale, identity, lobby_sale

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]


@pytest.fixture(autouse=True)
def _ten_units(settings: Any) -> None:
    settings.FLASHSALE_TWO_PEOPLE_UNITS = 10


@pytest.fixture
def eve(make_user: Any) -> Client:
    return make_user("eve", "publisher")


def publish_url(sale: Sale) -> str:
    return reverse("admin:flashsale_sale_publish") + f"?id={sale.pk}"


def user(name: str) -> User:
    return User.objects.get(username=name)


def test_the_first_proposes_and_the_second_publishes(alice: Client, eve: Client) -> None:
    sale = draft_sale(stock={PHONE: 11})
    change, home = reverse("admin:flashsale_sale_change", args=[sale.pk]), reverse("admin:index")
    for url in (change, home):
        assert "proposed by" not in eve.get(url).content.decode()
    assert alice.get(publish_url(sale)).context["button"] == "Propose to publish"
    page = submit(alice, publish_url(sale))
    assert "Publish, proposed by alice on" in eve.get(change).content.decode()
    ((url, what, who),) = eve.get(home).context["proposals"]
    assert (url, what) == (publish_url(sale), f"26 January ({sale.code}): publish")
    assert who.startswith("alice, ")
    assert eve.get(url).context["button"] == "Publish"
    assert messages_on(page) == ["You have proposed to publish 26 January. Another person has to publish it."]
    sale.refresh_from_db()
    assert (sale.state, Unit.objects.count()) == (SaleState.DRAFT, 0)
    again = submit(alice, publish_url(sale))
    assert "You have proposed this. Another person has to carry it out." in messages_on(again)[0]
    text = eve.get(publish_url(sale)).content.decode()
    assert "alice has proposed this on" in text
    assert "Nothing has changed since." in text
    submit(eve, publish_url(sale))
    sale.refresh_from_db()
    proposal = Proposal.objects.get()
    assert (sale.state, Unit.objects.count()) == (SaleState.PUBLISHED, 11)
    assert (proposal.by, proposal.done_by, proposal.units) == (user("alice"), user("eve"), 11)
    records = Record.objects.filter(sale=sale, what__in=["propose_publish", "publish"]).order_by("position")
    assert [(record.what, record.who) for record in records] == [
        ("propose_publish", f"staff:{user('alice').pk}"), ("publish", f"staff:{user('eve').pk}"),
    ]  # fmt: skip


@pytest.mark.parametrize("what", ["units", "price", "time", "campaign", "axis", "list"])
def test_any_change_after_the_proposal_makes_it_void(alice: Client, eve: Client, what: str) -> None:
    sale = draft_sale(stock={PHONE: 11})
    line = sale.allocations.get()
    if what == "list":
        line.listed_only = True
        line.save()
        schedule.put_on_list(line=line, people=[(Axis.PHONE, "081234567890"), (Axis.EMAIL, "a@example.com")])
    schedule.publish(sale=sale, by=user("alice"))
    seen = eve.get(publish_url(sale))
    if what == "units":
        Stock.objects.filter(allocation=line, offer__sku=PHONE).update(quantity=12)
    elif what == "price":
        sale.offers.filter(sku=PHONE).update(price=1)
    elif what == "time":
        Sale.objects.filter(pk=sale.pk).update(claim_s=sale.claim_s + 1)
    elif what == "campaign":
        sale.campaign.limit += 1
        sale.campaign.save()
    elif what == "axis":
        sale.campaign.axes.filter(axis=Axis.DEVICE).delete()
    else:
        schedule.put_on_list(line=line, people=[(Axis.PHONE, "081234567891")])
    # The page of before does nothing at all.
    old = eve.post(publish_url(sale), form_values(seen), follow=True)
    assert "is not as your page showed it" in messages_on(old)[0]
    page = eve.get(publish_url(sale)).content.decode()
    assert "that proposal is void" in page
    assert "Changed since the proposal" in page
    submit(eve, publish_url(sale))
    sale.refresh_from_db()
    assert (sale.state, Unit.objects.count()) == (SaleState.DRAFT, 0)
    first, second = Proposal.objects.order_by("pk")
    assert (first.withdrawn_at is not None, second.by, second.done_by) == (True, user("eve"), None)
    schedule.publish(sale=sale, by=user("alice"))
    assert Sale.objects.get().state == SaleState.PUBLISHED


def test_no_other_way_publishes_alone(alice: Client, bob: Client) -> None:
    sale = draft_sale(stock={PHONE: 11})
    for by in (None, "channel:3", "clock"):
        with translation.override("en"), pytest.raises(ValidationError, match="two people"):
            schedule.publish(sale=sale, by=by)
    schedule.publish(sale=sale, by=user("alice"))
    # The second person needs the right to publish.
    with translation.override("en"), pytest.raises(ValidationError, match="do not have the right"):
        schedule.publish(sale=sale, by=user("bob"))
    assert bob.get(publish_url(sale)).status_code == 403
    # The shell publishes nothing that one person has proposed.
    with pytest.raises(ValidationError, match="two people"):
        schedule.publish(sale=sale)
    assert (Sale.objects.get().state, Unit.objects.count(), Proposal.objects.count()) == (SaleState.DRAFT, 0, 1)


def test_the_word_of_a_person_who_is_switched_off_does_not_count(alice: Client, eve: Client) -> None:
    sale = draft_sale(stock={PHONE: 11})
    submit(alice, publish_url(sale))
    User.objects.filter(username="alice").update(is_active=False)
    page = submit(eve, publish_url(sale))
    assert messages_on(page) == ["You have proposed to publish 26 January. Another person has to publish it."]
    sale.refresh_from_db()
    assert (sale.state, Unit.objects.count()) == (SaleState.DRAFT, 0)
    assert Proposal.objects.get(withdrawn_at=None).by == user("eve")


@pytest.mark.parametrize("lost", ["right", "campaign"])
def test_a_proposal_ends_with_the_right_and_the_campaign_of_its_person(alice: Client, eve: Client, lost: str) -> None:
    sale = draft_sale(stock={PHONE: 11})
    submit(alice, publish_url(sale))
    assert "alice" in eve.get(publish_url(sale)).content.decode()
    if lost == "right":
        user("alice").groups.clear()
    else:
        StaffCampaign.objects.create(user=user("alice"), campaign=draft_sale().campaign)
    assert "alice has proposed" not in eve.get(publish_url(sale)).content.decode()
    submit(eve, publish_url(sale))
    sale.refresh_from_db()
    assert (sale.state, Unit.objects.count()) == (SaleState.DRAFT, 0)
    assert Proposal.objects.get(withdrawn_at=None).by == user("eve")


def test_a_cancellation_and_an_erasure_wait_for_another_first_person_if_the_first_is_switched_off(
    bob: Client, carol: Client
) -> None:
    (order,) = buy(lobby_sale(), ["ani"])
    case = review.open_case(reservation=order)
    review.propose(case=case, code="bypassed_line", by=user("bob"))
    values = {"phone": identity("ani")[Axis.PHONE]}
    request = person_requests.take(
        kind="erase", values=values, proof="code", received_at=timezone.now(), by=user("bob")
    )
    User.objects.filter(username="bob").update(is_active=False)
    with pytest.raises(Refused, match="proposer is switched off"):
        review.approve(case=case, by=user("carol"))
    case.refresh_from_db()
    order.refresh_from_db()
    assert (case.state, order.state) == ("proposed", "confirmed")
    review.dismiss(case=case, by=user("carol"))
    with translation.override("en"), pytest.raises(ValidationError, match="who took the request is switched off"):
        erase_person.approve(request=request, by=user("carol"))
    request.refresh_from_db()
    assert (request.state, Contact.objects.count()) == ("open", 1)


def test_the_table_refuses_one_person_twice(alice: Client) -> None:
    sale = draft_sale(stock={PHONE: 11})
    schedule.publish(sale=sale, by=user("alice"))
    for values in ({"done_by": user("alice"), "done_at": timezone.now()}, {"done_at": timezone.now()}):
        with pytest.raises(IntegrityError), transaction.atomic():
            Proposal.objects.update(**values)
    with pytest.raises(IntegrityError), transaction.atomic():
        Proposal.objects.create(sale=sale, verb="publish", units=1, digest="", by=user("alice"), at=timezone.now())


def test_the_practice_sale_of_a_demo_is_published_by_two_of_its_users(tmp_path: Path) -> None:
    logins.create_users(tmp_path / "logins.txt")
    sale = practice.next_sale(practice.plan())
    proposal = Proposal.objects.get()
    assert (sale.state, {str(proposal.by), str(proposal.done_by)}) == (SaleState.PUBLISHED, {"admin", "sari"})


def test_few_units_and_test_campaigns_need_one_person(alice: Client) -> None:
    sale = draft_sale(stock={PHONE: 10})
    assert schedule.publish(sale=sale).state == SaleState.PUBLISHED
    assert not Proposal.objects.exists()


def test_units_that_are_added_later_count_too(alice: Client, eve: Client) -> None:
    sale = draft_sale(stock={PHONE: 10})
    schedule.publish(sale=sale, by=user("alice"))
    stock = Stock.objects.get(allocation__sale=sale)
    url = reverse("admin:flashsale_sale_add-units") + f"?id={sale.pk}"
    page = submit(alice, url, stock=stock.pk, quantity=50)
    assert messages_on(page) == ["You have proposed this total. Another person has to add the same total."]
    assert (Unit.objects.count(), Proposal.objects.get().units) == (10, 50)
    assert "alice has proposed 50 units in all" in eve.get(url).content.decode()
    assert eve.get(reverse("admin:index")).context["proposals"][0][:2] == (url, f"26 January ({sale.code}): add units")
    # Another total is another proposal, and the same person adds nothing.
    with pytest.raises(ValidationError, match="Another person"):
        sale_control.add_units(stock=stock, quantity=50, by=user("alice"))
    submit(eve, url, stock=stock.pk, quantity=60)
    assert Unit.objects.count() == 10
    submit(alice, url, stock=stock.pk, quantity=60)
    assert (Unit.objects.count(), Stock.objects.get().quantity) == (60, 60)
