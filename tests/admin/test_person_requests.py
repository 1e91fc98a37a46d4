"""Requests of people about their data: due in 72 hours, handed out, corrected, restricted, erased by two people."""

import json
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import Permission, User
from django.core import mail
from django.test import Client
from django.utils import timezone

from flashsale.life import inbox, notify, person_data, review
from flashsale.life.find_person import noted_values
from flashsale.life.trail_keys import records_about
from flashsale.models import (
    Case,
    Channel,
    Contact,
    Inbox,
    Notice,
    PersonRequest,
    Record,
    Reservation,
    Restriction,
    Sale,
)
from flashsale.rules.identity import Axis
from tests.admin.forms import messages_on, submit
from tests.admin.orders import buy
from tests.factories import PHONE, end_now, identity, lobby_sale
from tests.life.people import facts_of
from tests.privacy.canary import in_books

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]
LIST = "/admin/flashsale/personrequest/"


@pytest.fixture
def desk(bob: Client, carol: Client) -> tuple[Client, Client]:
    """Two members of staff who answer requests."""
    names = ["view_personrequest", "add_personrequest", "change_personrequest"]
    for user in User.objects.filter(username__in=["bob", "carol"]):
        user.user_permissions.add(*Permission.objects.filter(codename__in=names))
    return bob, carol


@pytest.fixture
def sale() -> Sale:
    """Orders of Ani and Budi."""
    sale = lobby_sale(stock={PHONE: 3})
    buy(sale, ["ani", "budi"])
    return sale


def take(client: Client, kind: str, name: str = "ani", **typed: str) -> PersonRequest:
    known = identity(name)
    values = {"kind": kind, "phone": known[Axis.PHONE], "email": known[Axis.EMAIL], "proof": "code", **typed}
    page = submit(client, f"{LIST}add/", **values)
    assert page.redirect_chain, page.context["form"].errors
    return PersonRequest.objects.latest("pk")


def act(client: Client, action: str, row: PersonRequest, **typed: Any) -> Any:
    return submit(client, f"{LIST}{action}/?id={row.pk}", **typed)


def order_of(name: str) -> Reservation:
    email = identity(name)[Axis.EMAIL]
    return next(one.reservation for one in Contact.objects.all() if one.read()["email"] == email)


def test_a_request_is_due_in_72_hours_and_stands_on_the_first_page(
    sale: Sale, desk: tuple[Client, Client], dave: Client
) -> None:
    bob, _carol = desk
    row = take(bob, "find")
    assert row.due_at == row.received_at + timedelta(hours=72)
    assert row.sealed
    # The same form once more, as after an answer that was lost.
    at = f"{row.received_at.astimezone(ZoneInfo('Asia/Jakarta')):%Y-%m-%dT%H:%M:%S}"
    for _lost_and_again in range(2):
        again = take(bob, "erase", received_at=at)
    assert PersonRequest.objects.count() == Record.objects.filter(what="person_request").count() == 2
    assert take(bob, "erase", name="budi", received_at=at).pk != again.pk
    PersonRequest.objects.exclude(pk=row.pk).delete()
    assert identity("ani")[Axis.PHONE].lstrip("0").encode() not in in_books()
    PersonRequest.objects.update(due_at=timezone.now() - timedelta(seconds=1))
    assert "late" in bob.get("/admin/").content.decode()
    assert "Requests about personal data" not in dave.get("/admin/").content.decode()
    assert dave.get(f"{LIST}add/").status_code == dave.get(f"{LIST}erase/?id={row.pk}").status_code == 403
    known = {"kind": "find", "proof": "code", "phone": "", "email": "", "national_id": ""}
    for typed in (
        {},
        {"phone": "12"},
        {"email": "nobody"},
        {"phone": "081234567890", "received_at": "2126-01-01T00:00"},
    ):
        page = submit(bob, f"{LIST}add/", **known | typed)
        assert page.context["form"].errors, typed
    assert PersonRequest.objects.count() == 1
    page = act(bob, "refuse", row, reason="not_proven")
    assert messages_on(page) == ["The request is refused."]
    row.refresh_from_db()
    assert (row.state, row.reason, row.sealed) == ("refused", "not_proven", "")
    assert "No request waits" in bob.get("/admin/").content.decode()


def test_all_that_is_held_is_handed_out_to_the_person_and_nothing_of_another_one(
    sale: Sale, desk: tuple[Client, Client]
) -> None:
    bob, _carol = desk
    row = take(bob, "export")
    answer = act(bob, "hand-out", row, form="json")
    assert answer["Content-Disposition"] == f'attachment; filename="request-{row.pk}.json"'
    found = json.loads(answer.content)
    (order,) = found["orders"]
    assert order["reservation"] == str(order_of("ani").pk)
    assert order["contact"]["email"] == identity("ani")[Axis.EMAIL]
    assert (order["payments"][0]["state"], order["payments"][0]["paid"]) == ("paid", 1_799_000.0)
    assert [(place["line"], place["state"], place["proven_by"]) for place in found["places"]] == [
        ("lazada", "spent", "partner")
    ]
    assert order["digests_kept_of"] == ["device", "email", "phone"]
    page = act(bob, "hand-out", row, form="html").content.decode()
    assert "Jl. Mawar" in page
    for text in (answer.content.decode(), page):
        assert str(order_of("budi").pk) not in text
        assert identity("budi")[Axis.EMAIL] not in text
    assert [fact["rows"] for fact in facts_of("export")] == [1, 1]
    act(bob, "answered", row)
    row.refresh_from_db()
    assert (row.state, row.sealed, row.done_by.username) == ("done", "", "bob")


