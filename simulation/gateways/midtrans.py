"""A simulated Midtrans: the Core API, payment pages (Snap) and notifications.

    python -m simulation.gateways.midtrans --port 8101 --control-port 8102

Our reading, where no document decides: money that comes late turns an expired or cancelled transaction into a
settlement; money that comes twice adds up in `gross_amount`; a refund that fails leaves `refunds`; an idempotency key
is one for all endpoints; 600 calls a minute are taken.
"""

import json
import uuid
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

from simulation.gateways import midtrans_charge, midtrans_pages, midtrans_refunds
from simulation.gateways.codes import digits, qr_string
from simulation.gateways.faults import Fault, Operation, Rule
from simulation.gateways.gateway import Gateway
from simulation.gateways.idempotency import Keys
from simulation.gateways.midtrans_charge import Wrong
from simulation.gateways.midtrans_documents import (
    amount,
    gross,
    how_to_pay,
    look,
    notice,
    problem,
    signature,
    transaction,
)
from simulation.gateways.midtrans_words import (
    BILLER_CODE,
    CARDS,
    CLOSED,
    DAY,
    FIRST_CARD,
    HOUR,
    MINUTE,
    NO_IDEMPOTENCY_BANKS,
    OPEN,
    PAID,
    TEXTS,
    Card,
)
from simulation.gateways.payments import Answer, Call, Code, Pay, Payment, Refused, Route
from simulation.gateways.run import main
from simulation.gateways.webhooks import Schedule, Webhook, altered

KEY_MAX = 46
KEY_LIFE = 5 * MINUTE
IN_PROGRESS = {"status_code": "202", "status_message": "Request with this key is in progress"}
REPEATS = {500: 1, 503: 4, 400: 2, 404: 2}
TAKEN = {*range(200, 300), 301, 302, 303}


def _repeats(status: int) -> int:
    return 0 if status in TAKEN else REPEATS.get(status, 5)


