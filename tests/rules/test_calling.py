"""Each person who is called and comes in time gets a unit; no more people are called than units are free."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashsale.rules.calling import calls_allowed, people_ahead, people_to_call

COUNTS = st.integers(0, 2_000_000)


@pytest.mark.parametrize(
    ("free", "open_claims", "weight", "overbooking", "rate_left", "claims_cap", "called"),
    [
        (600, 0, 1, 1.0, 10_000, 10_000, 600),
        (600, 500, 1, 1.0, 10_000, 10_000, 100),
        (600, 600, 1, 1.0, 10_000, 10_000, 0),
        (600, 700, 1, 1.0, 10_000, 10_000, 0),
        (600, 0, 2, 1.0, 10_000, 10_000, 300),
        (600, 0, 1, 1.25, 10_000, 10_000, 750),
        (600, 0, 1, 1.0, 50, 10_000, 50),
        (600, 0, 1, 1.0, 0, 10_000, 0),
        (600, 0, 1, 1.0, 10_000, 40, 40),
        (600, 30, 1, 1.0, 10_000, 40, 10),
        (600, 50, 1, 1.0, 10_000, 40, 0),
        (1, 0, 2, 1.0, 10_000, 10_000, 1),
        (1, 1, 2, 1.0, 10_000, 10_000, 0),
        (3, 1, 2, 1.0, 10_000, 10_000, 0),
        (0, 0, 1, 2.0, 10_000, 10_000, 0),
    ],
    ids=[
        "one for each free unit",
        "less those already called",
        "none while all are promised",
        "none while too many are promised",
        "half when each may buy two",
        "more when overbooked",
        "no more than the rate allows",
        "none when the rate is spent",
        "no more than the cap",
        "no more than the cap leaves",
        "none beyond a lowered cap",
        "one for a last unit that is less than a share",
        "none beside an open claim on the last unit",
        "none beside an open claim on the last share",
        "none when nothing is free",
    ],
)
def test_called_are(  # noqa: PLR0917 - the columns of the table
    free: int, open_claims: int, weight: int, overbooking: float, rate_left: int, claims_cap: int, called: int
) -> None:
    answer = people_to_call(
        free=free,
        open_claims=open_claims,
        weight=weight,
        overbooking=overbooking,
        rate_left=rate_left,
        claims_cap=claims_cap,
    )
    assert answer == called


@given(free=COUNTS, open_claims=COUNTS, weight=st.integers(1, 20), rate_left=COUNTS, claims_cap=COUNTS)
def test_more_than_one_is_never_called_for_less_than_a_share(
    free: int, open_claims: int, weight: int, rate_left: int, claims_cap: int
) -> None:
    called = people_to_call(
        free=free,
        open_claims=open_claims,
        weight=weight,
        overbooking=1.0,
        rate_left=rate_left,
        claims_cap=claims_cap,
    )
    assert 0 <= called <= rate_left
    assert called == 0 or called + open_claims <= min(claims_cap, max(1, free // weight))


@pytest.mark.parametrize(("number", "called", "ahead"), [(1, 0, 0), (1841, 600, 1240), (601, 600, 0), (5, 600, 0)])
def test_people_ahead_are_those_still_to_be_called(number: int, called: int, ahead: int) -> None:
    assert people_ahead(number=number, called=called) == ahead


@pytest.mark.parametrize(
    ("rate_per_s", "since_ms", "calls"), [(2, 200, 0), (2, 500, 1), (2, 90_000, 2), (1000, 250, 250), (5, -10, 0)]
)
def test_a_rate_accrues_with_time_and_keeps_a_second_at_most(rate_per_s: int, since_ms: int, calls: int) -> None:
    assert calls_allowed(rate_per_s=rate_per_s, since_ms=since_ms) == calls
