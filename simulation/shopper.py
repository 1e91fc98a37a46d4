"""The requests of one simulated shopper, sent by a partner's server or by a browser on our own page."""

import asyncio
from abc import ABC, abstractmethod
from typing import Any

from simulation.client import HttpClient, now_ms
from simulation.journal import BEGIN, CONFIRM, PAYMENT, Answer
from simulation.outbox import Outbox
from simulation.people import Person
from simulation.wallets import Wallets

Items = list[dict[str, Any]]
FOLLOW_EVERY_S = 0.4
# How long after the end of the hold a buyer who has paid waits for the site to say what became of the money.
FOLLOW_MS = 20_000
# In these states of a payment, the site does not know yet that money came.
UNDECIDED = {"", "preparing", "started", "declined"}


class Shopper(ABC):
    """One person in one line of a sale. `proof` says how the identity is proven."""

    proof: str

    def __init__(
        self, *, http: HttpClient, person: Person, sale: str, line: str, wallets: Wallets | None = None
    ) -> None:
        self._any_wallets = wallets
        self.person = person
        self.sale = sale
        self.line = line
        self._http = http

    @abstractmethod
    async def enter(self) -> Answer:
        """Asks for a place in the line."""

    @abstractmethod
    async def look(self) -> Answer:
        """Asks for the state of the place."""

    @abstractmethod
    async def leave(self) -> Answer:
        """Gives the place up."""

    @abstractmethod
    async def reserve(self, *, items: Items, key: str) -> Answer:
        """Asks for units. The idempotency key makes a repetition harmless."""

    @abstractmethod
    async def confirm(self, *, reservation: str, price: int) -> Answer:
        """Gives the address for the delivery, and pays or begins to pay."""

    async def pay(self, *, reservation: str, deadline_ms: int) -> bool:
        """Pays at a gateway what has begun there, and waits for the result. Returns whether the order stands."""
        if self._wallets is None:
            return True
        until, paid = deadline_ms + FOLLOW_MS, False
        while now_ms() < until:
            if not paid and (code := await self._code(reservation)):
                paid = await self._wallets.pay(self.person, code, method=self._method, deadline_ms=deadline_ms)
                if not paid:
                    return False
            state, payment = await self._follow(reservation)
            if state == "confirmed":
                return True
            if state != "held" and (not paid or payment not in UNDECIDED):
                return False
            await asyncio.sleep(FOLLOW_EVERY_S)
        return False

    @property
    def _wallets(self) -> Wallets | None:
        """What this person pays with; None if the money does not go to a gateway."""
        return self._any_wallets if self._any_wallets and self._any_wallets.serves(self.person.channel) else None

    @property
    def _method(self) -> str:
        return self._wallets.method(self.person) if self._wallets else ""

    @abstractmethod
    async def _follow(self, reservation: str) -> tuple[str, str]:
        """The states of the reservation and of its payment."""

    @abstractmethod
    async def _code(self, reservation: str) -> str | None:
        """What the site shows to pay with; None while it shows nothing yet."""

    def _path(self, verb: str) -> str:
        return f"/v1/sales/{self.sale}/lines/{self.line}/{verb}"


class PartnerShopper(Shopper):
    """A partner's server that sends requests for its shopper. It has checked the identity and keeps the place token."""

    proof = "a partner's word"

    def __init__(
        self,
        *,
        http: HttpClient,
        person: Person,
        sale: str,
        line: str,
        key: str,
        old_shopper: Shopper | None = None,
        wallets: Wallets | None = None,
    ) -> None:
        super().__init__(http=http, person=person, sale=sale, line=line, wallets=wallets)
        self._bearer = {"Authorization": f"Bearer {key}"}
        self.place = ""
        self._carried = {"carried": old_shopper.place} if isinstance(old_shopper, PartnerShopper) else {}

    async def enter(self) -> Answer:
        """Sends the identity and keeps the place token of the answer."""
        identity = {"phone": self.person.phone, "email": self.person.email}
        answer = await self._line_request("enter", {"identity": identity, **self._carried})
        if answer.ok:
            self.place = str(answer.body["place"])
        return answer

    async def look(self) -> Answer:
        """Sends the place token."""
        return await self._line_request("look", {"place": self.place})

    async def leave(self) -> Answer:
        """Sends the place token."""
        return await self._line_request("leave", {"place": self.place})

    async def reserve(self, *, items: Items, key: str) -> Answer:
        """Sends the place token."""
        return await self._line_request("reserve", {"place": self.place, "items": items}, {"Idempotency-Key": key})

    async def confirm(self, *, reservation: str, price: int) -> Answer:
        """Sends the identity on all axes that the partner knows. The partner has charged its buyer, or we do."""
        word = {"method": "partner", "instrument": f"paid-{reservation}"}
        return await self._http.send(
            who=self.person.code,
            verb=BEGIN if self._wallets else CONFIRM,
            path=f"/v1/reservations/{reservation}/confirm",
            sale=self.sale,
            line=self.line,
            body={
                "identity": self.person.identity,
                "contact": self.person.contact,
                "language": self.person.language,
                "price": price,
                **({"method": self._method} if self._wallets else word),
            },
            note={"reservation": reservation},
            headers={**self._bearer, "Idempotency-Key": f"confirm-{reservation}"},
        )

    async def _follow(self, reservation: str) -> tuple[str, str]:
        answer = await self._document(reservation)
        return str(answer.body.get("state", "held")), str((answer.body.get("payment") or {}).get("state", ""))

    async def _code(self, reservation: str) -> str | None:
        payment = (await self._document(reservation)).body.get("payment") or {}
        shown = payment.get("instructions")
        return Wallets.read_document(shown) if shown else None

    async def _document(self, reservation: str) -> Answer:
        return await self._http.send(
            who=self.person.code,
            verb=PAYMENT,
            method="GET",
            path=f"/v1/reservations/{reservation}",
            sale=self.sale,
            line=self.line,
            note={"reservation": reservation},
            headers=self._bearer,
        )

    async def _line_request(self, verb: str, body: dict[str, Any], more: dict[str, str] | None = None) -> Answer:
        return await self._http.send(
            who=self.person.code,
            verb=verb,
            path=self._path(verb),
            sale=self.sale,
            line=self.line,
            body=body,
            headers={**self._bearer, **(more or {})},
        )


