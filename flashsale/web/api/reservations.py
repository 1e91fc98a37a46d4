"""Reservations of the calling channel: read, confirm, release, cancel. Those of other channels answer 404."""

from typing import Any
from uuid import UUID

from django.db.models import Prefetch, QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from flashsale.gate import bridge
from flashsale.life.cancel import cancel
from flashsale.life.confirm import confirm
from flashsale.life.release import release
from flashsale.models import Reservation, ReservationUnit
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.states import ReservationState
from flashsale.web.api import serializers
from flashsale.web.api.access import CursorPages, PartnerView
from flashsale.web.api.idempotency import run_once
from flashsale.web.hot.partners import Partner

KEY = OpenApiParameter("Idempotency-Key", str, OpenApiParameter.HEADER, required=True)


class ReservationList(PartnerView):
    """All reservations of the channel."""

    pagination_class = CursorPages
    query = serializers.FiltersSerializer

    @extend_schema(
        operation_id="listReservations",
        parameters=[serializers.FiltersSerializer],
        responses=serializers.ReservationSerializer(many=True),
    )
    def get(self, request: Request) -> Response:
        """All reservations of the channel, newest first."""
        filters = {name: self.parameters[name] for name in serializers.FILTERS if name in self.parameters}
        rows = _own(self.partner).filter(**filters)
        pages = self.pagination_class()
        page = pages.paginate_queryset(rows, request, self)
        return pages.get_paginated_response(serializers.ReservationSerializer(page, many=True).data)


class ReservationDetail(PartnerView):
    """One reservation of the channel."""

    @extend_schema(operation_id="readReservation", responses=serializers.ReservationSerializer)
    def get(self, request: Request, id: UUID) -> Response:  # noqa: A002, ARG002 - the URL names the parameter
        """One reservation."""
        return Response(_document(self.partner, id))


class ConfirmReservation(PartnerView):
    """Held → confirmed."""

    form = serializers.ConfirmSerializer

    @extend_schema(
        operation_id="confirmReservation",
        parameters=[KEY],
        request=serializers.ConfirmSerializer,
        responses=serializers.ReservationSerializer,
    )
    def post(self, request: Request, id: UUID) -> Response:  # noqa: A002
        """Takes the payment and confirms the order, once. Still held if the buyer must first pay at the provider."""

        def act(call: int) -> dict[str, Any]:
            bridge.run(confirm(reservation=id, channel=self.partner.channel, call=call, **self.values))
            return _document(self.partner, id)

        # A buyer who pays in the app of a bank holds the units until the provider calls back.
        return run_once(request, self.partner, act, settled=lambda row: row["state"] != ReservationState.HELD)


class ReleaseReservation(PartnerView):
    """Held → released."""

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


def _own(partner: Partner) -> QuerySet[Reservation]:
    rows = Reservation.objects.filter(channel_id=partner.channel).exclude(state=ReservationState.ABANDONED)
    units = ReservationUnit.objects.select_related("unit").only("reservation_id", "sku", "price", "unit__serial")
    rows = rows.select_related(
        "sale__campaign", "allocation", "channel", "cancellation", "case__appeal"
    ).prefetch_related(Prefetch("reservation_units", units), "attempts__refunds")
    return rows.only(*serializers.RESERVATION_COLUMNS)


def _document(partner: Partner, id_: UUID) -> dict[str, Any]:
    """The reservation as JSON; refuses NOT_FOUND, also for a reservation of another channel."""
    row = _own(partner).filter(pk=id_).first()
    if row is None:
        raise Refused(Outcome.NOT_FOUND, "There is no reservation with this id.")
    return dict(serializers.ReservationSerializer(row).data)
