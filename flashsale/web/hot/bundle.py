"""Bundles: a partner's request with up to 100 people. Each of them is judged alone, and gets an answer of its own.

A bundle saves what HTTP costs, and nothing else: every limit counts its people one by one.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from django.db import Error

from flashsale.gate import refusal_counts
from flashsale.gate.client import GateDown
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.web import problems
from flashsale.web.api.hot_serializers import BUNDLE_ITEMS_MAX, FIELDS
from flashsale.web.hot.http import HotResponse, json_response
from flashsale.web.hot.request import LineRequest

log = structlog.get_logger(__name__)

# A hundred people, each with a place token and four values.
BYTES_MAX = 128 * 1024
RETRY_AFTER_S = 2

Verb = Callable[[LineRequest], Awaitable[tuple[int, dict[str, Any]]]]


def items_of(request: LineRequest) -> list[Any]:
    """The items of a bundle, in their order. Each should be an object. Refuses MALFORMED."""
    items = request.body.get("items")
    if not isinstance(items, list) or not 0 < len(items) <= BUNDLE_ITEMS_MAX:
        found = len(items) if isinstance(items, list) else "no list"
        raise Refused(Outcome.MALFORMED, f"items must be a list of 1 to {BUNDLE_ITEMS_MAX} objects, found: {found}.")
    return items


async def answer(request: LineRequest, items: list[Any], verb: Verb, *, name: str) -> HotResponse:
    """The answers of all people, in their order. `name` is the verb, for the counts of refusals."""
    answers = await asyncio.gather(*(_answer(request, item, verb, name) for item in items))
    return json_response(200, {"items": answers})


async def _answer(request: LineRequest, body: Any, verb: Verb, name: str) -> dict[str, Any]:
    if not isinstance(body, dict):
        return _problem(request, Outcome.MALFORMED, "An item must be an object with the fields of one request.", None)
    item = request._replace(body=body)
    try:
        item.refuse_unknown_fields(FIELDS[name])
        status, document = await verb(item)
    except Refused as refused:
        refusal_counts.count(item.card.code, name, refused.outcome.value)
        return _problem(item, refused.outcome, refused.detail, refused.retry_after_s)
    except (GateDown, Error, TimeoutError) as error:
        log.warning("Redis or PostgreSQL did not answer", verb=name, sale=item.card.code, error=repr(error))
        return _problem(item, Outcome.NOT_READY, "", RETRY_AFTER_S)
    except Exception:  # the other people of the bundle must get their answers
        log.exception("an item of a bundle failed", verb=name, sale=item.card.code)
        return _problem(item, problems.Fault.INTERNAL, "", None)
    return {"status": status, "answer": document}


def _problem(item: LineRequest, code: problems.ProblemCode, detail: str, retry_after_s: int | None) -> dict[str, Any]:
    language = problems.language_of(item.http.header(b"accept-language"))
    document = problems.problem(
        code, language=language, request_id=item.http.request_id, detail=detail, retry_after_s=retry_after_s
    )
    return {"status": document["status"], "problem": document}
