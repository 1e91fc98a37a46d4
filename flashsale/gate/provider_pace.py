"""The pace of calls to a payment provider, shared by all processes: Redis gives each call its turn."""

from flashsale.gate.client import Script, gate
from flashsale.gate.keys import background_pace_key, provider_pace_key

PACE, BACKGROUND = Script("provider_pace"), Script("background_pace")
# Timers are about this exact, so calls of a fast pace may be this far ahead of their turns.
AHEAD_US = 20_000


async def next_turn(account: str, *, pace: float) -> float:
    """Seconds until this call may be made, so that no second has more than `pace` calls. Raises GateDown."""
    reply = await gate().run_script(PACE, [provider_pace_key(account)], [max(1, int(1e6 / pace))])
    return int(reply[0]) / 1e6


async def background_wait(account: str, *, pace: float) -> float:
    """Seconds to wait before asking again, for a call for which no buyer waits; 0: it may be made now.

    Buyers' calls come first. While they use the whole pace, the background gets half of it. Raises GateDown.
    """
    keys = [provider_pace_key(account), background_pace_key(account)]
    reply = await gate().run_script(BACKGROUND, keys, [max(1, int(1e6 / pace)), AHEAD_US])
    return int(reply[0]) / 1e6
