"""The requests of one simulated shopper, sent by a partner's server or by a browser on our own page."""

from abc import ABC, abstractmethod
from typing import Any

from simulation.client import HttpClient
from simulation.journal import Answer
from simulation.outbox import Outbox
from simulation.people import Person

Items = list[dict[str, Any]]


class Shopper(ABC):
    """One person in one line of a sale. `proof` says how the identity is proven."""

    proof: str

    def __init__(self, *, http: HttpClient, person: Person, sale: str, line: str) -> None:
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
        """Pays, and gives the address for the delivery."""

    def _path(self, verb: str) -> str:
        return f"/v1/sales/{self.sale}/lines/{self.line}/{verb}"


class PartnerShopper(Shopper):
    """A partner's server that sends requests for its shopper. It has checked the identity and keeps the place token."""

    proof = "a partner's word"

    def __init__(
        self, *, http: HttpClient, person: Person, sale: str, line: str, key: str, old_shopper: Shopper | None = None
    ) -> None:
        super().__init__(http=http, person=person, sale=sale, line=line)
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
        """Sends the identity on all axes that the partner knows. The partner has charged its buyer."""
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
                "method": "partner",
                "instrument": f"paid-{reservation}",
            },
            note={"reservation": reservation},
            headers={**self._bearer, "Idempotency-Key": f"confirm-{reservation}"},
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
    ) -> None:
        super().__init__(http=http, person=person, sale=sale, line=line)
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
        """Sends the checkout form."""
        payment = {"amount": str(price), "method": "card", "instrument": self.person.card}
        body = {"reservation": reservation, **payment, **self.person.contact}
        return await self._request("confirm", f"/s/{self.sale}/confirm", body)

    async def _line_request(self, verb: str, body: dict[str, Any], more: dict[str, str] | None = None) -> Answer:
        return await self._request(verb, self._path(verb), body, more)

    async def _request(
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
