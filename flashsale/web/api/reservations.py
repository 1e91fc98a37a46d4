"""Reservations of the calling channel: read, confirm, release, cancel. Those of other channels answer 404."""

import json
from typing import Any
from uuid import UUID

from django.http import StreamingHttpResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from flashsale.gate import bridge
from flashsale.life.cancel import cancel
from flashsale.life.events import changed_since
from flashsale.life.payment_request import CallKey
from flashsale.life.refund import partner_refunded
from flashsale.life.release import release
from flashsale.rules import wall_clock
from flashsale.rules.key_rights import KeyScope
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.quotas import QuotaClass
from flashsale.web.api import serializers
from flashsale.web.api.access import PartnerView, StablePages
from flashsale.web.api.confirm_once import confirm_once, own_reservations
from flashsale.web.api.csv_answer import CSV, CSV_RENDERERS, file_answer, wants_csv
from flashsale.web.api.idempotency import run_once
from flashsale.web.api.reservation_csv import csv_text
from flashsale.web.api.sandbox_confirm import confirm_in_sandbox
from flashsale.web.hot.partners import Partner
from flashsale.web.idempotency import fingerprint, valid_key

KEY = OpenApiParameter("Idempotency-Key", str, OpenApiParameter.HEADER, required=True)


class ReservationList(PartnerView):
    """All reservations of the channel."""

    pagination_class = StablePages
    renderer_classes = CSV_RENDERERS
    query = serializers.FiltersSerializer

    @extend_schema(
        operation_id="listReservations",
        parameters=[serializers.FiltersSerializer],
        responses={
            (200, "application/json"): serializers.ReservationSerializer(many=True),
            (200, CSV): OpenApiTypes.STR,
        },
    )
    def get(self, request: Request) -> Response | StreamingHttpResponse:
        """All reservations of the channel, newest first; with `Accept: text/csv` as one file without pages.

        A page names rows that no other page of this reading names. To find what has changed, read the events, or all
        pages with `updated_after`: the `now` of your last reading.
        """
        filters = {name: self.parameters[name] for name in serializers.FILTERS if name in self.parameters}
        rows = own_reservations().filter(channel_id=self.partner.channel).filter(**filters)
        if "updated_after" in self.parameters:
            at = self.parameters["updated_after"]
            rows = rows.filter(pk__in=changed_since(channel=self.partner.channel, at=at))
        if wants_csv(request):
            if self.parameters.keys() & {"cursor", "limit"}:
                raise Refused(Outcome.MALFORMED, "A CSV file has no pages: leave out cursor and limit.")
            return file_answer(request, "reservations.csv", csv_text(rows))
        pages = self.pagination_class()
        page = pages.paginate_queryset(rows, request, self)
        return pages.get_paginated_response(serializers.ReservationSerializer(page, many=True).data)


class ReservationDetail(PartnerView):
    """One reservation of the channel."""

    sandbox_verb = "read"

    @extend_schema(operation_id="readReservation", responses=serializers.ReservationSerializer)
    def get(self, request: Request, id: UUID) -> Response:  # noqa: A002, ARG002 - the URL names the parameter
        """One reservation."""
        return Response(_document(self.partner, id) | {"now": timezone.localtime(wall_clock.now())})


class ConfirmReservation(PartnerView):
    """Held → confirmed."""

    scope = KeyScope.PAY
    quota_class = QuotaClass.PAY
    form = serializers.ConfirmSerializer

    @extend_schema(
        operation_id="confirmReservation",
        parameters=[KEY],
        request=serializers.ConfirmSerializer,
        responses={200: serializers.ReservationSerializer, 202: serializers.ReservationSerializer},
    )
    def post(self, request: Request, id: UUID) -> Response:  # noqa: A002
        """Takes the payment and confirms the order, once. Still held if the buyer must first pay at the provider.

        202 while the provider takes no more payments: send the same request again after Retry-After.
        """

        key = valid_key(request.headers.get("Idempotency-Key", ""))
        call = CallKey(self.partner.channel, key, fingerprint([request.method, request.path, request.data]))
        confirm = confirm_in_sandbox if self.partner.sandbox else confirm_once
        answer = bridge.run(confirm(reservation=id, call=call, values=self.values))
        return Response(json.loads(answer.text), answer.status, headers=answer.headers)


class ReleaseReservation(PartnerView):
    """Held → released."""

    sandbox_verb = "release"
    scope = KeyScope.RESERVE

    @extend_schema(
        operation_id="releaseReservation", parameters=[KEY], request=None, responses=serializers.ReservationSerializer
    )
    def post(self, request: Request, id: UUID) -> Response:  # noqa: A002
        """Gives the units back before the deadline; the next person in line gets them."""

        def act(_call: int) -> dict[str, Any]:
            release(reservation=id, channel=self.partner.channel)
            return _document(self.partner, id)

        return run_once(request, self.partner, act)


class CancelReservation(PartnerView):
    """Confirmed → cancelled."""

    sandbox_verb = "cancel"
    scope = KeyScope.PAY
    form = serializers.CancelSerializer

    @extend_schema(
        operation_id="cancelReservation",
        parameters=[KEY],
        request=serializers.CancelSerializer,
        responses=serializers.ReservationSerializer,
    )
    def post(self, request: Request, id: UUID) -> Response:  # noqa: A002
        """Cancels an order once, because the buyer asked or because the payment failed.

        While the sale is running, the next person in the line gets the units, and the order counts as an unpaid hold of
        its buyer. After two of these, the buyer gets no further hold in the campaign. After the sale, the units wait in
        the return pool, and nothing counts.
        """

        def act(_call: int) -> dict[str, Any]:
            cancel(reservation=id, channel=self.partner.channel, code=self.values["reason"])
            return _document(self.partner, id)

        return run_once(request, self.partner, act)


class RefundReservation(PartnerView):
    """Refund due → refunded, by a partner that charges its own buyers."""

    sandbox_verb = "refund"
    scope = KeyScope.PAY
    form = serializers.RefundedSerializer

    @extend_schema(
        operation_id="answerRefund",
        parameters=[KEY],
        request=serializers.RefundedSerializer,
        responses=serializers.ReservationSerializer,
    )
    def post(self, request: Request, id: UUID) -> Response:  # noqa: A002
        """Says that you have refunded the buyer of a payment with the method `partner`."""

        def act(_call: int) -> dict[str, Any]:
            partner_refunded(reservation=id, channel=self.partner.channel, **self.values)
            return _document(self.partner, id)

        return run_once(request, self.partner, act)


def _document(partner: Partner, id_: UUID) -> dict[str, Any]:
    """The reservation as JSON; refuses NOT_FOUND, also for a reservation of another channel."""
    row = own_reservations().filter(channel_id=partner.channel).filter(pk=id_).first()
    if row is None:
        raise Refused(Outcome.NOT_FOUND, "There is no reservation with this id.")
    return dict(serializers.ReservationSerializer(row).data)
