"""The calendar of planned sales, for programs that read it by a person's secret link."""

from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from flashsale.life.calendar_feed import feed
from flashsale.rules.outcomes import Refused
from flashsale.web import limits
from flashsale.web.errors import problem_response


@require_safe
def sales(request: HttpRequest, secret: str) -> HttpResponse:
    """The calendar. 404 for a link that does not work, whatever the reason."""
    try:
        limits.enforce(request, limits.API_ADDRESS)
    except Refused as refused:
        return problem_response(request, refused.outcome, detail=refused.detail, retry_after_s=refused.retry_after_s)
    found = feed(secret=secret, now=timezone.now())
    if found is None:
        raise Http404
    headers = {
        "Cache-Control": "private, max-age=300",
        "Content-Disposition": 'inline; filename="sales.ics"',
        "Referrer-Policy": "no-referrer",
        "X-Robots-Tag": "noindex",
    }
    return HttpResponse(found, content_type="text/calendar; charset=utf-8", headers=headers)
