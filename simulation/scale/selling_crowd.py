"""A crowd of a partner's buyers over real sockets: each enters, reserves and pays, and writes down what it was told.

It uses no line of the product. Like the partners of docs/partner.md, a buyer sends a request without an answer again,
with the same key. `repeated` counts the answers that a buyer got only by such a repeat although the first request had
taken effect: its answer was lost.
"""

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp

PATIENCE_S = 20.0
SERVED_S = 180.0
AGAIN_S, PAUSE_S = 0.1, 0.1
STEPS = ("enter", "reserve", "confirm")
# The words of refusals after which the same request is right a moment later.
WAITS = {"not_called", "not_open", "preparing", "not_ready", "unknown", "too_many"}


@dataclass
class Buyer:
    """What a buyer knows: place token, reservation, order, and which server answered each step."""

    name: str
    place: str = ""
    reservation: str = ""
    amount: int = 0
    order: str = ""
    by: dict[str, str] = field(default_factory=dict)


@dataclass
class Crowd:
    """The buyers of one line. `doors` and `webs` are the addresses of servers that are tried in turn."""

    line: str
    key: str
    doors: Sequence[str]
    webs: Sequence[str]
    identity: Callable[[str], Mapping[str, str]]
    sku: str
    buyers: list[Buyer] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)
    # How many requests each server has not answered yet.
    under_way: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    repeated: list[str] = field(default_factory=list)
    strange: list[str] = field(default_factory=list)
    # When a reservation or a payment was acknowledged, in seconds of the monotonic clock.
    sold_at: list[float] = field(default_factory=list)
    ends: bool = False

    async def buy(self, *, together: int, most: int) -> None:
        """Buyers come, `together` at once, until `most` have come or `ends` is set. Each that began goes to its end."""
        numbers = itertools.count(len(self.buyers))
        connector = aiohttp.TCPConnector(limit=0)
        timeout = aiohttp.ClientTimeout(total=PATIENCE_S)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as http:

            async def come() -> None:
                while not self.ends and (number := next(numbers)) < most:
                    buyer = Buyer(f"crowd-{self.line.split('/')[3]}-{number}")
                    self.buyers.append(buyer)
                    await self.serve(http, buyer)
                    await asyncio.sleep(PAUSE_S)

            await asyncio.gather(*(come() for _ in range(together)))

    async def serve(self, http: aiohttp.ClientSession, buyer: Buyer) -> None:
        """One buyer enters, reserves and pays. Sets what it was told."""
        who = dict(self.identity(buyer.name))
        entered = await self.send(http, buyer, "enter", f"{self.line}/enter", {"identity": who})
        buyer.place = entered.get("place", "")
        if buyer.place:
            await self.buy_for(http, buyer, who)

    async def buy_for(self, http: aiohttp.ClientSession, buyer: Buyer, who: Mapping[str, str]) -> None:
        """A buyer with a place reserves and pays. Sets what it was told."""
        began = time.monotonic()
        items = {"place": buyer.place, "items": [{"sku": self.sku, "quantity": 1}]}
        held = await self.send(http, buyer, "reserve", f"{self.line}/reserve", items)
        buyer.reservation, buyer.amount = held.get("reservation", ""), held.get("amount", 0)
        if not buyer.reservation:
            return
        await self.before_payment(buyer, began)
        contact = {"name": "Pembeli", "address": "Jl. Melati 5", "phone": who["phone"], "email": who["email"]}
        body = {"identity": who, "contact": contact, "language": "id", "price": buyer.amount}
        body |= {"method": "partner", "instrument": f"P-{buyer.name}"}
        paid = await self.send(http, buyer, "confirm", f"/v1/reservations/{buyer.reservation}/confirm", body)
        if paid.get("state") == "confirmed":
            buyer.order = buyer.reservation

    async def before_payment(self, buyer: Buyer, began: float) -> None:
        """What a buyer waits for before it pays. `began` is when it began to reserve (monotonic clock)."""

    async def ask_again(self, buyers: Sequence[Buyer]) -> None:
        """Sends the reservation of each buyer again to every door, with the same key: it must get the same answer."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PATIENCE_S)) as http:
            for buyer, door in itertools.product(buyers, self.doors):
                headers = {"Authorization": f"Bearer {self.key}", "Idempotency-Key": f"reserve-{buyer.name}"}
                body = {"place": buyer.place, "items": [{"sku": self.sku, "quantity": 1}]}
                async with http.post(f"{door}{self.line}/reserve", json=body, headers=headers) as answer:
                    shown = await answer.json(content_type=None)
                    if (shown.get("reservation"), "Idempotency-Replayed" in answer.headers) != (
                        buyer.reservation,
                        True,
                    ):
                        self.strange.append(f"{buyer.name} at {door}: {answer.status} {shown}")

    async def send(
        self, http: aiohttp.ClientSession, buyer: Buyer, verb: str, path: str, body: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Sends a request until it has an answer. Goes to the next server when one does not answer."""
        headers = {"Authorization": f"Bearer {self.key}", "Idempotency-Key": f"{verb}-{buyer.name}"}
        lost, deadline = False, time.monotonic() + SERVED_S
        # Neighbours take their steps at different servers, in all combinations.
        step = STEPS.index(verb) if verb in STEPS else 0
        for turn in itertools.count(int(buyer.name.rpartition("-")[2]) >> step):
            assert time.monotonic() < deadline, f"{verb} {buyer.name}: {self.answers}"
            servers = self.webs if verb == "confirm" else self.doors
            server = servers[turn % len(servers)]
            self.under_way[server] += 1
            try:
                async with http.post(f"{server}{path}", json=body, headers=headers) as answer:
                    shown = await answer.json(content_type=None)
                    status, replayed = answer.status, "Idempotency-Replayed" in answer.headers
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                self.failures[f"{verb}: {type(error).__name__}"] += 1
                lost |= not isinstance(error, aiohttp.ClientConnectorError)
                await asyncio.sleep(AGAIN_S)
                continue
            finally:
                self.under_way[server] -= 1
            code = shown.get("code", "")
            self.answers[f"{verb} {status} {code}".strip()] += 1
            if status in {202, 429, 503} or code in WAITS:
                await asyncio.sleep(float(answer.headers.get("Retry-After", AGAIN_S)) if status == 503 else AGAIN_S)
                continue
            if status not in {200, 201}:
                self.strange.append(f"{verb} {buyer.name}: {status} {shown}")
                return {}
            if lost and (replayed or (verb == "enter" and status == 200)):
                self.repeated.append(f"{verb} {buyer.name}")
            buyer.by[verb] = server
            if verb != "enter":
                self.sold_at.append(time.monotonic())
            return dict(shown)
        raise AssertionError
