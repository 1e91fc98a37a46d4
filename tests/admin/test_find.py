"""Staff find a reservation by what a buyer tells them, and what they typed stays nowhere."""

import json
from typing import Any

import pytest
import redis
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from flashsale.life import erase, find_person
from flashsale.models import PaymentAttempt, Record, Refund, Reservation
from flashsale.rules.identity import Axis
from tests.admin.forms import messages_on
from tests.admin.orders import buy
from tests.factories import Shopper, end_now, identity, lobby_sale, open_now
from tests.privacy import canary

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]

FIND = "/admin/flashsale/reservation/find/"
UNREADABLE = "This is no id of a reservation, no payment reference, no phone number and no e-mail address."
LIST = "/admin/flashsale/reservation/"


def _find(client: Client, typed: str) -> list[Reservation]:
    """The reservations of the list to which the search leads."""
    page = client.post(FIND, {"typed": typed}, follow=True)
    assert page.status_code == 200
    assert "id__in=" in page.redirect_chain[0][0], messages_on(page)
    return list(page.context["cl"].result_list)


def _refusal(client: Client, typed: str) -> list[str]:
    page = client.post(FIND, {"typed": typed}, follow=True)
    assert page.redirect_chain == [(LIST, 302)]
    return messages_on(page)


def _phone(name: str) -> str:
    return identity(name)[Axis.PHONE]


def test_an_order_is_found_by_phone_and_mail_in_any_spelling(bob: Client) -> None:
    ani, _ = buy(lobby_sale(), ["ani", "budi"])
    phone = _phone("ani")
    spellings = [phone, f"+62 {phone[1:5]}-{phone[5:]}", f" 62{phone[1:]}\n", "ani@example.com", " ANI@Example.COM "]
    # As copied from a contact list, a chat or a table: marks of text direction, no-break spaces, a tab, a BOM.
    spellings += [f"\u202a+62{phone[1:]}\u202c", f"{phone[:4]}\u00a0{phone[4:8]}\u00a0{phone[8:]}", f"\ufeff{phone}"]
    spellings += [f"{phone[:4]}\t{phone[4:]}", "ani@example.com\u200b", f"\u200e{ani.pk}"]
    assert {spelling: _find(bob, spelling) for spelling in spellings} == {spelling: [ani] for spelling in spellings}


def test_an_order_is_found_by_the_reference_of_its_payment_or_refund(dave: Client) -> None:
    ani, budi = buy(lobby_sale(), ["ani", "budi"])
    now, attempt = timezone.now(), PaymentAttempt.objects.get(reservation=budi)
    Refund.objects.create(
        attempt=attempt, reference="fr-9", amount=1, why="late", state="confirmed", provider_id="R-77", made_at=now,
        settled_at=now,
    )  # fmt: skip
    assert _find(dave, PaymentAttempt.objects.get(reservation=ani).reference) == [ani]
    assert _find(dave, f"{budi.pk}/1") == [budi], "the reference of an attempt of an earlier release"
    assert _find(dave, "R-77") == _find(dave, "fr-9") == [budi]
    assert _find(dave, str(ani.pk)) == _find(dave, str(ani.pk)[:13].upper()) == [ani]


def test_a_person_is_found_in_every_campaign_and_before_paying(bob: Client) -> None:
    first = buy(lobby_sale(), ["ani"])[0]
    sale = lobby_sale()
    ani = Shopper(sale, "ani")
    ani.enter()
    open_now(sale)
    open_now(sale)
    held = Reservation.objects.get(pk=ani.reserve().id)
    assert _find(bob, _phone("ani")) == _find(bob, "ani@example.com") == [held, first]
    assert messages_on(bob.post(FIND, {"typed": _phone("ani")}, follow=True)) == ["2 reservations were found."]


def test_only_users_who_may_see_contacts_search_by_a_person(dave: Client, alice: Client, bob: Client) -> None:
    buy(lobby_sale(), ["ani"])
    records = Record.objects.count()
    for client in (dave, alice):
        for typed in (_phone("ani"), "ani@example.com", "+62 811 9999 9999", "nobody@example.com"):
            assert _refusal(client, typed) == ["Only users who may see contacts can search by phone or e-mail."]
        assert "phone or e-mail" not in client.get(LIST).content.decode()
    assert Record.objects.count() == records
    assert "phone or e-mail" in bob.get(LIST).content.decode()


