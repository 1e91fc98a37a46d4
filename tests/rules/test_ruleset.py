"""A rule set is data: read back as it was published, known by its hash, refused when it is none."""

import json
from typing import Any

import pytest

from flashsale.rules.review.rule_set import RULES, BadRules, Mark, read


def test_a_published_rule_set_reads_back_as_itself() -> None:
    again = read(json.loads(json.dumps(RULES.published())))
    assert again == RULES
    assert again.content_hash() == RULES.content_hash()


def test_another_number_is_another_rule_set() -> None:
    other = read(RULES.published() | {"threshold": 55})
    assert other.content_hash() != RULES.content_hash()


def test_a_family_of_eight_and_gifts_for_three_stay_below_the_threshold() -> None:
    assert RULES.points(8, 1) < RULES.threshold
    assert RULES.points(4, 4) < RULES.threshold
    assert RULES.marks[Mark.INHUMAN_SPEED] + RULES.marks[Mark.DISPOSABLE_MAIL] < RULES.threshold


BROKEN: dict[str, dict[str, Any]] = {
    "a missing field": {name: value for name, value in RULES.published().items() if name != "threshold"},
    "an unknown field": RULES.published() | {"cancel_at": 90},
    "a word for a number": RULES.published() | {"threshold": "60"},
    "a threshold that everybody reaches": RULES.published() | {"threshold": 0},
    "fewer points for more people": RULES.published() | {"linked": [10, 5]},
    "an unknown mark": RULES.published() | {"marks": {"long_nose": 5}},
    "a hard fact that does not suffice": RULES.published()
    | {"marks": RULES.published()["marks"] | {"bypassed_line": 10}},
    "a pair of one": RULES.published() | {"together": [["address"]]},
    "a pair with what links alone": RULES.published() | {"together": [["address", "device"]]},
    "a bool for a number": RULES.published() | {"growth": True},
}


@pytest.mark.parametrize("what", BROKEN)
def test_it_refuses(what: str) -> None:
    with pytest.raises(BadRules):
        read(BROKEN[what])


def test_it_refuses_what_is_no_object() -> None:
    with pytest.raises(BadRules):
        read(["threshold"])
