"""The base of all REST views: authentication, rate limits, the JSON parser, pagination, response headers."""

from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import IO, Any, cast

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

from flashsale.gate import bridge
from flashsale.gate.client import GateDown
from flashsale.gate.quotas import raise_alarm
from flashsale.rules.key_rights import KeyScope
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.quotas import QuotaClass, alarm_at
from flashsale.rules.signing import NONCE, SIGNATURE, TIMESTAMP, SignedRequest
from flashsale.web import limits
from flashsale.web.api.exceptions import request_id
from flashsale.web.api.strict import PAGE_MAX, NoFields, StrictSerializer, read, read_query
from flashsale.web.client_ip import address_of
from flashsale.web.hot.http import BODY_BYTES_MAX, HttpFault, parse_json_object
from flashsale.web.hot.partners import Partner, partner_of
from flashsale.web.problems import Fault
from flashsale.web.signatures import check_request, must_check


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
        return {
            "type": "http",
            "scheme": "bearer",
            "description": "A channel's key: fs_live_… Its requests may be signed, too: docs/signing.md.",
        }


class Throttle(BaseThrottle):
    """Counts each call in Redis: a partner by its channel, other callers by their network."""

    def allow_request(self, request: Request, view: APIView) -> bool:
        """Refuses TOO_MANY_REQUESTS; refuses NOT_READY if Redis cannot count, but lets safe methods through then."""
        partner = cast("Partner | None", request.auth)
        reads = request.method in SAFE_METHODS
        limit = limits.API_ADDRESS
        if partner:
            # Each class has a limit of its own, so that reads never keep a partner from confirming its orders.
            quota_class = cast("PartnerView", view).quota_class or (QuotaClass.READ if reads else QuotaClass.WRITE)
            limit = limits.of_partner(quota_class, partner.own_quota(quota_class))
        usage = limits.count(request, limit, f"channel:{partner.channel}" if partner else None)
        request.META["flashsale.usage"] = (limit, usage)
        if partner and usage.counted and usage.count == alarm_at(usage.max_calls):
            # Redis counts one call after the other, so exactly one call sees this number.
            with suppress(GateDown):
                bridge.run(
                    raise_alarm(
                        channel=partner.channel, quota_class=quota_class, used=usage.count, quota=usage.max_calls
                    )
                )
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
    ordering: str | tuple[str, ...] = "-made_at"

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
    # What the key needs; None: the scope `read` to read and `manage` to write. What the call counts as; None: `read` or
    # `write`.
    scope: KeyScope | None = None
    quota_class: QuotaClass | None = None
    # What the request may carry. A view that declares nothing accepts neither a body nor query parameters.
    form: type[StrictSerializer] | None = NoFields
    query: type[StrictSerializer] = NoFields
    values: dict[str, Any]
    parameters: dict[str, Any]

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Answers in English, because texts for developers have one language. Titles follow Accept-Language."""
        with override("en"):
            return super().dispatch(request, *args, **kwargs)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Checks the signature, then reads the query parameters and the body; raises ValidationError."""
        super().initial(request, *args, **kwargs)
        if request.auth:
            self._check_signature(request)
        if request.method in self.allowed_methods:
            self.parameters = read_query(self.query, request.query_params)
            self.values = read(self.form, request.data) if self.form and request.method == "POST" else {}

    def check_permissions(self, request: Request) -> None:
        """Refuses OUT_OF_SCOPE and WRONG_NETWORK, before the call is counted."""
        super().check_permissions(request)
        if request.auth:
            default = KeyScope.READ if request.method in SAFE_METHODS else KeyScope.MANAGE
            self.partner.allow(self.scope or default, partial(address_of, request))

    def _check_signature(self, request: Request) -> None:
        signature = request.headers.get(SIGNATURE, "")
        if not must_check(self.partner, signature=signature, writes=request.method not in SAFE_METHODS):
            return
        query = request.META.get("QUERY_STRING", "")
        signed = SignedRequest(
            method=str(request.method),
            target=f"{request.path}?{query}" if query else request.path,
            body=request.body,
            idempotency_key=request.headers.get("Idempotency-Key", ""),
            signature=signature,
            timestamp=request.headers.get(TIMESTAMP, ""),
            nonce=request.headers.get(NONCE, ""),
        )
        bridge.run(check_request(self.partner, signed))

    @property
    def partner(self) -> Partner:
        """The partner of the request's key."""
        return cast("Partner", self.request.auth)

    def finalize_response(self, request: Request, response: Response, *args: Any, **kwargs: Any) -> Response:
        """Adds the headers of every response: Cache-Control, X-Request-Id, RateLimit."""
        response = super().finalize_response(request, response, *args, **kwargs)
        response.headers.setdefault("Cache-Control", "no-store")
        response.headers["X-Request-Id"] = request_id(request)
        limit, usage = request.META.get("flashsale.usage", (None, None))
        if limit and usage.counted:  # fields of the IETF draft "RateLimit header fields for HTTP"
            response.headers["RateLimit-Policy"] = f'"{limit.group}";q={usage.max_calls};w={limit.period_s}'
            response.headers["RateLimit"] = f'"{limit.group}";r={usage.remaining};t={usage.resets_in_s}'
        return response


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
