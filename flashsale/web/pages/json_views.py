"""JSON posts of our own page: the body read, the answer or the refusal written; CSRF is checked by Django before."""

from collections.abc import Callable
from functools import wraps
from typing import Any
from uuid import uuid4

from django.db import Error
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.translation import get_language
from django.views.decorators.http import require_POST

from flashsale.gate.client import GateDown
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.web import problems
from flashsale.web.hot.http import parse

View = Callable[..., HttpResponse]


def json_post(view: View) -> View:
    """A view that takes POST only, and whose refusals become problem documents."""

    @require_POST
    @wraps(view)
    def door(request: HttpRequest, **named: Any) -> HttpResponse:
        try:
            return view(request, **named)
        except Refused as refused:
            return _refusal(refused)
        except (GateDown, Error):
            return _refusal(Refused(Outcome.NOT_READY))

    return door


def fields_of(request: HttpRequest, *names: str) -> dict[str, str]:
    """These fields of the body, each a text; a missing one is empty. Refuses MALFORMED."""
    # Not Python's own reader: it gives out on deep nests, and lets through halves of letters that nothing can write.
    body = parse(request.body)
    found = {name: body.get(name, "") for name in names}
    if not all(isinstance(value, str) for value in found.values()):
        raise Refused(Outcome.MALFORMED, f"Texts are expected: {', '.join(names)}.")
    return found


def _refusal(refused: Refused) -> HttpResponse:
    word = refused.outcome
    document = problems.problem(
        word, language=(get_language() or "id")[:2], request_id=uuid4().hex, detail=refused.detail,
        retry_after_s=refused.retry_after_s,
    )  # fmt: skip
    answer = JsonResponse(document, status=document["status"], content_type=problems.CONTENT_TYPE)
    if refused.retry_after_s is not None:
        answer["Retry-After"] = str(refused.retry_after_s)
    return answer
