"""Reports of a mail service about letters: bounced, rejected, marked as spam. django-anymail reads and checks them.

The package is optional. Its views stand at its own paths, and only that of the service in FLASHSALE_MAIL_SERVICE
answers, once the setting has a WEBHOOK_SECRET: without one, anyone could call.
"""

from collections.abc import Callable
from datetime import timedelta
from importlib import import_module
from typing import Any

from django.conf import settings
from django.core.exceptions import SuspiciousOperation
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.views.decorators.csrf import csrf_exempt

from flashsale.life.letter_reports import apply_report
from flashsale.rules import wall_clock
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.states import SendingFailure
from flashsale.web import limits
from flashsale.web.errors import problem_response

WEBHOOK_OPTION = "WEBHOOK_SECRET"
# A report may come before the process that sends the letter has committed the service's name for it.
EARLY = timedelta(minutes=2)
AGAIN_S = 60
# The event types of django-anymail that say more than that a letter was accepted.
FAILURES = {
    "bounced": SendingFailure.BOUNCED,
    "rejected": SendingFailure.REJECTED,
    "failed": SendingFailure.NOT_WRITTEN,
    "complained": SendingFailure.COMPLAINED,
}


class TooEarly(Exception):
    """A report about a letter that no committed row names yet. The service must send it again."""


@csrf_exempt
def receive(request: HttpRequest, service: str) -> HttpResponseBase:
    """Reads a report of the mail service. One about no letter of ours, such as a code, changes nothing."""
    view = _view_of(service)
    if view is None:
        return problem_response(request, Outcome.NOT_FOUND, detail="No reports of this mail service are read here.")
    try:
        return view(request)
    except SuspiciousOperation:
        return _refuse(request, Outcome.FORBIDDEN, "The report has no valid secret or signature.")
    except TooEarly:
        detail = "No letter has this name yet. Send the report again."
        return problem_response(request, Outcome.NOT_READY, detail=detail, retry_after_s=AGAIN_S)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return _refuse(request, Outcome.MALFORMED, "The report cannot be read.")


def _refuse(request: HttpRequest, outcome: Outcome, detail: str) -> HttpResponse:
    """The refusal of a report. It counts for the address that sent it."""
    try:
        limits.enforce(request, limits.API_ADDRESS)
    except Refused as refused:
        return problem_response(request, refused.outcome, detail=refused.detail, retry_after_s=refused.retry_after_s)
    return problem_response(request, outcome, detail=detail)


def _view_of(service: str) -> Callable[[HttpRequest], HttpResponse] | None:
    """The view of django-anymail for the reports of this service; None if it is not ours, or has no secret."""
    options = getattr(settings, "ANYMAIL", {})
    if service != settings.FLASHSALE_MAIL_SERVICE or not options.get(WEBHOOK_OPTION):
        return None
    signals: Any = import_module("anymail.signals")
    signals.tracking.connect(note_event, dispatch_uid="flashsale letters")
    patterns = import_module("anymail.urls").urlpatterns
    name = f"{service}_tracking_webhook"
    return next((pattern.callback for pattern in patterns if pattern.name == name), None)


def note_event(*, event: Any, **_sender: Any) -> None:
    """Applies one event of django-anymail's signal `tracking`. Raises TooEarly."""
    failure = FAILURES.get(event.event_type)
    if failure is None or apply_report(service_id=event.message_id or "", failure=failure):
        return
    now = wall_clock.now()
    if event.timestamp is not None and abs(now - event.timestamp) < EARLY:
        raise TooEarly
