"""Direct allocations: a partner reserves without a line, within stock and limit."""

import pytest
from django.core.exceptions import ValidationError

from flashsale.gate import bridge
from flashsale.life.enter import digest_identity
from flashsale.life.reserve import direct_place, reserve
from flashsale.life.schedule import publish
from flashsale.models import Reservation, Unit
from flashsale.rules.outcomes import Outcome
from flashsale.rules.states import AllocationMode
from tests.factories import PHONE, Shopper, card_of, channel_of, draft_sale, identity, open_now, refusal, tend
from tests.faults.steps import come_due, reap
from tests.life.tranches import held_promises, line, sale_of

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]


def direct(sale, name, *, key="once", quantity=1):
    card = card_of(sale)
    where = card.line("door")
    person = direct_place(card=card, line=where, digests=digest_identity(card=card, values=identity(name)))
    channel = channel_of(card, "lazada")
    return bridge.run(
        reserve(
            card=card,
            line=where,
            channel=channel,
            place=person,
            items=[(PHONE, quantity)],
            key=key,
            key_owner=f"channel:{channel.id}",
        )
    )


def test_a_partner_reserves_directly_within_stock_and_limit():
    sale = sale_of(line("door", 2, mode=AllocationMode.DIRECT))
    assert refusal(direct, sale, "ani") is Outcome.NOT_OPEN
    open_now(sale)
    first = direct(sale, "ani", key="k1")
    assert direct(sale, "ani", key="k1").id == first.id
    assert refusal(direct, sale, "budi", key="k1") is Outcome.KEY_REUSED
    assert refusal(direct, sale, "ani", key="k2") is Outcome.LIMIT_REACHED
    direct(sale, "budi", key="k3")
    assert refusal(direct, sale, "cici", key="k4") is Outcome.SOLD_OUT
    assert sorted(Reservation.objects.values_list("index", "number")) == [(1, 1), (2, 2)]
    assert set(Unit.objects.values_list("state", flat=True)) == {"held"}
    held_promises()


def test_a_direct_allocation_sells_on_after_more_holds_than_a_line_may_have_entries():
    sale = sale_of(line("door", 2, mode=AllocationMode.DIRECT), max_entries=2)
    open_now(sale)
    for name in ("ani", "budi"):
        direct(sale, name, key=name)
    come_due(sale)
    reap(sale)
    tend(sale)
    made = [direct(sale, name, key=name) for name in ("cici", "dodi")]
    assert refusal(direct, sale, "edi", key="edi") is Outcome.SOLD_OUT
    assert [direct(sale, name, key=name).id for name in ("cici", "dodi")] == [one.id for one in made]
    assert sorted(Reservation.objects.values_list("index", "state")) == [
        (1, "expired"), (2, "expired"), (3, "held"), (4, "held"),
    ]  # fmt: skip
    held_promises()


def test_entering_a_direct_allocation_is_refused():
    sale = sale_of(line("door", 2, mode=AllocationMode.DIRECT))
    assert refusal(Shopper(sale, "ani", line="door").enter) is Outcome.FORBIDDEN
    with pytest.raises(ValidationError):
        publish(sale=draft_sale(lines=[line("door", 1, channel="mi.com", mode=AllocationMode.DIRECT)]))
