"""A crowd of partners' buyers who pay over real sockets, as docs/partner.md says, and its ledger of what it was told.

It uses no line of the product. A request without an answer, and one that is answered with 429 or 503, is sent again
with the same key. Some buyers hang up before the answer. Some send a request again that has been answered.
"""

import asyncio
import itertools
import json
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp

PRICE = 1_799_000
TOGETHER = 48
# A buyer who waits longer for an answer hangs up and sends the request again.
PATIENCE_S, HURRY_S = 15.0, (0.02, 0.4)
# How often a buyer is in a hurry, asks again for an answer that it has, and cancels its order.
HURRIES, ASKS_AGAIN, CANCELS = 0.15, 0.3, 0.1
AGAIN_S = (0.1, 0.4)
# How buyers at the gateway pay. `never` may still pay after the hold's end.
HOW = ("pays",) * 12 + ("declines", "declines", "later", "later", "later", "never")


@dataclass
class Buyer:
    """A buyer with a hold, and all that it was told."""

    reservation: str
    channel: str
    identity: Mapping[str, str]
    how: str
    cancels: bool
    # The answer that ended the payment: the order as it was shown, or the code of a refusal.
    order: dict[str, Any] | None = None
    refused: str = ""
    # The reference of the payment that the buyer has left open.
    left_open: str = ""
    cancelled: bool = False
    # What a partner has charged this buyer itself, by its own reference.
    charged: set[str] = field(default_factory=set)

    @property
    def done(self) -> bool:
        return bool(self.order or self.refused or self.left_open)


