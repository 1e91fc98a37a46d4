"""Makes the OpenAPI document fit for programs that generate clients from it.

An enumeration of an answer admits every other string too, because new values may come at any time and must not break
a client. Whole numbers have 64 bits, because times are milliseconds. Enumerations have names that say what they list.
"""

from collections.abc import Iterator
from typing import Any

from flashsale.life.eligibility import ABOUT_THE_PERSON
from flashsale.providers.payments import METHODS, PartnerProvider
from flashsale.rules.events import EventType
from flashsale.rules.identity import Axis
from flashsale.rules.key_rights import KeyScope
from flashsale.rules.reasons import ReasonCode
from flashsale.rules.states import (
    AllocationMode,
    AppealState,
    CaseState,
    DeliveryFailure,
    DeliveryState,
    PaymentState,
    Phase,
    PlaceState,
    RefundReason,
    RefundState,
    Remedy,
    ReservationState,
    WebhookOff,
)
from flashsale.web import problems

Document = dict[str, Any]
PREFIX = "#/components/schemas/"
# The enumerations that clients know by a name.
NAMED: dict[str, list[str]] = {
    "AppealState": [*AppealState],
    "AxisName": [*Axis],
    "CancellationReason": [*ReasonCode],
    "CaseState": [*CaseState],
    "CheckedAt": ["enter", "confirm"],
    "CountedBy": ["channel", "place", "person", "address"],
    "DeliveryFailure": ["", *DeliveryFailure],
    "DeliveryState": [*DeliveryState],
    "EligibilityReason": sorted(ABOUT_THE_PERSON),
    "EventType": [*EventType],
    "InstructionsKind": ["qr", "va", "redirect", "deeplink", "card"],
    "KeyScope": [*KeyScope],
    "Language": ["id", "en"],
    "LineMode": [*AllocationMode],
    "PaymentMethod": [*METHODS, PartnerProvider.account],
    "PaymentState": [*PaymentState],
    "PlaceState": [*PlaceState],
    "ProblemCode": [code.value for code in problems.REFUSALS],
    "RefundReason": [*RefundReason],
    "RefundState": [*RefundState],
    "Remedy": ["", *Remedy],
    "ReservationState": [state for state in ReservationState if state is not ReservationState.ABANDONED],
    "SalePhase": [phase for phase in Phase if phase is not Phase.DRAFT],
    "WebhookOff": ["", *WebhookOff],
}


def suit_clients(result: Document, **_kwargs: Any) -> Document:
    """A post-processing hook of drf-spectacular: names of enumerations, open ones in answers, sizes of numbers."""
    schemas = result["components"]["schemas"]
    sent = _sent(result)
    names = {frozenset(values): name for name, values in NAMED.items()}
    received = [part for name, part in schemas.items() if name not in sent] + [result["webhooks"]]
    requests = [schemas[name] for name in sent] + [result["paths"]]
    for part, is_open in [(one, True) for one in received] + [(one, False) for one in requests]:
        for schema in list(_objects(part)):
            if "enum" in schema:
                _refer(schema, names.get(frozenset(schema["enum"]) - {None}), is_open=is_open)
    used = {schema.get("$ref", "").removeprefix(PREFIX) for schema in _objects(result)}
    schemas.update({name: {"type": "string", "enum": values} for name, values in NAMED.items() if name in used})
    for schema in _objects(result):
        if schema.get("type") in ("integer", ["integer", "null"]) and "const" not in schema:
            schema.setdefault("format", "int32" if "maximum" in schema else "int64")
    return result


def _refer(schema: dict[str, Any], name: str | None, *, is_open: bool) -> None:
    """Replaces the values of an enumeration by a reference to them. Admits other strings too if it is open."""
    values = schema.pop("enum")
    known = {"$ref": PREFIX + name} if name else {"type": "string", "enum": [value for value in values if value]}
    types = schema.pop("type", "string")
    schema.pop("x-spec-enum-id", None)
    if is_open:
        schema["anyOf"] = [known, {"type": types}]
    else:
        schema.update(known)


def _sent(document: Document) -> set[str]:
    """The names of the schemas that a request has. Their enumerations stay closed: we refuse other values."""
    schemas, found = document["components"]["schemas"], set[str]()
    waiting = [
        operation.get(part, {})
        for path in document["paths"].values()
        for operation in path.values()
        for part in ("requestBody", "parameters")
    ]
    while waiting:
        for schema in _objects(waiting.pop()):
            name = schema.get("$ref", "").removeprefix(PREFIX)
            if name in schemas and name not in found:
                found.add(name)
                waiting.append(schemas[name])
    return found


def _objects(part: Any) -> Iterator[dict[str, Any]]:
    """All objects in a part of the document."""
    if isinstance(part, dict):
        yield part
        part = list(part.values())
    if isinstance(part, list):
        for nested in part:
            yield from _objects(nested)
