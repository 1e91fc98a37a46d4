"""Erasing one person: refused while something is open, whole when it happens, and the books and Redis still balance."""

from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone, translation

from flashsale.gate import bridge, people
from flashsale.gate.client import GateDown
from flashsale.life import appeal, erase_person, notify, retention, review, settlement
from flashsale.life.erase_person import CannotErasePerson, carry_on
from flashsale.life.find_person import entries_of
from flashsale.life.refund import refund_due
from flashsale.models import (
    Case,
    Contact,
    LimitSlot,
    PersonRequest,
    Reservation,
    Sale,
    Settlement,
    Trait,
)
from flashsale.rules.identity import Axis
from flashsale.rules.outcomes import Outcome
from tests.factories import PHONE, Shopper, card_of, draft_sale, end_now, identity, lobby_sale, open_now, refusal, tend
from tests.faults.steps import ONE_HELD, broken, buy, called, dies_at, in_gate, money_astray
from tests.life.people import erased, facts_of, request_of, staff
from tests.privacy.canary import in_books

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]
TWO_SOLD = {"offered": 1, "held": 0, "sold": 2, "used": [1, 1, 1, 1]}


def _places(name: str) -> list[tuple[int, str]]:
    known = identity(name)
    found = entries_of({Axis.PHONE: known[Axis.PHONE], Axis.EMAIL: known[Axis.EMAIL]})
    return [(entry.index, entry.state.value) for entry in found]


@pytest.fixture
def sold(gate: Any, transactional_db: None) -> Sale:
    """Ani and Budi have bought in a sale that is open. Citra waits."""
    sale = lobby_sale(stock={PHONE: 3}, max_entries=500)
    buyers = [Shopper(sale, name) for name in ("ani", "budi")]
    for person in (*buyers, Shopper(sale, "citra")):
        person.enter()
    open_now(sale)
    tend(sale)
    for person in buyers:
        buy(person)
    assert in_gate(sale) == TWO_SOLD
    return sale


def _own(name: str) -> Reservation:
    """The order of a person whose contact is kept."""
    return next(one.reservation for one in Contact.objects.all() if one.read()["name"] == name)


def test_while_the_sale_runs_only_what_the_limit_needs_stays_and_it_goes_when_the_sale_is_over(
    sold: Sale, monkeypatch: pytest.MonkeyPatch
) -> None:
    ani = _own("ani")
    assert [state for _index, state in _places("ani")] == ["spent"]
    request = erased("ani")
    # The person is gone from everything but the limit.
    assert (request.state, request.sealed, request.orders) == ("approved", "", [str(ani.pk)])
    assert not Contact.objects.filter(reservation=ani).exists()
    assert not Trait.objects.filter(reservation=ani).exists()
    assert _places("ani") == []
    assert in_gate(sold) == TWO_SOLD
    assert broken(sold) == money_astray() == []
    again = Shopper(sold, "ani")
    assert refusal(again.enter) is Outcome.LIMIT_REACHED, "the limit still knows the person"
    assert carry_on() == 0, "the sale still runs"
    slots = set(LimitSlot.objects.filter(reservation=ani).values_list("digest", flat=True))
    end_now(sold)
    planned = draft_sale(sold.campaign)
    assert carry_on() == 0, "another sale is planned, and the limit holds in it, too"
    assert set(LimitSlot.objects.filter(reservation=ani).values_list("digest", flat=True)) == slots
    monkeypatch.setattr(erase_person, "PLANNED_MOST", timedelta(0))
    assert carry_on() == 1, "a plan that comes to nothing keeps the digests for a time only"
    planned.delete()
    assert carry_on() == 0
    request.refresh_from_db()
    assert (request.state, request.orders, request.done_by) == ("done", [], staff("tono"))
    assert not LimitSlot.objects.filter(digest__in=slots).exists()
    assert LimitSlot.objects.filter(reservation=ani).count() == len(slots)
    assert Reservation.objects.get(pk=ani.pk).asked == str(ani.pk)
    assert in_gate(sold) == TWO_SOLD
    assert broken(sold) == money_astray() == []
    assert _own("budi").contact.read()["name"] == "budi", "another person stays as they are"
    assert [fact["waiting"] for fact in facts_of("erase_person")] == [1, 0]


