"""The base of all REST views: authentication, rate limits, the JSON parser, pagination, response headers."""

from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import IO, Any, cast
from uuid import UUID

from django.db import Error
from django.db.models import Q
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.utils.translation import override
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import NotFound
from rest_framework.pagination import Cursor, CursorPagination
from rest_framework.parsers import JSONParser
from rest_framework.permissions import SAFE_METHODS, AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from flashsale.gate import bridge
from flashsale.gate.client import GateDown
from flashsale.gate.quotas import raise_alarm
from flashsale.life.sandbox_calls import OK, REPEATED, note
from flashsale.rules import wall_clock
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

# The methods whose body is read.
WITH_FORM = ("POST", "PATCH")


class BearerKey(BaseAuthentication):
    """Authenticates a channel by `Authorization: Bearer fs_live_…`."""

    def authenticate(self, request: Request) -> tuple[Partner, Partner]:
        """The partner as user and auth; refuses UNAUTHENTICATED, also if no key was sent."""
        partner = partner_of(request.headers.get("Authorization", ""))
        return partner, partner

    def authenticate_header(self, request: Request) -> str:  # noqa: ARG002 - the framework's signature
        """The value of WWW-Authenticate."""
        return "Bearer"


class KeyIfSent(BearerKey):
    """Authenticates a caller that sends a key. A caller without one is anonymous; a wrong key is refused."""

    def authenticate(self, request: Request) -> tuple[Partner, Partner] | None:  # type: ignore[override]
        """As for other calls; None without a key."""
        return super().authenticate(request) if "Authorization" in request.headers else None


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
        asked = cast("PartnerView", view)
        # Each class has a limit of its own, so that reads never keep a partner from confirming its orders.
        quota_class = asked.quota_class or (QuotaClass.READ if reads else QuotaClass.WRITE)
        of_class = limits.of_partner(quota_class, partner.own_quota(quota_class)) if partner else limits.API_ADDRESS
        limit = asked.limit or of_class
        usage = limits.count(request, limit, f"channel:{partner.channel}" if partner else None)
        request.META["flashsale.usage"] = (limit, usage)
        if partner and limit is of_class and usage.counted and usage.count == alarm_at(usage.max_calls):
            # Redis counts one call after the other, so exactly one call sees this number.
            with suppress(GateDown):
                bridge.run(
                    raise_alarm(
                        channel=partner.channel, quota_class=quota_class, used=usage.count, quota=usage.max_calls
                    )
                )
        if usage.counted or not reads:
            usage.raise_if_exceeded()
        if partner and not reads and asked.limit_of_writes:
            limits.enforce(request, asked.limit_of_writes, f"channel:{partner.channel}")
        return True


class StrictJSON(JSONParser):
    """Parses one JSON object of limited size, as the hot door does."""

    bytes_max = BODY_BYTES_MAX

    def parse(self, stream: IO[Any], *_args: Any, **_kwargs: Any) -> dict[str, Any]:
        """The JSON object of the body. Raises HttpFault; refuses MALFORMED."""
        body = stream.read(self.bytes_max + 1)
        if len(body) > self.bytes_max:
            raise HttpFault(Fault.TOO_LARGE, f"The body may have {self.bytes_max} bytes.")
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
                self.check_position(str(cursor.position))
        except (ValueError, OverflowError) as error:
            raise NotFound(self.invalid_cursor_message) from error
        return cursor

    def check_position(self, position: str) -> None:
        """Raises ValueError or OverflowError for a position of which PostgreSQL could make no time."""
        datetime.fromisoformat(position).astimezone(UTC)

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        """The schema of a page for the OpenAPI document."""
        url = {"type": ["string", "null"], "format": "uri"}
        properties = {"next": url, "previous": url, "results": schema}
        return {"type": "object", "required": list(properties), "properties": properties}


