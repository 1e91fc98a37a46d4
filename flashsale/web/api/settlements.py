"""Settlements: a signed file for each day, sale and channel, for the calling channel."""

from datetime import date
from typing import Any

from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from flashsale.life import settlement
from flashsale.models import Settlement
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.web.api.access import CursorPages, PartnerView
from flashsale.web.api.csv_answer import CSV, CSV_RENDERERS, file_answer, wants_csv
from flashsale.web.api.strict import PageSerializer, refuse_no_codes

DATE = OpenApiParameter("date", OpenApiTypes.DATE, OpenApiParameter.PATH, description="A day that is over.")


class Amount(serializers.FloatField):
    """An amount in whole units, written as in the file: without a point, unless it has digits behind it."""

    def to_representation(self, value: Any) -> Any:
        """The amount as a number of JSON."""
        number = float(value)
        return int(number) if number.is_integer() else number


class SumsSerializer(serializers.Serializer[Any]):
    """The sums of a file in one currency. Amounts are in whole units, and may have two digits after the point."""

    units = serializers.IntegerField(help_text="Sold, less those of cancelled orders.")
    amount = serializers.IntegerField(help_text="Of the orders.")
    paid = Amount(help_text="Money that came.")
    refunded = Amount(help_text="Money that went back.")
    fee = Amount(help_text="What the payment provider keeps or added, where it says so.")


@extend_schema_serializer(component_name="Settlement")
class SettlementSerializer(serializers.Serializer[Any]):
    """The file of a day and a sale. It never changes."""

    sale = serializers.CharField(source="sale.code")
    date = serializers.DateField(help_text="A day in the time zone of the campaign.")
    lines = serializers.IntegerField()
    totals = serializers.DictField(child=SumsSerializer(), help_text="By currency.")
    csv_sha256 = serializers.CharField(source="csv_hash", help_text="Of the file as CSV, in hex.")
    json_sha256 = serializers.CharField(source="json_hash", help_text="Of the file as JSON, in hex.")


class SettlementLineSerializer(SumsSerializer):
    """One line. It says by how much one event has changed the sums; below 0 it takes an earlier line back."""

    event = serializers.IntegerField(help_text="The id of the event (see `GET /v1/events`).")
    at = serializers.DateTimeField()
    type = serializers.CharField(help_text="The type of the event.")
    line = serializers.CharField()
    reservation = serializers.UUIDField()
    partner_reference = serializers.CharField()
    payment = serializers.CharField(help_text="Our reference of the payment.")
    method = serializers.CharField()
    paid_at = serializers.DateTimeField(allow_null=True, help_text="When we learned of the money.")
    refund = serializers.CharField(help_text="Our reference of the refund.")
    currency = serializers.CharField()


class SettlementFileSerializer(serializers.Serializer[Any]):
    """The file as JSON."""

    version = serializers.IntegerField()
    sale = serializers.CharField()
    channel = serializers.CharField()
    date = serializers.DateField()
    time_zone = serializers.CharField()
    lines = SettlementLineSerializer(many=True)
    totals = serializers.DictField(child=SumsSerializer(), help_text="By currency.")


class SettlementStatementSerializer(serializers.Serializer[Any]):
    """What is signed."""

    version = serializers.IntegerField()
    sale = serializers.CharField()
    channel = serializers.CharField()
    date = serializers.DateField()
    lines = serializers.IntegerField()
    csv = serializers.CharField(help_text="SHA-256 of the file as CSV, in hex.")
    json = serializers.CharField(help_text="SHA-256 of the file as JSON, in hex.")


class SettlementSignatureSerializer(serializers.Serializer[Any]):
    """The signature of a file; `GET /v1/keys` has the public keys."""

    settlement = SettlementStatementSerializer()
    key = serializers.CharField()
    signature = serializers.CharField(help_text="Ed25519, in base64url.")


class SettlementFilterSerializer(PageSerializer):
    """Query parameters that select files, and the page."""

    sale = serializers.CharField(required=False, help_text="The code of a sale.")


class SettlementPages(CursorPages):
    """Pages of files, the newest day first."""

    ordering = ("-date", "-pk")

    def check_position(self, position: str) -> None:
        """Raises ValueError for what is no day."""
        date.fromisoformat(position)


class SettlementList(PartnerView):
    """The files of the channel."""

    pagination_class = SettlementPages
    query = SettlementFilterSerializer

    @extend_schema(
        operation_id="listSettlements",
        parameters=[SettlementFilterSerializer],
        responses=SettlementSerializer(many=True),
    )
    def get(self, request: Request) -> Response:
        """The files of days that are over and have lines, the newest day first."""
        rows = settlement.own_files(self.partner.channel)
        if "sale" in self.parameters:
            rows = rows.filter(sale__code=self.parameters["sale"])
        pages = self.pagination_class()
        page = pages.paginate_queryset(rows, request, self)
        return pages.get_paginated_response(SettlementSerializer(page, many=True).data)


class SettlementDetail(PartnerView):
    """A file of the channel."""

    renderer_classes = CSV_RENDERERS

    @extend_schema(
        operation_id="readSettlement",
        parameters=[DATE],
        responses={(200, "application/json"): SettlementFileSerializer, (200, CSV): OpenApiTypes.STR},
    )
    def get(self, request: Request, sale: str, date: str) -> StreamingHttpResponse:
        """The file of a day and a sale; as CSV with `Accept: text/csv`. Its bytes never change."""
        file = own_file(self.partner.channel, sale, date)
        form = "csv" if wants_csv(request) else "json"
        return file_answer(request, f"{sale}-{date}.{form}", settlement.content(file, form))


class SettlementSignature(PartnerView):
    """The signature of a file of the channel."""

    @extend_schema(operation_id="readSettlementSignature", parameters=[DATE], responses=SettlementSignatureSerializer)
    def get(self, request: Request, sale: str, date: str) -> Response:  # noqa: ARG002 - the framework's signature
        """The signed hashes of a file. Check them with `python flashsale/rules/receipts.py verify-file`."""
        return Response(settlement.signature(own_file(self.partner.channel, sale, date)))


def own_file(channel: int, sale: str, day: str) -> Settlement:
    """The file of a channel. Refuses MALFORMED for what is no day, and NOT_FOUND."""
    refuse_no_codes(sale)
    try:
        found = date.fromisoformat(day)
    except ValueError:
        found = None
    if found is None or found.isoformat() != day:
        raise Refused(Outcome.MALFORMED, "date: a day such as 2026-11-29.")
    file = settlement.own_files(channel).filter(sale__code=sale, date=found).first()
    if file is None:
        raise Refused(
            Outcome.NOT_FOUND,
            "There is no settlement of this sale and day: the day is not over in the campaign's time zone, or nothing "
            "was sold, paid or sent back on it.",
        )
    return file
