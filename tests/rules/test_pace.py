"""Whoever is called and comes in time gets a unit; whoever waits is promised nothing more."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashsale.rules.pace import accrued, chance, people_ahead, to_call, wait_ms

COUNTS = st.integers(0, 2_000_000)
RATES = st.floats(0, 1)


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
    answer = to_call(
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
    called = to_call(
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


def test_wait_follows_the_recent_rate_and_is_unknown_without_one() -> None:
    assert wait_ms(ahead=299, claims=0, free=300, calls_per_s=20.0) == 15_000
    assert wait_ms(ahead=0, claims=5, free=6, calls_per_s=3.0) == 334
    assert wait_ms(ahead=0, claims=0, free=1, calls_per_s=0.0) is None


def test_wait_is_unknown_where_it_hangs_on_what_others_give_back() -> None:
    assert wait_ms(ahead=300, claims=0, free=300, calls_per_s=20.0) is None
    assert wait_ms(ahead=299, claims=1, free=300, calls_per_s=20.0) is None
    assert wait_ms(ahead=0, claims=0, free=0, calls_per_s=20.0) is None


@pytest.mark.parametrize(
    ("ahead", "claims", "free", "held", "no_show_rate", "shown"),
    [
        (0, 0, 600, 0, 0.1, 0.95),
        (0, 0, 1, 0, 0.0, 0.95),
        (1, 0, 1, 0, 0.0, 0.05),
        (1, 0, 1, 0, 0.5, 0.5),
        (660, 0, 600, 0, 0.1, 0.5),
        (1839, 0, 600, 0, 0.1, 0.05),
        (0, 0, 0, 1000, 0.1, 0.8),
        (0, 0, 0, 1, 0.0, 0.05),
        (1_000_000, 0, 50_000, 0, 0.1, 0.05),
        (0, 600, 600, 0, 0.1, 0.8),
        (100, 600, 600, 0, 0.1, 0.3),
        (0, 1, 1, 0, 0.0, 0.05),
        (0, 0, 0, 0, 0.1, 0.0),
        (10, 0, 0, 0, 1.0, 0.0),
    ],
)
def test_chance_shown_is(ahead: int, claims: int, free: int, held: int, no_show_rate: float, shown: float) -> None:  # noqa: PLR0917
    assert chance(ahead=ahead, claims=claims, free=free, held=held, no_show_rate=no_show_rate) == shown


@given(ahead=COUNTS, claims=COUNTS, free=COUNTS, held=COUNTS, no_show_rate=RATES)
def test_chance_is_never_shown_as_certain_while_a_unit_is_left(
    ahead: int, claims: int, free: int, held: int, no_show_rate: float
) -> None:
    shown = chance(ahead=ahead, claims=claims, free=free, held=held, no_show_rate=no_show_rate)
    assert shown == 0.0 if free + held == 0 else 0.05 <= shown <= 0.95


@given(ahead=st.integers(0, 5000), free=st.integers(1, 5000), no_show_rate=RATES)
def test_a_unit_more_never_lowers_the_chance_shown(ahead: int, free: int, no_show_rate: float) -> None:
    now = chance(ahead=ahead, claims=0, free=free, held=0, no_show_rate=no_show_rate)
    assert chance(ahead=ahead, claims=0, free=free + 1, held=0, no_show_rate=no_show_rate) >= now


@pytest.mark.parametrize(
    ("rate_per_s", "since_ms", "calls"), [(2, 200, 0), (2, 500, 1), (2, 90_000, 2), (1000, 250, 250), (5, -10, 0)]
)
def test_a_rate_accrues_with_time_and_keeps_a_second_at_most(rate_per_s: int, since_ms: int, calls: int) -> None:
    assert accrued(rate_per_s=rate_per_s, since_ms=since_ms) == calls
