"""The nonces of signed requests: each one works once while its timestamp is valid."""

import hashlib

from flashsale.gate.client import gate
from flashsale.gate.keys import nonce_key

# Processes have clocks of their own, which differ a little. So a nonce is kept longer than its timestamp is valid.
MARGIN_S = 60


async def is_first_use(*, key: int, nonce: str, valid_s: int) -> bool:
    """Remembers the nonce of a partner's key (by its id); False if it was used before. Raises GateDown.

    If the process dies after this, the caller signs again with a new nonce.
    """
    digest = hashlib.sha256(f"{key}/{nonce}".encode()).hexdigest()[:32]
    return await gate().run_command("SET", nonce_key(digest), 1, "NX", "EX", valid_s + MARGIN_S) is not None
