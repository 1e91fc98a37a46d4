"""Redis loses its data or stops: the sale refuses until it is filled again. No acknowledged reservation is lost."""

import shutil
import time
from collections.abc import Callable
from contextlib import nullcontext

import pytest
from django.db import connection  # noqa: F401 - what the mark below asks

from flashsale.books import writer_threads
from flashsale.gate import bridge, scripts
from flashsale.gate.client import GateDown
from flashsale.life import rebuild, schedule, tick
from flashsale.life.look import look
from flashsale.models import Reservation, Sale
from flashsale.rules.outcomes import Outcome
from flashsale.rules.states import PlaceState
from simulation.redis_server import RedisServer
from tests.factories import PHONE, Shopper, card_of, draft_sale, lobby_sale, refusal, tend
from tests.faults.steps import broken, buy, called, come_due, dying, in_gate, reap, recover, refused_by_the_gate, wipe
from tests.races.crowd import at_once

pytestmark = [pytest.mark.django_db(transaction=True)]
NAMES = ("ani", "budi", "cici", "dodi", "edi")


def emptied(server: RedisServer) -> None:
    wipe(server.port)


def restart(server: RedisServer) -> None:
    server.kill()
    server.start()


def restart_empty(server: RedisServer) -> None:
    server.kill()
    shutil.rmtree(server.folder)
    server.folder.mkdir()
    server.start()


