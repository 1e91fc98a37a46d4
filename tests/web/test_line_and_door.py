"""One channel may have a line and a direct door in one sale: each has its own units, and the limit counts in both."""

from typing import Any

import pytest

from flashsale.models import Reservation, Sale
from flashsale.rules.states import AllocationMode
from tests.factories import PHONE, identity, open_now, poco_campaign
from tests.life.tranches import held_promises, line, sale_of
from tests.web.asgi import Reply
from tests.web.partner import Partner, key_of


@pytest.fixture
def sale(transactional_db: None, gate: Any) -> Sale:
    """A sale of Lazada with two phones in its line and two behind its door."""
    lines = [line("queue", 2), line("door", 2, mode=AllocationMode.DIRECT)]
    return sale_of(*lines, campaign=poco_campaign())


@pytest.fixture
def queue(sale: Sale) -> Partner:
    return Partner(key_of(sale.campaign, "lazada"), sale, "queue")


@pytest.fixture
def door(sale: Sale, queue: Partner) -> Partner:
    return Partner(queue.key, sale, "door")


def directly(door: Partner, name: str) -> Reply:
    body = {"identity": {axis.value: value for axis, value in identity(name).items()}}
    return door.post("reserve", body | {"items": [{"sku": PHONE, "quantity": 1}]}, idempotency_key=f"direct-{name}")


def test_people_of_one_channel_buy_in_its_line_and_through_its_door(sale: Sale, queue: Partner, door: Partner) -> None:
    places = [queue.enter(name) for name in ("ani", "budi")]
    for _drawn_then_called in range(2):
        open_now(sale)
    assert [queue.reserve(place, key=f"k{n}").status for n, place in enumerate(places)] == [201, 201]
    assert [directly(door, name).status for name in ("citra", "dodi")] == [201, 201]
    assert sorted(Reservation.objects.values_list("allocation__code", "channel__code")) == [
        ("door", "lazada"), ("door", "lazada"), ("queue", "lazada"), ("queue", "lazada"),
    ]  # fmt: skip
    assert directly(door, "edi").json["code"] == "sold_out"
    held_promises()


def test_the_limit_of_a_person_counts_in_both(sale: Sale, queue: Partner, door: Partner) -> None:
    place = queue.enter("ani")
    for _drawn_then_called in range(2):
        open_now(sale)
    assert directly(door, "ani").status == 201
    assert queue.reserve(place).json["code"] == "limit_reached"
    assert Reservation.objects.count() == 1
    held_promises()


def test_each_verb_stays_in_its_place(sale: Sale, queue: Partner, door: Partner) -> None:
    who = {axis.value: value for axis, value in identity("ani").items()}
    assert door.post("enter", {"identity": who}).json["code"] == "forbidden"
    open_now(sale)
    wanted = {"items": [{"sku": PHONE, "quantity": 1}]}
    reply = queue.post("reserve", {"identity": who} | wanted, idempotency_key="k")
    assert (reply.status, reply.json["code"]) == (422, "unknown_field")
    assert Reservation.objects.count() == 0
