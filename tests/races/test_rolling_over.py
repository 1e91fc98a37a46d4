"""Units on their way to the next line: each is offered in one line only, also while Redis is filled again.

Each called person has a unit, also when two processes decide at once.
"""

import threading
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
import redis
from django.db import connections
from django.utils import timezone

from flashsale.gate import bridge, inspect, scripts
from flashsale.life import draw, roll_over, snapshot, tick
from flashsale.models import Move, Sale, Unit
from tests.factories import PHONE, Shopper, card_of, lobby_sale, move_opening, open_now, tend
from tests.faults.steps import broken

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]


def rolling_sale() -> Sale:
    """A sale whose first line, with three units, rolls over to its second."""
    opens = timezone.now() + timedelta(hours=1)
    first = {"code": "first", "channels": ["lazada"], "stock": {PHONE: 3}, "successor": "public"}
    public = {"code": "public", "channels": ["akulaku"], "stock": {PHONE: 0}}
    lines = [first | {"rolls_over_at": opens + timedelta(minutes=30)}, public]
    return lobby_sale(lines=lines, opens_at=opens, closes_at=opens + timedelta(hours=1))


def withdrawn() -> tuple[Sale, Callable[[], Any]]:
    """An open sale with two units that Redis has withdrawn, and the next step, which moves them in PostgreSQL."""
    sale = open_now(rolling_sale())
    card = card_of(sale)
    origin, target = card.lines
    units: Any = bridge.run(scripts.withdraw(card, origin, keep=1, called=0))
    assert len(units) == 2
    return sale, lambda: roll_over.move_units(card, origin.id, target.id, units)


def offered(sale: Sale) -> list[list[int]]:
    """The units that each line offers."""
    card = card_of(sale)
    return [sorted(map(int, bridge.run(inspect.offered_units(card, line)))) for line in card.lines]


def fill_again(sale: Sale) -> None:
    """Does what each web process does when it finds Redis empty."""
    bridge.run(tick.mend_all())
    tend(sale)
    bridge.run(tick.mend_all())


def moves_while_filled(
    move: Callable[[], Any], gate: redis.Redis, sale: Sale, monkeypatch: pytest.MonkeyPatch
) -> tuple[bool, list[Any]]:
    """Redis is filled again; the move starts while PostgreSQL is read. Returns whether it waited, and its answers."""
    really = snapshot._sale_of
    answers: list[Any] = []
    waited: list[bool] = []

    def run() -> None:
        answers.append(move())
        connections.close_all()

    mover = threading.Thread(target=run)

    def read(*row_and_card: Any, **how: Any) -> Any:
        loaded = really(*row_and_card, **how)
        if not waited:
            mover.start()
            mover.join(1)
            waited.append(mover.is_alive())
        return loaded

    with monkeypatch.context() as patch:
        patch.setattr(snapshot, "_sale_of", read)
        gate.flushall()
        bridge.run(tick.mend_all())
    mover.join(20)
    fill_again(sale)
    return waited[0], answers


def test_units_moved_while_the_gate_is_filled_are_offered_twice_without_the_lock(
    gate: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    sale, move = withdrawn()
    card = card_of(sale)
    monkeypatch.setattr(roll_over, "lock_sale", lambda _: (card.epoch, "published"))
    waited, _ = moves_while_filled(move, gate, sale, monkeypatch)
    assert waited is False
    first, public = offered(sale)
    assert len({*first} & {*public}) == 2
    assert any("Redis offers unit" in line for line in broken(sale))


def test_units_are_not_moved_while_the_gate_is_filled(gate: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    sale, move = withdrawn()
    waited, answers = moves_while_filled(move, gate, sale, monkeypatch)
    assert (waited, answers) == (True, [None])
    nothing_moved(sale)


def test_who_withdrew_units_from_a_gate_that_is_no_more_moves_none(gate: redis.Redis) -> None:
    sale, move = withdrawn()
    gate.flushall()
    fill_again(sale)
    assert move() is None
    nothing_moved(sale)


def nothing_moved(sale: Sale) -> None:
    """Checks that all units are in their old line, at their first version, and offered there."""
    units = list(Unit.objects.order_by("pk").values_list("pk", "version", "allocation__code"))
    assert [unit[1:] for unit in units] == [(1, "first")] * 3
    assert offered(sale) == [[pk for pk, *_ in units], []]
    assert Move.objects.count() == 0
    assert broken(sale) == []


def doors_that_saw_the_same() -> tuple[Shopper, Callable[[], None], Callable[[], None]]:
    """A person who waits, and two processes with the same survey: one calls people, the other rolls over."""
    sale = rolling_sale()
    ani = Shopper(sale, "ani", line="first")
    ani.enter()
    move_opening(sale)
    bridge.run(draw.draw(card=card_of(sale)))
    card = card_of(sale)
    figures: Any = bridge.run(scripts.survey(card, card.lines[0]))
    calls = partial(bridge.run, tick._call_people(card, card.lines[0], figures))
    rolls = partial(bridge.run, roll_over.roll_over(card=card, line=card.lines[0], figures=figures))
    return ani, calls, rolls


def test_a_number_called_right_before_the_roll_over_keeps_its_unit() -> None:
    ani, calls, rolls = doors_that_saw_the_same()
    calls(), rolls()
    assert (ani.look().state, *map(len, offered(ani.sale))) == ("called", 3, 0)
    assert ani.reserve().replayed is False


def test_no_number_is_called_by_who_has_not_seen_that_the_units_rolled_over() -> None:
    ani, calls, rolls = doors_that_saw_the_same()
    rolls(), calls()
    assert (ani.look().state, *map(len, offered(ani.sale))) == ("waiting", 0, 3)
