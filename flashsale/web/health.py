"""Health checks for load balancers and container engines, without a key: the process runs; the process can work."""

from django.db import Error
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from flashsale.gate import bridge, sale_cards
from flashsale.gate.client import GateDown
from flashsale.models import Sale
from flashsale.rules.outcomes import Outcome
from flashsale.web.errors import problem_response

RETRY_AFTER_S = 5


@never_cache
@require_safe
def livez(request: HttpRequest) -> JsonResponse:  # noqa: ARG001 - the framework's signature
    """The process answers. It does not ask Redis or PostgreSQL, because a restart would not repair those."""
    return JsonResponse({"alive": True})


@never_cache
@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """200 if PostgreSQL and Redis answer; else 503 and a problem document whose `reasons` name what does not."""
    reasons = [*_books_reasons(), *_gate_reasons()]
    if not reasons:
        return JsonResponse({"ready": True})
    detail = " ".join(reasons)
    return problem_response(request, Outcome.NOT_READY, detail=detail, retry_after_s=RETRY_AFTER_S, reasons=reasons)


def _books_reasons() -> list[str]:
    # Reads a table, so that a database without tables counts as not ready.
    try:
        Sale.objects.exists()
    except Error as error:
        return [f"PostgreSQL (the books) does not answer ({type(error).__name__})."]
    return []


def _gate_reasons() -> list[str]:
    try:
        bridge.run(sale_cards.sale_codes())
    except GateDown:
        return ["Redis (the gate) does not answer."]
    return []
