"""The banking apps of simulated buyers: they scan or copy what the site shows, and pay it at a simulated gateway."""

import asyncio
import html
import random
import re
from collections.abc import Mapping
from typing import Any

from flashsale.web.pages.paying import qr_svg
from simulation.client import now_ms
from simulation.gateways.client import GatewayControl
from simulation.people import Person

_SVG = re.compile(r'<svg[^>]*class="qr".*?</svg>', re.DOTALL)
_NUMBER = re.compile(r'<code class="account">([^<]+)</code>')
_LINK = re.compile(r'<a class="go" href="(https?://[^"]+)"')
# One buyer pays after the hold has ended: the one who begins this payment of the story.
LATE_PAYMENT, LATE_BY_S = 2, 1.5


class WrongCode(RuntimeError):
    """The site shows a QR code that the gateway has not given out."""


class Wallets:
    """What all buyers of a story pay with. `accounts` has the gateway of a channel, `methods` what it offers."""

    def __init__(
        self,
        *,
        controls: Mapping[str, GatewayControl],
        accounts: Mapping[str, str],
        methods: Mapping[str, tuple[str, ...]],
        seed: int,
    ) -> None:
        self._controls = controls
        self._accounts = accounts
        self._methods = methods
        self._seed = seed
        self._begun = 0
        # Codes by the picture that a page draws of them.
        self._pictures: dict[str, str] = {}
        self.paid: dict[str, int] = {}
        self.paid_late = 0

    def serves(self, channel: str) -> bool:
        """Whether buyers of this channel pay us at a gateway."""
        return channel in self._accounts

    def method(self, person: Person) -> str:
        """How a person pays: about half of them by QRIS."""
        qris, *others = self._methods[person.channel]
        rng = random.Random(f"{self._seed}/pays/{person.code}")
        return qris if rng.random() < 0.5 else rng.choice(others)

    async def pay(self, person: Person, code: str, *, method: str, deadline_ms: int) -> bool:
        """Pays a code at once; one payment of the story comes after the hold has ended. Whether the bank took it."""
        self._begun += 1
        late = self._begun == LATE_PAYMENT
        if late:
            await asyncio.sleep(max(0.0, (deadline_ms - now_ms()) / 1000) + LATE_BY_S)
        control = self._controls[self._accounts[person.channel]]
        done = await asyncio.to_thread(control.pay, code, force=late)
        if done.accepted:
            self.paid[method] = self.paid.get(method, 0) + 1
            self.paid_late += late
        return done.accepted

    async def read_page(self, person: Person, page: str) -> str | None:
        """The code on an order page: scanned from its picture, copied, or behind its link. None if it shows none."""
        if found := _SVG.search(page):
            return await self._scan(person, found[0])
        copied = _NUMBER.search(page) or _LINK.search(page)
        return html.unescape(copied[1]) if copied else None

    @staticmethod
    def read_document(instructions: Mapping[str, Any]) -> str:
        """The code in the document of a reservation."""
        return next(str(instructions[name]) for name in ("qr", "number", "deeplink", "url") if instructions.get(name))

    async def _scan(self, person: Person, picture: str) -> str:
        """What the picture says: it must be the one of a code that the gateway has given out. Raises WrongCode."""
        if picture not in self._pictures:
            control = self._controls[self._accounts[person.channel]]
            codes = [code.value for code in await asyncio.to_thread(control.codes) if code.kind == "qr"]
            known = set(self._pictures.values())
            self._pictures |= {qr_svg(code): code for code in codes if code not in known}
        if picture not in self._pictures:
            raise WrongCode(f"{person.code}: the gateway has not given out the QR code on the order page")
        return self._pictures[picture]
