"""The base of all REST views: authentication, rate limits, the JSON parser, pagination, response headers."""

from contextlib import suppress
from datetime import UTC, datetime
from typing import IO, Any, cast

from django.db import Error
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.translation import override
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import NotFound
from rest_framework.pagination import CursorPagination
from rest_framework.parsers import JSONParser
from rest_framework.permissions import SAFE_METHODS, AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from flashsale.life.sandbox_calls import OK, REPEATED, note
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.web import limits
from flashsale.web.api.exceptions import request_id
from flashsale.web.api.strict import PAGE_MAX, NoFields, StrictSerializer, read, read_query
from flashsale.web.hot.http import BODY_BYTES_MAX, HttpFault, parse_json_object
from flashsale.web.hot.partners import Partner, partner_of
from flashsale.web.problems import Fault


class BearerKey(BaseAuthentication):
    """Authenticates a channel by `Authorization: Bearer fs_live_…`."""

    def authenticate(self, request: Request) -> tuple[Partner, Partner]:
        """The partner as user and auth; refuses UNAUTHENTICATED, also if no key was sent."""
        partner = partner_of(request.headers.get("Authorization", ""))
        return partner, partner

    def authenticate_header(self, request: Request) -> str:  # noqa: ARG002 - the framework's signature
        """The value of WWW-Authenticate."""
        return "Bearer"


class BearerKeyInDocument(OpenApiAuthenticationExtension):
    """How the OpenAPI document describes partner keys."""

    target_class = BearerKey
    name = "partnerKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:  # noqa: ARG002 - the framework's signature
        """The OpenAPI security scheme."""
        return {"type": "http", "scheme": "bearer", "description": "A channel's key: fs_live_…"}


class Throttle(BaseThrottle):
    """Counts each call in Redis: a partner by its channel, other callers by their network."""

    def allow_request(self, request: Request, view: APIView) -> bool:  # noqa: ARG002 - the framework's signature
        """Refuses TOO_MANY_REQUESTS; refuses NOT_READY if Redis cannot count, but lets safe methods through then."""
        partner = cast("Partner | None", request.auth)
        reads = request.method in SAFE_METHODS
        # Reads have a limit of their own, so that they never keep a partner from confirming its orders.
        by_partner = limits.API_PARTNER if reads else limits.API_PARTNER_WRITES
        limit = by_partner if partner else limits.API_ADDRESS
        usage = limits.count(request, limit, f"channel:{partner.channel}" if partner else None)
        request.META["flashsale.usage"] = (limit, usage)
        if usage.counted or not reads:
            usage.raise_if_exceeded()
        return True


class StrictJSON(JSONParser):
    """Parses one JSON object of limited size, as the hot door does."""

    def parse(self, stream: IO[Any], *_args: Any, **_kwargs: Any) -> dict[str, Any]:
        """The JSON object of the body. Raises HttpFault; refuses MALFORMED."""
        body = stream.read(BODY_BYTES_MAX + 1)
        if len(body) > BODY_BYTES_MAX:
            raise HttpFault(Fault.TOO_LARGE, f"The body may have {BODY_BYTES_MAX} bytes.")
        return parse_json_object(body)


class CursorPages(CursorPagination):
    """Pages by opaque cursors, newest row first; `limit` up to PAGE_MAX."""

    page_size = 50
    page_size_query_param = "limit"
    max_page_size = PAGE_MAX
    ordering = "-made_at"

    def decode_cursor(self, request: Request) -> Any:
        """The decoded cursor, None for the first page. Raises NotFound for a cursor that we did not make."""
        cursor = super().decode_cursor(request)
        try:
            if cursor and cursor.position is not None:
                datetime.fromisoformat(str(cursor.position)).astimezone(UTC)
        except (ValueError, OverflowError) as error:
            raise NotFound(self.invalid_cursor_message) from error
        return cursor

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        """The schema of a page for the OpenAPI document."""
        url = {"type": ["string", "null"], "format": "uri"}
        properties = {"next": url, "previous": url, "results": schema}
        return {"type": "object", "required": list(properties), "properties": properties}


