"""Reads the answers of Midtrans: how a payment stands, what its buyer needs, where a refund is.

An answer that cannot be read raises ProviderDown, so it changes nothing, and the provider is asked again.
"""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple

from flashsale.providers.payments import midtrans_words as words
from flashsale.providers.payments.base import (
    Attempt,
    Instructions,
    ProviderDown,
    RefundRequest,
    RefundStanding,
    Standing,
)
from flashsale.providers.payments.checked import is_link, other_amount
from flashsale.rules.states import StandingState


class Said(NamedTuple):
    """An answer: the code in its body, its fields, and the time on Midtrans' clock."""

    code: str
    fields: Mapping[str, Any]
    clock: datetime | None

    @property
    def word(self) -> str:
        """The state of the payment in Midtrans' word, "" without one."""
        return str(self.fields.get("transaction_status", "")).lower()

    @property
    def why(self) -> str:
        """What Midtrans says in words."""
        notes = [self.fields.get(name) for name in ("status_message", "validation_messages", "error_messages")]
        return f"{self.code}: {' '.join(str(note) for note in notes if note)}"[:200]


def page_of(said: Said, asked: Attempt) -> Standing:
    """A card's page. Its token is kept as the provider's id, because it closes the page. Raises ProviderDown."""
    token, url = said.fields.get("token"), said.fields.get("redirect_url")
    if not (isinstance(token, str) and isinstance(url, str) and url.startswith(("https://", "http://"))):
        raise ProviderDown(f"Midtrans opened no page: {said.why}")
    until = asked.expires_at.isoformat() if asked.expires_at else ""
    return Standing(StandingState.WAITING, token, instructions=Instructions("redirect", until, url=url))


def standing_of(said: Said, asked: Attempt) -> Standing:
    """How a payment stands, by an answer about it. Raises ProviderDown."""
    fields = said.fields
    known = said.word in words.STATES and asked.method in words.OFFERS
    if not known or fields.get("order_id") != asked.reference:
        raise ProviderDown(f"Midtrans answers {said.why}, of {fields.get('order_id')}: {said.word or 'no state'}")
    state = _state(said, asked)
    shown = _instructions(fields, asked) if state is StandingState.WAITING else None
    name = str(fields.get("transaction_id", ""))[:120]
    if asked.method == words.CARD or (state is StandingState.WAITING and shown is None):
        # A card is known by the token of its page. A payment whose code we never got has no id, so `begin` asks again.
        name = asked.provider_id or (name if state is not StandingState.WAITING else "")
    found = Standing(state, name, instructions=shown)
    if state is not StandingState.PAID:
        return found
    amount = amount_of(fields)
    card = _masked_card(fields, asked)
    return found._replace(
        paid=amount,
        currency=str(fields.get("currency") or "IDR"),
        fee=_imposed_fee(fields, amount),
        paid_at=words.moment(fields.get("settlement_time")) or words.moment(fields.get("transaction_time")),
        fingerprint=card and f"midtrans:{card}",
        bank_digits=card.partition("-")[0],
    )


def _masked_card(fields: Mapping[str, Any], asked: Attempt) -> str:
    """The first eight and the last four digits of a card, which is all that Midtrans tells. It names no wallet."""
    masked = fields.get("masked_card")
    is_card = asked.method == words.CARD and isinstance(masked, str) and words.MASKED_CARD.fullmatch(masked)
    return str(masked) if is_card else ""


def _state(said: Said, asked: Attempt) -> StandingState:
    state, fraud = words.STATES[said.word], str(said.fields.get("fraud_status") or "").lower()
    if state is StandingState.PAID and (said.code != words.DONE or fraud not in words.ACCEPTED):
        return StandingState.FAILED if fraud == "deny" else StandingState.REVIEW
    if said.word != "deny":
        return state
    # A bank takes settled money back by "deny", mostly within minutes.
    if words.OFFERS[asked.method].bank or said.fields.get("settlement_time"):
        return StandingState.REVERSED
    return StandingState.WAITING if asked.method == words.CARD else state