@pytest.mark.parametrize("fault", [emptied, restart, restart_empty])
def test_acknowledged_reservations_outlive_the_gate(
    server: RedisServer, fault: Callable[[RedisServer], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    sale, people = called(*NAMES, stock=5)
    ani, budi, cici, dodi, edi = people
    held, bought = ani.reserve(), buy(budi)
    dying(monkeypatch, writer_threads.Writer, "submit", cici.reserve)
    before = in_gate(sale)
    assert before == {"offered": 2, "held": 2, "sold": 1, "used": [1] * 6}
    fault(server)

    for person in (ani, dodi):
        assert refused_by_the_gate(person) is Outcome.NOT_READY
    recover(sale)
    assert in_gate(sale) == {"offered": 3, "held": 1, "sold": 1, "used": [1] * 4}
    again = ani.reserve()
    assert again.replayed is True
    assert (again.id, again.made_ms, again.deadline_ms) == (held.id, held.made_ms, held.deadline_ms)
    assert refusal(ani.reserve, key="another") is Outcome.PLACE_SPENT
    assert refusal(budi.reserve, key="another") is Outcome.PLACE_SPENT
    assert (ani.look().state, ani.enter().created) == (PlaceState.SPENT, False)
    for person in (cici, dodi, edi):
        assert person.reserve().replayed is False
    assert sorted(Reservation.objects.values_list("state", flat=True)) == ["confirmed", *["held"] * 4]
    assert broken(sale) == []
    come_due(sale)
    assert reap(sale) == 4
    assert in_gate(sale) == {"offered": 4, "held": 0, "sold": 1, "used": [1, 1]}
    assert Reservation.objects.get(pk=bought.pk).state == "confirmed"
    assert broken(sale) == []


def test_numbers_and_places_stay_the_same_when_the_gate_is_filled_again(server: RedisServer) -> None:
    sale, people = called(*NAMES, stock=2)
    numbers = [person.number() for person in people]
    wipe(server.port)
    recover(sale)
    assert [person.number() for person in people] == numbers
    assert sum(person.look().state == "called" for person in people) == 2


def test_a_person_who_shows_their_token_after_a_loss_has_their_place_again(server: RedisServer) -> None:
    sale, (ani,) = called("ani", stock=1)
    wipe(server.port)
    recover(sale)
    ani.look()
    assert (ani.enter().index, ani.entry.created) == (1, False)


def test_no_index_is_given_twice_after_a_loss(server: RedisServer) -> None:
    sale = lobby_sale(stock={PHONE: 2}, max_entries=20_000)
    first = [Shopper(sale, name).enter().index for name in NAMES]
    wipe(server.port)
    recover(sale)
    second = [Shopper(sale, f"late-{name}").enter().index for name in NAMES]
    assert first == [1, 2, 3, 4, 5]
    assert min(second) > 5


def test_reservations_made_outlive_a_loss_of_how_far_was_called(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(tick, "_store_called", lambda *_: None)
        sale, people = called(*NAMES, stock=3)
    for person in people:
        if person.look().state == "called":
            person.reserve()
    wipe(server.port)
    bridge.run(tick.mend_all())
    assert broken(sale) == []


def test_those_called_before_a_loss_get_one_whole_window_on_the_lines_clock(server: RedisServer) -> None:
    sale, (ani,) = called("ani", stock=1)
    Sale.objects.filter(pk=sale.pk).update(paused_ms=60_000)
    wipe(server.port)
    bridge.run(tick.mend_all())
    seen = ani.look()
    assert 0 < seen.claim_ends - seen.now <= sale.claim_s * 1000


def test_a_gate_that_is_down_is_told_at_once_and_takes_nothing(server: RedisServer) -> None:
    sale, (ani, budi) = called("ani", "budi")
    budi.reserve()
    where = {"card": ani.card, "line": ani.line, "place": ani.place}
    server.kill()
    began = time.monotonic()
    with pytest.raises(GateDown):
        bridge.run(look(**where))
    with pytest.raises(GateDown):
        bridge.run(scripts.survey(where["card"], where["line"]))
    assert time.monotonic() - began < 30
    assert Reservation.objects.count() == 1
    server.start()
    tend(sale)
    assert ani.reserve().replayed is False
    assert broken(sale) == []


def test_a_payment_goes_through_while_the_gate_is_down(server: RedisServer) -> None:
    sale, (ani, _) = called("ani", "budi")
    held = ani.reserve()
    channel = ani.channel.id
    server.kill()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Shopper, "reserve", lambda *_, **__: held)
        patch.setattr(Shopper, "channel", type("Channel", (), {"id": channel}))
        assert buy(ani).state == "confirmed"
    server.start()
    tend(sale)
    assert in_gate(sale) == {"offered": 1, "held": 0, "sold": 1, "used": [1, 1]}
    assert broken(sale) == []


def test_two_doors_that_find_the_gate_empty_fill_it_once(server: RedisServer) -> None:
    sale, (ani,) = called("ani", stock=1)
    wipe(server.port)
    epochs = [rebuild.rebuild(sale=sale.pk).epoch for _ in range(2)]
    assert epochs == [2, 2]
    assert card_of(sale).epoch == 2
    assert ani.reserve().replayed is False


@pytest.mark.skipif("connection.vendor == 'sqlite'", reason="SQLite knows of nobody else at work")
@pytest.mark.usefixtures("server")
class TestTwoAtOnce:
    """A web process finds a sale that Redis does not know, while the process that published it starts to fill Redis."""

    def _publish_beside_a_door(self, monkeypatch: pytest.MonkeyPatch) -> tuple[Sale, list[int]]:
        with monkeypatch.context() as patch:
            patch.setattr(schedule, "rebuild", lambda **_: None)
            sale = schedule.publish(sale=draft_sale())
        fill = rebuild._fill_gate

        def slowly(campaign: int, raised: dict[str, int]) -> None:
            time.sleep(0.5)
            fill(campaign, raised)

        monkeypatch.setattr(rebuild, "_fill_gate", slowly)
        return sale, at_once([lambda: rebuild.rebuild(sale=sale.pk).epoch] * 2)

    def test_control_without_turns_the_line_begins_as_after_a_loss(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(rebuild, "advisory_lock", lambda *_, **__: nullcontext(True))
        sale, epochs = self._publish_beside_a_door(monkeypatch)
        assert max(epochs) == 2
        assert refusal(Shopper(sale, "ani").enter) is Outcome.NO_ROOM

    def test_a_publication_is_filled_once_and_the_first_who_enters_has_the_first_index(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sale, epochs = self._publish_beside_a_door(monkeypatch)
        assert epochs == [1, 1]
        assert Shopper(sale, "ani").enter().index == 1
