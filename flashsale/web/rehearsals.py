"""What the crowd of a rehearsal asks and tells: `POST /rehearsals/begin`, `/note` and `/end`, with its one-time key.

Not a part of the API: the crowd is ours, and of the same release.
"""

from typing import Any

import orjson
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from flashsale.life import rehearse
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.web import limits
from flashsale.web.errors import problem_response

BYTES_MAX = 64_000


@csrf_exempt
@never_cache
@require_POST
def serve(request: HttpRequest, step: str) -> HttpResponse:
    """The answer to one step of a crowd; a problem document for what is refused.

    Anybody may call this address, so what cannot be a key is refused before PostgreSQL is asked and the body is read.
    """
    _scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    try:
        rehearse.require_form(key)
        limits.enforce(request, limits.API_ADDRESS)
        return JsonResponse(_answer(step, key, _body(request)))
    except Refused as refused:
        return problem_response(request, refused.outcome, detail=refused.detail, retry_after_s=refused.retry_after_s)


def _answer(step: str, key: str, body: dict[str, Any]) -> dict[str, Any]:
    if step == "begin":
        return rehearse.begin(key=key)
    if step == "note":
        return rehearse.note(key=key, progress=body)
    if step == "end":
        rehearse.end(key=key, figures=body)
        return {}
    raise Refused(Outcome.NOT_FOUND, "The steps are begin, note and end.")


def _body(request: HttpRequest) -> dict[str, Any]:
    if len(request.body) > BYTES_MAX:
        raise Refused(Outcome.MALFORMED, f"The body has {len(request.body)} bytes; at most {BYTES_MAX}.")
    try:
        body = orjson.loads(request.body or b"{}")
    except orjson.JSONDecodeError as error:
        raise Refused(Outcome.MALFORMED, "The body is no JSON.") from error
    if not isinstance(body, dict):
        raise Refused(Outcome.MALFORMED, "The body is no object.")
    return body
