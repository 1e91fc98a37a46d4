"""The calendar of planned sales, for programs that read it by a person's secret link."""

from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from flashsale.life.calendar_feed import feed


@require_safe
def sales(request: HttpRequest, secret: str) -> HttpResponse:  # noqa: ARG001 - Django passes it
    """The calendar. 404 for a link that does not work, whatever the reason."""
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
