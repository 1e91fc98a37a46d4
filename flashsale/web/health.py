"""Whether this process answers, and whether it can work: for load balancers and container engines, without a key."""

from django.db import Error
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from flashsale.gate import bridge, sale_cards
from flashsale.gate.client import GateDown
from flashsale.models import Sale
from flashsale.rules.outcomes import Outcome
from flashsale.web import problems
from flashsale.web.api.exceptions import request_id

RETRY_AFTER_S = 5


@never_cache
@require_safe
def livez(request: HttpRequest) -> JsonResponse:  # noqa: ARG001 - the framework's signature
    """The process answers. It asks nobody else: to be restarted would not bring a silent gate back."""
    return JsonResponse({"alive": True})


@never_cache
@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """Books and gate answer; otherwise 503 and a problem document whose `reasons` say which does not."""
    reasons = [*_books(), *_gate()]
    if not reasons:
        return JsonResponse({"ready": True})
    document = problems.problem(
        Outcome.NOT_READY, language=problems.language_of(request.headers.get("Accept-Language", "")),
        request_id=request_id(request), detail=" ".join(reasons), retry_after_s=RETRY_AFTER_S,
    ) | {"reasons": reasons}  # fmt: skip
    headers = {"Retry-After": str(RETRY_AFTER_S)}
    return JsonResponse(document, status=document["status"], content_type=problems.CONTENT_TYPE, headers=headers)


def _books() -> list[str]:
    """A question about a table, so that books without tables count as silent."""
    try:
        Sale.objects.exists()
    except Error as error:
        return [f"The books do not answer ({type(error).__name__})."]
    return []


def _gate() -> list[str]:
    try:
        bridge.run(sale_cards.sale_codes())
    except GateDown:
        return ["The gate does not answer."]
    return []