class Crowd:
    """All buyers, the doors that they know, and the keys of their channels."""

    def __init__(self, buyers: Sequence[Buyer], *, doors: Sequence[str], keys: Mapping[str, str], seed: int) -> None:
        self.buyers, self.doors, self.keys = buyers, doors, keys
        self.chance = random.Random(seed)
        self.answers: Counter[str] = Counter()
        # Answers that the documents do not allow.
        self.strange: list[str] = []
        self.repeats = 0
        self._numbers = itertools.count()

    @property
    def done(self) -> int:
        return sum(buyer.done for buyer in self.buyers)

    async def pay(self) -> None:
        """All buyers pay, TOGETHER at once, until each of them knows how it ended."""
        waiting = iter(self.buyers)
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as http:
            await asyncio.gather(*(self._serve(http, waiting) for _ in range(TOGETHER)))

    async def try_once(self) -> int | None:
        """The first buyer sends one confirmation. The status of the answer, None if no answer comes."""
        buyer = self.buyers[0]
        headers = self._headers(buyer, f"pay-{buyer.reservation}-1")
        url = f"{self.doors[0]}/v1/reservations/{buyer.reservation}/confirm"
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PATIENCE_S)) as http:
            try:
                async with http.post(url, data=self._order(buyer, 1), headers=headers) as answer:
                    return answer.status
            except aiohttp.ClientError:
                return None

    def _headers(self, buyer: Buyer, key: str) -> dict[str, str]:
        names = {"Authorization": f"Bearer {self.keys[buyer.channel]}", "Idempotency-Key": key}
        return names | {"Content-Type": "application/json"}

    async def _serve(self, http: aiohttp.ClientSession, waiting: Any) -> None:
        for buyer in waiting:
            await self._buy(http, buyer)
            if buyer.order and buyer.cancels:
                await self._cancel(http, buyer)

    async def _buy(self, http: aiohttp.ClientSession, buyer: Buyer) -> None:
        for attempt in itertools.count(1):
            status, body = await self._pay_once(http, buyer, attempt)
            if status != 402:
                break
        shown = json.loads(body)
        if status == 200 and shown["state"] == "confirmed":
            buyer.order = shown
        elif status == 200:
            buyer.left_open = shown["payment"]["reference"]
        elif status == 409 and shown["code"] == "expired":
            buyer.refused = shown["code"]
        else:
            self.strange.append(f"{buyer.reservation} {buyer.how}: {status} {body.decode()}")
            buyer.refused = str(status)

    async def _pay_once(self, http: aiohttp.ClientSession, buyer: Buyer, attempt: int) -> tuple[int, bytes]:
        """Sends one confirmation until it is answered and the payment is over, or the buyer gives up."""
        key, body = f"pay-{buyer.reservation}-{attempt}", self._order(buyer, attempt)
        for _ in itertools.count() if buyer.how != "never" else range(2):
            status, answer = await self._send(http, buyer, "confirm", key, body)
            if status not in {200, 202} or json.loads(answer)["state"] != "held":
                break
        else:
            return status, answer
        while status == 200 and self.chance.random() < ASKS_AGAIN:
            self.repeats += 1
            again = await self._send(http, buyer, "confirm", key, body)
            if again != (status, answer):
                self.strange.append(f"{buyer.reservation}: {again} instead of {(status, answer)}")
        return status, answer

    def _order(self, buyer: Buyer, attempt: int) -> bytes:
        who = dict(buyer.identity)
        contact = {"name": "Pembeli", "address": "Jl. Melati 5", "phone": who["phone"], "email": who["email"]}
        method, instrument = "qris", f"{buyer.how}-{self.chance.randrange(200, 3000)}"
        if buyer.channel == "akulaku":
            method, instrument = "partner", f"AKU-{buyer.reservation}"
            buyer.charged.add(instrument)
        elif buyer.how == "declines":
            instrument = "declines" if attempt == 1 else "pays"
        body = {"identity": who, "contact": contact, "language": "id", "price": PRICE}
        return json.dumps(body | {"method": method, "instrument": instrument}).encode()

    async def _cancel(self, http: aiohttp.ClientSession, buyer: Buyer) -> None:
        body = json.dumps({"reason": "buyer_request"}).encode()
        status, answer = await self._send(http, buyer, "cancel", f"cancel-{buyer.reservation}", body)
        shown = json.loads(answer)
        if (status, shown.get("state")) != (200, "cancelled"):
            self.strange.append(f"cancel {buyer.reservation}: {status} {answer.decode()}")
        buyer.cancelled = True

    async def refund(self) -> None:
        """A partner sends the money of its cancelled orders back, and says so."""
        async with aiohttp.ClientSession() as http:
            for buyer in self.buyers:
                if buyer.cancelled and buyer.charged:
                    await self._refund(http, buyer)

    async def _refund(self, http: aiohttp.ClientSession, buyer: Buyer) -> None:
        headers = {"Authorization": f"Bearer {self.keys[buyer.channel]}"}
        async with http.get(f"{self.doors[0]}/v1/reservations/{buyer.reservation}", headers=headers) as answer:
            (duty,) = (await answer.json())["payment"]["refunds"]
        if (duty["state"], duty["amount"]) != ("sent", PRICE):
            self.strange.append(f"the refund of {buyer.reservation}: {duty}")
        body = json.dumps({"refund": duty["reference"], "reference": f"AKU-R-{buyer.reservation}"}).encode()
        for _twice in range(2):
            status, text = await self._send(http, buyer, "refund", f"refund-{buyer.reservation}", body)
            if (status, json.loads(text)["payment"]["state"]) != (200, "refunded"):
                self.strange.append(f"refund {buyer.reservation}: {status} {text.decode()}")

    async def _send(
        self, http: aiohttp.ClientSession, buyer: Buyer, verb: str, key: str, body: bytes
    ) -> tuple[int, bytes]:
        """Sends the same request with the same key until there is an answer that is not "send it again"."""
        headers = self._headers(buyer, key)
        while True:
            door = self.doors[next(self._numbers) % len(self.doors)]
            patience = self.chance.uniform(*HURRY_S) if self.chance.random() < HURRIES else PATIENCE_S
            try:
                timeout = aiohttp.ClientTimeout(total=patience)
                url = f"{door}/v1/reservations/{buyer.reservation}/{verb}"
                async with http.post(url, data=body, headers=headers, timeout=timeout) as answer:
                    status, text = answer.status, await answer.read()
            except (aiohttp.ClientError, TimeoutError) as error:
                self.answers[type(error).__name__] += 1
                await asyncio.sleep(self.chance.uniform(*AGAIN_S))
                continue
            self.answers[f"{verb} {status}"] += 1
            if status not in {202, 429, 503}:
                if status == 200 and b'"state":"held"' in text:
                    await asyncio.sleep(self.chance.uniform(*AGAIN_S))
                return status, text
            await asyncio.sleep(float(answer.headers.get("Retry-After", "1")) * self.chance.uniform(1, 1.2))


def some_buyers(holds: Sequence[tuple[str, str, Mapping[str, str]]], seed: int) -> list[Buyer]:
    """A buyer for each hold (reservation, channel, identity), each with a way of its own."""
    chance = random.Random(seed)
    buyers = [
        Buyer(reservation, channel, who, chance.choice(HOW), chance.random() < CANCELS)
        for reservation, channel, who in holds
    ]
    chance.shuffle(buyers)
    return buyers
