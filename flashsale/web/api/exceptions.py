"""Errors of the REST API as problem documents, the same as those of the hot door."""

import secrets
from http import HTTPStatus
from typing import Any

import structlog
from django.db import Error
from django.http import Http404, HttpRequest
from rest_framework import exceptions
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.response import Response

from flashsale.gate.client import GateDown
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.web import problems
from flashsale.web.hot.http import REQUEST_ID_PATTERN, HttpFault
from flashsale.web.idempotency import RefusedBefore

log = structlog.get_logger(__name__)


def request_id(request: HttpRequest | Request) -> str:
    """The caller's X-Request-Id, or a random one; the same during one request."""
    meta = request.META
    if "flashsale.request_id" not in meta:
        sent = request.headers.get("X-Request-Id", "")
        meta["flashsale.request_id"] = sent if REQUEST_ID_PATTERN.fullmatch(sent) else secrets.token_hex(8)
    return str(meta["flashsale.request_id"])


def problem_response(
    request: Request | HttpRequest,
    code: problems.ProblemCode,
    *,
    detail: str = "",
    retry_after_s: int | None = None,
    errors: list[dict[str, str]] | None = None,
) -> Response:
    """A problem document in the caller's language; `errors` names the invalid fields."""
    document = problems.problem(
        code,
        language=problems.language_of(request.headers.get("Accept-Language", "")),
        request_id=request_id(request),
        detail=detail,
        retry_after_s=retry_after_s,
    )
    if errors:
        document["errors"] = errors
    headers = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}
    if document["status"] == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return Response(document, document["status"], headers=headers, content_type=problems.CONTENT_TYPE)


def handle(error: Exception, context: dict[str, Any]) -> Response:
    """The exception handler of all API views."""
    request: Request = context["request"]
    match error:
        case RefusedBefore():
            response = problem_response(request, error.outcome, detail=error.detail)
            response["Idempotency-Replayed"] = "true"
            return response
        case Refused():
            return problem_response(request, error.outcome, detail=error.detail, retry_after_s=error.retry_after_s)
        case HttpFault():
            return problem_response(request, error.fault, detail=error.detail)
        case Http404():
            return problem_response(request, Outcome.NOT_FOUND)
        case exceptions.APIException():
            return _framework_error(request, error)
    return _unexpected_error(request, error)


def _framework_error(request: Request, error: exceptions.APIException) -> Response:
    if isinstance(error, exceptions.ValidationError):
        code, detail, errors = validation_problem(error)
        return problem_response(request, code, detail=detail, errors=errors)
    return problem_response(request, problems.code_for_status(error.status_code), detail=str(error.detail))


def validation_problem(error: exceptions.ValidationError) -> tuple[Outcome, str, list[dict[str, str]]]:
    """Code, detail and `errors` of the problem document of an invalid request."""
    errors = list(_errors(error.detail))
    unknown = [found["detail"] for found in errors if found.pop("code") == Outcome.UNKNOWN_FIELD]
    return Outcome.UNKNOWN_FIELD if unknown else Outcome.MALFORMED, "".join(unknown[:1]), errors


def _unexpected_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, GateDown | Error):
        log.error("request failed", path=request.path, request_id=request_id(request), exc_info=error)
        return problem_response(request, problems.Fault.INTERNAL)
    log.warning(
        "Redis or PostgreSQL did not answer",
        path=request.path,
        request_id=request_id(request),
        error=type(error).__name__,
    )
    code = Outcome.NOT_READY if request.method in SAFE_METHODS else Outcome.UNKNOWN
    return problem_response(request, code, retry_after_s=2)


def _errors(detail: Any, pointer: str = "#") -> Any:
    """The invalid fields as JSON pointers (RFC 9457, section 3.2), with the code of the validation error."""
    if isinstance(detail, dict):
        for name, nested in detail.items():
            yield from _errors(nested, pointer if name in {"", "non_field_errors"} else f"{pointer}/{name}")
    elif isinstance(detail, list):
        for nested in detail:
            yield from _errors(nested, pointer)
    else:
        yield {"pointer": pointer, "detail": str(detail), "code": detail.code}
