"""A rule set is data: read back as it was published, known by its hash, refused when it is none."""

import json
from typing import Any

import pytest

from flashsale.rules.review.rule_set import DEFAULT_RULE_SET, InvalidRuleSet, Mark, parse_rule_set


def test_a_published_rule_set_reads_back_as_itself() -> None:
    again = parse_rule_set(json.loads(json.dumps(DEFAULT_RULE_SET.published())))
    assert again == DEFAULT_RULE_SET
    assert again.content_hash() == DEFAULT_RULE_SET.content_hash()


def test_another_number_is_another_rule_set() -> None:
    other = parse_rule_set(DEFAULT_RULE_SET.published() | {"threshold": 55})
    assert other.content_hash() != DEFAULT_RULE_SET.content_hash()


def test_a_family_of_eight_and_gifts_for_three_stay_below_the_threshold() -> None:
    assert DEFAULT_RULE_SET.points(8, 1) < DEFAULT_RULE_SET.threshold
    assert DEFAULT_RULE_SET.points(4, 4) < DEFAULT_RULE_SET.threshold
    assert (
        DEFAULT_RULE_SET.marks[Mark.INHUMAN_SPEED] + DEFAULT_RULE_SET.marks[Mark.DISPOSABLE_MAIL]
        < DEFAULT_RULE_SET.threshold
    )


BROKEN: dict[str, dict[str, Any]] = {
    "a missing field": {name: value for name, value in DEFAULT_RULE_SET.published().items() if name != "threshold"},
    "an unknown field": DEFAULT_RULE_SET.published() | {"cancel_at": 90},
    "a word for a number": DEFAULT_RULE_SET.published() | {"threshold": "60"},
    "a threshold that everybody reaches": DEFAULT_RULE_SET.published() | {"threshold": 0},
    "fewer points for more people": DEFAULT_RULE_SET.published() | {"linked": [10, 5]},
    "an unknown mark": DEFAULT_RULE_SET.published() | {"marks": {"long_nose": 5}},
    "a hard fact that does not suffice": DEFAULT_RULE_SET.published()
    | {"marks": DEFAULT_RULE_SET.published()["marks"] | {"bypassed_line": 10}},
    "a pair of one": DEFAULT_RULE_SET.published() | {"together": [["address"]]},
    "a pair with what links alone": DEFAULT_RULE_SET.published() | {"together": [["address", "device"]]},
    "a bool for a number": DEFAULT_RULE_SET.published() | {"growth": True},
}


@pytest.mark.parametrize("what", BROKEN)
def test_it_refuses(what: str) -> None:
    with pytest.raises(InvalidRuleSet):
        parse_rule_set(BROKEN[what])


def test_it_refuses_what_is_no_object() -> None:
    with pytest.raises(InvalidRuleSet):
        parse_rule_set(["threshold"])
