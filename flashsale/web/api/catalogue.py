"""Published sales, their rule sets, and the transcripts by which anyone can check a draw."""

from typing import Any, cast

from django.db.models import QuerySet
from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from flashsale.life.requirements import requirements_of
from flashsale.life.transcript import entries_of, transcript_of
from flashsale.models import EntriesTile as Tile
from flashsale.models import Sale
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.states import SaleState
from flashsale.web.api import sale_serializers
from flashsale.web.api.access import CursorPages, KeyIfSent, PublicView, cacheable
from flashsale.web.api.strict import PageSerializer, refuse_no_codes
from flashsale.web.hot.http import CODE_PATTERN
from flashsale.web.hot.partners import Partner

CATALOGUE_FRESH_S = 5
WITH_OR_WITHOUT_KEY: Any = [{}, {"partnerKey": []}]
TRANSCRIPT_FRESH_S = 3600
RULES_FRESH_S = 3600


class SalePages(CursorPages):
    """Pages of sales, the latest opening first."""

    ordering = "-opens_at"


class SaleList(PublicView):
    """Published sales."""

    pagination_class = SalePages
    query = PageSerializer

    @extend_schema(
        operation_id="listSales", parameters=[PageSerializer], responses=sale_serializers.SaleSerializer(many=True)
    )
    def get(self, request: Request) -> Response:
        """All published sales, latest opening first. Test sales are read by their code only."""
        pages = self.pagination_class()
        rows = pages.paginate_queryset(_published().filter(campaign__sandbox_of=None), request, self)
        return cacheable(
            pages.get_paginated_response(sale_serializers.SaleSerializer(rows, many=True).data), CATALOGUE_FRESH_S
        )


class SaleDetail(PublicView):
    """One published sale."""

    authentication_classes = [KeyIfSent]

    @extend_schema(operation_id="readSale", auth=WITH_OR_WITHOUT_KEY, responses=sale_serializers.SaleSerializer)
    def get(self, request: Request, code: str) -> Response:
        """One published sale, with all that a partner must know before it sells. With a key also `channel`."""
        sale = published_sale(code)
        partner = cast("Partner | None", request.auth)
        own = requirements_of(sale=sale, channel=partner.channel) if partner else None
        response = Response(
            sale_serializers.SaleSerializer(sale, context={"requirements": own, "partner": partner}).data
        )
        response.headers["Vary"] = "Authorization"
        return response if partner else cacheable(response, CATALOGUE_FRESH_S)


class SaleTranscript(PublicView):
    """The draw of a sale."""

    @extend_schema(operation_id="readTranscript", responses=sale_serializers.TranscriptSerializer)
    def get(self, request: Request, code: str) -> Response:  # noqa: ARG002 - the framework's signature
        """The draw, once all lines are frozen; check it with `python flashsale/rules/lottery.py verify FILE`."""
        found = transcript_of(published_sale(code))
        if found is None:
            raise Refused(Outcome.NOT_FOUND, "The lines are not drawn yet. The secret is public after the draw.")
        return cacheable(Response(found), TRANSCRIPT_FRESH_S)


class SaleRuleSet(PublicView):
    """The rule set of a sale's review."""

    @extend_schema(operation_id="readRules", responses=sale_serializers.RuleSetSerializer)
    def get(self, request: Request, code: str) -> Response:  # noqa: ARG002 - the framework's signature
        """The rule set that the sale was published with. It never changes; anyone can check that by its hash."""
        rules = published_sale(code).rules
        assert rules is not None, "a published sale has a rule set"
        return cacheable(Response({"number": rules.version, "hash": rules.hash, "rules": rules.content}), RULES_FRESH_S)


class SaleDraw(PublicView):
    """What is public of a sale's draw now."""

    @extend_schema(operation_id="readDraw", responses=sale_serializers.SaleDrawSerializer)
    def get(self, request: Request, code: str) -> Response:  # noqa: ARG002 - the framework's signature
        """The state of the draw, at any time: its kind, and the root of the entries before any number is known."""
        sale = published_sale(code)
        data = sale_serializers.SaleDrawSerializer(sale, context={"entries": entries_of(sale)}).data
        return cacheable(Response(data), CATALOGUE_FRESH_S if sale.frozen_at is None else TRANSCRIPT_FRESH_S)


class EntriesTile(PublicView):
    """A part of the entries of a line."""

    # Not in the description of the API, because its answer is bytes. docs/fairness.md has it.
    @extend_schema(exclude=True)
    def get(self, request: Request, sale: str, line: str, tile: int) -> HttpResponse:  # noqa: ARG002 - the framework's
        """Up to 1,024 leaves of the entries, 32 bytes each, from index 1,024 * tile + 1 on.

        All tiles together give the root. A leaf is a hash, so it names no person.
        """
        refuse_no_codes(line)
        found = Tile.objects.filter(entries__allocation__in=published_sale(sale).allocations.filter(code=line))
        row = found.filter(number=tile).values_list("leaves", flat=True).first()
        if row is None:
            raise Refused(
                Outcome.NOT_FOUND, "The line has no such tile: it is not frozen yet, or it has fewer entries."
            )
        answer = HttpResponse(bytes(row), content_type="application/octet-stream")
        answer.headers["Cache-Control"] = f"public, max-age={TRANSCRIPT_FRESH_S}, immutable"
        return answer


def _published() -> QuerySet[Sale]:
    rows = Sale.objects.exclude(state=SaleState.DRAFT)
    return rows.select_related("campaign", "rules", "clock").prefetch_related(
        "offers",
        "campaign__axes",
        "allocations__channels",
        "allocations__carries",
        "allocations__successor",
        "allocations__reallocations__source",
    )


def published_sale(code: str) -> Sale:
    """The published sale with this code; refuses NOT_FOUND."""
    sale = _published().filter(code=code).first() if CODE_PATTERN.fullmatch(code) else None
    if sale is None:
        raise Refused(Outcome.NOT_FOUND, "There is no sale with this code.")
    return sale
