"""Reservations, as the channel that made them sees and moves them; another channel's do not exist for it."""

from typing import Any
from uuid import UUID

from django.db.models import Prefetch, QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from flashsale.life.cancel import cancel
from flashsale.life.confirm import confirm
from flashsale.life.release import release
from flashsale.models import Reservation, ReservationUnit
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.states import ReservationState
from flashsale.web.api import serializers
from flashsale.web.api.access import Pages, PartnerView
from flashsale.web.api.idempotency import once
from flashsale.web.hot.partners import Partner

KEY = OpenApiParameter("Idempotency-Key", str, OpenApiParameter.HEADER, required=True)


class Reservations(PartnerView):
    """The channel's reservations."""

    pagination_class = Pages

    @extend_schema(
        operation_id="listReservations",
        parameters=[serializers.Filters],
        responses=serializers.ReservationShape(many=True),
    )
    def get(self, request: Request) -> Response:
        """All reservations of the channel, newest first."""
        asked = serializers.Filters(data=request.query_params)
        asked.is_valid(raise_exception=True)
        rows = _own(self.partner).filter(**asked.validated_data)
        pages = self.pagination_class()
        page = pages.paginate_queryset(rows, request, self)
        return pages.get_paginated_response(serializers.ReservationShape(page, many=True).data)


class OneReservation(PartnerView):
    """A reservation of the channel."""

    @extend_schema(operation_id="readReservation", responses=serializers.ReservationShape)
    def get(self, request: Request, id: UUID) -> Response:  # noqa: A002, ARG002 - named by the address
        """One reservation."""
        return Response(_document(self.partner, id))


class Confirm(PartnerView):
    """Held becomes confirmed."""

    @extend_schema(
        operation_id="confirmReservation",
        parameters=[KEY],
        request=serializers.Confirm,
        responses=serializers.ReservationShape,
    )
    def post(self, request: Request, id: UUID) -> Response:  # noqa: A002
        """Takes the payment and makes the order firm, once; still held where the buyer has yet to pay elsewhere."""

        def act() -> dict[str, Any]:
            asked = serializers.Confirm(data=request.data)
            asked.is_valid(raise_exception=True)
            confirm(reservation=id, channel=self.partner.channel, **asked.validated_data)
            return _document(self.partner, id)

        # Who pays in the app of their bank holds the units until the provider calls back.
        return once(request, self.partner, act, settled=lambda row: row["state"] != ReservationState.HELD)


class Release(PartnerView):
    """Held is given back."""

    @extend_schema(
        operation_id="releaseReservation", parameters=[KEY], request=None, responses=serializers.ReservationShape
    )
    def post(self, request: Request, id: UUID) -> Response:  # noqa: A002
        """Gives the units back before the deadline; the next in line gets them."""

        def act() -> dict[str, Any]:
            release(reservation=id, channel=self.partner.channel)
            return _document(self.partner, id)

        return once(request, self.partner, act)


class Cancel(PartnerView):
    """Confirmed is cancelled."""

    @extend_schema(
        operation_id="cancelReservation",
        parameters=[KEY],
        request=serializers.Cancel,
        responses=serializers.ReservationShape,
    )
    def post(self, request: Request, id: UUID) -> Response:  # noqa: A002
        """Cancels an order at the buyer's wish, or because the payment failed, once."""

        def act() -> dict[str, Any]:
            asked = serializers.Cancel(data=request.data)
            asked.is_valid(raise_exception=True)
            cancel(reservation=id, channel=self.partner.channel, code=asked.validated_data["reason"])
            return _document(self.partner, id)

        return once(request, self.partner, act)


def _own(partner: Partner) -> QuerySet[Reservation]:
    rows = Reservation.objects.filter(channel_id=partner.channel).exclude(state=ReservationState.ABANDONED)
    held = ReservationUnit.objects.select_related("unit").only("reservation_id", "sku", "price", "unit__serial")
    rows = rows.select_related(
        "sale__campaign", "allocation", "channel", "payment", "cancellation", "case__appeal"
    ).prefetch_related(Prefetch("reservation_units", held))
    return rows.only(*serializers.RESERVATION_READS)


def _document(partner: Partner, id_: UUID) -> dict[str, Any]:
    """The reservation as the channel sees it; refuses NOT_FOUND, also for one that belongs to somebody else."""
    row = _own(partner).filter(pk=id_).first()
    if row is None:
        raise Refused(Outcome.NOT_FOUND, "There is no reservation with this id.")
    return dict(serializers.ReservationShape(row).data)