def amount_of(fields: Mapping[str, Any]) -> Decimal:
    """What the payment is about. Raises ProviderDown."""
    try:
        amount = Decimal(str(fields.get("gross_amount")))
    except InvalidOperation as error:
        raise ProviderDown(f"Midtrans names no amount: {fields.get('gross_amount')!r}") from error
    if not amount.is_finite() or not 0 <= amount < Decimal(10) ** 18:
        raise ProviderDown(f"Midtrans names no amount: {fields.get('gross_amount')!r}")
    return amount


def _imposed_fee(fields: Mapping[str, Any], amount: Decimal) -> Decimal | None:
    """What Midtrans charged the buyer on top of our price, if the account has that option; None without it."""
    found: Any = fields
    for name in ("metadata", "extra_info", "gross_amount_info", "original_amount"):
        found = found.get(name) if isinstance(found, Mapping) else None
    try:
        return amount - Decimal(str(found)) if found is not None else None
    except ArithmeticError:  # no number, or one with an exponent of millions
        return None


def _instructions(fields: Mapping[str, Any], asked: Attempt) -> Instructions | None:
    """What the buyer needs to pay; None if the answer does not have it."""
    ends = words.moment(fields.get("expiry_time") or fields.get("expire_time")) or asked.expires_at
    until, offer = ends.isoformat() if ends else "", words.OFFERS[asked.method]
    if offer.method.kind == "va":
        number, biller = _number(fields, offer), str(fields.get("biller_code") or "")
        bank = words.BANK_NAMES[offer.bank]
        return Instructions("va", until, bank=bank, number=number, biller=biller) if number else None
    links = {
        str(one.get("name")): str(one.get("url")) for one in _list(fields, "actions") if is_link(str(one.get("url")))
    }
    qr, deeplink = str(fields.get("qr_string") or ""), links.get("deeplink-redirect", "")
    url = links.get("generate-qr-code-v2") or links.get("generate-qr-code") or ""
    if not (qr or deeplink):
        return None
    return Instructions(offer.method.kind, until, qr=qr, url=url, deeplink=deeplink)


def _number(fields: Mapping[str, Any], offer: words.Offer) -> str:
    if offer.payment_type == "echannel":
        return str(fields.get("bill_key") or "")
    numbers = {one.get("bank"): one.get("va_number") for one in _list(fields, "va_numbers")}
    return str(fields.get("permata_va_number") or numbers.get(offer.bank) or "")


def _list(fields: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    found = fields.get(name)
    return [one for one in found if isinstance(one, Mapping)] if isinstance(found, list) else []


def refund_in(said: Said, back: RefundRequest) -> RefundStanding | None:
    """Our refund in the list of a payment's refunds; None if it is not there. A card that was voided has none."""
    if said.word == "cancel" and back.attempt.method == words.CARD:
        return RefundStanding("confirmed", str(said.fields.get("transaction_id", "")))
    for one in _list(said.fields, "refunds"):
        if one.get("refund_key") == back.reference:
            name = str(one.get("refund_chargeback_id") or back.reference)
            if wrong := other_amount(one.get("refund_amount"), back):
                return RefundStanding("failed", name, wrong)
            return RefundStanding("confirmed" if one.get("bank_confirmed_at") else "sent", name)
    return None


def refused_refund(back: RefundRequest) -> RefundStanding | None:
    """Why Midtrans is not even asked for a refund; None if it is."""
    offer = words.OFFERS.get(back.attempt.method)
    if offer is None or offer.method.refund != "api":
        return RefundStanding("impossible", why=f"Midtrans refunds nothing that was paid by {back.attempt.method}.")
    if back.amount != back.amount.to_integral_value() or back.currency != "IDR":
        return RefundStanding("failed", why="Midtrans refunds whole rupiah.")
    return None


def asked_refund(said: Said, back: RefundRequest) -> RefundStanding:
    """What the answer to a request for a refund says. Raises ProviderDown."""
    if said.code == words.NOT_CHANGEABLE:
        return RefundStanding("impossible", why=said.why)
    if said.code in words.REFUND_FAILED:
        return RefundStanding("failed", why=said.why)
    if said.code != words.DONE:
        raise ProviderDown(said.why)
    return refund_in(said, back) or RefundStanding("sent", str(said.fields.get("refund_chargeback_id", "")))