def test_what_a_provider_told_of_the_payer_is_handed_out_without_its_secrets_and_goes_with_the_erasure(
    sale: Sale, desk: tuple[Client, Client]
) -> None:
    bob, carol = desk
    own, other = (order_of(name).attempts.get().reference for name in ("ani", "budi"))
    told = {"payer": {"name": "ANI WIJAYA", "account": "0812-4711"}, "signature_key": "ab" * 64, "paid": True}
    inbox.store(account="demo", references=[own], body=json.dumps(told).encode(), headers={"Webhook-Signature": "v1"})
    inbox.store(account="demo", references=[other], body=b'{"payer": "BUDI"}', headers={})
    inbox.store(account="demo", references=[own, other], body=b'{"payers": ["ANI", "BUDI"]}', headers={})
    row = take(bob, "export")
    answer = act(bob, "hand-out", row, form="json").content.decode()
    (payment,) = json.loads(answer)["orders"][0]["payments"]
    messages = [one["message"] for one in payment["told_by_provider"]]
    assert messages == [
        {"payer": {"name": "ANI WIJAYA", "account": "0812-4711"}, "paid": True}, person_data.OF_SEVERAL,
    ]  # fmt: skip
    assert "BUDI" not in answer
    page = act(bob, "hand-out", row, form="html").content.decode()
    assert ("ANI WIJAYA" in page, "BUDI" in page, "told by provider" in page) == (True, False, True)
    Inbox.objects.update(done_at=timezone.now(), next_look_at=None)
    end_now(sale)
    act(carol, "erase", take(bob, "erase"))
    assert list(Inbox.objects.values_list("reference", flat=True)) == [other, other]


def test_a_contact_is_corrected_and_the_trail_has_digests_of_both_values(
    sale: Sale, desk: tuple[Client, Client]
) -> None:
    bob, _carol = desk
    row, order, old = take(bob, "correct"), order_of("ani"), order_of("ani").contact.read()
    page = act(bob, "correct", row, order=str(order.pk), email="Ani.Baru@example.com")
    assert messages_on(page) == ["1 fields are corrected."]
    assert Contact.objects.get(reservation=order).read() == old | {"email": "Ani.Baru@example.com"}
    page = act(bob, "correct", row, order=str(order.pk), phone="12")
    assert "bad_identity" in messages_on(page)[0]
    assert Contact.objects.get(reservation=order).read() == old | {"email": "Ani.Baru@example.com"}
    (facts,) = facts_of("correct_contact")
    assert (facts["fields"], sorted(facts["digests"])) == (["email"], ["email_after", "email_before"])
    assert len(list(records_about([("email_before", old["email"])]))) == 1
    other = Contact.objects.get(reservation=order_of("budi"))
    page = act(bob, "correct", row, order=str(other.reservation_id), name="X")
    assert "order" in page.context["form"].errors
    assert Contact.objects.get(pk=other.pk).read()["name"] != "X"


def test_nothing_is_sent_or_scored_of_a_restricted_order_until_the_restriction_is_lifted(
    sale: Sale, desk: tuple[Client, Client]
) -> None:
    bob, _carol = desk
    Channel.objects.update(order_letters=True)
    ani, now = order_of("ani"), timezone.now()
    for order in Reservation.objects.all():
        Notice.objects.create(reservation=order, kind="confirmed", sale=sale, due_at=now)
    row = take(bob, "restrict")
    assert messages_on(act(bob, "restrict", row)) == ["1 orders are restricted."]
    assert Restriction.objects.get().reservation == ani
    mail.outbox.clear()
    assert notify.send_due() == 1
    assert [letter.to for letter in mail.outbox] == [[identity("budi")[Axis.EMAIL]]]
    run = review.start(sale=sale)
    review.execute(run=run.pk)
    run.refresh_from_db()
    assert run.orders == 1
    # A case that people open by hand still says that the buyer must be told; the letter waits.
    case = review.open_case(reservation=ani)
    review.propose(case=case, code="bypassed_line", by=User.objects.get(username="bob"))
    review.approve(case=Case.objects.get(pk=case.pk), by=User.objects.get(username="carol"))
    assert notify.send_due() == 0
    row.refresh_from_db()
    assert (row.state, row.sealed) == ("done", "")
    assert messages_on(act(bob, "lift", row)) == ["The restriction is lifted."]
    assert notify.send_due() >= 1
    assert not Restriction.objects.exists()


def test_an_erasure_says_what_goes_and_is_approved_by_another_person(sale: Sale, desk: tuple[Client, Client]) -> None:
    bob, carol = desk
    row, ani = take(bob, "erase"), order_of("ani").pk
    page = carol.get(f"{LIST}erase/?id={row.pk}").content.decode()
    assert str(ani)[:8] in page
    assert "While a sale of the campaign is not over" in page
    assert messages_on(act(bob, "erase", row)) == [f"{row}: Another person has to approve the erasure."]
    assert Contact.objects.filter(reservation=ani).exists()
    assert "It is approved." in messages_on(act(carol, "erase", row))[0]
    assert not Contact.objects.filter(reservation=ani).exists()
    row.refresh_from_db()
    assert (row.state, row.approved_by.username) == ("approved", "carol")
    assert list(records_about(noted_values({Axis.PHONE: identity("ani")[Axis.PHONE]}))) == []
