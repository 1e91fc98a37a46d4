"""The schemas of the hot door for the OpenAPI document.

The hot door uses no serializers, because they would cost more than the work itself. Tests check its responses against
these schemas.
"""

from typing import Any

from flashsale.rules import attached
from flashsale.web.api.document_common import PROBLEM_CODE, header_refs

BUNDLE_ITEMS_MAX = 100
Schema = dict[str, Any]

WHOLE: Schema = {"type": "integer"}
TEXT: Schema = {"type": "string"}
MS: Schema = {"type": "integer", "description": "Milliseconds since 1970, on the line's clock."}
NOW_AT: Schema = {
    "type": "string",
    "format": "date-time",
    "description": "The time of day at `now`. It makes the other times of this document times of day: "
    "now_at + (time - now), if there is no pause until then.",
    "examples": ["2026-11-22T15:32:06.901Z"],
}


def _or_null(schema: Schema) -> Schema:
    return {**schema, "type": [schema["type"], "null"]}


def _request(properties: dict[str, Schema], *, optional: tuple[str, ...] = ()) -> Schema:
    """An object that a caller sends. The door refuses every member that is not in `properties`."""
    return _object(properties, optional=optional, additionalProperties=False)


def _object(properties: dict[str, Schema], *, optional: tuple[str, ...] = (), **more: Any) -> Schema:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required, **more}


def _bundle_of(name: str) -> Schema:
    """A bundle of requests."""
    return _request({"items": {"type": "array", "minItems": 1, "maxItems": BUNDLE_ITEMS_MAX, "items": _ref(name)}})


def _item_of(name: str) -> Schema:
    """An item of the answer to a bundle: the answer or the problem that the single request would get."""
    return _object(
        {
            "status": {"type": "integer", "description": "The HTTP status that the single request would get."},
            "answer": _ref(name),
            "problem": _ref("Problem"),
        },
        optional=("answer", "problem"),
    )


def _answers_of(name: str) -> Schema:
    """The answers to a bundle."""
    return _object({"items": {"type": "array", "description": "In the order of the request.", "items": _ref(name)}})


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


PLACE_TOKEN: Schema = {
    "type": "string",
    "maxLength": 512,
    "description": "The sealed place. Partners keep it for their shopper; our own page keeps it in a cookie.",
}
ANY_TEXTS: Schema = {"type": "object", "additionalProperties": TEXT}
PARTNER_REFERENCE: Schema = {
    "type": "string",
    "pattern": f"^{attached.REFERENCE_PATTERN}$",
    "description": "Your reference of the order: visible ASCII characters without spaces. We return it unchanged. "
    "Several reservations may have the same one.",
    "examples": ["ORD-2026-000123"],
}
METADATA: Schema = {
    "type": "object",
    "maxProperties": attached.NAMES_MAX,
    "propertyNames": {"pattern": f"^{attached.NAME_PATTERN}$"},
    "additionalProperties": {"type": "string", "maxLength": attached.VALUE_CHARS_MAX},
    "description": f"Short texts of yours, at most {attached.BYTES_MAX} bytes as JSON. We return them unchanged. "
    "Do not put personal data into them.",
    "examples": [{"cart": "c-8812", "app": "android"}],
}
PHASES = ["scheduled", "lobby", "open", "paused", "closed", "called_off"]
PLACE_STATES = ["waiting", "called", "lapsed", "spent", "left", "voided"]

