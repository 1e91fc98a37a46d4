"""Each person who is called and comes in time gets a unit; no more people are called than units are free."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashsale.rules.calling import calls_allowed, kept_claims, people_ahead, people_to_call

COUNTS = st.integers(0, 2_000_000)


@pytest.mark.parametrize(
    ("free", "open_claims", "expected", "overbooking", "rate_left", "claims_cap", "called"),
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
        (3, 1, 2, 1.0, 10_000, 10_000, 1),
        (3, 2, 2, 1.0, 10_000, 10_000, 0),
        (24, 0, 1.25, 1.0, 10_000, 10_000, 20),
        (24, 0, 1.25, 2.0, 10_000, 10_000, 39),
        (5, 0, 3, 1.25, 10_000, 10_000, 3),
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
        "one for a rest that is less than a share",
        "none beside claims on all shares",
        "more when people take less than the limit",
        "more when people take less than the limit, and overbooked",
        "one more for the rest, and overbooked",
        "none when nothing is free",
    ],
)
def test_called_are(  # noqa: PLR0917 - the columns of the table
    free: int, open_claims: int, expected: float, overbooking: float, rate_left: int, claims_cap: int, called: int
) -> None:
    answer = people_to_call(
        free=free,
        open_claims=open_claims,
        waiting=10_000,
        expected=expected,
        overbooking=overbooking,
        rate_left=rate_left,
        claims_cap=claims_cap,
    )
    assert answer == called


@given(
    free=COUNTS, open_claims=COUNTS, waiting=COUNTS, expected=st.floats(1, 20), rate_left=COUNTS, claims_cap=COUNTS,
    overbooking=st.floats(1, 5),
)  # fmt: skip
def test_no_more_people_are_called_than_units_are_free_and_no_unit_waits_where_there_is_one_for_each(  # noqa: PLR0917
    free: int, open_claims: int, waiting: int, expected: float, rate_left: int, claims_cap: int, overbooking: float
) -> None:
    values: dict[str, Any] = {"free": free, "open_claims": open_claims, "overbooking": overbooking}
    called = people_to_call(**values, waiting=waiting, expected=expected, rate_left=rate_left, claims_cap=claims_cap)
    assert 0 <= called <= rate_left
    assert called == 0 or called + open_claims <= min(claims_cap, int(free * overbooking))
    unbounded = people_to_call(**values, waiting=waiting, expected=expected, rate_left=10**9, claims_cap=10**9)
    if open_claims + waiting <= free:
        assert unbounded >= waiting  # 24 units, a limit of 3 and 21 people: all are called
    assert (unbounded + open_claims) * expected >= min(free, waiting)


@pytest.mark.parametrize(("number", "called", "ahead"), [(1, 0, 0), (1841, 600, 1240), (601, 600, 0), (5, 600, 0)])
def test_people_ahead_are_those_still_to_be_called(number: int, called: int, ahead: int) -> None:
    assert people_ahead(number=number, called=called) == ahead


@pytest.mark.parametrize(
    ("rate_per_s", "since_ms", "calls"), [(2, 200, 0), (2, 500, 1), (2, 90_000, 2), (1000, 250, 250), (5, -10, 0)]
)
def test_a_rate_accrues_with_time_and_keeps_a_second_at_most(rate_per_s: int, since_ms: int, calls: int) -> None:
    assert calls_allowed(rate_per_s=rate_per_s, since_ms=since_ms) == calls


@pytest.mark.parametrize(
    ("free", "open_claims", "second_claims", "kept"),
    [
        (100, 100, 0, 100),
        (100, 100, 10, 100),
        (100, 130, 40, 100),
        (100, 100, 100, 10),
        (5, 6, 3, 4),
        (1, 1, 1, 1),
        (0, 3, 3, 1),
    ],
    ids=[
        "all in their first window",
        "the share in the second",
        "no more than the share in the second",
        "no more than the share, even if nobody else is called",
        "at least one",
        "the last unit",
        "at least one when nothing is free",
    ],
)
def test_units_are_kept_for(free: int, open_claims: int, second_claims: int, kept: int) -> None:
    answer = kept_claims(
        free=free, open_claims=open_claims, second_claims=second_claims, expected=1, overbooking=1.0, share_percent=10
    )
    assert answer == kept


def called_when_nobody_comes(units: int, *, windows: int, extra_time: bool, share_percent: int) -> int:
    """How many people a line calls in some claim windows, when none of them reserves."""
    first = second = called = 0
    for _ in range(windows):
        first, second = 0, first if extra_time else 0  # the second windows end, the first ones become second ones
        kept = kept_claims(
            free=units,
            open_claims=first + second,
            second_claims=second,
            expected=1,
            overbooking=1.0,
            share_percent=share_percent,
        )
        first = people_to_call(
            free=units, open_claims=kept, waiting=10**6, expected=1, overbooking=1.0, rate_left=10**6, claims_cap=10**6
        )
        called += first
    return called


@pytest.mark.parametrize("share", [1, 10, 25])
@pytest.mark.parametrize("units", [100, 1000, 50_000])
def test_a_line_in_which_all_have_extra_time_calls_fewer_people_by_no_more_than_the_share(
    units: int, share: int
) -> None:
    windows = 20
    without = called_when_nobody_comes(units, windows=windows, extra_time=False, share_percent=share)
    all_have_it = called_when_nobody_comes(units, windows=windows, extra_time=True, share_percent=share)
    unbounded = called_when_nobody_comes(units, windows=windows, extra_time=True, share_percent=100)
    assert without == units * windows
    assert unbounded == without / 2  # the control: what extra time costs without a share
    assert all_have_it >= without * (100 - share) / 100
