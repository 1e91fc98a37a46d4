"""Reading the gate for an audit: places, and the numbers that were not claimed."""

import pytest
import redis

from flashsale.gate import bridge, inspect
from tests.gate.floor import CARD, FIRST, KEYS, SECOND, enter, stand

pytestmark = pytest.mark.usefixtures("gate")


def test_places_are_read_with_the_line_and_the_index_that_a_person_has() -> None:
    stand(drawn=False)
    for name in ("ani", "budi", "cici"):
        assert enter(name).index
    enter("dodi", SECOND)
    assert bridge.run(inspect.places(CARD)) == {(1, 1): 2, (1, 2): 2, (1, 3): 2, (2, 1): 2}


def test_numbers_after_the_last_one_called_are_not_counted_as_unclaimed(gate: redis.Redis) -> None:
    stand()
    for number in (1, 8, 9, 11):
        gate.setbit(KEYS.spent(1), number, 1)
    counted = [bridge.run(inspect.unclaimed(CARD, FIRST, called=called)) for called in (0, 1, 7, 8, 10, 11)]
    assert counted == [0, 0, 6, 6, 7, 7]
