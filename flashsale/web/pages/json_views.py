"""JSON views of our own page: read the body, and turn refusals into problem documents. Django checks CSRF before."""

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
from flashsale.web.hot.http import parse_json_object
from flashsale.web.pages import texts

View = Callable[..., HttpResponse]


def json_post(view: View) -> View:
    """Decorates a view: it accepts only POST, and its refusals become problem documents."""
    return require_POST(json_problems(view))


def json_problems(view: View) -> View:
    """Decorates a view: its refusals become problem documents."""

    @wraps(view)
    def wrapper(request: HttpRequest, **kwargs: Any) -> HttpResponse:
        try:
            return view(request, **kwargs)
        except Refused as refused:
            return _problem_response(request, refused)
        except (GateDown, Error):
            return _problem_response(request, Refused(Outcome.NOT_READY))

    return wrapper


def text_fields(request: HttpRequest, *names: str) -> dict[str, str]:
    """These fields of the JSON body, which must be strings; "" for a missing one. Refuses MALFORMED."""
    # Not Python's json module: it fails on deep nesting, and it accepts lone surrogates, which cannot be encoded again.
    body = parse_json_object(request.body)
    fields = {name: body.get(name, "") for name in names}
    if not all(isinstance(value, str) for value in fields.values()):
        raise Refused(Outcome.MALFORMED, f"These fields must be strings: {', '.join(names)}.")
    return fields


def _problem_response(request: HttpRequest, refused: Refused) -> HttpResponse:
    document = problems.problem(
        refused.outcome,
        language=(get_language() or "id")[:2],
        request_id=uuid4().hex,
        detail=refused.detail,
        retry_after_s=refused.retry_after_s,
    )
    has_place = any(name.startswith("fs_place_") for name in request.COOKIES)
    document["title"] = texts.refusal(refused, has_place=has_place)
    response = JsonResponse(document, status=document["status"], content_type=problems.CONTENT_TYPE)
    if refused.retry_after_s is not None:
        response["Retry-After"] = str(refused.retry_after_s)
    return response