class PartnerView(APIView):
    """Base of views that need a partner key."""

    authentication_classes = [BearerKey]
    throttle_classes = [Throttle]
    parser_classes = [StrictJSON]
    # What the request may carry. A view that declares nothing accepts neither a body nor query parameters.
    form: type[StrictSerializer] | None = NoFields
    query: type[StrictSerializer] = NoFields
    values: dict[str, Any]
    parameters: dict[str, Any]
    # The name under which calls of test keys are stored for the checklist of the sandbox; "": they are not.
    sandbox_verb = ""
    _test_channel: int | None = None

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Answers in English, because texts for developers have one language. Titles follow Accept-Language."""
        with override("en"):
            return super().dispatch(request, *args, **kwargs)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Reads the query parameters and the body, after key and rate limit; raises ValidationError."""
        super().initial(request, *args, **kwargs)
        if request.auth and self.partner.test:
            self._test_channel = self.partner.channel
        if request.method in self.allowed_methods:
            self.parameters = read_query(self.query, request.query_params)
            self.values = read(self.form, request.data) if self.form and request.method == "POST" else {}

    @property
    def partner(self) -> Partner:
        """The partner of the request's key."""
        return cast("Partner", self.request.auth)

    def finalize_response(self, request: Request, response: Response, *args: Any, **kwargs: Any) -> Response:
        """Adds the headers of every response: Cache-Control, X-Request-Id, RateLimit."""
        response = super().finalize_response(request, response, *args, **kwargs)
        if self._test_channel is not None and self.sandbox_verb:
            self._note_test_call(self._test_channel, request, response)
        response.headers.setdefault("Cache-Control", "no-store")
        response.headers["X-Request-Id"] = request_id(request)
        limit, usage = request.META.get("flashsale.usage", (None, None))
        if limit and usage.counted:  # fields of the IETF draft "RateLimit header fields for HTTP"
            response.headers["RateLimit-Policy"] = f'"{limit.group}";q={usage.max_calls};w={limit.period_s}'
            response.headers["RateLimit"] = f'"{limit.group}";r={usage.remaining};t={usage.resets_in_s}'
        return response

    def sandbox_facts(self, data: dict[str, Any]) -> dict[str, Any]:
        """What the checklist of the sandbox must know about an answer."""
        payment = data.get("payment") or {}
        facts = {"state": data.get("state"), "review": data.get("review"), "payment": payment.get("state")}
        return {name: value for name, value in facts.items() if value is not None}

    def _note_test_call(self, channel: int, request: Request, response: Response) -> None:
        data = response.data if isinstance(response.data, dict) else {}
        is_refused = response.status_code >= 400
        repeated = response.headers.get("Idempotency-Replayed") == "true"
        with suppress(Error):  # the call itself has been answered
            note(
                channel=channel,
                sale=None,
                verb=self.sandbox_verb,
                code=data.get("code", "") if is_refused else REPEATED if repeated else OK,
                subject=str(self.kwargs.get("id", "")),
                key=request.headers.get("Idempotency-Key", ""),
                facts={} if is_refused else self.sandbox_facts(data),
            )


class PublicView(PartnerView):
    """Base of views that need no key."""

    authentication_classes = []
    permission_classes = [AllowAny]


class UnknownPath(PublicView):
    """Answers every path of the API that no other view has."""

    throttle_classes = []
    schema = None

    def initial(self, *_args: Any, **_kwargs: Any) -> None:
        """Refuses NOT_FOUND for every method."""
        raise Refused(Outcome.NOT_FOUND)


def cacheable(response: Response, seconds: int) -> Response:
    """Lets any cache store the response for this many seconds."""
    response.headers["Cache-Control"] = f"public, max-age={seconds}"
    return response
