"""Which process takes the samples of the running sales: one at a time, by a lease in the gate (Redis)."""

import secrets

from flashsale.gate.client import GateCache, gate
from flashsale.gate.keys import SAMPLING

# Longer than a second, in which the process renews it. If the process dies, another one goes on after this time.
LEASE_MS = 2500

# The name of this event loop as a sampler; one entry.
NAME: GateCache[None, str] = GateCache()


async def is_mine() -> bool:
    """Takes or renews the lease. Returns whether this event loop has it. Raises GateDown.

    Two may have it for a moment, so a second sample of one second must do no harm.
    """
    name = NAME.entries().setdefault(None, secrets.token_hex(8))
    if await gate().run_command("SET", SAMPLING, name, "NX", "PX", LEASE_MS):
        return True
    if await gate().run_command("GET", SAMPLING) != name.encode():
        return False
    return bool(await gate().run_command("PEXPIRE", SAMPLING, LEASE_MS))
