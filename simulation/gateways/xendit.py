"""A simulated Xendit: payment requests of version 3, refunds, and webhooks.

    python -m simulation.gateways.xendit --port 8103 --control-port 8104

A key that begins with `xnd_development` is one of the test mode: 60 calls a minute, and `simulate` works.
Our reading, where no document decides: QR codes and accounts wait as REQUIRES_ACTION; money that comes after a
cancellation leaves the request CANCELED; refunds outside the window are REFUND_NOT_SUPPORTED; `idempotency-key` counts
for refunds alone, for 24 hours.
"""

import json
import uuid
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

from simulation.gateways import xendit_documents as documents
from simulation.gateways import xendit_requests
from simulation.gateways.codes import digits, qr_string
from simulation.gateways.faults import Fault, Operation, Rule
from simulation.gateways.gateway import Gateway
from simulation.gateways.idempotency import Keys
from simulation.gateways.payments import Answer, Arrival, Call, Code, Pay, Payment, Refund, Refused, Route
from simulation.gateways.run import main
from simulation.gateways.webhooks import Schedule, Webhook, altered
from simulation.gateways.xendit_requests import Wrong
from simulation.gateways.xendit_words import (
    DAY,
    ERRORS,
    HOUR,
    MINUTE,
    OPEN,
    QRIS_REFUND_APPS,
    VERSION,
)

KINDS = {
    "unauthorized": "INVALID_API_KEY",
    "malformed": "API_VALIDATION_ERROR",
    "too_large": "PAYLOAD_TOO_LARGE",
    "rate": "RATE_LIMIT_EXCEEDED",
    "unavailable": "CHANNEL_UNAVAILABLE",
    "broken": "SERVER_ERROR",
    "full": "CHANNEL_UNAVAILABLE",
    "no_route": "DATA_NOT_FOUND",
}
TEST_MODE = "xnd_development"
TEST_PACE = 60
LIVE_PACE = 600


def _repeats(status: int) -> int:
    return 0 if status in range(200, 300) else 6


def _error(code: str, text: str = "") -> Answer:
    status, usual = ERRORS[code]
    return Answer(status, {"error_code": code, "message": text or usual})


