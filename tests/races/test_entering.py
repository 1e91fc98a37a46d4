"""The same identity enters through all channels at once and gets one place."""

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import pytest

from flashsale.gate import scripts
from flashsale.gate.messages import EnterResult
from flashsale.rules.outcomes import Outcome
from tests.gate.floor import CARD, FIRST, LINES, PAGE, person, stand
from tests.races.crowd import through_doors, without

pytestmark = pytest.mark.usefixtures("gate")
ELSEWHERE = "if found.elsewhere then return {'place_elsewhere'} end"


def at_all_doors(times: int) -> list[Callable[[], Coroutine[Any, Any, Any]]]:
    return [partial(scripts.enter, CARD, line, PAGE, person("ani")) for line in LINES * times]


def test_without_its_look_at_other_lines_the_door_gives_one_person_many_places(monkeypatch: pytest.MonkeyPatch) -> None:
    stand(drawn=False)
    monkeypatch.setattr(scripts, "ENTER", without(scripts.ENTER, ELSEWHERE))
    answers = through_doors(at_all_doors(4))
    assert sum(isinstance(answer, EnterResult) and answer.fresh for answer in answers) > 1


def test_one_person_at_all_doors_at_once_gets_one_place() -> None:
    stand(drawn=False)
    answers = through_doors(at_all_doors(5))
    given = [answer for answer in answers if isinstance(answer, EnterResult)]
    assert sum(answer.fresh for answer in given) == 1
    assert {answer.index for answer in given} == {1}
    assert (len(given), answers.count(Outcome.PLACE_ELSEWHERE)) == (5, 5)


def test_many_people_twice_at_once_get_one_place_each_without_a_gap() -> None:
    stand(drawn=False)
    names = [f"person-{n}" for n in range(45)]
    answers = through_doors([partial(scripts.enter, CARD, FIRST, PAGE, person(name)) for name in names * 2])
    assert sorted(answer.index for answer in answers if answer.fresh) == list(range(1, 46))
    assert sum(not answer.fresh for answer in answers) == 45