def test_many_searches_are_refused_here_as_on_the_page_of_support(bob: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(find_person, "ALARM_AT", 2)
    monkeypatch.setattr(find_person, "SEARCHES_MAX", 3)
    buy(lobby_sale(), ["ani"])
    for _ in range(3):
        assert _refusal(bob, "nobody@example.com") == ["No reservation was found."]
    assert Record.objects.filter(what="many_searches").count() == 1
    assert _refusal(bob, _phone("ani")) == ["You have made 3 searches in the last hour. Wait, or ask another person."]
    assert Record.objects.filter(what="search").count() == 3


def test_the_trail_has_who_searched_and_what_was_found_but_not_what_was_typed(bob: Client) -> None:
    (ani,) = buy(lobby_sale(), ["ani"])
    _find(bob, _phone("ani"))
    user = bob.get("/admin/").wsgi_request.user
    record = Record.objects.first()
    assert (record.who, record.what, record.subject) == (f"staff:{user.pk}", "search", "reservations")
    assert json.loads(record.facts) == {"by": ["phone"], "found": [str(ani.pk)]}
    assert _refusal(bob, "nobody@example.com") == ["No reservation was found."]
    assert json.loads(Record.objects.first().facts) == {"by": ["email"], "found": []}


def test_what_was_typed_stays_nowhere(bob: Client, gate: redis.Redis, caplog: pytest.LogCaptureFixture) -> None:
    lobby_sale()
    phone = canary.PHONES[0]
    with canary.listening(gate) as heard:
        answers = [bob.post(FIND, {"typed": value}, follow=True) for value in (phone, canary.EMAILS[0])]
    for answer in answers:
        assert [url for url, _status in answer.redirect_chain] == [LIST]
        assert canary.leaks(answer.content) == []
    cookies = str(bob.cookies).encode()
    everywhere = b"\n".join([cookies, caplog.text.encode(), canary.in_books(), canary.in_redis(gate), *heard])
    assert canary.leaks(everywhere) == []


def test_an_address_has_only_the_ids_of_what_was_found(bob: Client) -> None:
    ani, _ = buy(lobby_sale(), ["ani", "budi"])
    page = bob.post(FIND, {"typed": "ani@example.com"}, follow=True)
    assert page.redirect_chain == [(f"{LIST}?id__in={ani.pk}", 302)]
    assert bob.get(FIND, {"typed": "ani@example.com"})["Location"] == LIST, "a search in an address is not performed"
    assert Record.objects.filter(what="search").count() == 1


@pytest.mark.parametrize("typed", ["", " ", "%", "_", ".*", "12", "abc", "Ani", "' OR 1=1 --", "x" * 201, "\x00", "é@"])
def test_what_cannot_be_read_is_refused_and_not_echoed(bob: Client, typed: str) -> None:
    buy(lobby_sale(), ["ani"])
    records = Record.objects.count()
    assert _refusal(bob, typed) == [UNREADABLE]
    assert Record.objects.count() == records


def test_a_person_of_an_erased_campaign_is_not_found(bob: Client) -> None:
    sale = lobby_sale()
    (ani,) = buy(sale, ["ani"])
    assert _find(bob, "ani@example.com") == [ani]
    erase.erase(campaign=end_now(sale).campaign)
    assert _refusal(bob, "ani@example.com") == [UNREADABLE], "no campaign is left in which it has a digest"
    assert _find(bob, str(ani.pk)) == [ani]


def test_a_list_of_many_says_that_there_may_be_more(bob: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("flashsale.life.find_orders", "flashsale.admin.reservation"):
        monkeypatch.setattr(f"{name}.FOUND_MAX", 2)
    _, second, third = (buy(lobby_sale(), ["ani"])[0] for _ in range(3))
    page = bob.post(FIND, {"typed": _phone("ani")}, follow=True)
    assert messages_on(page) == ["2 reservations were found. There may be more: these are the newest."]
    assert list(page.context["cl"].result_list) == [third, second]


def test_a_search_needs_the_right_to_see_reservations(client: Client, root: Client) -> None:
    assert client.post(FIND, {"typed": "0812"}).status_code == 302
    user: Any = root.get("/admin/").wsgi_request.user
    user.is_superuser = False
    user.save()
    assert root.post(FIND, {"typed": "0812"}).status_code == 403
    assert not Record.objects.filter(what="search").exists()
    assert reverse("admin:flashsale_reservation_find") == FIND
