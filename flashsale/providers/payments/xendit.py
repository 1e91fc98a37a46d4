"""Xendit, payments API v3: QRIS, virtual accounts and e-wallets in Indonesia.

Answers to the questions of CONTRIBUTING.md, from Xendit's public documents. No answer was tried with their sandbox.

- *Our reference:* Xendit does not find a payment by it. An answer of `begin` that is lost can leave a live code that we
  cannot find. It was shown to no buyer. So the attempt is never begun again: it ends in our books (the sweep does that,
  life/sweep_payments.py), and the buyer starts another one under another reference. Money that comes for it all the
  same is late money: the notification has Xendit's id, we look by that, and the money goes back.
- *A second `begin`* makes a second code, at once and later. No idempotency key is documented for v3. We send one,
  because it does no harm and v2 had it, but nothing here relies on it.
- *Time to pay:* ours to set for virtual accounts (UTC). QRIS lives 48 hours and refuses `expires_at`; wallets have
  fixed times. These are closed when the hold ends.
- *Late money:* possible after EXPIRED and, while it is on the way, after a cancellation. The request stays EXPIRED;
  only its payment says SUCCEEDED. Confirmations come up to 24 hours late. No word for a reversal is documented.
- *Paid twice:* a request names its newest payment only, and no list of payments is documented. But each notification
  names its payment. So a look asks about the newest one and about all that were counted or named before, and adds them.
  Only a second payment whose notification never comes is seen by the settlement file alone (`payments reconcile`).
- *Errors* are in `error_code` of the body. Their meanings are in `xendit_words.py`.
- *Notifications* are not signed. A secret in the header `x-callback-token` says that they come from Xendit. They repeat
  for a day, in any order.
- *Refunds* are asynchronous: PENDING, then SUCCEEDED or FAILED. Virtual accounts have none, QRIS 7 days (only for some
  of the buyers' apps), DANA and LinkAja 30 days, ShopeePay 365 days, AstraPay none.
- *Amounts* are numbers in rupiah, sometimes texts. Times are in UTC.
- *Fingerprints:* `payment_details.payer_account_number` of a wallet, where the wallet tells it. Cards have one, too
  (`card_details.fingerprint`), but no card is offered here.
- *Pace:* 600 calls a minute for each endpoint of a live account, 60 in test mode.

OVO is left out, because Xendit asks for the buyer's phone number there. Its users pay QRIS.
"""

import hmac
import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from datetime import UTC
from decimal import Decimal
from typing import Any, NoReturn

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from flashsale.providers.http import HttpAnswer, call
from flashsale.providers.payments.account_settings import addresses_of, keys_of, mode_of, pace_of
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
from flashsale.providers.payments.checked import NO_CURRENCY
from flashsale.providers.payments.xendit_answers import (
    ID,
    Error,
    Money,
    RequestState,
    error_of,
    read_id,
    read_instructions,
    read_payment,
    read_refund,
    read_refunds,
    read_request,
)
from flashsale.providers.payments.xendit_words import CHANNELS, Meaning
from flashsale.rules.states import StandingState

VERSION = "2024-11-11"
PACE = 10.0
# One host for both: the key says whether money is real.
_TEST_KEY = "xnd_development_"
_HOSTS = {"live": ("https://api.xendit.co",), "sandbox": ("https://api.xendit.co",)}
_REQUESTS, _PAYMENTS, _REFUNDS = "/v3/payment_requests", "/v3/payments", "/refunds"
# What the buyer's bank shows as the owner of a virtual account.
_DISPLAY_NAME = "FLASH SALE"
# An id that no payment request has.
_NO_ID = "pr-00000000-0000-0000-0000-000000000000"
_OPEN = frozenset({StandingState.WAITING, StandingState.REVIEW})
AGAIN_S = 5.0


