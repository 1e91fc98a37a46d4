"""The payment account of the product at the gateway of gateway.py. FLASHSALE_TEST_GATEWAY is the gateway's address."""

import hashlib
import hmac
import json
import os
from collections.abc import Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

import aiohttp

from flashsale.providers import payments
from flashsale.providers.payments import base
from flashsale.rules.states import StandingState
from tests.faults.gateway import KEY, SIGNATURE


class GatewayAccount:
    """Calls the gateway with a connection of its own for each call."""

    account = "ledger"
    # Fewer than the crowd sends at once, so that some payments wait for their turn (202).
    pace = 40.0
    headers = (SIGNATURE,)
    looks_by_reference = True

    def methods(self) -> Sequence[base.Method]:
        return [base.Method("qris", "qr", life_min=timedelta(0), guard=timedelta(0))]

    async def begin(self, asked: base.Attempt) -> base.Standing:
        return await self._standing("charge", asked, amount=asked.amount, instrument=asked.instrument)

    async def look(self, asked: base.Attempt) -> base.Standing:
        return await self._standing("look", asked)

    async def close(self, asked: base.Attempt) -> base.Standing:
        return await self._standing("close", asked, amount=asked.amount, instrument="")

    async def refund(self, back: base.RefundRequest) -> base.RefundStanding:
        sent = {"refund": back.reference, "reference": back.attempt.reference, "amount": int(back.amount)}
        answer = await self._call("refund", sent)
        return base.RefundStanding(answer["state"], answer.get("id", ""))

    look_refund = refund

    async def check(self) -> base.Checked:
        return base.Checked("a gateway of the tests")

    def believe(self, body: bytes, headers: Mapping[str, str]) -> Sequence[base.Hint]:
        signature = headers.get(SIGNATURE, "")
        if not hmac.compare_digest(signature.encode(), hmac.digest(KEY, body, hashlib.sha256).hex().encode()):
            raise payments.NotBelieved("The signature is wrong.")
        return [base.Hint(json.loads(body)["reference"])]

    async def _standing(self, call: str, asked: base.Attempt, **fields: Any) -> base.Standing:
        answer = await self._call(call, {"reference": asked.reference, **fields})
        state, paid = StandingState(answer["state"]), Decimal(answer.get("paid", 0))
        return base.Standing(state, answer.get("id", ""), paid, answer.get("currency", ""))

    async def _call(self, call: str, body: Mapping[str, Any]) -> dict[str, Any]:
        url = f"{os.environ['FLASHSALE_TEST_GATEWAY']}/{call}"
        try:
            timeout = aiohttp.ClientTimeout(total=5)
            async with aiohttp.ClientSession(timeout=timeout) as http, http.post(url, json=body) as answer:
                if answer.status != 200:
                    raise payments.ProviderDown(f"{call}: {answer.status}")
                result: dict[str, Any] = await answer.json()
                return result
        except (aiohttp.ClientError, TimeoutError) as error:
            raise payments.ProviderDown(f"{call}: {error!r}") from error
