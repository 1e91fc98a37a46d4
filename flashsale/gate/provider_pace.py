"""The pace of calls to a payment provider, shared by all processes: Redis gives each call its turn."""

from flashsale.gate.client import Script, gate
from flashsale.gate.keys import provider_pace_key

PACE = Script("provider_pace")


async def next_turn(account: str, *, pace: float) -> float:
    """Seconds until this call may be made, so that no second has more than `pace` calls. Raises GateDown."""
    reply = await gate().run_script(PACE, [provider_pace_key(account)], [max(1, int(1e6 / pace))])
    return int(reply[0]) / 1e6