class Xendit:
    """An account at Xendit. Its keys are those of the API; those of `<account>.callback` are notification tokens."""

    headers: Sequence[str] = ("X-Callback-Token",)
    looks_by_reference = False

    def __init__(self, account: str = "xendit") -> None:
        self.account = account
        self.pace = pace_of(account, default=PACE)
        (self._host,) = addresses_of(account, _HOSTS)
        self._tokens = [
            token.encode() for token in keys_of(f"{account}.callback", like="the verification token of webhooks")
        ]
        key = keys_of(account, like="xnd_production_…")[0]
        self._is_test = key.startswith(_TEST_KEY)
        if mode_of(account) == "sandbox" and not self._is_test:
            raise ImproperlyConfigured(
                f"FLASHSALE_PAYMENT_HOSTS says {account}:sandbox, and its key is not one of Xendit's test mode "
                f"({_TEST_KEY}…), so it takes real money. Use a key of the test mode, or remove {account}:sandbox."
            )
        self._sent = {"Authorization": f"Basic {b64encode(f'{key}:'.encode()).decode()}", "api-version": VERSION}

    def methods(self) -> Sequence[Method]:
        """QRIS, virtual accounts, and wallets that need no phone number from us."""
        return [channel.method for channel in CHANNELS.values()]

    # --- payments

    async def begin(self, asked: Attempt) -> Standing:
        """Makes a payment request, only for a reference for which no call was ever made: see the head of this file."""
        if asked.provider_id:
            return await self._known(asked)
        if not asked.fresh:
            raise ProviderDown(f"Xendit may have begun {asked.reference}, and does not find it by our reference")
        answer = await self._post(_REQUESTS, _request(asked), key=asked.reference)
        if error := error_of(answer):
            if error.meaning is Meaning.NEVER:
                raise ProviderRefuses(error.text)
            _not_now(error)
        return await self._standing(answer.fields, asked)

    async def look(self, asked: Attempt) -> Standing:
        """How the payment request stands. `unknown` without Xendit's id, because Xendit finds nothing by ours."""
        if not asked.provider_id:
            return Standing(StandingState.UNKNOWN)
        answer = await self._get(f"{_REQUESTS}/{read_id(asked.provider_id)}")
        if error := error_of(answer):
            if error.meaning is Meaning.NO_SUCH:
                return Standing(StandingState.UNKNOWN)
            _not_now(error)
        return await self._standing(answer.fields, asked)

    async def close(self, asked: Attempt) -> Standing:
        """Cancels the payment request, unless its money has come. Without Xendit's id no buyer has its code: closed."""
        if not asked.provider_id:
            return Standing(StandingState.CLOSED)
        answer = await self._post(f"{_REQUESTS}/{read_id(asked.provider_id)}/cancel", {})
        error = error_of(answer)
        if error and error.meaning not in {Meaning.OVER, Meaning.NO_SUCH}:
            _not_now(error)
        standing = await self._known(asked) if error else await self._standing(answer.fields, asked)
        if standing.state in _OPEN:
            raise NotYet(f"Xendit is at work on {asked.reference}: {standing.state}")
        return standing

    async def _known(self, asked: Attempt) -> Standing:
        """A look at a payment request that Xendit gave us before. Raises ProviderDown if Xendit does not know it."""
        standing = await self.look(asked)
        if standing.state is StandingState.UNKNOWN:
            raise ProviderDown(f"Xendit does not know its own {asked.provider_id}: is the key of another account?")
        return standing

    async def _standing(self, fields: Mapping[str, Any], asked: Attempt) -> Standing:
        """How a payment request stands; its payments count more than the state of the request."""
        request = read_request(fields, asked)
        state = request.state
        found = {id_: await self._payment(id_, request, asked) for id_ in _payments_of(request, asked)}
        paid = {id_: money for id_, money in found.items() if money and money.state is StandingState.PAID}
        if paid:
            currencies = {money.currency for money in paid.values()}
            return Standing(
                StandingState.PAID,
                request.id,
                sum((money.paid for money in paid.values()), Decimal(0)),
                currencies.pop() if len(currencies) == 1 else NO_CURRENCY,
                paid_at=max((money.at for money in paid.values() if money.at), default=None),
                parts=tuple(paid),
                fingerprint=next(reversed(paid.values())).fingerprint,
            )
        if newest := found.get(request.payment):
            state = newest.state or state
        if state is StandingState.PAID:
            raise ProviderDown(f"Xendit calls {asked.reference} paid, and names no payment that succeeded")
        shown = read_instructions(fields, asked) if state is StandingState.WAITING else None
        return Standing(state, request.id, instructions=shown)

    async def _payment(self, id_: str, request: RequestState, asked: Attempt) -> Money | None:
        """A payment of the request. None for one that a notification has named and that does not belong to it."""
        answer = await self._get(f"{_PAYMENTS}/{id_}")
        error = error_of(answer)
        if id_ != request.payment and (
            (error and error.meaning is Meaning.NO_SUCH)
            or (not error and answer.fields.get("payment_request_id") != request.id)
        ):
            return None
        if error:
            _not_now(error)
        return read_payment(answer.fields, request, asked)

    # --- refunds

    async def refund(self, back: RefundRequest) -> RefundStanding:
        """Asks for a refund, unless Xendit's list has it."""
        if CHANNELS[back.attempt.method].method.refund != "api":
            return RefundStanding("impossible", why=f"Xendit sends no money back for {back.attempt.method}")
        if found := await self._refunds(back):
            return _newest(found, back)
        fields = {
            "payment_request_id": back.attempt.provider_id,
            "reference_id": back.reference,
            "currency": back.currency,
            "amount": _number(back.amount),
            "reason": "CANCELLATION",
        }
        answer = await self._post(_REFUNDS, fields, key=back.reference)
        if error := error_of(answer):
            if error.meaning is Meaning.AGAIN:
                raise ProviderBusy(AGAIN_S)
            # A key that may not refund, or money that is back already, is for people. The buyer must not be asked for a
            # bank account, or the money would go back twice.
            return RefundStanding("impossible" if error.meaning is Meaning.NO_REFUND else "failed", why=error.text)
        return read_refund(answer.fields, back)

    async def look_refund(self, back: RefundRequest) -> RefundStanding:
        """How the refund stands. One that was sent and is gone has failed."""
        if found := await self._refunds(back):
            return _newest(found, back)
        if back.provider_id:
            return RefundStanding("failed", back.provider_id, "Xendit does not know this refund any more")
        return RefundStanding("unknown")

    async def _refunds(self, back: RefundRequest) -> Sequence[Mapping[str, Any]]:
        if not back.attempt.provider_id:
            raise ProviderDown(f"Xendit's id of {back.attempt.reference} is missing, so nothing can be sent back")
        request = read_id(back.attempt.provider_id)
        answer = await self._get(f"{_REFUNDS}?payment_request_id={request}&limit=50")
        if error := error_of(answer):
            if error.meaning is Meaning.NO_SUCH:
                return ()
            _not_now(error)
        return read_refunds(answer.fields, back.reference)

    # --- notifications and set-up

    def believe(self, body: bytes, headers: Mapping[str, str]) -> Sequence[Hint]:
        """Accepts a body that comes with one of our tokens. The body itself is not signed."""
        given = headers.get("X-Callback-Token", "").encode()
        # All tokens are compared, each in constant time, so that the time tells nothing.
        equal = [hmac.compare_digest(given, token) for token in self._tokens]
        if not any(equal):
            raise NotBelieved("The header x-callback-token is missing or wrong.")
        try:
            fields = json.loads(body)
        except RecursionError as error:
            raise ValueError("The body is nested too deeply.") from error
        data = fields.get("data") if isinstance(fields, dict) else None
        # Notifications of refunds are in an envelope of their own.
        if isinstance(data, dict) and isinstance(data.get("data"), dict):
            data = data["data"]
        reference = data.get("reference_id") if isinstance(data, dict) else None
        if not isinstance(data, dict) or not isinstance(reference, str) or not ID.fullmatch(reference):
            raise ValueError("A notification of Xendit has data.reference_id.")
        return [Hint(reference, _id_or_none(data.get("payment_request_id")), _id_or_none(data.get("payment_id")))]

    async def check(self) -> Checked:
        """Looks for a payment request that does not exist: only a key that is taken gets DATA_NOT_FOUND."""
        answer = await self._get(f"{_REQUESTS}/{_NO_ID}")
        error = error_of(answer)
        problems = [] if error and error.meaning is Meaning.NO_SUCH else [error.text if error else "an odd answer"]
        if self._is_test and mode_of(self.account) == "live":
            problems.append(f"a key of the test mode takes no money; to try it, set {self.account}:sandbox")
        return Checked(self._host, problems, answer.date)

    async def _get(self, path: str) -> HttpAnswer:
        return await call("GET", self._host + path, headers=self._sent)

    async def _post(self, path: str, fields: Mapping[str, Any], *, key: str = "") -> HttpAnswer:
        headers = self._sent | ({"idempotency-key": key} if key else {})
        return await call("POST", self._host + path, headers=headers, body=fields)


