"""The messages to webhooks in the OpenAPI document: one for each type of event, with its data and an example."""

from typing import Any

from flashsale.rules.events import EventType
from flashsale.rules.reasons import ReasonCode
from flashsale.rules.states import RefundReason, Remedy
from flashsale.rules.webhooks import TEST_TYPE

Schema = dict[str, Any]

_WHOLE: Schema = {"type": "integer"}
_TEXT: Schema = {"type": "string"}
_TIME: Schema = {"type": "string", "format": "date-time"}
_TIMES: Schema = {"lobby_at": _TIME, "opens_at": _TIME, "closes_at": _TIME}
_ORDER: Schema = {"quantity": _WHOLE, "amount": _WHOLE}
_PAYMENT: Schema = {"payment": _TEXT, "method": _TEXT, "amount": _WHOLE}
_REFUND: Schema = {"refund": _TEXT, "why": {"enum": [why.value for why in RefundReason]}, "amount": _WHOLE}


def _enum(*words: str) -> Schema:
    return {"type": "string", "enum": list(words)}


# The data of a type; those of one kind are alike if the type is not here.
_DATA: dict[str, Schema] = {
    "reservation": _ORDER,
    "payment": _PAYMENT,
    "refund": _REFUND,
    "unit": {"serial": _TEXT, "sku": _TEXT, "from": _TEXT},
    "sale": {},
    "case": {},
    "appeal": {},
    EventType.RESERVATION_CANCELLED: {**_ORDER, "reason": _enum(*(code.value for code in ReasonCode))},
    EventType.CASE_DECIDED: {"decision": _enum("cancelled", "dismissed")},
    EventType.APPEAL_DECIDED: {
        "decision": _enum("upheld", "overturned"),
        "remedy": _enum("", *(remedy.value for remedy in Remedy)),
    },
    EventType.SALE_PUBLISHED: _TIMES,
    EventType.SALE_RESCHEDULED: _TIMES,
    TEST_TYPE: {"webhook": _TEXT},
}
_EXAMPLES: dict[str, Any] = {
    "quantity": 1, "amount": 1_799_000, "reason": "buyer_request", "payment": "fs-7Q2Z9K1M4R8T3V6W0XYZ-1",
    "method": "qris", "refund": "fr-7Q2Z9K1M4R8T3V6W0XYZ-1-1", "why": "cancelled", "remedy": "",
    "serial": "sale-1/lazada/POCO-M3-4-64/000006", "sku": "POCO-M3-4-64", "from": "sale-1",
    "lobby_at": "2026-11-22T20:00:00+07:00", "opens_at": "2026-11-23T10:00:00+07:00",
    "closes_at": "2026-11-23T12:00:00+07:00", "webhook": "5b0c5f6e-6f0c-4f7a-9a43-0e5b5b1d7d11",
}  # fmt: skip
_HEADERS: dict[str, tuple[str, Schema, str]] = {
    "WebhookId": (
        "webhook-id",
        _TEXT,
        "The id of the event. Each try has the same. Ignore an id that you have had before.",
    ),
    "WebhookTimestamp": (
        "webhook-timestamp",
        _WHOLE,
        "Seconds since 1970. Refuse a message that is older than five minutes.",
    ),
    "WebhookSignature": (
        "webhook-signature",
        _TEXT,
        (
            '"v1," and HMAC-SHA256 of "id.timestamp.body" in base64, as Standard Webhooks have it. After a change of '
            "the secret there are two signatures with a space between them; one must fit."
        ),
    ),
}
_ANSWERS = {
    "2XX": ("WebhookTaken", "You have the event. Answer within 15 seconds."),
    "410": ("WebhookGone", "The webhook is switched off."),
    "default": ("WebhookFailed", "The message is sent again later; `Retry-After` is respected."),
}


def add_messages(result: Schema, **_kwargs: Any) -> Schema:
    """A post-processing hook of drf-spectacular: adds the section `webhooks`."""
    components = result["components"]
    components.setdefault("parameters", {}).update(
        (key, {"name": name, "in": "header", "required": True, "schema": schema, "description": text})
        for key, (name, schema, text) in _HEADERS.items()
    )
    components["responses"].update((key, {"description": text}) for key, text in _ANSWERS.values())
    result["webhooks"] = {type_: {"post": _operation(type_)} for type_ in [*map(str, EventType), TEST_TYPE]}
    return result


def _operation(type_: str) -> Schema:
    kind = type_.partition(".")[0]
    data = _DATA[type_] if type_ in _DATA else _DATA[kind]
    # A test message has the members of an event, too, but its type is not in the feed.
    schema: Schema = {"type": "object", "properties": {"type": {"const": type_}, "data": _data_schema(data)}}
    if type_ != TEST_TYPE:
        schema = {"allOf": [{"$ref": "#/components/schemas/Event"}, schema]}
    return {
        "operationId": "on" + "".join(word.capitalize() for word in type_.replace("_", ".").split(".")),
        "summary": type_,
        "description": "We send this to your webhook. docs/partner.md says what the event means.",
        "tags": ["webhooks"],
        "security": [{}],
        "parameters": [{"$ref": f"#/components/parameters/{key}"} for key in _HEADERS],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": schema, "examples": {type_: {"value": _example(type_, data)}}}},
        },
        "responses": {status: {"$ref": f"#/components/responses/{key}"} for status, (key, _) in _ANSWERS.items()},
    }


def _data_schema(members: Schema) -> Schema:
    return {"type": "object", "properties": members, "required": list(members)}


def _example(type_: str, members: Schema) -> Schema:
    of_sale = type_.startswith("sale.")
    of_order = not of_sale and type_ != TEST_TYPE and not type_.startswith("unit.")
    test = type_ == TEST_TYPE
    return {
        "id": "test-2f0c7a52-5a3e-4a4e-8c9e-3d0a1d7b9f10" if test else "48211",
        "type": type_,
        "at": "2026-11-22T22:32:06.901204+07:00",
        "sale": "" if test else "sale-1",
        "line": None if of_sale or test else "lazada",
        "reservation": "c0b078b2-cacb-406b-a807-0a9522e82c2a" if of_order else None,
        "sequence": 0 if test else 1,
        "data": {name: _value(name, schema) for name, schema in members.items()},
    }


def _value(name: str, schema: Schema) -> Any:
    known = _EXAMPLES.get(name)
    return schema["enum"][0] if "enum" in schema and known not in schema["enum"] else known
