"""Midtrans: QRIS, GoPay, virtual accounts of six banks by its Core API, and cards on its own page (Snap).

Not yet met its sandbox: written from its public documents, and tested against a simulator. docs/payments.md says how a
shop tries it with its own keys.

What is special, and where it is handled:
- A charge for an order id that has expired or was cancelled makes a second code that can be paid. So `begin` looks
  first, and charges only what Midtrans does not know.
- The status of a QRIS or GoPay payment does not show its code again. A second charge with the same Idempotency-Key
  gives the first answer for five minutes; later, and after an error, it is refused with 406. So a lost answer comes
  back, or its payment is closed.
- The signature of a notification does not cover the state. So a notification is a hint only.
- `expire` answers 407 when it succeeds, and 412 when the payment is over: then only a look tells how it ended.
- On a page of Snap a buyer whose card was denied may try another one. So a card waits until its page is closed.
- Of a card that paid it tells the first eight and the last four digits, of a GoPay account nothing.
"""

import hmac
import json
import secrets
from base64 import b64encode
from collections.abc import Mapping, Sequence
from datetime import timedelta
from hashlib import sha512
from typing import Any
from urllib.parse import quote

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from flashsale.providers import http
from flashsale.providers.payments import account_settings
from flashsale.providers.payments import midtrans_words as words
from flashsale.providers.payments.base import (
    Attempt,
    Checked,
    Hint,
    Method,
    NotBelieved,
    NotYet,
    ProviderBusy,
    ProviderDown,
    ProviderRefuses,
    RefundRequest,
    RefundStanding,
    Standing,
)
from flashsale.providers.payments.midtrans_answers import (
    Said,
    amount_of,
    asked_refund,
    page_of,
    refund_in,
    refused_refund,
    standing_of,
)
from flashsale.rules import wall_clock
from flashsale.rules.states import StandingState

# A code that ends sooner is not asked for again: between the look and the charge it could expire and be made anew.
RECOVERABLE_S = 60
LOST_AFTER = timedelta(minutes=1)
SNAP_PAGE_MINUTES_MIN = 5


