"""When a sale is due again: often while it runs, seldom while nothing can happen."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashsale.rules.due import ENDING_MS, FAR_MS, OPEN_MS, PAUSED_MS, ms_to_next_look
from flashsale.rules.states import Phase

MOMENT = st.integers(min_value=0, max_value=10**13)


@pytest.mark.parametrize(
    ("phase", "held", "in_ms"),
    [
        (Phase.OPEN, 0, OPEN_MS),
        (Phase.PAUSED, 3, PAUSED_MS),
        (Phase.CLOSED, 1, ENDING_MS),
        (Phase.CALLED_OFF, 1, ENDING_MS),
        (Phase.CLOSED, 0, FAR_MS),
        (Phase.CALLED_OFF, 0, FAR_MS),
    ],
)
def test_a_sale_is_due_as_its_phase_and_its_holds_want(phase: Phase, held: int, in_ms: int) -> None:
    assert ms_to_next_look(phase=phase, wall=1_000, opens_at=500, held=held) == in_ms


@given(phase=st.sampled_from([Phase.SCHEDULED, Phase.LOBBY]), wall=MOMENT, opens_at=MOMENT)
def test_a_sale_before_its_opening_is_due_once_a_minute_and_exactly_at_its_opening(
    phase: Phase, wall: int, opens_at: int
) -> None:
    in_ms = ms_to_next_look(phase=phase, wall=wall, opens_at=opens_at, held=0)
    assert 0 <= in_ms <= FAR_MS
    assert in_ms == FAR_MS or wall + in_ms == max(wall, opens_at)