class Midtrans(Gateway):
    """Simulates Midtrans."""

    name = "midtrans"
    reference_field = "order_id"
    schedule = Schedule((2 * MINUTE, 10 * MINUTE, 30 * MINUTE, 1.5 * HOUR, 3.5 * HOUR), _repeats, timeout_s=15.0)
    # mirror_http: errors stand in the status of HTTP, too. expire_time: QRIS answers say that for expiry_time.
    defaults = {"calls_a_minute": 600, "mirror_http": False, "expire_time": False, "imposed_fee": 0}

    def _empty(self) -> None:
        super()._empty()
        self.pages: dict[str, midtrans_pages.Page] = {}
        self._keys = Keys(KEY_LIFE, Answer(202, IN_PROGRESS))

    def routes(self) -> Sequence[Route]:
        """All endpoints."""
        of = "/v2/{id}"
        return [
            Route("POST", "/v2/charge", Operation.BEGIN, self._charge),
            Route("POST", "/snap/v1/transactions", Operation.BEGIN, self._open_page),
            Route("GET", f"{of}/status", Operation.LOOK, self._status),
            Route("POST", f"{of}/cancel", Operation.CLOSE, self._cancel),
            Route("POST", f"{of}/expire", Operation.CLOSE, self._expire_now),
            Route("POST", f"{of}/approve", Operation.CLOSE, partial(self._review, "capture")),
            Route("POST", f"{of}/deny", Operation.CLOSE, partial(self._review, "deny")),
            Route("POST", f"{of}/refund", Operation.REFUND, self._refund),
            Route("POST", f"{of}/refund/online/direct", Operation.REFUND, self._refund),
            Route("GET", "/v2/qr/{id}", Operation.LOOK, self._qr, public=True),
        ]

    def error(self, kind: str, *, route: Route | None = None, rule: Rule | None = None) -> Answer:
        """See Gateway."""
        codes = {
            "unauthorized": ("401", 200), "malformed": ("400", 200), "too_large": ("413", 413), "rate": ("429", 429),
            "unavailable": ("503", 200), "broken": ("500", 500), "full": ("503", 503), "no_route": ("404", 404),
        }  # fmt: skip
        code, status = codes[kind]
        if route is not None and route.path.startswith("/snap/"):
            return Answer(int(code), {"error_messages": [TEXTS[code]]})
        return self._answer({**problem(code), **(rule.fields if rule else {})}, status)

    def reference_in(self, body: Mapping[str, Any]) -> str:
        """The order id."""
        details = body.get("transaction_details")
        return super().reference_in(details) if isinstance(details, dict) else ""

    def find(self, name: str) -> Payment | None:
        """By transaction id, or the newest one of an order id."""
        newest = self.by_reference.get(name, [])[-1:]
        return self.payments.get(name) or (newest[0] if newest else None)

    def is_open(self, payment: Payment) -> bool:
        """See Gateway."""
        return payment.state in OPEN

    def notify_urls(self, payment: Payment) -> Sequence[str]:
        """The addresses of the charge's headers, else the one of the dashboard."""
        override, append = payment.extra["urls"]
        return [*(override or super().notify_urls(payment)), *append]

    # --- calls

    def _charge(self, call: Call) -> Answer:
        now = self.clock.now()
        try:
            asked = midtrans_charge.read(call.body, now)
            urls = midtrans_charge.addresses(call.headers)
            self._check_unused(asked.order_id)
        except Wrong as wrong:
            return self._wrong(wrong)
        payment = Payment(
            str(uuid.uuid4()), asked.order_id, asked.method, asked.amount, now, asked.expires, "pending",
            extra={"urls": urls, "metadata": asked.metadata},
        )  # fmt: skip
        self._begin(payment, call.address)
        return self._answer({**transaction(payment, "201", self.settings), **how_to_pay(payment, call.address)})

    def _check_unused(self, order_id: str) -> None:
        """An order id whose transaction is closed is charged anew: Midtrans makes a second code."""
        newest = self.by_reference.get(order_id, [])[-1:]
        if newest and newest[0].state not in CLOSED:
            raise Wrong("406")

    def _begin(self, payment: Payment, address: str) -> None:
        method = payment.method
        if method.kind in {"qr", "deeplink"}:
            code = qr_string(merchant="Shop", reference=payment.reference, amount=payment.amount)
            payment.codes.append(Code("qr", code))
        if method.kind == "deeplink":
            payment.codes.append(Code("deeplink", f"{address}/gopay/{payment.id}"))
        if method.kind == "redirect":
            payment.codes.append(Code("redirect", f"{address}/v2/card/redirect/{payment.id}"))
        if method.name == "echannel":
            payment.codes.append(Code("va", f"{BILLER_CODE}/{digits(method.prefix, 12)}"))
        elif method.kind == "va":
            payment.codes.append(Code("va", digits(method.prefix, 16)))
        self.add(payment)
        self._notify(payment)

    def _open_page(self, call: Call) -> Answer:
        token = str(uuid.uuid4())
        url = f"{call.address}/snap/v4/redirection/{token}"
        try:
            page = midtrans_pages.read(call.body, call.headers, self.clock.now(), url)
            self._check_unused(page.order_id)
        except Wrong as wrong:
            return Answer(400, {"error_messages": wrong.messages or [TEXTS[wrong.code]]})
        self.check_room(len(self.pages))
        self.pages[url] = page
        self.agenda.at(page.expires + DAY, lambda: self._forget_page(url))
        return Answer(201, {"token": token, "redirect_url": url})

    def _forget_page(self, url: str) -> None:
        self.pages.pop(url, None)

    def pick(self, pay: Pay) -> Payment | None:
        """The transaction of a payment page. The buyer picks `method`, or the first that the shop allows."""
        page = self.pages.get(pay.code)
        if page is None:
            return None
        newest = self.by_reference.get(page.order_id, [])[-1:]
        if newest and newest[0].state not in CLOSED:
            return newest[0]
        payment = midtrans_pages.transaction(page, pay, self.clock.now())
        self._begin(payment, page.url.partition("/snap/")[0])
        return payment

    def _status(self, call: Call) -> Answer:
        payment = self.find(call.id)
        if payment is None:
            return self._answer(problem("404"))
        return self._answer(look(payment, self.settings))

    def _cancel(self, call: Call) -> Answer:
        payment = self.find(call.id)
        if payment is None:
            return self._answer(problem("404"))
        if payment.state not in OPEN | {"capture"}:
            return self._answer(problem("412"))
        self._give_up(payment)
        return self._answer(self._document(payment, "200", "Success, transaction is canceled"))

    def _give_up(self, payment: Payment) -> None:
        if payment.state == "capture":
            self.book(payment, "out", payment.received, "cancel")
        self._turn(payment, "cancel")

    def _expire_now(self, call: Call) -> Answer:
        """The code of a success is 407."""
        payment = self.find(call.id)
        if payment is None:
            return self._answer(problem("404"))
        if payment.state not in OPEN:
            return self._answer(problem("412"))
        self._turn(payment, "expire")
        return self._answer(self._document(payment, "407", "Success, transaction is expired"))

    def _review(self, state: str, call: Call) -> Answer:
        """A person of the shop decides about a card payment under review."""
        payment = self.find(call.id)
        if payment is None:
            return self._answer(problem("404"))
        if payment.state != "capture" or payment.extra.get("fraud") != "challenge":
            return self._answer(problem("412"))
        payment.extra["fraud"] = "accept" if state == "capture" else "deny"
        if state == "deny":
            self.book(payment, "out", payment.received, "cancel")
        self._turn(payment, state)
        return self._answer(self._document(payment, "200", f"Success, transaction is {state}"))

    def _refund(self, call: Call) -> Answer:
        payment = self.find(call.id)
        if payment is None:
            return self._answer(problem("404"))
        strike = partial(self.faults.strike, reference=payment.reference, operation=Operation.REFUND)
        try:
            refund = midtrans_refunds.ask(payment, call.body, self.clock.now(), strike, gross(payment))
        except midtrans_refunds.BankRefuses:
            refused = self._document(payment, "202", "Refund is refused by the bank")
            return self._answer({**refused, "refund_amount": amount(0)})
        except Wrong as wrong:
            return self._answer(problem(wrong.code, wrong.messages[0] if wrong.messages else ""))
        self._turn_by_refunds(payment)
        self.agenda.after(timedelta(seconds=self.settings["confirm_s"]), partial(self.confirm_refunds, payment))
        taken = self._document(payment, "200", "Success, refund request is approved")
        more = {"refund_chargeback_id": int(refund.id), "refund_amount": amount(refund.amount)}
        return self._answer({**taken, **more, "refund_key": refund.key})

    def confirm_refunds(self, payment: Payment) -> None:
        """The second notification says that the money is sent. A refund that fails leaves the transaction settled."""
        for refund in [refund for refund in payment.refunds if refund.state == "accepted"]:
            refund.state = "failed" if refund.why else "confirmed"
            refund.updated = self.clock.now()
            if refund.state == "confirmed":
                self.book(payment, "out", refund.amount, "refund")
            twice = self.faults.strike(Fault.REFUND_TWICE, payment.reference, Operation.REFUND)
            self._turn_by_refunds(payment, times=2 if twice else 1)

    def _turn_by_refunds(self, payment: Payment, *, times: int = 1) -> None:
        returned = payment.returned("accepted", "confirmed")
        states = {0: "settlement", gross(payment): "refund"}
        self._turn(payment, states.get(returned, "partial_refund"), times=times)

    def _qr(self, call: Call) -> Answer:
        """What the picture of a QR code says; Midtrans shows a picture here."""
        payment = self.payments.get(call.id)
        qr = next((code.value for code in payment.codes if code.kind == "qr"), "") if payment else ""
        return Answer(200, qr) if qr else self.error("no_route")

    # --- money

    def take(self, payment: Payment, pay: Pay) -> None:
        """Money arrives; a card may also be denied."""
        if payment.method.kind != "redirect":
            super().take(payment, pay)
            return
        card = CARDS.get(pay.card or FIRST_CARD)
        if card is None:
            raise Refused(f"unknown: there is no test card {pay.card}")
        if card.after_s:
            self.agenda.after(timedelta(seconds=card.after_s), partial(self._use_card, payment, pay, card))
        else:
            self._use_card(payment, pay, card)

    def _use_card(self, payment: Payment, pay: Pay, card: Card) -> None:
        if not pay.force and not self.is_open(payment):
            return
        payment.extra["fraud"] = card.fraud
        payment.extra["card"] = pay.card or FIRST_CARD
        if card.state == "deny":
            self._turn(payment, "deny")
        else:
            super().take(payment, pay)

    def arrived(self, payment: Payment, pay: Pay) -> None:
        """See Gateway. GoPay that was paid by its QR code comes back as QRIS."""
        if payment.method.name == "gopay" and any(code == Code("qr", pay.code) for code in payment.codes):
            payment.extra["type"] = "qris"
        if payment.state in PAID:
            self._notify(payment)
        elif payment.method.kind == "redirect":
            self._turn(payment, "capture")
            self.agenda.after(DAY, partial(self._settle_card, payment))
        else:
            payment.extra["settled"] = self.clock.now()
            payment.extra["fee"] = self.settings["imposed_fee"]
            self._turn(payment, "settlement")

    def _settle_card(self, payment: Payment) -> None:
        """The day after: what is still under review is cancelled."""
        if payment.state != "capture":
            return
        if payment.extra.get("fraud") == "challenge":
            self._give_up(payment)
        else:
            payment.extra["settled"] = self.clock.now()
            self._turn(payment, "settlement")

    def expire(self, payment: Payment) -> None:
        """See Gateway."""
        self._turn(payment, "expire")

    def decline(self, payment: Payment) -> None:
        """Cards and wallets are denied; a bank transfer or QR code that a buyer's bank declines can be tried again."""
        if payment.method.kind not in {"redirect", "deeplink"}:
            raise Refused("never: the gateway hears nothing of it")
        self._turn(payment, "deny")

    def reverse(self, payment: Payment) -> None:
        """A settlement that the bank takes back is denied; a card's is charged back."""
        self._turn(payment, "chargeback" if payment.method.kind == "redirect" else "deny")

    # --- what it says

    def _turn(self, payment: Payment, state: str, *, times: int = 1) -> None:
        payment.state = state
        self._notify(payment, times=times)

    def _notify(self, payment: Payment, *, times: int = 1) -> None:
        document, urls = notice(payment, self.settings), self.notify_urls(payment)
        self.post.send(payment.reference, payment.state, document, urls=urls, headers={}, times=times)

    def forge(self, payment: Payment, fields: Mapping[str, Any], signed: str) -> Webhook:
        """See Gateway."""
        document = altered(notice(payment, self.settings), fields)
        if signed == "resigned":
            document["signature_key"] = signature(document, self.settings["key"])
        if signed == "no":
            document["signature_key"] = "0" * 128
        url = [*self.notify_urls(payment), ""][0]
        return self.post.dispatch(payment.reference, payment.state, url, json.dumps(document).encode(), {})

    def _document(self, payment: Payment, code: str, text: str) -> dict[str, Any]:
        return {**transaction(payment, code, self.settings), "status_message": text}

    def _wrong(self, wrong: Wrong) -> Answer:
        body = problem(wrong.code)
        return self._answer({**body, "validation_messages": wrong.messages} if wrong.messages else body)

    def _answer(self, body: dict[str, Any], status: int = 200) -> Answer:
        """HTTP says 200, whatever the code in the body is."""
        mirrored = self.settings["mirror_http"] and status == 200
        return Answer(int(body["status_code"]) if mirrored else status, body)

    # --- idempotency keys

    def before(self, call: Call, route: Route) -> Answer | None:
        """The answer that this key got, for 5 minutes."""
        key = _key(call, route)
        return self._keys.before(key, call, self.clock.now()) if key else None

    def after(self, call: Call, route: Route, answer: Answer) -> None:
        """Only successes are kept."""
        self._keys.after(_key(call, route), call, answer, _succeeded)


def _key(call: Call, route: Route) -> str:
    """The idempotency key of a call; "" if it has none that counts. A longer one is ignored."""
    key = call.headers.get("idempotency-key", "")
    transfer = call.body.get("bank_transfer")
    bank = str(transfer.get("bank")) if isinstance(transfer, dict) else ""
    counts = route.verb == "POST" and route.path.startswith("/v2/") and bank not in NO_IDEMPOTENCY_BANKS
    return key if counts and len(key) <= KEY_MAX else ""


def _succeeded(answer: Answer) -> bool:
    return isinstance(answer.body, dict) and answer.body["status_code"] in {"200", "201"}


if __name__ == "__main__":
    main(Midtrans)
