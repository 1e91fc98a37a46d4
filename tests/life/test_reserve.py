"""A person enters, is drawn, called, and holds a unit."""

import pytest

from flashsale.models import LimitSlot, Reservation, ReservationUnit, Unit
from flashsale.rules.outcomes import Outcome, Refused
from tests.factories import PHONE, Shopper, lobby_sale, open_now

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate"), pytest.mark.books]


def test_a_person_who_is_called_gets_a_unit_and_postgresql_has_it():
    sale = lobby_sale(stock={PHONE: 2})
    ani = Shopper(sale, "ani")
    ani.enter()
    open_now(sale)
    open_now(sale)
    held = ani.reserve()
    row = Reservation.objects.get(pk=held.id)
    assert (row.state, row.quantity, row.amount, row.number) == ("held", 1, 1_799_000, 1)
    assert Unit.objects.filter(state="held").count() == 1
    assert ReservationUnit.objects.get(reservation=row).active
    assert LimitSlot.objects.filter(reservation=row).count() == 2


def test_the_same_key_gets_the_same_answer_and_one_unit():
    sale = lobby_sale(stock={PHONE: 2})
    ani = Shopper(sale, "ani")
    ani.enter()
    open_now(sale)
    open_now(sale)
    first, second = ani.reserve(key="k"), ani.reserve(key="k")
    assert first.id == second.id
    assert (first.replayed, second.replayed) == (False, True)
    assert Unit.objects.filter(state="held").count() == 1


def test_another_key_finds_the_place_spent():
    sale = lobby_sale(stock={PHONE: 2})
    ani = Shopper(sale, "ani")
    ani.enter()
    open_now(sale)
    open_now(sale)
    ani.reserve(key="k")
    with pytest.raises(Refused) as refused:
        ani.reserve(key="other")
    assert refused.value.outcome is Outcome.PLACE_SPENT
    assert Unit.objects.filter(state="held").count() == 1
