"""Figures of spread, and of groups too small to be told apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashsale.rules.gini import gini, merge_small_groups


@pytest.mark.parametrize(
    ("holders", "expected"),
    [({}, 0), ({1: 500}, 0), ({7: 1}, 0), ({1: 1, 3: 1}, 0.25), ({1: 90, 10: 1}, 0.089), ({1: 9, 91: 1}, 0.81)],
)
def test_gini_tells_how_unequal_holders_are(holders: dict[int, int], expected: float) -> None:
    assert gini(holders) == expected


@given(st.dictionaries(st.integers(1, 100), st.integers(1, 50), min_size=1))
def test_gini_is_the_mean_difference_between_two_holders_over_twice_the_mean(holders: dict[int, int]) -> None:
    sizes = [size for size, count in holders.items() for _ in range(count)]
    difference = sum(abs(a - b) for a in sizes for b in sizes) / len(sizes) ** 2
    assert gini(holders) == pytest.approx(difference / (2 * sum(sizes) / len(sizes)), abs=1e-4)


def test_small_groups_are_told_together() -> None:
    assert merge_small_groups({}) == {}
    assert merge_small_groups({"a": 5, "b": 86}) == {"b": 86, "a": 5}
    assert merge_small_groups({"a": 4, "b": 86, "c": 1}) == {"b": 86, "other": 5}