class StablePages(CursorPages):
    """Pages in the order of (made_at, id), newest first. Rows that come or go between two pages move no other row.

    The pages of the framework find their place by the time alone and count rows of one time. Many reservations have
    the same time, and a filter by state loses some of them between two pages.
    """

    field = "made_at"
    # The framework's stubs know only cursors whose position is one value.
    page: Any
    cursor: Any

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any]:  # noqa: ARG002
        """The rows of the page that the request's cursor names."""
        size = self.get_page_size(request)
        assert size, "a page has rows"
        self.base_url = request.build_absolute_uri()
        self.cursor = self.decode_cursor(request)
        backwards, place = (self.cursor.reverse, self.cursor.position) if self.cursor else (False, None)
        sign = "" if backwards else "-"
        rows = queryset.order_by(f"{sign}{self.field}", f"{sign}pk")
        if place is not None:
            side, (at, pk) = "gt" if backwards else "lt", place
            beyond = Q(**{f"{self.field}__{side}": at}) | (Q(**{f"pk__{side}": pk}) if pk else Q(pk__in=[]))
            # The first condition says the same less exactly. PostgreSQL finds the place in its index by it.
            rows = rows.filter(beyond, **{f"{self.field}__{side}e": at})
        found = list(rows[: size + 1])
        self.page = found[:size]
        if backwards:
            self.page.reverse()
        more, came_from = len(found) > size, place is not None
        self.has_next, self.has_previous = (came_from, more) if backwards else (more, came_from)
        return list(self.page)

    def decode_cursor(self, request: Request) -> Any:
        """The cursor as (offset, backwards, (time, id)). Raises NotFound for a cursor that we did not make."""
        cursor = super().decode_cursor(request)
        if cursor is None or cursor.position is None:
            return None
        return cursor._replace(position=_place_of(cursor.position))

    def check_position(self, position: str) -> None:
        """As for other pages. The position has the id behind the time."""
        super().check_position(position.partition(" ")[0])

    def get_next_link(self) -> str | None:
        """The address of the next page, None on the last one."""
        return self._link(self.page[-1:], backwards=False) if self.has_next else None

    def get_previous_link(self) -> str | None:
        """The address of the page before, None on the first one."""
        return self._link(self.page[:1], backwards=True) if self.has_previous else None

    def _link(self, edge: list[Any], *, backwards: bool) -> str:
        # A page may be empty, because its rows have left the filter since.
        at, pk = (getattr(edge[0], self.field), edge[0].pk) if edge else self.cursor.position
        position: Any = f"{at.isoformat()} {pk or ''}".strip()
        return str(self.encode_cursor(Cursor(0, backwards, position)))

    def get_paginated_response(self, data: Any) -> Response:
        """The page with `now`, so that a reader has a time for its next question."""
        response = super().get_paginated_response(data)
        response.data["now"] = timezone.localtime(wall_clock.now())
        return response

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        """The schema of a page for the OpenAPI document."""
        page = super().get_paginated_response_schema(schema)
        now = {"type": "string", "format": "date-time", "description": "When the page was read."}
        return page | {"properties": page["properties"] | {"now": now}, "required": [*page["required"], "now"]}


def _place_of(position: str) -> tuple[datetime, UUID | None]:
    """Time and id in a cursor. Cursors of the release before have no id; they lead to the rows of an earlier time."""
    at, _, pk = position.partition(" ")
    try:
        return datetime.fromisoformat(at), UUID(pk) if pk else None
    except ValueError as error:
        raise NotFound(CursorPages.invalid_cursor_message) from error


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
    # A limit of its own, instead of that of all reads or all writes.
    limit: limits.Limit | None = None
    # A limit of a partner's writes, besides that of all writes.
    limit_of_writes: limits.Limit | None = None
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
        """Checks the signature, then reads the query parameters and the body; raises ValidationError."""
        super().initial(request, *args, **kwargs)
        if request.auth:
            self._test_channel = self.partner.channel if self.partner.sandbox else None
            self._check_signature(request)
        if request.method in self.allowed_methods:
            self.parameters = read_query(self.query, request.query_params)
            self.values = read(self.form, request.data) if self.form and request.method in WITH_FORM else {}

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