class Midtrans:
    """One Midtrans account. Its keys are in FLASHSALE_PAYMENT_KEYS."""

    headers: Sequence[str] = ()
    looks_by_reference = True

    def __init__(self, account: str = "midtrans") -> None:
        self.account = account
        # Midtrans publishes no number.
        self.pace = account_settings.pace_of(account, default=20.0)
        self._keys = account_settings.keys_of(account, like="Mid-server-…")
        self._core, self._snap = account_settings.addresses_of(account, words.CORE_AND_SNAP)
        if account_settings.mode_of(account) == "live" and self._keys[0].startswith("SB-"):
            raise ImproperlyConfigured(
                f"FLASHSALE_PAYMENT_KEYS has a sandbox key (SB-…) of {account!r}, but its host is the live one. "
                f"Add {account}:sandbox to FLASHSALE_PAYMENT_HOSTS, or use the live key."
            )

    def methods(self) -> Sequence[Method]:
        """The ways to pay. Which of them the account may use is decided at Midtrans; 402 refuses the others."""
        return [offer.method for offer in words.OFFERS.values()]

    async def begin(self, asked: Attempt) -> Standing:
        """Charges a reference that Midtrans does not know; else says how it stands. Raises ProviderRefuses."""
        if asked.currency != "IDR" or asked.method not in words.OFFERS:
            raise ProviderRefuses(f"Midtrans takes no {asked.currency} by {asked.method}.")
        known = Standing(StandingState.UNKNOWN) if asked.fresh else await self.look(asked)
        if known.state is not StandingState.UNKNOWN and not _lost(asked, known):
            return known
        said = await (self._open_page(asked) if asked.method == words.CARD else self._charge(asked))
        if said.code == words.USED:
            return await self._used(asked)
        if said.code in words.NEVER:
            raise ProviderRefuses(said.why)
        if asked.method == words.CARD:
            return page_of(said, asked)
        if said.code == words.DENIED_OR_IN_PROGRESS and not said.word:
            raise ProviderBusy
        return standing_of(said, asked)

    async def look(self, asked: Attempt) -> Standing:
        """How the payment stands. The page of a card has no status until the buyer has chosen a card."""
        said = await self._status(asked)
        if said.code != words.UNKNOWN:
            return standing_of(said, asked)
        if asked.method == words.CARD and asked.provider_id:
            return Standing(StandingState.WAITING, asked.provider_id)
        return Standing(StandingState.UNKNOWN)

    async def close(self, asked: Attempt) -> Standing:
        """Lets the payment expire. `cancel` would also void a card that has paid, so it is not used."""
        if asked.method == words.CARD:
            await self._close_page(asked)
        said = await self._call("POST", self._path(asked, "expire"))
        if said.code == words.UNKNOWN:
            return Standing(StandingState.CLOSED, asked.provider_id)
        if said.code in {words.EXPIRED, words.DONE} and said.word == "expire":
            return Standing(StandingState.CLOSED, asked.provider_id or str(said.fields.get("transaction_id", "")))
        if said.code != words.NOT_CHANGEABLE:
            raise ProviderDown(f"Midtrans answers {said.why}")
        now = await self._status(asked)
        standing = standing_of(now, asked)
        if standing.state is StandingState.REVIEW:
            await self._call("POST", self._path(asked, "deny"))
            now = await self._status(asked)
            standing = standing_of(now, asked)
        if now.word == "deny" and standing.state is StandingState.WAITING:
            return standing._replace(state=StandingState.FAILED)
        if standing.state in {StandingState.WAITING, StandingState.REVIEW}:
            raise NotYet(said.why)
        return standing

    async def refund(self, back: RefundRequest) -> RefundStanding:
        """Asks for a refund, unless Midtrans has it already. A card that is not settled yet is voided instead."""
        if refused := refused_refund(back):
            return refused
        said = await self._status(back.attempt)
        if found := refund_in(said, back):
            return found
        if said.word == "capture":
            return await self._void(said, back)
        if said.word not in {"settlement", "partial_refund"}:
            # Its money may be back already, by the dashboard or the bank. People look before it goes back once more.
            return RefundStanding("failed", why=f"Midtrans says of the payment: {said.word or said.why}")
        fields = {"refund_key": back.reference, "amount": int(back.amount), "reason": "Refund by the shop"}
        said = await self._call("POST", self._path(back.attempt, "refund"), fields, key=back.reference)
        if said.code == words.USED:
            return await self.look_refund(back)
        return asked_refund(said, back)

    async def look_refund(self, back: RefundRequest) -> RefundStanding:
        """Confirmed once the bank has confirmed it. One that was sent and is no longer listed has failed."""
        said = await self._status(back.attempt)
        if found := refund_in(said, back):
            return found
        if back.provider_id:
            return RefundStanding("failed", back.provider_id, "Midtrans does not list this refund any more.")
        return RefundStanding("unknown")

    def believe(self, body: bytes, headers: Mapping[str, str]) -> Sequence[Hint]:  # noqa: ARG002
        """Checks the signature, which covers order id, code and amount as they are written, with each of our keys."""
        try:
            fields = json.loads(body, parse_float=str, parse_int=str)
        except RecursionError as error:
            raise ValueError("The body is nested too deep.") from error
        names = ("order_id", "status_code", "gross_amount", "signature_key")
        if not isinstance(fields, dict) or any(not isinstance(fields.get(name), str) for name in names):
            raise ValueError(f"A notification has the texts {', '.join(names)}.")
        order, code, amount, signature = (fields[name] for name in names)
        text = f"{order}{code}{amount}"
        matches = [hmac.compare_digest(signature.encode(), sign(text, key).encode()) for key in self._keys]
        if not any(matches):
            raise NotBelieved("The signature does not fit any key of this account.")
        return [Hint(order)]

    async def check(self) -> Checked:
        """Asks for an order that does not exist: 404 shows that the key is taken, 401 that it is not."""
        mode = account_settings.mode_of(self.account)
        where = f"{self._core} ({mode})" if mode in words.CORE_AND_SNAP else self._core
        try:
            said = await self._call("GET", f"/v2/check-{secrets.token_hex(10)}/status")
        except ProviderDown as error:
            return Checked(where, [str(error)])
        return Checked(where, [] if said.code == words.UNKNOWN else [said.why], said.clock)

    async def _used(self, asked: Attempt) -> Standing:
        """How an order id stands that cannot be charged, because it was.

        A code that got lost is closed, so that its buyer may choose again. A young one is not: another process may be
        about to show it.
        """
        said = await self._status(asked)
        if said.code == words.UNKNOWN:
            raise ProviderDown("Midtrans says of an order id that it is used, and that it is unknown.")
        known = standing_of(said, asked)
        began = words.moment(said.fields.get("transaction_time"))
        old = began is not None and (said.clock or wall_clock.now()) - began > LOST_AFTER
        return await self.close(asked) if old and _lost(asked, known) else known

    async def _charge(self, asked: Attempt) -> Said:
        offer = words.OFFERS[asked.method]
        fields: dict[str, Any] = {"payment_type": offer.payment_type, "transaction_details": _order(asked)}
        if offer.payment_type == "bank_transfer":
            fields["bank_transfer"] = {"bank": offer.bank}
        elif offer.payment_type == "echannel":
            fields["echannel"] = {"bill_info1": "Order", "bill_info2": asked.reference[:30]}
        elif offer.payment_type == "gopay":
            fields["gopay"] = {"enable_callback": True, "callback_url": settings.FLASHSALE_URL}
        else:
            fields["qris"] = {"acquirer": offer.acquirer}
        if asked.expires_at:
            # Without order_time it counts from Midtrans' own clock, so a wrong clock of ours does no harm.
            fields["custom_expiry"] = {"expiry_duration": _seconds_left(asked), "unit": "second"}
        return await self._call("POST", "/v2/charge", fields, key=asked.reference)

    async def _open_page(self, asked: Attempt) -> Said:
        fields: dict[str, Any] = {
            "transaction_details": _order(asked),
            "enabled_payments": ["credit_card"],
            "credit_card": {"secure": True},
            "callbacks": {"finish": settings.FLASHSALE_URL},
        }
        if asked.expires_at:
            minutes = max(1, _seconds_left(asked) // 60)
            start = wall_clock.now().astimezone(words.ZONE).strftime("%Y-%m-%d %H:%M:%S +0700")
            fields["expiry"] = {"start_time": start, "unit": "minute", "duration": minutes}
            fields["page_expiry"] = {"unit": "minute", "duration": max(SNAP_PAGE_MINUTES_MIN, minutes)}
        return await self._call("POST", "/snap/v1/transactions", fields, key=asked.reference, base=self._snap)

    async def _close_page(self, asked: Attempt) -> None:
        """Ends the page of a card. Only its token names it, and a page whose token got lost is known to no buyer."""
        if asked.provider_id:
            token = quote(asked.provider_id, safe="")
            said = await self._call("POST", f"/snap/v1/transactions/{token}/cancel", {}, base=self._snap)
            if "progress" in said.why.lower():
                raise NotYet(said.why)

    async def _void(self, said: Said, back: RefundRequest) -> RefundStanding:
        """Takes back a card payment that is not settled yet. A part of it can go back only after settlement."""
        if back.amount != amount_of(said.fields):
            raise ProviderBusy(after=http.BUSY_S_MAX)
        voided = await self._call("POST", self._path(back.attempt, "cancel"), key=back.reference)
        if voided.code == words.DONE:
            return RefundStanding("confirmed", str(voided.fields.get("transaction_id", "")))
        raise ProviderDown(voided.why)

    async def _status(self, asked: Attempt) -> Said:
        return await self._call("GET", self._path(asked, "status"))

    @staticmethod
    def _path(asked: Attempt, verb: str) -> str:
        return f"/v2/{quote(asked.reference, safe='')}/{verb}"

    async def _call(
        self, method: str, path: str, fields: Mapping[str, Any] | None = None, *, key: str = "", base: str = ""
    ) -> Said:
        """One call. Raises ProviderBusy when nothing happened, and ProviderDown when that is not known."""
        headers = {"Authorization": "Basic " + b64encode(f"{self._keys[0]}:".encode()).decode()}
        if method == "POST" and key:
            headers["Idempotency-Key"] = key
            address = account_settings.notification_address(self.account)
            if account_settings.is_public(address):
                # Beside the address in Midtrans' dashboard, so that a forgotten setting there loses no notification.
                headers["X-Append-Notification"] = address
        answer = await http.call(method, (base or self._core) + path, headers=headers, body=fields)
        said = Said(str(answer.fields.get("status_code") or answer.status), answer.fields, answer.date)
        if said.code in words.AGAIN:
            raise ProviderBusy
        if said.code.startswith(("5", "9")) or (said.code == words.NO_KEY and not key):
            raise ProviderDown(f"Midtrans answers {said.why}")
        return said


def sign(text: str, key: str) -> str:
    """The signature of a notification; `text` is order id, code and amount, one after the other."""
    return sha512(f"{text}{key}".encode()).hexdigest()


def _order(asked: Attempt) -> dict[str, Any]:
    return {"order_id": asked.reference, "gross_amount": asked.amount}


def _seconds_left(asked: Attempt) -> int:
    """How long the buyer may pay, within Midtrans' bounds. Raises ProviderRefuses for less."""
    assert asked.expires_at is not None, "only a life with an end has a length"
    left = int((asked.expires_at - wall_clock.now()).total_seconds())
    if left < words.LIFE_S_MIN:
        raise ProviderRefuses(f"{left} s are left to pay; Midtrans wants {words.LIFE_S_MIN} s.")
    return min(left, int(words.OFFERS[asked.method].method.life_max.total_seconds()))


def _lost(asked: Attempt, known: Standing) -> bool:
    """Whether the answer with the buyer's code was lost, and the same call may bring it back."""
    if (
        known.state is not StandingState.WAITING
        or known.instructions
        or asked.provider_id
        or asked.method == words.CARD
    ):
        return False
    return asked.expires_at is None or asked.expires_at - wall_clock.now() > timedelta(seconds=RECOVERABLE_S)