class Xendit(Gateway):
    """Simulates Xendit."""

    name = "xendit"
    reference_field = "reference_id"
    schedule = Schedule((15 * MINUTE, 45 * MINUTE, 2 * HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR), _repeats, timeout_s=15.0)
    # nested_refunds: the webhook of a refund has `data` in `data`, as in the sample of the documents.
    defaults = {"calls_a_minute": LIVE_PACE, "nested_refunds": True}

    def _empty(self) -> None:
        super()._empty()
        self._set_pace()
        self._keys = Keys(DAY, _error("REFUND_IN_PROGRESS"))
        self._refunds: dict[str, tuple[Payment, Refund]] = {}
        self._arrivals: dict[str, tuple[Payment, Arrival]] = {}

    @property
    def _test_mode(self) -> bool:
        return str(self.settings["key"]).startswith(TEST_MODE)

    def _set_pace(self) -> None:
        self.settings["calls_a_minute"] = TEST_PACE if self._test_mode else LIVE_PACE

    def change(self, values: Mapping[str, Any]) -> None:
        """See Gateway. Another key may mean another mode, which has its own pace."""
        super().change(values)
        if values.get("key") and "calls_a_minute" not in values:
            self._set_pace()

    def routes(self) -> Sequence[Route]:
        """All endpoints."""
        requests, refunds = "/v3/payment_requests", "/refunds"
        return [
            Route("POST", requests, Operation.BEGIN, self._versioned(self._begin)),
            Route("GET", f"{requests}/{{id}}", Operation.LOOK, self._versioned(self._look)),
            Route("POST", f"{requests}/{{id}}/cancel", Operation.CLOSE, self._versioned(self._cancel)),
            Route("POST", f"{requests}/{{id}}/simulate", Operation.LOOK, self._versioned(self._simulate)),
            Route("GET", "/v3/payments/{id}", Operation.LOOK, self._versioned(self._look_at_money)),
            Route("POST", refunds, Operation.REFUND, self._refund),
            Route("GET", refunds, Operation.LOOK_REFUND, self._list_refunds),
            Route("GET", f"{refunds}/{{id}}", Operation.LOOK_REFUND, self._look_at_refund),
        ]

    def error(self, kind: str, *, route: Route | None = None, rule: Rule | None = None) -> Answer:
        """See Gateway."""
        del route
        fields = dict(rule.fields) if rule else {}
        code = fields.get("error_code", KINDS[kind])
        answer = _error(code) if code in ERRORS else _error(KINDS[kind])
        assert isinstance(answer.body, dict)
        return answer._replace(body={**answer.body, **fields})

    def pace_bucket(self, call: Call, route: Route) -> str:
        """Each endpoint has its own limit."""
        del call
        return f"{route.verb} {route.path}"

    def pace_headers(self, left: int, reset_s: float) -> Mapping[str, str]:
        """See Gateway."""
        limit = self.settings["calls_a_minute"]
        return {
            "Rate-Limit-Limit": str(limit), "Rate-Limit-Remaining": str(left), "Rate-Limit-Reset": f"{reset_s:.2f}"
        }  # fmt: skip

    def reference_of(self, call: Call, route: Route) -> str:
        """A refund is about the reference of its payment."""
        if route.operation in {Operation.REFUND, Operation.LOOK_REFUND}:
            if call.id in self._refunds:
                return self._refunds[call.id][0].reference
            named = call.body.get("payment_request_id") or call.query.get("payment_request_id", "")
            payment = self.payments.get(named) if isinstance(named, str) else None
            return payment.reference if payment else ""
        if call.id in self._arrivals:
            return self._arrivals[call.id][0].reference
        return super().reference_of(call, route)

    def is_open(self, payment: Payment) -> bool:
        """See Gateway."""
        return payment.state in OPEN

    # --- calls

    def _versioned(self, handle: Any) -> Any:
        """A call of version 3 needs the header that says so."""

        def checked(call: Call) -> Answer:
            if call.headers.get("api-version") != VERSION:
                return _error("API_VALIDATION_ERROR", f"The header api-version must be {VERSION}")
            found: Answer = handle(call)
            return found

        return checked

    def _begin(self, call: Call) -> Answer:
        """Makes a payment request, also a second one for the same reference."""
        now = self.clock.now()
        try:
            asked = xendit_requests.read(call.body, now)
        except Wrong as wrong:
            return _error(wrong.code, wrong.text)
        channel, name = asked.channel, f"pr-{uuid.uuid4()}"
        codes = {
            "qr": lambda: qr_string(merchant="Shop", reference=asked.reference, amount=asked.amount),
            "va": lambda: digits(channel.prefix, 16),
            # Real ones are https, too. Nothing of the simulator answers there: a buyer pays by the control port.
            "redirect": lambda: f"https://checkout.xendit.example/pay/{name}",
            "push": lambda: f"push:{name}",
        }
        payment = Payment(
            name, asked.reference, channel, asked.amount, now, asked.expires, "REQUIRES_ACTION",
            [Code(channel.kind, codes[channel.kind]())],
            extra={"properties": asked.properties, "metadata": asked.metadata, "updated": now},
        )  # fmt: skip
        self.add(payment)
        return Answer(201, documents.request(payment))

    def _look(self, call: Call) -> Answer:
        payment = self.payments.get(call.id)
        return Answer(200, documents.request(payment)) if payment else _error("DATA_NOT_FOUND")

    def _look_at_money(self, call: Call) -> Answer:
        payment, arrival = self._arrivals.get(call.id, (None, None))
        if payment is None or arrival is None:
            return _error("DATA_NOT_FOUND")
        return Answer(200, documents.money(payment, arrival))

    def _cancel(self, call: Call) -> Answer:
        payment = self.payments.get(call.id)
        if payment is None:
            return _error("DATA_NOT_FOUND")
        if payment.state == "SUCCEEDED":
            return _error("INELIGIBLE_TRANSACTION_STATUS")
        if payment.state not in OPEN:
            return _error("INACTIVE_PAYMENT_REQUEST")
        self._turn(payment, "CANCELED")
        return Answer(200, documents.request(payment))

    def _simulate(self, call: Call) -> Answer:
        """Pays in test mode; the result comes by webhook."""
        payment, amount = self.payments.get(call.id), call.body.get("amount")
        if payment is None or not self._test_mode:
            return _error("DATA_NOT_FOUND")
        if not self.is_open(payment):
            return _error("INACTIVE_PAYMENT_REQUEST")
        if amount != payment.amount:
            return _error("INVALID_VALUE_ERROR", f"amount must be {payment.amount}")
        self.take(payment, Pay())
        return Answer(200, {"status": "PENDING", "message": "The result comes by webhook."})

    def _refund(self, call: Call) -> Answer:
        try:
            asked = xendit_requests.read_refund(call.body)
            payment = self.payments.get(asked.request)
            if payment is None:
                return _error("DATA_NOT_FOUND")
            amount = self._refundable(payment, asked.amount)
        except Wrong as wrong:
            return _error(wrong.code, wrong.text)
        now = self.clock.now()
        strike = partial(self.faults.strike, reference=payment.reference, operation=Operation.REFUND)
        fails = strike(Fault.REFUND_FAILS)
        why = str(fails.fields.get("failure_code", "REFUND_FAILED")) if fails else ""
        name = f"rfd-{uuid.uuid4()}"
        refund = Refund(name, asked.reference, amount, asked.reason, "PENDING", now, now, now, why)
        payment.refunds.append(refund)
        self._refunds[name] = (payment, refund)
        if strike(Fault.REFUND_REFUSED):
            refund.why = refund.why or "ACCOUNT_NOT_FOUND"
            self.confirm_refunds(payment)
        else:
            self.agenda.after(timedelta(seconds=self.settings["confirm_s"]), partial(self.confirm_refunds, payment))
        return Answer(200, documents.refund(refund, payment))

    def _refundable(self, payment: Payment, amount: int | None) -> int:
        """How much a refund sends back. Raises Wrong."""
        channel, now = payment.method, self.clock.now()
        strike = partial(self.faults.strike, reference=payment.reference, operation=Operation.REFUND)
        if not payment.shown:
            raise Wrong("INELIGIBLE_TRANSACTION_STATUS")
        first = payment.shown[0]
        foreign = channel.kind == "qr" and first.issuer.upper() not in QRIS_REFUND_APPS
        over = channel.window is not None and now > first.at + channel.window
        if not channel.refund or foreign or over or strike(Fault.REFUND_WINDOW):
            raise Wrong("REFUND_NOT_SUPPORTED")
        if payment.returned("PENDING"):
            raise Wrong("REFUND_IN_PROGRESS")
        left = payment.received - payment.returned("SUCCEEDED")
        asked = left if amount is None else amount
        if asked > left or left == 0:
            raise Wrong("REFUND_AMOUNT_EXCEEDED")
        if asked != payment.received and not channel.partial:
            raise Wrong("PARTIAL_REFUND_NOT_SUPPORTED")
        if strike(Fault.REFUND_BALANCE):
            raise Wrong("INSUFFICIENT_BALANCE")
        return asked

    def confirm_refunds(self, payment: Payment) -> None:
        """See Gateway."""
        for refund in [refund for refund in payment.refunds if refund.state == "PENDING"]:
            refund.state = "FAILED" if refund.why else "SUCCEEDED"
            refund.updated = self.clock.now()
            if refund.state == "SUCCEEDED":
                self.book(payment, "out", refund.amount, "refund")
            twice = self.faults.strike(Fault.REFUND_TWICE, payment.reference, Operation.REFUND)
            event = f"refund.{refund.state.lower()}"
            document = documents.event(self.clock.now(), event, documents.refund(refund, payment))
            if self.settings["nested_refunds"]:
                document = documents.event(
                    self.clock.now(), event, altered(document, {"data.amount": str(refund.amount)})
                )
            self._send(payment, event, document, times=2 if twice else 1)

    def _look_at_refund(self, call: Call) -> Answer:
        payment, refund = self._refunds.get(call.id, (None, None))
        if payment is None or refund is None:
            return _error("DATA_NOT_FOUND")
        return Answer(200, documents.refund(refund, payment))

    def _list_refunds(self, call: Call) -> Answer:
        payment = self.payments.get(call.query.get("payment_request_id", ""))
        found = [documents.refund(refund, payment) for refund in payment.refunds] if payment else []
        return Answer(200, {"data": found, "has_more": False})

    # --- money

    def arrived(self, payment: Payment, pay: Pay) -> None:
        """Money that comes late leaves the state of the request as it is; the money and its webhook tell."""
        del pay
        arrival = payment.shown[-1]
        self._arrivals[f"py-{arrival.id}"] = (payment, arrival)
        if self.is_open(payment):
            self._turn(payment, "SUCCEEDED")
        self._send(
            payment,
            "payment.capture",
            documents.event(self.clock.now(), "payment.capture", documents.money(payment, arrival)),
        )

    def expire(self, payment: Payment) -> None:
        """See Gateway."""
        self._turn(payment, "EXPIRED")
        self._send(
            payment,
            "payment_request.expiry",
            documents.event(self.clock.now(), "payment_request.expiry", documents.request(payment)),
        )

    def decline(self, payment: Payment) -> None:
        """Wallets report it. A QR code or account that a buyer's bank declines can be tried again."""
        if payment.method.kind not in {"redirect", "push"}:
            raise Refused("never: the gateway hears nothing of it")
        payment.extra["failure_code"] = "DECLINED_BY_ISSUER"
        self._turn(payment, "FAILED")
        failed = {**documents.request(payment), "payment_id": f"py-{uuid.uuid4()}", "captures": []}
        self._send(payment, "payment.failure", documents.event(self.clock.now(), "payment.failure", failed))

    def reverse(self, payment: Payment) -> None:
        """No document gives a state for it: only the books tell."""

    # --- what it says

    def _turn(self, payment: Payment, state: str) -> None:
        payment.state = state
        payment.extra["updated"] = self.clock.now()

    def _send(self, payment: Payment, event: str, document: Mapping[str, Any], *, times: int = 1) -> None:
        headers = {"x-callback-token": self.settings["token"]}
        urls = self.notify_urls(payment)
        self.post.send(payment.reference, event, document, urls=urls, headers=headers, times=times)

    def forge(self, payment: Payment, fields: Mapping[str, Any], signed: str) -> Webhook:
        """See Gateway. The token does not depend on the body, so "altered" and "resigned" are the same."""
        if payment.shown:
            document = documents.event(self.clock.now(), "payment.capture", documents.money(payment, payment.shown[-1]))
        else:
            document = documents.event(self.clock.now(), "payment_request.expiry", documents.request(payment))
        document = altered(document, fields)
        headers = {"x-callback-token": "0" * 32 if signed == "no" else self.settings["token"]}
        url, body = [*self.notify_urls(payment), ""][0], json.dumps(document).encode()
        return self.post.dispatch(payment.reference, document["event"], url, body, headers)

    # --- idempotency keys

    def before(self, call: Call, route: Route) -> Answer | None:
        """The answer that this key of a refund got, for 24 hours."""
        key = call.headers.get("idempotency-key", "") if route.operation is Operation.REFUND else ""
        return self._keys.before(key, call, self.clock.now()) if key else None

    def after(self, call: Call, route: Route, answer: Answer) -> None:
        """Only successes are kept."""
        del route
        self._keys.after(call.headers.get("idempotency-key", ""), call, answer, lambda answer: answer.status == 200)


if __name__ == "__main__":
    main(Xendit)
