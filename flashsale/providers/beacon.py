"""Asks the relays of drand for a round of public randomness. A round counts only with the signature of the chain.

So a relay cannot lie, it can only be silent. All relays are asked at once, and the first true answer counts. Asking has
no effect, so it is safe to repeat.
"""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from django.conf import settings

from flashsale.providers import http
from flashsale.providers.failures import ProviderBusy, ProviderDown
from flashsale.rules.lottery import QUICKNET_CHAIN, SIGNATURE_BYTES, Chain, is_signed

log = logging.getLogger(__name__)
WHOLE_S = 4.0


def chain() -> Chain:
    """The chain that this server knows."""
    found: Chain = settings.FLASHSALE_BEACON_CHAIN
    return found


def chain_of(declared: str) -> Chain | None:
    """The chain that a sale has declared, by its hash. None: this server does not know the chain.

    Every server knows quicknet, whatever its settings are.
    """
    return next((known for known in (chain(), QUICKNET_CHAIN) if known.hash == declared), None)


async def signature_of(known: Chain, round_: int) -> bytes | None:
    """The signature of a round of the chain: the randomness is its SHA-256. None if no relay has it yet."""
    asked = [asyncio.create_task(_ask(relay, known, round_)) for relay in settings.FLASHSALE_BEACON_RELAYS]
    try:
        for answer in asyncio.as_completed(asked):
            signature = await answer
            if signature is not None:
                return signature
    finally:
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
    return None


async def _ask(relay: str, known: Chain, round_: int) -> bytes | None:
    try:
        async with asyncio.timeout(WHOLE_S):
            answer = await http.call("GET", f"{relay}/{known.hash}/public/{round_}", headers={})
    except (ProviderDown, ProviderBusy, TimeoutError) as error:
        log.info("relay %s has no round %d: %s", relay, round_, error or f"no answer in {WHOLE_S:.0f} s")
        return None
    signature = _signature_in(answer.fields) if answer.status == 200 else None
    if signature is None:
        log.info("relay %s has no round %d: HTTP %d", relay, round_, answer.status)
        return None
    # With pyblst a millisecond, with py_ecc seconds.
    if not await asyncio.to_thread(is_signed, known, round_, signature):
        log.warning("relay %s gave a signature that is not the one of round %d of %s", relay, round_, known.hash)
        return None
    return signature


def _signature_in(fields: Mapping[str, Any]) -> bytes | None:
    try:
        signature = bytes.fromhex(fields.get("signature", ""))
    except (TypeError, ValueError):
        return None
    return signature if len(signature) == SIGNATURE_BYTES else None
