"""Sales as everybody may read them, and the transcripts by which strangers check their draws."""

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from flashsale.models import Sale
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.states import SaleState
from flashsale.web.api import serializers
from flashsale.web.api.access import Pages, PublicView, fresh_for
from flashsale.web.hot.http import CODE_FORM

CATALOGUE_FRESH_S = 5
TRANSCRIPT_FRESH_S = 3600
RULES_FRESH_S = 3600


class SalePages(Pages):
    """The next sale first."""

    ordering = "-opens_at"


class Sales(PublicView):
    """The sales that are published."""

    pagination_class = SalePages

    @extend_schema(operation_id="listSales", responses=serializers.SaleShape(many=True))
    def get(self, request: Request) -> Response:
        """All published sales, latest opening first."""
        pages = self.pagination_class()
        rows = pages.paginate_queryset(_published(), request, self)
        return fresh_for(pages.get_paginated_response(serializers.SaleShape(rows, many=True).data), CATALOGUE_FRESH_S)


class OneSale(PublicView):
    """A sale by its code."""

    @extend_schema(operation_id="readSale", responses=serializers.SaleShape)
    def get(self, request: Request, code: str) -> Response:  # noqa: ARG002 - the framework's signature
        """One published sale."""
        return fresh_for(Response(serializers.SaleShape(published_sale(code)).data), CATALOGUE_FRESH_S)


class TranscriptOf(PublicView):
    """The draw of a sale."""

    @extend_schema(operation_id="readTranscript", responses=serializers.Transcript)
    def get(self, request: Request, code: str) -> Response:  # noqa: ARG002 - the framework's signature
        """The draw, once all lines are frozen; check it with `python flashsale/rules/lottery.py verify FILE`."""
        return fresh_for(Response(_transcript(published_sale(code))), TRANSCRIPT_FRESH_S)


class RulesOf(PublicView):
    """The rules by which a sale's orders are reviewed."""

    @extend_schema(operation_id="readRules", responses=serializers.ReviewRules)
    def get(self, request: Request, code: str) -> Response:  # noqa: ARG002 - the framework's signature
        """The rule set that the sale was published with; it never changes, and its hash says so."""
        rules = published_sale(code).rules
        assert rules is not None, "published sales have rules"
        return fresh_for(Response({"number": rules.version, "hash": rules.hash, "rules": rules.content}), RULES_FRESH_S)


def _published() -> QuerySet[Sale]:
    rows = Sale.objects.exclude(state=SaleState.DRAFT)
    return rows.select_related("campaign", "rules").prefetch_related(
        "offers", "allocations__channels", "allocations__carries", "allocations__successor",
        "allocations__reallocations__source",
    )  # fmt: skip


def published_sale(code: str) -> Sale:
    """The published sale with this code; refuses NOT_FOUND."""
    sale = _published().filter(code=code).first() if CODE_FORM.fullmatch(code) else None
    if sale is None:
        raise Refused(Outcome.NOT_FOUND, "There is no sale with this code.")
    return sale


def _transcript(sale: Sale) -> dict[str, Any]:
    lines = list(sale.allocations.all())
    if sale.frozen_at is None or not all(line.seed for line in lines):
        raise Refused(Outcome.NOT_FOUND, "The lines are not drawn yet: the secret stays one until then.")
    return {
        "version": 1,
        "sale": sale.code,
        "commitment": sale.commitment,
        "secret": bytes(sale.secret or b"").hex(),
        "beacon": "",
        "lines": {line.code: {"cohort": line.cohort, "seed": line.seed} for line in lines},
    }
