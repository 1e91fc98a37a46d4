"""Reads calls for Xendit: what they ask for, or what is wrong with them."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from simulation.gateways.payments import Method
from simulation.gateways.xendit_words import CHANNELS, REASONS

REFERENCE_MAX = 255
NAME_MAX = 100
PHONE = re.compile(r"\+62\d{8,13}")
FIXED = {"type": "PAY", "country": "ID", "currency": "IDR"}


class Wrong(ValueError):
    """A call that Xendit refuses: its `error_code`, and the text if it is not the usual one."""

    def __init__(self, code: str, text: str = "") -> None:
        super().__init__(code, text)
        self.code = code
        self.text = text


class Request(NamedTuple):
    """A payment request that can be made."""

    reference: str
    amount: int
    channel: Method
    expires: datetime
    properties: Mapping[str, Any]
    metadata: Mapping[str, Any]


def read(body: Mapping[str, Any], now: datetime) -> Request:
    """What a payment request asks for. Raises Wrong."""
    reference = _reference(body)
    for name, value in FIXED.items():
        if body.get(name) != value:
            raise Wrong("API_VALIDATION_ERROR", f"{name} must be {value}")
    if body.get("capture_method", "AUTOMATIC") != "AUTOMATIC":
        raise Wrong("INVALID_VALUE_ERROR", "capture_method must be AUTOMATIC for this channel")
    amount = _amount(body.get("request_amount"), "request_amount")
    code = body.get("channel_code")
    if not isinstance(code, str):
        raise Wrong("API_VALIDATION_ERROR", "channel_code is required")
    channel = CHANNELS.get(code)
    if channel is None:
        raise Wrong("CHANNEL_NOT_ACTIVATED")
    if not channel.amount_min <= amount <= channel.amount_max:
        bounds = f"{channel.amount_min} and {channel.amount_max}"
        raise Wrong("INVALID_VALUE_ERROR", f"request_amount must be between {bounds} for {code}")
    properties, metadata = body.get("channel_properties", {}), body.get("metadata") or {}
    if not isinstance(properties, dict) or not isinstance(metadata, dict):
        raise Wrong("API_VALIDATION_ERROR", "channel_properties and metadata must be objects")
    _check_properties(channel, properties)
    return Request(reference, amount, channel, _expiry(channel, properties, now), properties, metadata)


class Back(NamedTuple):
    """A refund that a shop asks for. Without `amount`, all that is left."""

    request: str
    reference: str
    amount: int | None
    reason: str


def read_refund(body: Mapping[str, Any]) -> Back:
    """What a refund asks for. Raises Wrong."""
    request, reason = body.get("payment_request_id"), str(body.get("reason"))
    if not isinstance(request, str) or not request:
        raise Wrong("API_VALIDATION_ERROR", "payment_request_id is required")
    if reason not in REASONS:
        raise Wrong("API_VALIDATION_ERROR", f"reason must be one of {', '.join(sorted(REASONS))}")
    if body.get("currency", "IDR") != "IDR":
        raise Wrong("API_VALIDATION_ERROR", "currency must be IDR")
    amount = _amount(body["amount"], "amount") if "amount" in body else None
    return Back(request, _reference(body), amount, reason)


def utc(at: datetime) -> str:
    """A time as Xendit writes it."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _reference(body: Mapping[str, Any]) -> str:
    reference = body.get("reference_id")
    if not isinstance(reference, str) or not 1 <= len(reference) <= REFERENCE_MAX:
        raise Wrong("API_VALIDATION_ERROR", f"reference_id must have 1-{REFERENCE_MAX} characters")
    return reference


def _amount(value: Any, name: str) -> int:
    """An amount in whole rupiah. A string is refused."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Wrong("API_VALIDATION_ERROR", f"{name} must be a number")
    if (isinstance(value, float) and not value.is_integer()) or value <= 0:
        raise Wrong("API_VALIDATION_ERROR", f"{name} must be a whole number of rupiah above 0")
    return int(value)


def _check_properties(channel: Method, properties: Mapping[str, Any]) -> None:
    if channel.kind == "redirect":
        for name in ("success_return_url", "failure_return_url"):
            if not str(properties.get(name, "")).startswith("http"):
                raise Wrong("API_VALIDATION_ERROR", f"channel_properties.{name} must be an address")
    if channel.kind == "push" and not PHONE.fullmatch(str(properties.get("account_mobile_number", ""))):
        raise Wrong("API_VALIDATION_ERROR", "channel_properties.account_mobile_number must begin with +62")
    display = properties.get("display_name")
    if channel.kind == "va" and (not isinstance(display, str) or not 1 <= len(display) <= NAME_MAX):
        raise Wrong("API_VALIDATION_ERROR", "channel_properties.display_name is required")


def _expiry(channel: Method, properties: Mapping[str, Any], now: datetime) -> datetime:
    """Until when it can be paid. Only accounts take a time from the shop."""
    if "expires_at" not in properties:
        return now + channel.life
    if channel.life_max is None:
        raise Wrong("API_VALIDATION_ERROR", f"channel_properties.expires_at is not allowed for {channel.name}")
    try:
        at = datetime.fromisoformat(properties["expires_at"])
    except (TypeError, ValueError) as error:
        raise Wrong("API_VALIDATION_ERROR", "channel_properties.expires_at must be a time in ISO 8601") from error
    if at.tzinfo is None:
        raise Wrong("API_VALIDATION_ERROR", "channel_properties.expires_at needs an offset from UTC")
    if not now + channel.life_min <= at <= now + channel.life_max:
        raise Wrong("INVALID_VALUE_ERROR", "channel_properties.expires_at is too soon or too late")
    return at
