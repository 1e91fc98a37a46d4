"""A crowd in which people try late, and keep a ledger of it: to reserve, in the time to claim; to pay, in the hold.

No person tries too late: the first request is sent while the claim window is open, or before the deadline of the hold.
So a person who is told `lapsed` or `expired` has lost the turn to a fault, and not to being slow.
"""

import asyncio
import random
import statistics
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from simulation.scale.selling_crowd import Buyer, Crowd

LOOK_S = 0.25
# At which part of the claim window a person tries first.
TRIES = (0.2, 0.9)
# Such a share of the people pays late in the hold. The others pay at once.
PAYS_LATE = 1 / 3


@dataclass
class LateCrowd(Crowd):
    """As Crowd. `seed` gives each person the moment of the first try; `took_s` has how long each step took, by step.

    `hold_s` is how long a hold of the sale lasts. `lapsed` has people who tried in time and were told that it was over.
    """

    seed: int = 0
    hold_s: float = 0.0
    took_s: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    lapsed: list[str] = field(default_factory=list)

    async def serve(self, http: aiohttp.ClientSession, buyer: Buyer) -> None:
        """One buyer enters, waits until called, lets a part of the time pass, reserves and pays."""
        who = dict(self.identity(buyer.name))
        buyer.place = (await self.send(http, buyer, "enter", f"{self.line}/enter", {"identity": who})).get("place", "")
        if not buyer.place:
            return
        left_s = await self._called(http, buyer)
        if left_s is None:
            self.strange.append(f"{buyer.name} heard of the call only after the time to claim")
            return
        await asyncio.sleep(left_s * random.Random(f"{self.seed} {buyer.name}").uniform(*TRIES))
        await self.buy_for(http, buyer, who)

    async def before_payment(self, buyer: Buyer, began: float) -> None:
        """Some people wait until late in the hold. It begins after the request that reserves."""
        chance = random.Random(f"{self.seed} {buyer.name} pays")
        if chance.random() < PAYS_LATE:
            await asyncio.sleep(max(0.0, began + self.hold_s * chance.uniform(*TRIES) - time.monotonic()))

    async def _called(self, http: aiohttp.ClientSession, buyer: Buyer) -> float | None:
        """Waits for the call. Returns how long the person has to claim, in seconds; None if the time is over."""
        while True:
            view = await self.send(http, buyer, "look", f"{self.line}/look", {"place": buyer.place})
            if view.get("state") == "called":
                return float(view["claim_ends"] - view["now"]) / 1000
            if view.get("state") != "waiting":
                return None
            await asyncio.sleep(LOOK_S)

    async def send(
        self, http: aiohttp.ClientSession, buyer: Buyer, verb: str, path: str, body: Mapping[str, Any]
    ) -> dict[str, Any]:
        """As Crowd.send; notes how long it took until the answer."""
        began, strange = time.monotonic(), len(self.strange)
        shown = await super().send(http, buyer, verb, path, body)
        self.took_s[verb].append(time.monotonic() - began)
        over = {"reserve": "lapsed", "confirm": "expired"}.get(verb)
        if over and any(f"{verb} {buyer.name}:" in text and over in text for text in self.strange[strange:]):
            self.lapsed.append(f"{buyer.name} tried in time, and was told that the time is over")
        return shown

    def p99_ms(self, verb: str) -> int:
        """The time within which 99 of 100 requests were answered, repeats included."""
        took = self.took_s[verb]
        return round(1000 * (statistics.quantiles(took, n=100)[98] if len(took) > 1 else sum(took)))