SCHEMAS: dict[str, Schema] = {
    "Problem": _object(
        {
            "type": {"type": "string", "format": "uri-reference"},
            "title": {"type": "string", "description": "In the language of Accept-Language: id or en."},
            "status": WHOLE,
            "code": PROBLEM_CODE,
            "detail": {"type": "string", "description": "For developers, in English; may be empty."},
            "request_id": TEXT,
            "retry_after_s": WHOLE,
            "errors": {"type": "array", "items": _ref("ProblemError")},
            "reservation": {
                "type": "string",
                "format": "uuid",
                "description": "With place_spent: the reservation for which your channel has used this place.",
            },
        },
        optional=("retry_after_s", "errors", "reservation"),
    ),
    "ProblemError": _object(
        {"pointer": {"type": "string", "description": "The member or the parameter that is wrong."}, "detail": TEXT}
    ),
    "Status": _object(
        {
            "sale": TEXT,
            "line": TEXT,
            "mode": {"type": "string", "enum": ["line", "direct"]},
            "phase": {"type": "string", "enum": PHASES},
            "now": MS,
            "opens_at": MS,
            "closes_at": MS,
            "rolls_over_at": _or_null(MS),
            "claim_ms": WHOLE,
            "cohort": _or_null(WHOLE),
            "entered": WHOLE,
            "called": WHOLE,
            "claims": {"type": "integer", "description": "People who were called and have not reserved yet."},
            "free": WHOLE,
            "offers": {"type": "object", "additionalProperties": WHOLE, "description": "Free units by SKU."},
            "held": WHOLE,
            "sold": WHOLE,
            "coming": {"type": "integer", "description": "Units of other lines that may still roll over to this one."},
            "rate": {"type": "integer", "description": "People called per second, at most."},
            "commitment": TEXT,
            "seed": {"type": "string", "description": "Hex; empty until the draw."},
            "poll_ms": {"type": "integer", "description": "How long to wait before the next request, at most."},
            "pace": {
                "type": ["integer", "null"],
                "description": "How many numbers the line calls in a second, at most. 0: any number of them. "
                "null: ask every poll_ms, not more often.",
            },
            "message": {
                "type": "string",
                "description": "A text to shoppers. Two lines: the same text in Indonesian and in English.",
            },
            "draw": _object(
                {
                    "freezes_at": MS,
                    "root": {"type": "string", "description": "Of the entries, hex; empty until the freeze."},
                    "round": {"type": ["integer", "null"], "description": "Of the declared beacon; null: none yet."},
                    "round_at": _or_null(MS),
                },
                description="Only where the draw is of version 2. More at /v1/sales/{sale}/draw.",
            ),
        },
        optional=("draw",),
    ),
    "EnterRequest": _request(
        {
            "identity": {
                "type": "object",
                "additionalProperties": TEXT,
                "description": "The values that the channel has proven, by axis. We keep only their digests. "
                "An account id identifies a person within this channel only.",
                "examples": [{"phone": "+62 812-3456-7890", "email": "buyer@example.com"}],
            },
            "carried": {
                **PLACE_TOKEN,
                "description": "The place in the earlier line whose order this line carries over.",
            },
        },
        optional=("identity", "carried"),
    ),
    "Entered": _object(
        {
            "place": PLACE_TOKEN,
            "line": TEXT,
            "index": {
                "type": "integer",
                "description": "The count of the place in its line, in the order of entering.",
            },
            "entered": {"type": "boolean", "description": "Always true."},
        },
        description="The answer to a partner. Our own page gets `line` and `index`, and the place in a cookie.",
    ),
    "PlaceRequest": _request({"place": PLACE_TOKEN}, optional=("place",)),
    "Look": _object(
        {
            "line": TEXT,
            "index": WHOLE,
            "number": _or_null(WHOLE),
            "state": {"type": "string", "enum": PLACE_STATES},
            "now": MS,
            "now_at": NOW_AT,
            "claim_ends": _or_null(MS),
            "called": WHOLE,
            "cohort": _or_null(WHOLE),
        }
    ),
    "EnterBundle": _bundle_of("EnterRequest"),
    "EnteredItem": _item_of("Entered"),
    "EnteredBundle": _answers_of("EnteredItem"),
    "LookBundle": _bundle_of("PlaceRequest"),
    "LookedItem": _item_of("Look"),
    "LookedBundle": _answers_of("LookedItem"),
    "Granted": _object({"granted": {"type": "boolean"}}),
    "Left": _object({"left": {"type": "boolean"}}),
    "Receipt": _object(
        {
            "version": {"type": "integer", "const": 1},
            "sale": TEXT,
            "line": TEXT,
            "index": WHOLE,
            "time": {"type": "integer", "description": "When this token was made, in ms since 1970."},
            "holder": {
                "type": "object",
                "additionalProperties": TEXT,
                "description": "A short mark of each proven value, by axis.",
            },
            "cohort": {"type": "integer", "description": "How many entries the line has committed to."},
            "root": {"type": "string", "description": "The root of these entries, hex."},
            "state": {"type": "integer", "enum": [0, 1, 2], "description": "0: the index had entered at the freeze."},
            "leaf": {"type": "string", "description": "The leaf of the index, hex."},
            "proof": {"type": "array", "items": TEXT, "description": "The nodes from the leaf to the root, hex."},
        },
        optional=("cohort", "root", "state", "leaf", "proof"),
        description="The last five members exist where the draw is of version 2, after the freeze, for its entries.",
    ),
    "SignedReceipt": _object(
        {
            "receipt": _ref("Receipt"),
            "key": {"type": "string", "description": "The kid of a key at /v1/keys."},
            "signature": {
                "type": "string",
                "description": "Ed25519, base64url. docs/fairness.md says which bytes are signed.",
            },
        }
    ),
    "ReserveRequest": _request(
        {
            "place": PLACE_TOKEN,
            "identity": {
                "type": "object",
                "additionalProperties": TEXT,
                "description": "Instead of a place, in a direct allocation.",
            },
            "items": {
                "type": "array",
                "minItems": 1,
                "maxItems": 50,
                "items": _request({"sku": TEXT, "quantity": {"type": "integer", "minimum": 1}}),
            },
            "partner_reference": PARTNER_REFERENCE,
            "metadata": METADATA,
        },
        optional=("place", "identity", "partner_reference", "metadata"),
    ),
    "ReservedItem": _object({"sku": TEXT, "price": WHOLE}),
    "Reserved": _object(
        {
            "reservation": {"type": "string", "format": "uuid"},
            "deadline": MS,
            "amount": {**WHOLE, "description": "Of all items, in whole units of the currency."},
            "currency": {**TEXT, "description": "ISO 4217.", "examples": ["IDR"]},
            "items": {"type": "array", "items": _ref("ReservedItem")},
            "made": {**MS, "description": "When the units were taken, as `deadline` is counted."},
            "partner_reference": {"type": ["string", "null"], "description": "As you sent it."},
            "metadata": {**ANY_TEXTS, "description": "As you sent it; empty if you sent none."},
        }
    ),
}