def _payments_of(request: RequestState, asked: Attempt) -> list[str]:
    """The ids of the payments of a request: those that were counted or named before, and the newest one."""
    known = [part for part in asked.parts if ID.fullmatch(part)]
    return list(dict.fromkeys([*known, *filter(None, [request.payment])]))


def _id_or_none(value: Any) -> str:
    return value if isinstance(value, str) and ID.fullmatch(value) else ""


def _request(asked: Attempt) -> Mapping[str, Any]:
    """The body of a new payment request. It has no data of the buyer."""
    channel = CHANNELS[asked.method]
    properties: dict[str, Any] = {}
    if channel.method.kind == "va":
        properties["display_name"] = _DISPLAY_NAME
    if channel.method.kind == "redirect":
        properties |= dict.fromkeys(("success_return_url", "failure_return_url"), settings.FLASHSALE_URL)
    if channel.method.expiry_settable and asked.expires_at:
        # Xendit reads whole seconds; a code may end a second early, never late.
        ends = asked.expires_at.astimezone(UTC).replace(microsecond=0, tzinfo=None)
        properties["expires_at"] = f"{ends.isoformat()}Z"
    return {
        "reference_id": asked.reference,
        "type": "PAY",
        "country": "ID",
        "currency": asked.currency,
        "request_amount": asked.amount,
        "capture_method": "AUTOMATIC",
        "channel_code": channel.code,
        "channel_properties": properties,
    }


def _newest(rows: Sequence[Mapping[str, Any]], back: RefundRequest) -> RefundStanding:
    """How the refund stands among those under our reference: one that did not fail counts more than one that did."""
    standings = [read_refund(row, back) for row in rows]
    failed = next((one for one in standings if one.provider_id == back.provider_id), standings[0])
    return next((one for one in standings if one.state != "failed"), failed)


def _number(amount: Any) -> int | float:
    """An amount as a number of JSON."""
    return int(amount) if amount == int(amount) else float(amount)


def _not_now(error: Error) -> NoReturn:
    """Raises what an error means where it decides nothing."""
    if error.meaning is Meaning.AGAIN:
        raise ProviderBusy(AGAIN_S)
    raise ProviderDown(f"Xendit answers {error.text}")
