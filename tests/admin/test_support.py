"""Support finds a person by what a caller reads out, and reads the whole story of an order; each look is noted."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any

import pytest
import redis
from django.contrib.auth.models import User
from django.core import mail
from django.core.exceptions import ValidationError
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone, translation

from flashsale.gate import bridge
from flashsale.gate.keys import provider_pace_key
from flashsale.gate.provider_pace import next_turn
from flashsale.life import find_person, look_now, notify, person_requests, review
from flashsale.life.leave import leave
from flashsale.life.trail_keys import records_about
from flashsale.models import Channel, Notice, PaymentAttempt, PersonRequest, Record, Refund, Reservation, Sale, TrailKey
from flashsale.providers import payments
from flashsale.rules.identity import Axis
from tests.admin.forms import messages_on, submit
from tests.admin.orders import buy
from tests.factories import PHONE, Shopper, end_now, identity, lobby_sale, open_now
from tests.faults.steps import paid_elsewhere
from tests.life.people import facts_of
from tests.privacy import canary

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]
FIND = "/admin/flashsale/reservation/support/"


def _find(client: Client, typed: str, **more: Any) -> tuple[list[Reservation], list[tuple[int, str]]]:
    """The orders and the places (index, state) that the answer shows."""
    page = client.post(FIND, {"typed": typed, "why": "order", **more})
    assert page.status_code == 200
    found = page.context["found"]
    assert found is not None, page.context["form"].errors
    return found.orders, [(entry.index, entry.state.value) for entry in found.entries]


def _error(client: Client, typed: str) -> list[str]:
    return list(client.post(FIND, {"typed": typed, "why": "order"}).context["form"].errors.get("typed", []))


@pytest.fixture
def sale() -> Sale:
    """Ani has bought, Budi is called, Citra has left before the draw."""
    sale = lobby_sale(stock={PHONE: 3})
    budi, citra = Shopper(sale, "budi"), Shopper(sale, "citra")
    budi.enter()
    citra.enter()
    bridge.run(leave(card=citra.card, line=citra.line, place=citra.place))
    buy(sale, ["ani"])
    return sale


def test_a_person_is_found_by_whatever_a_caller_reads_out_and_every_search_is_noted(
    sale: Sale, bob: Client, dave: Client, gate: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    order, phone = Reservation.objects.get(), identity("ani")[Axis.PHONE]
    Reservation.objects.update(partner_reference="LZD-007")
    attempt = PaymentAttempt.objects.get()
    now = timezone.now()
    Refund.objects.create(
        attempt=attempt, reference="fr-9", amount=1, why="late", state="confirmed", provider_id="R-77", made_at=now,
        settled_at=now,
    )  # fmt: skip
    spent = [(order.index, "spent")]
    for typed in (phone, f" {phone[:4]} {phone[4:]}", identity("ani")[Axis.EMAIL].upper()):
        assert _find(bob, typed) == ([order], spent), typed
    for typed in (str(order.pk), str(order.pk)[:8], attempt.reference, "R-77", "LZD-007"):
        assert _find(dave, typed) == ([order], []), typed
    token = Shopper(sale, "ani").enter().token
    assert _find(dave, token) == _find(dave, f"{sale.code} {order.number}") == ([order], spent)
    # While the sale runs, people without an order are found, too.
    assert _find(bob, identity("budi")[Axis.PHONE]) == ([], [(1, "called")])
    assert [state for _index, state in _find(bob, identity("citra")[Axis.EMAIL])[1]] == ["left"]
    other = lobby_sale()
    assert _find(bob, phone, campaign=other.campaign_id) == ([], [])
    assert _error(bob, "nothing of ours!")[0].startswith("This is no phone number, e-mail address, order, reference,")
    refused = ["Only users who may see contacts can search by phone or e-mail."]
    assert _error(dave, phone) == _error(dave, "ani@example.com") == refused
    assert Record.objects.filter(what="find_person").count() == TrailKey.objects.count() == 13
    first = Record.objects.filter(what="find_person").order_by("position")[0]
    assert (first.subject, first.why, first.who) == ("people", "order", f"staff:{User.objects.get(username='bob').pk}")
    facts = json.loads(first.facts)
    assert {name: facts[name] for name in ("by", "found", "entries")} == {
        "by": ["phone"], "found": [str(order.pk)], "entries": 1,
    }  # fmt: skip
    # Who has the value finds the searches for it; the records themselves do not have it.
    assert len(list(records_about(find_person.noted_values({Axis.PHONE: phone.replace("0", "+62", 1)})))) == 3
    TrailKey.objects.all().delete()
    assert list(records_about(find_person.noted_values({Axis.PHONE: phone}))) == []
    assert phone.lstrip("0").encode() not in canary.in_books() + canary.in_redis(gate) + caplog.text.encode()
    assert bob.get(FIND, {"typed": phone, "why": "order"}).context["found"] is None


def test_a_place_in_a_sale_that_is_over_waits_for_nothing(sale: Sale, bob: Client) -> None:
    token = Shopper(sale, "budi").enter().token
    running = bob.post(FIND, {"typed": token, "why": "order"}).content.decode()
    assert ("called, may reserve now" in running, "the sale has ended" in running) == (True, False)
    end_now(sale)
    over = bob.post(FIND, {"typed": token, "why": "order"}).content.decode()
    assert ("called, may reserve now" in over, "the sale has ended" in over) == (False, True)


def test_many_searches_raise_an_alarm_in_the_trail_and_are_refused_at_last(
    sale: Sale, bob: Client, carol: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(find_person, "ALARM_AT", 2)
    monkeypatch.setattr(find_person, "SEARCHES_MAX", 3)
    order = str(Reservation.objects.get().pk)
    for _ in range(3):
        _find(bob, order)
    assert facts_of("many_searches") == [{"searches": 2}]
    assert "searches very often" in caplog.text
    assert _error(bob, order) == ["You have made 3 searches in the last hour. Wait, or ask another person."]
    assert Record.objects.filter(what="find_person").count() == 3
    _find(carol, order)
    assert "why" in bob.post(FIND, {"typed": order}).context["form"].errors


def test_requests_contacts_and_failed_searches_count_as_searches_and_none_is_done_beside_another(
    sale: Sale, bob: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    order, user = Reservation.objects.get(), User.objects.get(username="bob")
    monkeypatch.setattr(find_person, "ALARM_AT", 3)
    monkeypatch.setattr(find_person, "SEARCHES_MAX", 4)
    looks: list[Callable[[], Any]] = [
        lambda: person_requests.take(
            kind="find",
            values={"phone": identity("ani")[Axis.PHONE]},
            proof="code",
            received_at=timezone.now(),
            by=user,
        ),
        lambda: _error(bob, "nothing of ours!"),
        lambda: bob.get(f"/admin/flashsale/reservation/{order.pk}/change/"),
        lambda: bob.post(f"/admin/flashsale/reservation/{order.pk}/contact/", {"why": "order"}),
    ]
    for done, look in enumerate(looks, start=1):
        look()
        assert find_person.searches_of(user) == done
    assert facts_of("many_searches") == [{"searches": 3}]
    records, read = Record.objects.count(), "Jl. Mawar"
    refused = "You have made 4 searches in the last hour. Wait, or ask another person."
    with pytest.raises(ValidationError, match="in the last hour"), translation.override("en"):
        looks[0]()
    for page in (looks[2](), looks[3]()):
        assert (refused in page.content.decode(), read in page.content.decode()) == (True, False)
    assert _error(bob, str(order.pk)) == [refused]
    assert (Record.objects.count(), PersonRequest.objects.count()) == (records, 1)

    # Of two searches at the same time, the second would not see that the first counts.
    monkeypatch.setattr(find_person, "SEARCHES_MAX", 5)
    kept, errors = find_person._find, []

    def search_beside(*args: Any, **named: Any) -> Any:
        def second() -> None:
            monkeypatch.setattr(find_person, "_find", kept)
            try:
                with translation.override("en"):
                    find_person.find_person(typed=str(order.pk), why=find_person.Why.ORDER, by=user, sees_contacts=True)
            except ValidationError as error:
                errors.append([str(error.message)])
            finally:
                connection.close()

        with ThreadPoolExecutor(1) as thread:
            thread.submit(second).result()
        return kept(*args, **named)

    monkeypatch.setattr(find_person, "_find", search_beside)
    with monkeypatch.context() as unguarded:
        unguarded.setattr(find_person, "advisory_lock", lambda *_, **__: nullcontext(enter_result=True))
        _find(bob, str(order.pk))
        assert (errors, find_person.searches_of(user)) == ([], 6), "the control: both are done, above the limit"
    monkeypatch.setattr(find_person, "SEARCHES_MAX", 7)
    monkeypatch.setattr(find_person, "_find", search_beside)
    _find(bob, str(order.pk))
    assert errors == [["Another search of yours is not done yet. Wait for it, and try again."]]
    assert find_person.searches_of(user) == 7


def test_the_story_of_an_order_is_on_one_page_and_its_contact_is_shown_for_a_reason(
    bob: Client, dave: Client, make_user: Callable[..., Client]
) -> None:
    sale = lobby_sale(stock={PHONE: 3})
    Channel.objects.update(order_letters=True)
    order = buy(sale, ["ani"])[0]
    notify.send_due()
    staff = [User.objects.get(username="bob"), make_user("erin", "reviewer").get("/admin/").wsgi_request.user]
    case = review.open_case(reservation=order, by=staff[0])
    review.propose(case=case, code="one_person_many_identities", by=staff[0])
    review.approve(case=case, by=staff[1])
    notify.send_due()
    url = reverse("admin:flashsale_story", args=[order.pk])
    page = dave.get(url)
    steps = [(step.kind, step.what) for _at, step in page.context["steps"]]
    for expected in (
        ("line", f"number {order.number} was called"), ("order", "reserved"), ("money", "payment started"),
        ("money", "paid"), ("order", "confirmed"), ("letter", "letter: order confirmed"), ("review", "case opened"),
        ("staff", "opened a case"), ("staff", "proposed to cancel"), ("review", "case decided"),
        ("review", "cancelled"), ("letter", "letter: order cancelled"), ("money", "refund due"),
    ):  # fmt: skip
        assert expected in steps
    assert steps == [(step.kind, step.what) for _at, step in sorted(page.context["steps"], key=lambda one: one[1].at)]
    assert all("WIB" in at for at, _step in page.context["steps"])
    text = page.content.decode()
    assert "Jl. Mawar" not in text
    assert "ani@example.com" not in text
    assert "Show the contact" not in text
    contact = reverse("admin:flashsale_story_contact", args=[order.pk])
    assert dave.post(contact, {"why": "letter"}).status_code == 403
    assert "Jl. Mawar" not in bob.post(contact, {}).content.decode()
    assert facts_of("read_contact") == []
    shown = bob.post(contact, {"why": "letter"}).content.decode()
    assert "Jl. Mawar" in shown
    assert "Pesanan Anda" in shown or "pesanan" in shown.lower()
    assert facts_of("read_contact") == [{"why": "letter"}]
    # Staff read that there is a link, and cannot act as the buyer with it. The letter itself has it.
    assert ("/appeal#…" in shown, "#fs" in shown) == (True, False)
    assert "/appeal#fs" in str(mail.outbox[-1].body)
    # The letter goes out again by the page that says what happens.
    letter = Notice.objects.get(kind="cancelled")
    again = f"{reverse('admin:flashsale_notice_send-again')}?id={letter.pk}"
    assert again in shown
    submit(bob, again)
    letter.refresh_from_db()
    assert letter.state == "due"
    assert ("staff", "sent the letter again") in [(s.kind, s.what) for _at, s in bob.get(url).context["steps"]]


def test_the_provider_is_asked_now_and_what_it_says_takes_effect_once(bob: Client) -> None:
    sale = lobby_sale(stock={PHONE: 3})
    ani = Shopper(sale, "ani")
    ani.enter()
    open_now(sale)
    open_now(sale)
    paid_elsewhere(ani)
    order = Reservation.objects.get()
    look = reverse("admin:flashsale_story_look", args=[order.pk])
    assert (order.state, bob.get(look).status_code) == ("held", 302)
    assert facts_of("look_now") == []
    for _ in range(2):
        page = bob.post(look, follow=True)
        assert messages_on(page) == ["The provider was asked about 1 payments and refunds; 0 got no answer."]
        assert Reservation.objects.get().state == "confirmed"
    assert PaymentAttempt.objects.get().payment_state == "paid"
    assert facts_of("look_now") == [{"asked": 1, "no_answer": 0}] * 2


def test_asking_now_again_and_again_does_not_move_the_turns_of_buyers_away(
    bob: Client, gate: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = buy(lobby_sale(stock={PHONE: 3}), ["ani"])[0]
    account = PaymentAttempt.objects.get().account
    monkeypatch.setattr(type(payments.account_of(account)), "pace", 1.0)
    monkeypatch.setattr(look_now, "WAIT_S", 0.0)
    for _ in range(60):  # buyers' calls use the pace of the next minute
        bridge.run(next_turn(account, pace=1.0))
    key = provider_pace_key(account)
    booked = int(gate.get(key) or 0)
    for _ in range(10):
        bob.post(reverse("admin:flashsale_story_look", args=[order.pk]))
    # The background has half of the pace: one call in two seconds. These ten took less than twenty.
    assert int(gate.get(key) or 0) - booked < 10_000_000