REQUESTS = {
    "enter": "EnterRequest",
    "look": "PlaceRequest",
    "enter-bundle": "EnterBundle",
    "look-bundle": "LookBundle",
    "leave": "PlaceRequest",
    "wait": "PlaceRequest",
    "receipt": "PlaceRequest",
    "reserve": "ReserveRequest",
}
# The members that a partner may send, by verb, and those of an item.
FIELDS = {verb: frozenset(SCHEMAS[name]["properties"]) for verb, name in REQUESTS.items()}
ITEM_FIELDS = frozenset(SCHEMAS["ReserveRequest"]["properties"]["items"]["items"]["properties"])
# Our own page proves itself by cookies, so of these members it sends the items only.
PAGE_FIELDS = {verb: fields & {"items"} for verb, fields in FIELDS.items()}

BASE = "/v1/sales/{sale}/lines/{line}"
WHERE: list[Schema] = [{"name": name, "in": "path", "required": True, "schema": TEXT} for name in ("sale", "line")]
KEY: Schema = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": True,
    "schema": {"type": "string", "minLength": 1, "maxLength": 128},
}


def _json(name: str) -> dict[str, Any]:
    return {"application/json": {"schema": _ref(name)}}


def _post(verb: str, summary: str, gives: dict[str, str], *headers: Schema) -> dict[str, Any]:
    return {
        "post": {
            "operationId": verb.replace("-bundle", "Bundle"),
            "summary": summary,
            "description": "Partners send their key. Our own page sends its cookies and its Origin.",
            "tags": ["line"],
            "security": [{"partnerKey": []}, {}],
            "parameters": [*WHERE, *headers],
            "requestBody": {"required": True, "content": _json(REQUESTS[verb])},
            "responses": {status: {"description": summary, "content": _json(name)} for status, name in gives.items()},
        }
    }


PATHS: dict[str, Any] = {
    f"{BASE}/status": {
        "get": {
            "operationId": "status",
            "summary": "The state of the line: one document, the same for all callers.",
            "description": "Caches may keep it for a second. A server that reads it for all its shoppers reads it once "
            "a second.",
            "tags": ["line"],
            "security": [{}],
            "parameters": WHERE,
            "responses": {
                "200": {
                    "description": "The figures of the line.",
                    "content": _json("Status"),
                    "headers": header_refs("ETag"),
                },
                "304": {
                    "description": "Only the clock has changed since the ETag in If-None-Match.",
                    "headers": header_refs("ETag"),
                },
            },
        }
    },
    f"{BASE}/enter": _post(
        "enter",
        "Enter the line; again with the same identity gives the same place.",
        {"200": "Entered", "201": "Entered"},
    ),
    f"{BASE}/look": _post("look", "Read the state of a place.", {"200": "Look"}),
    f"{BASE}/enter-bundle": _post(
        "enter-bundle",
        "Partners: up to 100 people enter. Each is judged alone; safe to repeat.",
        {"200": "EnteredBundle"},
    ),
    f"{BASE}/look-bundle": _post(
        "look-bundle",
        "Partners: read the state of up to 100 places. Each is judged alone.",
        {"200": "LookedBundle"},
    ),
    f"{BASE}/leave": _post("leave", "Give a place up; safe to repeat.", {"200": "Left"}),
    f"{BASE}/wait": _post(
        "wait",
        "Get twice the time to reserve. Possible before the number is called, for a limited number of places.",
        {"200": "Granted"},
    ),
    f"{BASE}/receipt": _post(
        "receipt",
        "Get a signed statement of the place; always the same for one token.",
        {"200": "SignedReceipt"},
    ),
    f"{BASE}/reserve": _post(
        "reserve",
        "Hold units for a place that is called; 201 means committed.",
        {"201": "Reserved"},
        KEY,
    ),
}
