"""When a process must look at a sale again, after it has done what was due."""

from flashsale.rules.states import Phase

# A sale that is open has something due several times a second: calls, holds that end, the clock lease.
OPEN_MS = 200
# Units of a sale that is over are still held: holds must end in time, on a clock that runs.
ENDING_MS = 1000
# The clock of a paused sale stands. A decision about it asks for a look by itself.
PAUSED_MS = 5000
# Nothing is due. Someone who uses the sale, or decides about it, asks for a look.
FAR_MS = 60_000


def ms_to_next_look(*, phase: Phase, wall: int, opens_at: int, held: int) -> int:
    """In how many ms the sale is due again. `wall` and `opens_at` are ms of wall time, `held` counts held units."""
    if phase is Phase.OPEN:
        return OPEN_MS
    if phase is Phase.PAUSED:
        return PAUSED_MS
    if phase in {Phase.SCHEDULED, Phase.LOBBY}:
        return max(0, min(opens_at - wall, FAR_MS))
    return ENDING_MS if held else FAR_MS
