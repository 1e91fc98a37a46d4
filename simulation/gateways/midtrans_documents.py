"""What Midtrans writes: problems, the fields of a way to pay, refunds, signatures."""

import hashlib
from collections.abc import Mapping
from typing import Any

from simulation.gateways.midtrans_charge import jakarta
from simulation.gateways.midtrans_words import LOOK_CODES, MERCHANT, NOTICE_CODES, TEXTS
from simulation.gateways.payments import Payment, Refund


def signature(document: Mapping[str, Any], key: str) -> str:
    """The `signature_key` of a notification. It does not cover the status of the transaction."""
    signed = f"{document['order_id']}{document['status_code']}{document['gross_amount']}{key}"
    return hashlib.sha512(signed.encode()).hexdigest()


def amount(rupiah: int) -> str:
    """An amount as answers write it."""
    return f"{rupiah}.00"


def problem(code: str, text: str = "") -> dict[str, Any]:
    """The body of a refusal."""
    return {"status_code": code, "status_message": text or TEXTS[code]}


def gross(payment: Payment) -> int:
    """What the buyer paid, the imposed fee included; before that, what the shop asked for."""
    return (payment.received or payment.amount) + int(payment.extra.get("fee", 0))


def transaction(payment: Payment, code: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that each document about a transaction has."""
    late = payment.method.name == "qris" and settings["expire_time"]
    found = {
        "status_code": code,
        "status_message": "Success, transaction is found",
        "transaction_id": payment.id,
        "order_id": payment.reference,
        "merchant_id": MERCHANT,
        "gross_amount": amount(gross(payment)),
        "currency": "IDR",
        "payment_type": payment.extra.get("type", payment.method.name),
        "transaction_time": jakarta(payment.created),
        "transaction_status": payment.state,
        "fraud_status": payment.extra.get("fraud", "accept"),
        "expire_time" if late else "expiry_time": jakarta(payment.expires),
        **_method_fields(payment),
    }
    metadata = dict(payment.extra["metadata"])
    if payment.extra.get("fee"):
        original = {"original_amount": amount(payment.received)}
        metadata["extra_info"] = {"gross_amount_info": original}
    return {**found, "metadata": metadata} if metadata else found


def look(payment: Payment, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What a look at a transaction says."""
    return _signed(payment, _code(payment, LOOK_CODES), settings)


def notice(payment: Payment, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What a notification says. After a refund that failed, its code is the one of a refusal."""
    failed = bool(payment.refunds) and payment.refunds[-1].state == "failed" and payment.state == "settlement"
    code = "202" if failed else _code(payment, NOTICE_CODES)
    found = {**_signed(payment, code, settings), "status_message": "midtrans payment notification"}
    if payment.method.kind == "qr" and payment.shown:
        issuer = payment.shown[0].issuer or payment.method.bank
        found["issuer"] = issuer
        found["transaction_type"] = "on-us" if issuer == payment.method.bank else "off-us"
    return found


def _signed(payment: Payment, code: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    found = transaction(payment, code, settings)
    if "settled" in payment.extra:
        found["settlement_time"] = jakarta(payment.extra["settled"])
    shown = [refund for refund in payment.refunds if refund.state in {"accepted", "confirmed"}]
    if payment.refunds:
        found["refund_amount"] = amount(sum(refund.amount for refund in shown))
    if shown:
        found["refunds"] = [_refunded(refund) for refund in shown]
    return {**found, "signature_key": signature(found, settings["key"])}


def _code(payment: Payment, codes: Mapping[str, str]) -> str:
    challenged = payment.state == "capture" and payment.extra.get("fraud") == "challenge"
    return "201" if challenged else codes.get(payment.state, "200")


def _refunded(refund: Refund) -> dict[str, Any]:
    """One entry of `refunds`. `bank_confirmed_at` is there when the money was sent."""
    found = {
        "refund_chargeback_id": int(refund.id),
        "refund_amount": amount(refund.amount),
        "created_at": jakarta(refund.created),
        "reason": refund.reason,
        "refund_key": refund.key,
        "refund_method": "online",
    }
    return {**found, "bank_confirmed_at": jakarta(refund.updated)} if refund.state == "confirmed" else found


def _method_fields(payment: Payment) -> dict[str, Any]:
    """The fields that only this way to pay has."""
    method = payment.method
    account = next((code.value for code in payment.codes if code.kind == "va"), "")
    if method.name == "echannel":
        biller, _, key = account.partition("/")
        return {"biller_code": biller, "bill_key": key}
    if method.bank == "permata":
        return {"permata_va_number": account}
    if method.kind == "va":
        return {"va_numbers": [{"bank": method.bank, "va_number": account}]}
    if (card := payment.extra.get("card", "")).isdigit():
        return {"masked_card": f"{card[:8]}-{card[-4:]}", "card_type": "credit"}
    return {"acquirer": method.bank} if method.kind == "qr" else {}


def how_to_pay(payment: Payment, address: str) -> dict[str, Any]:
    """What the answer to a charge says more than a look does."""
    text = {"status_message": f"Success, {payment.method.name} transaction is created"}
    codes = {code.kind: code.value for code in payment.codes}
    picture = f"{address}/v2/qr/{payment.id}"
    if payment.method.kind == "qr":
        actions = [_action(name, "GET", picture) for name in ("generate-qr-code", "generate-qr-code-v2")]
        return {**text, "qr_string": codes["qr"], "actions": actions}
    if payment.method.kind == "deeplink":
        own = f"{address}/v2/{payment.id}"
        links = [("generate-qr-code", "GET", picture), ("deeplink-redirect", "GET", codes["deeplink"])]
        links += [("get-status", "GET", f"{own}/status"), ("cancel", "POST", f"{own}/cancel")]
        return {**text, "actions": [_action(*link) for link in links]}
    return {**text, "redirect_url": codes["redirect"]} if payment.method.kind == "redirect" else text


def _action(name: str, method: str, url: str) -> dict[str, str]:
    return {"name": name, "method": method, "url": url}
