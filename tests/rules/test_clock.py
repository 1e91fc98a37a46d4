"""The line's clock stands still while nobody can reserve, and never goes back."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashsale.rules.clock import CLOCK_RENEWAL_MS, ClockLease, line_clock

VECTORS = json.loads((Path(__file__).parent / "estimate-vectors.json").read_text(encoding="utf-8"))
TIMES = st.integers(1, 10**12)


@pytest.mark.parametrize("case", VECTORS["line_clock"], ids=str)
def test_the_clock_agrees_with_the_vectors(case: dict[str, Any]) -> None:
    inputs = {name: case[name] for name in ("wall", "opens", "stopped")}
    assert line_clock(**inputs, lease=ClockLease(*case["lease"])) == case["now"]


@given(since=TIMES, length=st.integers(0, 10_000), wall=TIMES)
def test_the_clock_stays_within_its_lease(since: int, length: int, wall: int) -> None:
    lease = ClockLease(since, since + length)
    assert lease.since <= line_clock(wall=wall, opens=since, lease=lease, stopped=0) <= lease.until


@pytest.mark.parametrize(
    ("wall", "runs"),
    [
        (20_000 - CLOCK_RENEWAL_MS - 1, False),
        (20_000 - CLOCK_RENEWAL_MS, True),
        (20_000, True),
        (25_000, True),
        (25_001, False),
    ],
)
def test_the_clock_runs_while_its_lease_lasts(wall: int, runs: bool) -> None:
    assert ClockLease(20_000, 25_000).is_running(wall) is runs
    assert not ClockLease(wall, wall).is_running(wall)
