"""Redis is lost in a line with carried numbers: PostgreSQL knows which numbers were shown, the tokens know the rest."""

import pytest

from flashsale.gate import bridge, scripts
from flashsale.life import tick
from flashsale.life.leave import leave
from flashsale.models import CrowdBackup, Sale
from flashsale.rules.outcomes import Outcome
from tests.factories import Shopper, card_of, open_now, refusal, tend
from tests.faults.steps import broken
from tests.life.tranches import carried_sales, carry

pytestmark = [pytest.mark.django_db(transaction=True)]


@pytest.fixture
def rerun(gate) -> tuple[Sale, dict[int, Shopper]]:
    """A sale of two units that carries five old numbers, and its people by old number. No number was shown yet."""
    people, sale = carried_sales()
    return sale, {person.number(): person for person in people}


def show(sale: Sale, people: dict[int, Shopper], *numbers: int) -> dict[int, Shopper]:
    """These people show their old places."""
    again = {number: Shopper(sale, people[number].name, line="carried") for number in numbers}
    for number, person in again.items():
        person.entry = carry(people[number], sale)
    return again


def opened(sale: Sale) -> None:
    open_now(sale)
    tend(sale)


def lose_everything(gate, sale: Sale) -> None:
    gate.flushall()
    bridge.run(tick.mend_all())
    tend(sale)


def states(shown: dict[int, Shopper]) -> dict[int, str]:
    return {number: str(shown[number].look().state) for number in sorted(shown)}


def test_those_shown_are_called_in_their_old_order_after_a_loss_in_the_lobby(gate, rerun):
    sale, people = rerun
    shown = show(sale, people, 3, 5, 4)
    tend(sale)
    lose_everything(gate, sale)
    opened(sale)
    assert shown[3].reserve().replayed is False
    assert states(shown) == {3: "spent", 4: "called", 5: "waiting"}


def test_those_shown_keep_their_turn_without_a_look_after_a_loss_in_the_open_sale(gate, rerun):
    sale, people = rerun
    shown = show(sale, people, 3, 5, 4)
    opened(sale)
    lose_everything(gate, sale)
    assert refusal(shown[5].reserve) is Outcome.NOT_CALLED
    assert [shown[number].reserve().replayed for number in (3, 4)] == [False, False]
    assert states(shown) == {3: "spent", 4: "spent", 5: "waiting"}
    assert broken(sale) == []


def test_a_number_shown_in_the_lost_last_second_comes_back_by_its_token_before_the_opening(gate, rerun):
    sale, people = rerun
    shown = show(sale, people, 3)
    tend(sale)
    shown |= show(sale, people, 4, 5)
    lose_everything(gate, sale)
    assert states({4: shown[4]}) == {4: "waiting"}
    assert (carry(people[5], sale).index, carry(people[4], sale).created) == (5, False)
    opened(sale)
    assert states(shown) == {3: "called", 4: "called", 5: "waiting"}


def test_a_number_shown_in_the_lost_last_second_comes_back_by_its_token_after_the_opening(gate, rerun):
    sale, people = rerun
    shown = show(sale, people, 3, 4)
    opened(sale)
    CrowdBackup.objects.update(seen=(1 << 7 - 3).to_bytes(1))
    lose_everything(gate, sale)
    assert shown[4].reserve().replayed is False
    assert states(shown) == {3: "called", 4: "spent"}
    lose_everything(gate, sale)
    assert states(shown) == {3: "called", 4: "spent"}


def test_what_was_shown_right_before_the_opening_is_in_the_books_at_the_draw(gate, rerun):
    sale, people = rerun
    tend(sale)
    show(sale, people, 3, 5)
    opened(sale)
    assert bytes(CrowdBackup.objects.get(allocation__code="carried").seen).rstrip(b"\0") == bytes(
        [1 << 7 - 3 | 1 << 7 - 5]
    )


def test_people_who_never_showed_their_old_place_are_passed_over_and_cannot_enter_any_more(gate, rerun):
    sale, people = rerun
    shown = show(sale, people, 5)
    opened(sale)
    lose_everything(gate, sale)
    assert refusal(carry, people[2], sale) is Outcome.NOT_ELIGIBLE
    assert states(shown) == {5: "called"}


def test_a_place_spent_before_or_after_the_loss_stays_spent(gate, rerun):
    sale, people = rerun
    shown = show(sale, people, 3, 4)
    opened(sale)
    shown[3].reserve()
    lose_everything(gate, sale)
    shown[4].reserve()
    assert states(shown) == {3: "spent", 4: "spent"}
    assert refusal(shown[3].reserve, key="another") is Outcome.PLACE_SPENT


def test_a_place_left_after_the_loss_stays_left(gate, rerun):
    sale, people = rerun
    shown = show(sale, people, 3, 4)
    tend(sale)
    lose_everything(gate, sale)
    three = shown[3]
    bridge.run(leave(card=three.card, line=three.line, place=three.place))
    opened(sale)
    assert states(shown) == {3: "left", 4: "called"}


def test_who_left_and_shows_the_old_place_again_after_the_loss_stands_there_again(gate, rerun):
    sale, people = rerun
    shown = show(sale, people, 3, 4)
    three = shown[3]
    bridge.run(leave(card=three.card, line=three.line, place=three.place))
    tend(sale)
    lose_everything(gate, sale)
    assert states(shown) == {3: "left", 4: "waiting"}
    shown |= show(sale, people, 3)
    assert states(shown) == {3: "waiting", 4: "waiting"}
    opened(sale)
    assert states(shown) == {3: "called", 4: "called"}


def test_an_older_memory_of_the_gate_learns_who_was_shown_and_keeps_who_left(gate, rerun):
    sale, people = rerun
    shown = show(sale, people, 3, 4, 5)
    three, card = shown[3], card_of(sale)
    bridge.run(leave(card=three.card, line=three.line, place=three.place))
    opened(sale)
    keys, line = scripts.keys_of(card), card.line("carried").line_id
    gate.setbit(keys.seen(line), 5, 0)
    gate.setbit(keys.spent(line), 5, 1)
    gate.hset(keys.state, "run", "another run")
    tend(sale)
    tend(sale)
    assert (gate.getbit(keys.seen(line), 5), gate.getbit(keys.spent(line), 5)) == (1, 0)
    assert states(shown) == {3: "left", 4: "called", 5: "called"}
