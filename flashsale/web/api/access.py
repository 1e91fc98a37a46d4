"""Who may call the REST API, how often, and in what form: the base of all its views."""

from datetime import UTC, datetime
from typing import IO, Any, cast

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

from flashsale.rules.outcomes import Outcome, Refused
from flashsale.web import limits
from flashsale.web.api.exceptions import request_id
from flashsale.web.hot.http import BODY_BYTES_MAX, Misused, parse
from flashsale.web.hot.partners import Partner, partner_of
from flashsale.web.problems import Fault


class BearerKey(BaseAuthentication):
    """`Authorization: Bearer fs_live_…`, the key of a channel."""

    def authenticate(self, request: Request) -> tuple[Partner, Partner]:
        """The partner; refuses UNAUTHENTICATED, also when no key was sent."""
        partner = partner_of(request.headers.get("Authorization", ""))
        return partner, partner

    def authenticate_header(self, request: Request) -> str:  # noqa: ARG002 - the framework's signature
        """The value of WWW-Authenticate."""
        return "Bearer"


class BearerKeyInDocument(OpenApiAuthenticationExtension):
    """How the OpenAPI document names the keys."""

    target_class = BearerKey
    name = "partnerKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:  # noqa: ARG002 - the framework's signature
        """The security scheme."""
        return {"type": "http", "scheme": "bearer", "description": "A channel's key: fs_live_…"}


class Throttle(BaseThrottle):
    """A partner by its channel, others by their address. Each call is counted in Redis before it is judged."""

    def allow_request(self, request: Request, view: APIView) -> bool:  # noqa: ARG002 - the framework's signature
        """Refuses TOO_MANY_REQUESTS, and NOT_READY when nothing can be counted; what only reads is let through then."""
        partner = cast("Partner | None", request.auth)
        limit = limits.API_PARTNER if partner else limits.API_ADDRESS
        usage = limits.count(request, limit, f"channel:{partner.channel}" if partner else None)
        request.META["flashsale.usage"] = (limit, usage)
        if usage.known or request.method not in SAFE_METHODS:
            usage.refuse()
        return True


class StrictJSON(JSONParser):
    """One JSON object of bounded size, as the hot door reads it."""

    def parse(self, stream: IO[Any], *_args: Any, **_kwargs: Any) -> dict[str, Any]:
        """The object. Raises Misused; refuses MALFORMED."""
        body = stream.read(BODY_BYTES_MAX + 1)
        if len(body) > BODY_BYTES_MAX:
            raise Misused(Fault.TOO_LARGE, f"The body may have {BODY_BYTES_MAX} bytes.")
        return parse(body)


class Pages(CursorPagination):
    """Newest first, by opaque cursors; `limit` up to 100."""

    page_size = 50
    page_size_query_param = "limit"
    max_page_size = 100
    ordering = "-made_at"

    def decode_cursor(self, request: Request) -> Any:
        """Where to go on, None at the beginning. Raises NotFound for a cursor that no page of ours gave."""
        cursor = super().decode_cursor(request)
        try:
            if cursor and cursor.position is not None:
                datetime.fromisoformat(str(cursor.position)).astimezone(UTC)
        except (ValueError, OverflowError) as error:
            raise NotFound(self.invalid_cursor_message) from error
        return cursor

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        """A page in the OpenAPI document."""
        address = {"type": ["string", "null"], "format": "uri"}
        properties = {"next": address, "previous": address, "results": schema}
        return {"type": "object", "required": list(properties), "properties": properties}


class PartnerView(APIView):
    """A view for partners."""

    authentication_classes = [BearerKey]
    throttle_classes = [Throttle]
    parser_classes = [StrictJSON]

    @property
    def partner(self) -> Partner:
        """Who is calling."""
        return cast("Partner", self.request.auth)

    def finalize_response(self, request: Request, response: Response, *args: Any, **kwargs: Any) -> Response:
        """Adds what every answer carries."""
        response = super().finalize_response(request, response, *args, **kwargs)
        response.headers.setdefault("Cache-Control", "no-store")
        response.headers["X-Request-Id"] = request_id(request)
        limit, usage = request.META.get("flashsale.usage", (None, None))
        if limit and usage.known:  # fields of the IETF draft "RateLimit header fields for HTTP"
            response.headers["RateLimit-Policy"] = f'"{limit.group}";q={usage.most};w={limit.period_s}'
            response.headers["RateLimit"] = f'"{limit.group}";r={usage.remaining};t={usage.left_s}'
        return response


class PublicView(PartnerView):
    """A view for everybody."""

    authentication_classes = []
    permission_classes = [AllowAny]


class Unknown(PublicView):
    """Every other path of the API."""

    throttle_classes = []
    schema = None

    def initial(self, *_args: Any, **_kwargs: Any) -> None:
        """Refuses NOT_FOUND, whatever the method."""
        raise Refused(Outcome.NOT_FOUND)


def fresh_for(response: Response, seconds: int) -> Response:
    """The answer, with leave for any cache to serve it so long."""
    response.headers["Cache-Control"] = f"public, max-age={seconds}"
    return response
