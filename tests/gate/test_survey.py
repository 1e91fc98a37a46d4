"""The figures of a line have the same names in Lua and in Python."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from flashsale.gate import bridge, scripts
from flashsale.gate.client import LUA
from flashsale.gate.messages import Survey
from tests.gate.floor import BIG, CARD, FIRST, SEED, SMALL, request, reserve, stand


def test_the_script_answers_with_exactly_the_fields_of_survey() -> None:
    answer = (Path(str(LUA)) / "survey.lua").read_text().rpartition("return {'looked', free,")[2]
    names = re.findall(r"'(\w+)', ", answer)
    assert sorted([*names, "free"]) == sorted(field.name for field in fields(Survey))


@pytest.mark.usefixtures("gate")
def test_each_figure_arrives_under_its_name() -> None:
    stand(called=7)
    reserve(request(3))
    figures = bridge.run(scripts.survey(CARD, FIRST))
    assert isinstance(figures, Survey)
    assert (figures.state, figures.frozen, figures.cohort, figures.seed) == ("published", True, 10, SEED)
    assert (figures.entered, figures.block, figures.gaps, figures.left, figures.removed) == (50, 50, 0, 0, 0)
    assert (figures.called, figures.lapsed, figures.open_claims, figures.held, figures.sold) == (7, 0, 6, 1, 0)
    assert figures.free == {SMALL: 2, BIG: 2}
    assert figures.called_at <= figures.now <= figures.wall < figures.runs_until


@pytest.mark.usefixtures("gate")
def test_a_line_that_is_not_drawn_has_no_cohort_and_no_seed() -> None:
    stand(drawn=False)
    figures = bridge.run(scripts.survey(CARD, FIRST))
    assert isinstance(figures, Survey)
    assert (figures.cohort, figures.seed, figures.frozen, figures.called_at) == (None, "", False, 0)