class PageShopper(Shopper):
    """A browser on our own page, with cookies, one-time codes and its own IP address behind the proxy."""

    proof = "a code"

    def __init__(
        self,
        *,
        http: HttpClient,
        person: Person,
        sale: str,
        line: str,
        outbox: Outbox,
        old_shopper: Shopper | None = None,
        wallets: Wallets | None = None,
    ) -> None:
        super().__init__(http=http, person=person, sale=sale, line=line, wallets=wallets)
        self._outbox = outbox
        self.cookies: dict[str, str] = {"fs_device": person.device, "django_language": person.language}
        if isinstance(old_shopper, PageShopper):
            self.cookies |= old_shopper.cookies
        digits = int(person.phone[4:])
        self._headers = {
            "Origin": http.url,
            "Referer": f"{http.url}/s/{sale}/",
            "X-Forwarded-For": f"10.{digits >> 16 & 255}.{digits >> 8 & 255}.{digits & 255}",
        }

    async def enter(self) -> Answer:
        """Proves phone and e-mail with one-time codes unless that is done already, then enters."""
        if not any(name.startswith("fs_proof_") for name in self.cookies):
            refused = await self._prove()
            if refused is not None:
                return refused
        return await self._line_request("enter", {})

    async def _prove(self) -> Answer | None:
        """Returns None when both values are proven, else the answer that refused it."""
        await self._request("page", f"/s/{self.sale}/", method="GET")
        person = self.person
        requested = await self._request(
            "codes", f"/s/{self.sale}/codes", {"phone": person.phone, "email": person.email}
        )
        if not requested.ok:
            return requested
        codes = await self._outbox.codes(phone=person.phone, email=person.email)
        typed_codes = {f"{axis}_code": code for axis, code in codes.items()}
        proven = await self._request("prove", f"/s/{self.sale}/prove", {**requested.body["challenges"], **typed_codes})
        return None if proven.ok else proven

    async def look(self) -> Answer:
        """The cookie identifies the place."""
        return await self._line_request("look", {})

    async def leave(self) -> Answer:
        """The cookie identifies the place."""
        return await self._line_request("leave", {})

    async def reserve(self, *, items: Items, key: str) -> Answer:
        """The cookie identifies the place; the browser makes the key."""
        return await self._line_request("reserve", {"items": items}, {"Idempotency-Key": key})

    async def confirm(self, *, reservation: str, price: int) -> Answer:
        """Sends the checkout form. Without a gateway, the bank of the demo takes a card."""
        way = {"method": self._method} if self._wallets else {"method": "card", "instrument": self.person.card}
        body = {"reservation": reservation, "amount": str(price), **way, **self.person.contact}
        return await self._request(BEGIN if self._wallets else CONFIRM, f"/s/{self.sale}/confirm", body)

    async def _follow(self, reservation: str) -> tuple[str, str]:
        """The order page asks this address, and loads itself again when the answer changes."""
        path = f"/s/{self.sale}/order/{reservation}/payment"
        answer = await self._request(PAYMENT, path, method="GET", note={"reservation": reservation})
        state, _, rest = str(answer.body.get("mark", "held")).partition(" ")
        return state, (rest.split() or ["", ""])[1]

    async def _code(self, reservation: str) -> str | None:
        path = f"/s/{self.sale}/order/{reservation}"
        page = await self._http.page(path, headers=self._headers, cookies=self.cookies)
        return await self._wallets.read_page(self.person, page) if self._wallets else None

    async def _line_request(self, verb: str, body: dict[str, Any], more: dict[str, str] | None = None) -> Answer:
        return await self._request(verb, self._path(verb), body, more)

    async def _request(
        self,
        verb: str,
        path: str,
        body: dict[str, Any] | None = None,
        more: dict[str, str] | None = None,
        *,
        method: str = "POST",
        note: dict[str, Any] | None = None,
    ) -> Answer:
        headers = {**self._headers, **(more or {})}
        if token := self.cookies.get("csrftoken"):
            headers["X-CSRFToken"] = token
        return await self._http.send(
            who=self.person.code,
            verb=verb,
            path=path,
            sale=self.sale,
            line=self.line,
            method=method,
            body=body,
            note=note,
            headers=headers,
            cookies=self.cookies,
        )
