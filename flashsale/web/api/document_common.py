"""What the operations of the OpenAPI document have in common: tags, headers, refusals."""

from typing import Any

from flashsale.rules.outcomes import Outcome
from flashsale.web import problems
from flashsale.web.hot.partners import KEY_REQUIRED

TAGS = {
    "line": "The line of a sale: enter, look, reserve. These calls are made for a crowd.",
    "sales": "Published sales, their rules, and what anyone can check about them.",
    "reservations": "The reservations of your channel, from the hold to the end.",
    "payments": "Calls of payment providers.",
    "settlements": "What was sold, paid and sent back in your channel, in a signed file for each day that is over.",
    "events": "What has happened in your channel, in order.",
    "webhooks": "The addresses that get your events, and the messages to them.",
    "test": "The sandbox, with a test key: test sales, magic values, the test bank, the checklist.",
    "keys": "Public keys of what we sign, and your own key.",
}


def _header(description: str, type_: str = "string", **example: Any) -> dict[str, Any]:
    return {"description": description, "schema": {"type": type_}, **example}


HEADERS: dict[str, Any] = {
    "X-Request-Id": _header("Names this request in our log. It is the one that you sent, or a random one."),
    "Retry-After": _header("Seconds until you may send the same request again.", "integer", example=2),
    "RateLimit-Policy": _header(
        "The limit that this call counts against: q calls in w seconds (a draft of the IETF).",
        example='"api partner";q=6000;w=60',
    ),
    "RateLimit": _header(
        "What is left of the limit: r calls, until t seconds from now.", example='"api partner";r=5998;t=41'
    ),
    "Idempotency-Replayed": _header(
        "Is true when the key was used before with the same request. The answer is the first one, and nothing has "
        "happened again.",
        example="true",
    ),
    "ETag": _header("Send it as If-None-Match: 304 says that nothing but the clock has changed.", example='W/"5f2a"'),
    "WWW-Authenticate": _header("How to prove who you are.", example="Bearer"),
}


def header_refs(*names: str) -> dict[str, Any]:
    """The `headers` of a response."""
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _refusal(
    code: problems.ProblemCode, description: str, *headers: str, detail: str = "", retry_after_s: int | None = None
) -> dict[str, Any]:
    """A response with this refusal as its example."""
    example = problems.problem(
        code, language="en", request_id="c9b14cc993951e42", detail=detail, retry_after_s=retry_after_s
    )
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        "description": description,
        "headers": header_refs("X-Request-Id", *headers),
        "content": {"application/problem+json": {"schema": schema, "example": example}},
    }


# By the status that an operation names it with.
REFUSALS: dict[str, tuple[str, dict[str, Any]]] = {
    "401": (
        "Unauthenticated",
        _refusal(Outcome.UNAUTHENTICATED, "No valid key was sent.", "WWW-Authenticate", detail=KEY_REQUIRED),
    ),
    "4XX": (
        "Refused",
        _refusal(Outcome.PLACE_SPENT, "A refusal (RFC 9457): `code` says which one, /problems/ lists them all."),
    ),
    "406": (
        "NotAcceptable",
        _refusal(problems.Fault.NOT_ACCEPTABLE, "The Accept header admits no JSON. Nothing has happened."),
    ),
    "429": (
        "RateLimited",
        _refusal(
            Outcome.TOO_MANY_REQUESTS,
            "Too many calls: wait, then send the same request again.",
            "Retry-After",
            retry_after_s=2,
        ),
    ),
    "503": (
        "Unavailable",
        _refusal(
            Outcome.NOT_READY,
            "Not now: wait, then send the same request with the same key.",
            "Retry-After",
            retry_after_s=2,
        ),
    ),
    "default": ("Problem", _refusal(problems.Fault.INTERNAL, "A refusal (RFC 9457).")),
}

PROBLEM_CODE = {
    "type": "string",
    "enum": [code.value for code in problems.REFUSALS],
    "description": "Stable. In the order of precedence: when several are true, the first one is the answer. New codes "
    "may come: treat an unknown one by its HTTP status.",
}

# By the name of a parameter, where the operation itself says nothing about it.
PARAMETERS = {
    "Idempotency-Key": "You choose it. It names this request for ever: repeat the request with the same key.",
    "Webhook-Id": "The name of the notification. A repeated one has the same.",
    "code": "The code of a sale, from the list of sales.",
    "sale": "The code of a sale, from the list of sales.",
    "line": "The code of a line, from `lines` of the sale.",
    "id": "The id of the reservation or the webhook.",
    "delivery": "The id of the delivery.",
    "state": "Only those in this state.",
}


def describe(operation: dict[str, Any]) -> None:
    """Adds a summary, the security, the refusals and the headers that an operation has by its kind."""
    if "summary" not in operation:
        operation["summary"] = operation["description"].partition("\n")[0].rstrip(".")
    security = operation.setdefault("security", [{}])
    for parameter in operation.get("parameters", ()):
        parameter.setdefault("description", PARAMETERS.get(parameter["name"], ""))
    responses = operation["responses"]
    headers = ["X-Request-Id"]
    if any(parameter["name"] == "Idempotency-Key" for parameter in operation.get("parameters", ())):
        headers.append("Idempotency-Replayed")
    if operation["operationId"] != "status":
        headers += ["RateLimit", "RateLimit-Policy"]
    for response in responses.values():
        response["description"] = response["description"] or operation["summary"]
        response["headers"] = header_refs(*headers) | response.get("headers", {})
    if "202" in responses:
        responses["202"]["headers"] |= header_refs("Retry-After")
    for status, (name, _) in REFUSALS.items():
        if status != "401" or any(security):
            responses[status] = {"$ref": f"#/components/responses/{name}"}
