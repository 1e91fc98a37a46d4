"""Who may export what: contacts need a right of their own, and without its record no file is given out."""

from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from flashsale.life import exports
from flashsale.models import Contact, Reservation
from tests.admin.orders import buy
from tests.factories import PHONE, lobby_sale
from tests.life.people import facts_of

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]


def _fail(*_: Any, **__: Any) -> None:
    raise RuntimeError("the trail cannot be written")


def test_contacts_are_only_in_an_export_that_says_so_for_people_with_that_right(
    bob: Client, dave: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    buy(lobby_sale(stock={PHONE: 4}), ["ani", "budi", "citra"])
    url = "/admin/flashsale/reservation/exports/"
    assert bob.get(url).status_code == dave.post(url).status_code == 403

    def allow(client: Client, name: str) -> None:
        user: Any = client.get("/admin/").wsgi_request.user
        user.user_permissions.add(Permission.objects.get(codename=name))

    def export(**typed: str) -> bytes:
        answer = bob.post(url, {"name": "orders", "form": "csv", "why": "money", **typed})
        assert answer.status_code == 200
        return answer.getvalue()

    allow(bob, "export_reservation")
    assert "names, addresses" not in bob.get(url).content.decode()
    assert b"Jl. Mawar" not in export(contacts="on"), "the field is not there, so it does not count"
    allow(bob, "export_contact")
    assert "names, addresses" in bob.get(url).content.decode()
    assert b"Jl. Mawar" not in export()
    Contact.objects.filter(reservation=Reservation.objects.all()[0]).update(sealed="gAAAA")
    assert export(contacts="on").count(b"Jl. Mawar") == 2
    assert [fact["contacts"] for fact in facts_of("export")] == [False, False, True]
    for typed, field in (
        ({"name": "units", "first": "2027-01-01"}, "first"), ({"name": "cases", "contacts": "on"}, "contacts"),
        ({"first": "2027-01-02", "last": "2027-01-01"}, "last"), ({"why": ""}, "why"),
    ):  # fmt: skip
        page = bob.post(url, {"name": "orders", "form": "csv", "why": "money", **typed})
        assert list(page.context["form"].errors) == [field]
    assert len(facts_of("export")) == 3
    # Without the record no file is given out.
    monkeypatch.setattr(exports, "note_reading", _fail)
    bob.raise_request_exception = False
    assert bob.post(url, {"name": "orders", "form": "xlsx", "why": "money"}).status_code == 500
