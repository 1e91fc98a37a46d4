"""Reads a charge for Midtrans: what it asks for, or what is wrong with it."""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from simulation.gateways.ledger import JAKARTA
from simulation.gateways.midtrans_words import METHODS, NOT_ACTIVATED, TYPES, UNITS
from simulation.gateways.payments import Method
from simulation.gateways.webhooks import check_address

ORDER_ID = re.compile(r"[A-Za-z0-9_~.-]{1,50}")
TOKEN_ID = re.compile(r"\d{6,8}-\d{4}-[0-9a-f-]{36}")
PHONE = re.compile(r"(\+62|0)\d{6,14}")
ADDRESSES_MAX = 3
CALLBACKS = {"js_event", "form"}


class Wrong(ValueError):
    """A charge that Midtrans refuses: the code of the body, and what `validation_messages` say."""

    def __init__(self, code: str, *messages: str) -> None:
        super().__init__(code, *messages)
        self.code = code
        self.messages = list(messages)


class Addresses(NamedTuple):
    """Where notifications of one transaction go instead of the dashboard's address, and where they go as well."""

    instead: list[str]
    more: list[str]


class Charge(NamedTuple):
    """A charge that can be made."""

    order_id: str
    amount: int
    method: Method
    expires: datetime
    metadata: Mapping[str, Any]


def read(body: Mapping[str, Any], now: datetime) -> Charge:
    """What a charge asks for. Raises Wrong."""
    order_id, amount = read_order(body)
    method = _method(body)
    if not method.amount_min <= amount <= method.amount_max:
        raise Wrong("400", f"transaction_details.gross_amount must be at most {method.amount_max}")
    if method.name == "credit_card":
        _check_card(body)
    if method.name == "echannel":
        _check_bill(_object(body, "echannel"))
    phone = _object(body, "customer_details").get("phone", "")
    if method.bank == "bni" and phone and not PHONE.fullmatch(str(phone)):
        raise Wrong("400", "customer_details.phone must begin with +62 or 0")
    expires = read_expiry(_object(body, "custom_expiry"), "order_time", "expiry_duration", method, now)
    return Charge(order_id, amount, method, expires, _object(body, "metadata"))


def read_order(body: Mapping[str, Any]) -> tuple[str, int]:
    """The order id and the amount of a charge or a payment page. Raises Wrong."""
    details = _object(body, "transaction_details")
    order_id, amount = details.get("order_id"), details.get("gross_amount")
    if not isinstance(order_id, str) or not ORDER_ID.fullmatch(order_id):
        raise Wrong("400", "transaction_details.order_id must have 1-50 of the characters A-Z a-z 0-9 - _ ~ .")
    if not isinstance(amount, int) or isinstance(amount, bool) or amount < 1:
        raise Wrong("400", "transaction_details.gross_amount must be a whole number above 0")
    items = body.get("item_details", [])
    if not isinstance(items, list) or not all(_is_item(item) for item in items):
        raise Wrong("400", "item_details must be a list of id, price, quantity and name")
    if items and sum(item["price"] * item["quantity"] for item in items) != amount:
        raise Wrong("400", "transaction_details.gross_amount is not equal to the sum of item_details")
    return order_id, amount


def read_expiry(asked: Mapping[str, Any], start: str, count: str, method: Method, now: datetime) -> datetime:
    """Until when it can be paid. Raises Wrong."""
    if not asked or method.life_max is None:
        return now + method.life
    unit = UNITS.get(str(asked.get("unit", "minute")))
    duration = asked.get(count)
    if unit is None or not isinstance(duration, int) or isinstance(duration, bool) or not 0 < duration < 10**8:
        raise Wrong("400", f"{count} must be a whole number above 0, and unit second, minute, hour or day")
    life = unit * duration
    if not method.life_min <= life <= method.life_max:
        raise Wrong("400", f"{count} must be between {_text(method.life_min)} and {_text(method.life_max)}")
    try:
        begins = datetime.strptime(asked[start], "%Y-%m-%d %H:%M:%S %z") if start in asked else now
    except (TypeError, ValueError) as error:
        raise Wrong("400", f"{start} must look like 2026-11-29 10:00:00 +0700") from error
    if begins + life <= now:
        raise Wrong("400", "expiry time must be in the future")
    return begins + life


def addresses(headers: Mapping[str, str]) -> Addresses:
    """The addresses that the headers of a call give. Raises Wrong."""
    found = []
    for name in ("x-override-notification", "x-append-notification"):
        urls = [url.strip() for url in headers.get(name, "").split(",") if url.strip()]
        if len(urls) > ADDRESSES_MAX:
            raise Wrong("400", f"{name} may have {ADDRESSES_MAX} addresses")
        try:
            found.append([check_address(url, anywhere=True) for url in urls])
        except ValueError as error:
            raise Wrong("400", str(error)) from error
    return Addresses(*found)


def jakarta(at: datetime) -> str:
    """A time as Midtrans writes it: GMT+7, and without an offset."""
    return at.astimezone(JAKARTA).strftime("%Y-%m-%d %H:%M:%S")


def _method(body: Mapping[str, Any]) -> Method:
    kind = body.get("payment_type")
    if not isinstance(kind, str) or kind not in TYPES | NOT_ACTIVATED:
        raise Wrong("400", "payment_type is not supported")
    if kind in NOT_ACTIVATED:
        raise Wrong("402")
    which = ""
    if kind == "qris":
        which = _object(body, "qris").get("acquirer", "gopay")
    if kind == "bank_transfer":
        which = _object(body, "bank_transfer").get("bank", "")
    method = METHODS.get((kind, which)) if isinstance(which, str) else None
    if method is None:
        raise Wrong("400", f"{kind} does not support {which!r}")
    return method


def _check_card(body: Mapping[str, Any]) -> None:
    card = _object(body, "credit_card")
    if not TOKEN_ID.fullmatch(str(card.get("token_id", ""))):
        raise Wrong("411")
    if card.get("authentication") is not True:
        raise Wrong("400", "credit_card.authentication must be true")
    if card.get("callback_type", "js_event") not in CALLBACKS:
        raise Wrong("400", "credit_card.callback_type must be js_event or form")


def _check_bill(bill: Mapping[str, Any]) -> None:
    for name, length in (("bill_info1", 10), ("bill_info2", 30)):
        if not isinstance(bill.get(name), str) or not 1 <= len(bill[name]) <= length:
            raise Wrong("400", f"echannel.{name} must have 1-{length} characters")


def _is_item(item: Any) -> bool:
    return (
        isinstance(item, dict)
        and all(isinstance(item.get(name), int) and not isinstance(item[name], bool) for name in ("price", "quantity"))
        and item["quantity"] > 0
        and isinstance(item.get("name"), str)
    )


def _object(body: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = body.get(name, {})
    if not isinstance(found, dict):
        raise Wrong("400", f"{name} must be an object")
    return found


def _text(time: timedelta) -> str:
    return f"{time.days} days" if time.days else f"{time.seconds} seconds"
