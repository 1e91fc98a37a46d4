"""What one shopper can do through the door of their channel: a partner's server, or our own page in a browser."""

from abc import ABC, abstractmethod
from typing import Any

from simulation.client import HttpClient
from simulation.journal import Answer
from simulation.outbox import Outbox
from simulation.people import Person

Items = list[dict[str, Any]]


class Shopper(ABC):
    """A person at one line."""

    def __init__(self, *, http: HttpClient, person: Person, sale: str, line: str) -> None:
        self.person = person
        self.sale = sale
        self.line = line
        self._http = http

    @abstractmethod
    async def enter(self) -> Answer:
        """Ask for a place."""

    @abstractmethod
    async def look(self) -> Answer:
        """Ask where the place stands."""

    @abstractmethod
    async def leave(self) -> Answer:
        """Give the place up."""

    @abstractmethod
    async def reserve(self, *, items: Items, key: str) -> Answer:
        """Ask for units, under a key that makes a repetition harmless."""

    @abstractmethod
    async def confirm(self, *, reservation: str, price: int) -> Answer:
        """Pay and say where to send it."""

    def _path(self, verb: str) -> str:
        return f"/v1/sales/{self.sale}/lines/{self.line}/{verb}"


class PartnerShopper(Shopper):
    """The partner's server speaks for its shopper, whose identity it has checked, and keeps the place token."""

    def __init__(
        self, *, http: HttpClient, person: Person, sale: str, line: str, key: str, old: Shopper | None = None
    ) -> None:
        super().__init__(http=http, person=person, sale=sale, line=line)
        self._bearer = {"Authorization": f"Bearer {key}"}
        self.place = ""
        self._carried = {"carried": old.place} if isinstance(old, PartnerShopper) else {}

    async def enter(self) -> Answer:
        """Identity in, place token out."""
        identity = {"phone": self.person.phone, "email": self.person.email}
        answer = await self._hot("enter", {"identity": identity, **self._carried})
        if answer.ok:
            self.place = str(answer.body["place"])
        return answer

    async def look(self) -> Answer:
        """By the token."""
        return await self._hot("look", {"place": self.place})

    async def leave(self) -> Answer:
        """By the token."""
        return await self._hot("leave", {"place": self.place})

    async def reserve(self, *, items: Items, key: str) -> Answer:
        """By the token, under the shopper's key."""
        return await self._hot("reserve", {"place": self.place, "items": items}, {"Idempotency-Key": key})

    async def confirm(self, *, reservation: str, price: int) -> Answer:
        """With all axes, as the partner knows them."""
        return await self._http.send(
            who=self.person.code,
            verb="confirm",
            path=f"/v1/reservations/{reservation}/confirm",
            sale=self.sale,
            line=self.line,
            body={
                "identity": self.person.identity,
                "contact": self.person.contact,
                "language": self.person.language,
                "price": price,
                "method": "card",
                "instrument": self.person.card,
            },
            note={"reservation": reservation},
            headers={**self._bearer, "Idempotency-Key": f"confirm-{reservation}"},
        )

    async def _hot(self, verb: str, body: dict[str, Any], more: dict[str, str] | None = None) -> Answer:
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
    """A browser on our own page: cookies, one-time codes, and an address of its own behind the proxy."""

    def __init__(
        self, *, http: HttpClient, person: Person, sale: str, line: str, outbox: Outbox, old: Shopper | None = None
    ) -> None:
        super().__init__(http=http, person=person, sale=sale, line=line)
        self._outbox = outbox
        self.cookies: dict[str, str] = {"fs_device": person.device, "django_language": person.language}
        if isinstance(old, PageShopper):
            self.cookies |= old.cookies
        digits = int(person.phone[4:])
        self._headers = {
            "Origin": http.url,
            "Referer": f"{http.url}/s/{sale}/",
            "X-Forwarded-For": f"10.{digits >> 16 & 255}.{digits >> 8 & 255}.{digits & 255}",
        }

    async def enter(self) -> Answer:
        """Open the page, ask for codes, read them, prove them, enter."""
        if not any(name.startswith("fs_proof_") for name in self.cookies):
            refused = await self._prove()
            if refused is not None:
                return refused
        return await self._hot("enter", {})

    async def _prove(self) -> Answer | None:
        """None when both values are proven; else the answer that stood in the way."""
        await self._page("page", f"/s/{self.sale}/", method="GET")
        person = self.person
        asked = await self._page("codes", f"/s/{self.sale}/codes", {"phone": person.phone, "email": person.email})
        if not asked.ok:
            return asked
        codes = await self._outbox.codes(phone=person.phone, email=person.email)
        typed = {f"{axis}_code": code for axis, code in codes.items()}
        proven = await self._page("prove", f"/s/{self.sale}/prove", {**asked.body["challenges"], **typed})
        return None if proven.ok else proven

    async def look(self) -> Answer:
        """By the cookie."""
        return await self._hot("look", {})

    async def leave(self) -> Answer:
        """By the cookie."""
        return await self._hot("leave", {})

    async def reserve(self, *, items: Items, key: str) -> Answer:
        """By the cookie, under a key that the browser made up."""
        return await self._hot("reserve", {"items": items}, {"Idempotency-Key": key})

    async def confirm(self, *, reservation: str, price: int) -> Answer:
        """The form at the end."""
        payment = {"amount": str(price), "method": "card", "instrument": self.person.card}
        body = {"reservation": reservation, **payment, **self.person.contact}
        return await self._page("confirm", f"/s/{self.sale}/confirm", body)

    async def _hot(self, verb: str, body: dict[str, Any], more: dict[str, str] | None = None) -> Answer:
        return await self._page(verb, self._path(verb), body, more)

    async def _page(
        self,
        verb: str,
        path: str,
        body: dict[str, Any] | None = None,
        more: dict[str, str] | None = None,
        method: str = "POST",
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
            headers=headers,
            cookies=self.cookies,
        )
