"""A payment gateway with a ledger of its own: a process that imports nothing of the product.

    python tests/faults/gateway.py PORT LEDGER SEED NOTIFY...

It takes 50 to 300 ms for an answer, and it is as hard to live with as real gateways: it drops answers after it has
taken money, it answers 500 after it has taken money, it charges a closed reference anew, and its notifications are
lost, late or doubled. LEDGER is a file to which each movement of money is appended before it is answered. NOTIFY are
addresses that get notifications.
"""

import asyncio
import hashlib
import hmac
import json
import random
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

KEY = b"made up for tests"
SIGNATURE = "X-Gateway-Signature"
LATENCY_S = (0.05, 0.3)
# How often an answer is lost after its effect, and how often it is a 500 instead.
LOST, FAILED = 0.06, 0.04
Call = Callable[[dict[str, Any]], dict[str, Any]]


class Gateway:
    """References and what became of them. An instrument says how the buyer behaves: pays, declines, later, never."""

    def __init__(self, ledger: Path, seed: int, notify: list[str]) -> None:
        self.ledger, self.chance, self.notify = ledger, random.Random(seed), notify
        self.charges: dict[str, dict[str, Any]] = {}
        self.refunds: dict[str, dict[str, Any]] = {}
        self.running = 0
        self.tasks: set[asyncio.Task[None]] = set()

    def write(self, what: str, **fields: Any) -> None:
        with self.ledger.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"what": what, **fields}) + "\n")

    def charge(self, body: dict[str, Any]) -> dict[str, Any]:
        """Starts a payment. A reference that is open or paid is not charged again; a closed one is."""
        known = self.charges.get(body["reference"])
        if known is None or known["state"] == "closed":
            known = self.charges[body["reference"]] = {**body, "state": "waiting"}
            kind, _, rest = body["instrument"].partition("-")
            if kind == "pays":
                self._take(known)
            elif kind == "declines":
                known["state"] = "failed"
            elif kind == "later":
                self._soon(self._pay_later(known, int(rest.partition("-")[0]) / 1000))
        return self._standing(known)

    def look(self, body: dict[str, Any]) -> dict[str, Any]:
        return self._standing(self.charges.get(body["reference"]))

    def close(self, body: dict[str, Any]) -> dict[str, Any]:
        """Takes no money for the reference from now on, unless the money is there."""
        known = self.charges.setdefault(body["reference"], {**body, "state": "closed"})
        if known["state"] == "waiting":
            known["state"] = "closed"
        return self._standing(known)

    def pay(self, body: dict[str, Any]) -> dict[str, Any]:
        """The buyer pays in the app of their bank, if the payment is open."""
        known = self.charges.get(body["reference"])
        if known and known["state"] == "waiting":
            self._take(known)
        return self._standing(known)

    def refund(self, body: dict[str, Any]) -> dict[str, Any]:
        """Sends money back, once for a reference of a refund."""
        charge = self.charges.get(body["reference"])
        if charge is None or charge["state"] != "paid":
            return {"state": "failed"}
        if body["refund"] not in self.refunds:
            self.refunds[body["refund"]] = body
            self.write("refunded", reference=body["reference"], refund=body["refund"], amount=body["amount"])
        return {"state": "confirmed", "id": "r-" + body["refund"]}

    def _take(self, known: dict[str, Any]) -> None:
        known["state"] = "paid"
        self.write("charged", reference=known["reference"], amount=known["amount"], instrument=known["instrument"])
        for _ in range(self.chance.choice((0, 1, 1, 2))):
            self._soon(self._tell(known["reference"]))

    def _standing(self, known: dict[str, Any] | None) -> dict[str, Any]:
        if known is None:
            return {"state": "unknown"}
        paid = known["amount"] if known["state"] == "paid" else 0
        return {"state": known["state"], "id": "g-" + known["reference"], "paid": paid, "currency": "IDR"}

    def _soon(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _pay_later(self, known: dict[str, Any], after_s: float) -> None:
        await asyncio.sleep(after_s)
        if known["state"] == "waiting":
            self._take(known)

    async def _tell(self, reference: str) -> None:
        """Notifies one address; tries another one once when there is no answer."""
        await asyncio.sleep(self.chance.uniform(0.0, 1.0))
        body = json.dumps({"reference": reference}).encode()
        headers = {SIGNATURE: hmac.digest(KEY, body, hashlib.sha256).hex(), "Content-Type": "application/json"}
        for address in self.chance.sample(self.notify, len(self.notify))[:2]:
            try:
                timeout = aiohttp.ClientTimeout(total=5)
                async with (
                    aiohttp.ClientSession(timeout=timeout) as http,
                    http.post(address, data=body, headers=headers) as answer,
                ):
                    if answer.status < 300:
                        return
            except (aiohttp.ClientError, TimeoutError):
                continue

    def slowly(self, call: Call) -> Callable[[web.Request], Awaitable[web.Response]]:
        """A call as the product makes it: it takes a while, and its answer may be lost after its effect."""

        async def handle(request: web.Request) -> web.Response:
            body = await request.json()
            self.running += 1
            try:
                await asyncio.sleep(self.chance.uniform(*LATENCY_S) / 2)
                answer, luck = call(body), self.chance.random()
                await asyncio.sleep(self.chance.uniform(*LATENCY_S) / 2)
            finally:
                self.running -= 1
            if luck < LOST and request.transport is not None:
                request.transport.close()
            return web.json_response(answer, status=500 if luck > 1 - FAILED else 200)

        return handle

    def application(self) -> web.Application:
        async def running(_: web.Request) -> web.Response:
            return web.json_response(self.running)

        async def pay(request: web.Request) -> web.Response:
            return web.json_response(self.pay(await request.json()))

        made = web.Application()
        calls = [web.post(f"/{call.__name__}", self.slowly(call)) for call in (self.charge, self.look, self.close)]
        made.add_routes([*calls, web.post("/refund", self.slowly(self.refund))])
        made.add_routes([web.get("/running", running), web.post("/pay", pay)])
        return made


if __name__ == "__main__":
    port, ledger, seed, *notify = sys.argv[1:]
    gateway = Gateway(Path(ledger), int(seed), notify)
    web.run_app(gateway.application(), host="127.0.0.1", port=int(port), print=None)
