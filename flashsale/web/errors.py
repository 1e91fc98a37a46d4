"""What Django answers when no view does: problem documents for programs, a short page for people.

Django calls the handlers for its own exceptions. The middleware sees to the rest: a Host header that names no site of
ours, a body that is declared too large, and errors that have no body, such as 405.
"""

import sys
from collections.abc import Callable
from http import HTTPStatus

from django.conf import settings
from django.core.exceptions import DisallowedHost, RequestDataTooBig
from django.db import InterfaceError, OperationalError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from config.postgresql.connection import changes_begun, limited_commits
from flashsale.rules.outcomes import Outcome
from flashsale.web import problems
from flashsale.web.api.exceptions import request_id
from flashsale.web.pages.sale_page import page_context

# The methods that some view knows. Other ones are refused before any view or form check.
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
LENGTH_DIGITS_MAX = 15
LENGTH_MISSING = "This server reads no body in chunks. Send Content-Length."
# When a page may be asked for again after PostgreSQL did not answer, in seconds.
BOOKS_RETRY_S = 10
ADMIN = "/admin/"
KEPT_HEADERS = ("Allow", "Retry-After", "WWW-Authenticate")


def problem_response(
    request: HttpRequest,
    code: problems.ProblemCode,
    *,
    detail: str = "",
    retry_after_s: int | None = None,
    **members: object,
) -> JsonResponse:
    """A problem document in the caller's language, as a response of Django; `members` are added to it."""
    document = problems.problem(
        code,
        language=problems.language_of(request.headers.get("Accept-Language", "")),
        request_id=request_id(request),
        detail=detail,
        retry_after_s=retry_after_s,
    )
    headers = {"Cache-Control": "no-store", "X-Request-Id": request_id(request)}
    if retry_after_s is not None:
        headers["Retry-After"] = str(retry_after_s)
    return JsonResponse(
        document | members, status=document["status"], content_type=problems.CONTENT_TYPE, headers=headers
    )


def error_response(request: HttpRequest, code: problems.ProblemCode, *, detail: str = "") -> HttpResponse:
    """A page for a browser that shows one to a person; a problem document for every other caller."""
    if not _reads_pages(request):
        return problem_response(request, code, detail=detail)
    message = problems.title(code, (get_language() or "id")[:2])
    context = page_context(request) | {"message": message}
    return render(request, "flashsale/error.html", context, status=problems.status_of(code))


def _reads_pages(request: HttpRequest) -> bool:
    """Whether the caller is a browser that shows the answer to a person."""
    return "text/html" in request.headers.get("Accept", "")


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler for requests that it cannot read."""
    too_large = isinstance(exception, RequestDataTooBig)
    return error_response(request, problems.Fault.TOO_LARGE if too_large else Outcome.MALFORMED)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:  # noqa: ARG001 - Django's signature
    """Django's handler for 403."""
    return error_response(request, Outcome.FORBIDDEN)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:  # noqa: ARG001
    """Django's handler for 404."""
    return error_response(request, Outcome.NOT_FOUND)


def server_error(request: HttpRequest) -> HttpResponse:
    """Django's handler for exceptions that no code expects. Django has logged them.

    People read it when PostgreSQL is away, or holds their click for too long: what that means, and what to do.
    """
    if not _reads_pages(request) or not isinstance(sys.exception(), OperationalError | InterfaceError):
        return error_response(request, problems.Fault.INTERNAL)
    begun = getattr(request, "changes_begun", None)
    nothing = begun is not None and begun == changes_begun()
    context = page_context(request) | {
        "message": _("The database did not answer in time."),
        "hint": _("Nothing was changed. Wait a moment, open the page again, and repeat your last click.")
        if nothing
        else _(
            "It is not known whether your last click took effect. Wait a moment, open the page again, and look before "
            "you repeat it."
        ),
    }
    response = render(request, "flashsale/error.html", context, status=HTTPStatus.SERVICE_UNAVAILABLE)
    response["Retry-After"] = str(BOOKS_RETRY_S)
    return response


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Django's view for a form that is not ours. Without our cookie, the browser most likely blocks cookies."""
    if settings.CSRF_COOKIE_NAME in request.COOKIES:
        return error_response(request, Outcome.FORBIDDEN, detail=reason)
    return error_response(request, problems.Fault.NO_COOKIE, detail=reason)


def answer_every_error(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """A middleware, the first one: every error has a body, and odd requests leave no traceback in the log."""

    def middleware(request: HttpRequest) -> HttpResponse:
        try:
            request.get_host()
        except DisallowedHost:
            return problem_response(request, Outcome.MALFORMED, detail="The Host header names no site of this server.")
        if request.method not in METHODS:
            answer = error_response(request, problems.Fault.WRONG_METHOD)
            answer["Allow"] = ", ".join(METHODS)
            return answer
        if refused := _refuse_length(request):
            return refused
        if request.path_info.startswith(ADMIN):
            # A member of staff waits. Commits of shoppers' requests may wait for a standby for as long as it takes.
            if connection.vendor == "postgresql":
                request.changes_begun = changes_begun()  # type: ignore[attr-defined]
            with limited_commits():
                response = get_response(request)
        else:
            response = get_response(request)
        if response.status_code < HTTPStatus.BAD_REQUEST or (not response.streaming and response.content):
            return response
        answer = error_response(request, problems.code_for_status(response.status_code))
        for name in KEPT_HEADERS:
            if name in response:
                answer[name] = response[name]
        # Django marks a response that it has logged.
        answer._has_been_logged = getattr(response, "_has_been_logged", False)  # type: ignore[attr-defined]  # noqa: SLF001
        return answer

    return middleware


def _refuse_length(request: HttpRequest) -> HttpResponse | None:
    """The answer to a body of which Django cannot know the length, or that is too large; None for every other one."""
    declared = request.META.get("CONTENT_LENGTH")
    if not declared and "HTTP_TRANSFER_ENCODING" in request.META:
        # Django would take the body for an empty one. The doors (web/doors.py) have read it and know its length.
        return error_response(request, Outcome.MALFORMED, detail=LENGTH_MISSING)
    declared = declared or "0"
    if not (declared.isascii() and declared.isdecimal()):
        return error_response(request, Outcome.MALFORMED, detail="Content-Length is not a number.")
    if len(declared) > LENGTH_DIGITS_MAX or int(declared) > settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
        return error_response(request, problems.Fault.TOO_LARGE)
    return None