def test_a_person_in_the_line_is_gone_at_once_and_the_token_brings_nothing_back(sold: Sale) -> None:
    citra = Shopper(sold, "citra")
    citra.enter()
    assert citra.look().state == "called"
    # One proven value is enough: it leads to the place, and the place to all its digests.
    request = erased("citra", phone=identity("citra")[Axis.PHONE])
    assert (request.state, request.sealed) == ("done", "")
    assert citra.look().state == "left"
    assert refusal(citra.reserve) is Outcome.PLACE_LEFT
    assert _places("citra") == []
    digests = {digest for place in [citra.place] for digest in place.digests.values()}
    assert bridge.run(people.places_of(card_of(sold), digests)) == set()
    assert broken(sold) == []


@pytest.mark.parametrize("point", ["place forgotten", "rows deleted", "gate told"])
def test_a_process_that_dies_in_between_is_followed_by_the_sweep(
    sold: Sale, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    budi = _own("budi")
    end_now(sold)
    request = request_of("budi", "erase")
    act = lambda: erase_person.approve(request=request, by=staff("tono"))  # noqa: E731
    if point == "place forgotten":
        dies_at(monkeypatch, "erase person: place forgotten", act)
        assert Contact.objects.filter(reservation=budi).exists()
    elif point == "rows deleted":
        dies_at(monkeypatch, "erase person: rows deleted", act)
    else:
        dies_at(monkeypatch, "erase person: gate told", act)
    assert PersonRequest.objects.get().state == "approved"
    assert retention.forget_due() >= 1
    assert PersonRequest.objects.get().state == "done"
    assert not Contact.objects.filter(reservation=budi).exists()
    assert in_gate(sold) == TWO_SOLD
    assert broken(sold) == money_astray() == []


def test_it_waits_for_redis_and_settlements_and_sums_stay_as_they_are(
    sold: Sale, monkeypatch: pytest.MonkeyPatch
) -> None:
    Reservation.objects.update(partner_reference="LZD-1")
    settlement.make_due(now=timezone.now() + settlement.MADE_AFTER * 1000)
    files = list(Settlement.objects.values_list("pk", "csv_hash", "json_hash", "totals"))
    assert len(files) == 1
    end_now(sold)
    request = request_of("ani", "erase")

    async def down(*_: Any, **__: Any) -> None:
        raise GateDown("gone")

    with monkeypatch.context() as patch:
        patch.setattr(people, "places_of", down)
        assert erase_person.approve(request=request, by=staff("tono")).state == "approved"
        assert carry_on() == 0
    assert Contact.objects.count() == 2, "nothing in PostgreSQL was erased"
    assert carry_on() == 1
    assert Contact.objects.count() == 1
    assert list(Settlement.objects.values_list("pk", "csv_hash", "json_hash", "totals")) == files
    assert broken(sold) == money_astray() == []


def test_it_is_refused_until_everything_is_settled_and_needs_two_people(sold: Sale) -> None:
    held = called("dodi")[1][0]
    held.reserve()
    translation.activate("en")
    request, _tono = request_of("dodi", "erase"), staff("tono")
    before = in_books()
    with pytest.raises(CannotErasePerson, match="1 reservations are still held"):
        erase_person.approve(request=request, by=staff("tono"))
    with pytest.raises(ValidationError, match="Another person has to approve"):
        erase_person.approve(request=request, by=staff("sari"))
    assert in_books() == before
    assert in_gate(held.sale) == ONE_HELD | {"offered": 1}
    ani = _own("ani")
    case = review.open_case(reservation=ani, by=staff("sari"))
    of_ani = request_of("ani", "erase")
    assert erase_person.obstacles(of_ani) == ["1 cases are not decided: decide them first."]
    review.propose(case=case, code="one_person_many_identities", by=staff("sari"))
    review.approve(case=Case.objects.get(), by=staff("tono"))
    notify.send_due()
    assert [reason.partition(":")[0] for reason in erase_person.obstacles(of_ani)] == [
        "1 payments or refunds are not settled", "1 cancellations may still be appealed",
    ]  # fmt: skip
    appeal.appeal(case=Case.objects.get(), words="I live in a boarding house")
    assert "1 appeals are not decided: decide them first." in erase_person.obstacles(of_ani)
    appeal.decide(appeal=Case.objects.get().appeal, overturned=False, by=staff("wati"))
    refund_due()
    assert erase_person.obstacles(of_ani) == []
    with pytest.raises(IntegrityError), transaction.atomic():
        PersonRequest.objects.filter(pk=of_ani.pk).update(state="approved")
    with pytest.raises(IntegrityError), transaction.atomic():
        PersonRequest.objects.filter(pk=of_ani.pk).update(approved_by=of_ani.made_by)
    assert erase_person.approve(request=of_ani, by=staff("tono")).state == "approved"
    assert broken(sold) == []
