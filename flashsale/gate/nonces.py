"""The nonces of signed requests: each one works once while its timestamp is valid."""

import hashlib

from flashsale.gate.client import gate
from flashsale.gate.keys import nonce_key

# Processes know the time to within a second (rules/wall_clock.py). So a nonce is kept longer than its timestamp is
# valid.
MARGIN_S = 60
NO_PROXY = "-"


async def is_first_use(*, key: int, nonce: str, valid_s: int, came: str = "") -> bool:
    """Remembers the nonce of a partner's key (by its id); False if it was used before. Raises GateDown.

    `came` is when our proxy got the request, as it writes it; "" without a proxy. Our proxy sends a request to another
    door when the first one dies: it is the same request then, and no second use.
    If the process dies after this, the caller signs again with a new nonce.
    """
    name = nonce_key(hashlib.sha256(f"{key}/{nonce}".encode()).hexdigest()[:32])
    if await gate().run_command("SET", name, came or NO_PROXY, "NX", "EX", valid_s + MARGIN_S) is not None:
        return True
    return bool(came) and await gate().run_command("GET", name) == came.encode()
