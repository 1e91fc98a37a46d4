"""Each reading of a buyer's contact in the admin leaves a record: who, which reservation, when."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import DatabaseError
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from flashsale import admin
from flashsale.life import appeal, review
from flashsale.models import Case, Contact, Record, Reservation, Sale
from tests.admin.orders import buy, cases
from tests.factories import PHONE, lobby_sale

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate", "first_rules")]


@pytest.fixture
def orders() -> list[Reservation]:
    """Three orders of one group, each with its case."""
    sale: Sale = lobby_sale(stock={PHONE: 3})
    made = buy(sale, ["ani", "budi", "citra"], device="one")
    review.execute(run=review.start(sale=sale).pk)
    assert len(cases()) == 3
    return made


def url(row: Any) -> str:
    return reverse(f"admin:flashsale_{row._meta.model_name}_change", args=[row.pk])


def readings() -> list[tuple[str, str]]:
    return list(Record.objects.filter(what="read_contact").order_by("position").values_list("who", "subject"))


def number_of(name: str) -> str:
    return f"staff:{User.objects.get(username=name).pk}"


def test_the_page_of_a_reservation_leaves_a_record_at_each_reading(orders: Any, bob: Client) -> None:
    before = timezone.now()
    for _ in range(2):
        assert "Jl. Mawar" in bob.get(url(orders[0])).content.decode()
    assert readings() == [(number_of("bob"), f"reservation:{orders[0].pk}")] * 2
    record = Record.objects.filter(what="read_contact").latest("position")
    assert before <= record.at <= timezone.now()
    assert (record.sale, record.campaign_id, record.facts) == (orders[0].sale, orders[0].sale.campaign_id, "{}")


def test_the_page_of_a_case_leaves_a_record_for_each_contact_that_it_shows(orders: Any, bob: Client) -> None:
    page = bob.get(url(cases()[0])).content.decode()
    assert page.count("Jl. Mawar") == 3
    assert set(readings()) == {(number_of("bob"), f"reservation:{order.pk}") for order in orders}
    assert len(readings()) == 3


def test_the_statement_of_an_appeal_leaves_a_record(orders: Any, bob: Client, make_user: Callable[..., Client]) -> None:
    case = Case.objects.get(reservation=orders[0])
    staff = [User.objects.get(username="bob"), make_user("erin", "reviewer").get("/admin/").wsgi_request.user]
    review.propose(case=case, code="one_person_many_identities", by=staff[0])
    review.approve(case=case, by=staff[1])
    case.refresh_from_db()
    appeal.appeal(case=case, words="I live in a boarding house")
    row = case.appeal
    assert "boarding house" in bob.get(url(row)).content.decode()
    assert "boarding house" in bob.get(reverse("admin:flashsale_appeal_overturn") + f"?id={row.pk}").content.decode()
    assert readings() == [(number_of("bob"), f"reservation:{orders[0].pk}")] * 2


def test_people_who_may_not_see_contacts_leave_no_record(orders: Any, alice: Client, dave: Client) -> None:
    for client in (alice, dave):
        for row in (orders[0], cases()[0]):
            assert "Jl. Mawar" not in client.get(url(row)).content.decode()
    assert readings() == []


def test_a_list_shows_no_contact_and_leaves_no_record(orders: Any, bob: Client) -> None:
    for name in ("reservation", "case", "appeal", "notice"):
        assert "Jl. Mawar" not in bob.get(f"/admin/flashsale/{name}/").content.decode()
    assert readings() == []


def test_a_contact_that_is_erased_or_sealed_by_another_key_leaves_no_record(orders: Any, bob: Client) -> None:
    Contact.objects.filter(reservation=orders[0].pk).delete()
    Contact.objects.filter(reservation=orders[1].pk).update(sealed="gAAAA")
    assert "none, or erased" in bob.get(url(orders[0])).content.decode()
    assert "It cannot be read" in bob.get(url(orders[1])).content.decode()
    assert readings() == []


def test_without_the_record_the_contact_is_not_shown(orders: Any, bob: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise DatabaseError("the trail cannot be written")

    monkeypatch.setattr(Record, "write", fail)
    bob.raise_request_exception = False
    answer = bob.get(url(orders[0]))
    assert answer.status_code == 500
    assert "Jl. Mawar" not in answer.content.decode()


def test_no_page_of_the_admin_decrypts_a_contact_by_itself() -> None:
    files = Path(admin.__file__).parent.glob("*.py")
    assert [file.name for file in files if "Contact" in file.read_text() or "contact.read" in file.read_text()] == []
