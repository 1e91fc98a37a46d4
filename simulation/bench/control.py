"""The control of the bench: a reservation in plain Django, with a DRF view and one transaction a request.

It keeps the promises that PostgreSQL alone can keep (limit, stock, once per key and place), and does no more than
necessary. It is not part of the product: its URLs exist only in the bench's own server.
"""

import uuid
from typing import Any, cast

from django.db import IntegrityError, transaction
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.utils import timezone
from rest_framework import serializers
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from flashsale.life import places
from flashsale.models import Allocation, LimitSlot, Offer, PartnerKey, Reservation, ReservationUnit, Unit
from flashsale.models.sale import ms
from flashsale.rules import lottery
from flashsale.rules.states import SaleState, UnitState
from flashsale.rules.tokens import Place


def bare(_request: HttpRequest) -> HttpResponse:
    """The smallest possible Django view."""
    return HttpResponse(b"{}", content_type="application/json", headers={"Content-Length": "2"})


class ReserveBody(serializers.Serializer[Any]):
    """The body of a request."""

    place = serializers.CharField(max_length=512)
    sku = serializers.CharField(max_length=40)


class PartnerAuthentication(BaseAuthentication):
    """Authenticates a partner by the key in the database."""

    def authenticate(self, request: Request) -> tuple[PartnerKey, None]:
        """The key's row, as the user of the request."""
        digest = PartnerKey.digest_of(request.headers.get("Authorization", "").removeprefix("Bearer "))
        key = PartnerKey.objects.select_related("channel").filter(digest=digest, revoked_at=None).first()
        if key is None:
            raise AuthenticationFailed
        return key, None


class Reserve(APIView):
    """POST: reserves one unit for a place that was called."""

    authentication_classes = [PartnerAuthentication]
    permission_classes = []

    def post(self, request: Request, line: int) -> Response:
        """201 with the reservation, or 409 with the problem code."""
        body = ReserveBody(data=request.data)
        body.is_valid(raise_exception=True)
        place = Place.unpack(places.keyring().open(places.PLACE, body.validated_data["place"]))
        asked = request.headers["Idempotency-Key"]
        try:
            with transaction.atomic():
                answer = _reserve(line, cast("PartnerKey", request.user), place, body.validated_data["sku"], asked)
        except IntegrityError:
            return Response({"code": "limit_reached"}, status=409)
        return Response(answer, status=201 if "reservation" in answer else 409)


def _reserve(line: int, key: PartnerKey, place: Place, sku: str, asked: str) -> dict[str, Any]:
    allocation = Allocation.objects.select_related("sale__campaign").get(pk=line)
    sale, number = allocation.sale, lottery.number(place.index, allocation.cohort or 0, bytes.fromhex(allocation.seed))
    known = Reservation.objects.filter(sale=sale, asked=asked).first()
    if known is not None:
        return {"reservation": str(known.pk)}
    if sale.state != SaleState.PUBLISHED or not sale.opens_at <= timezone.now() < sale.closes_at:
        return {"code": "closed"}
    if number > allocation.called:
        return {"code": "not_called"}
    units = Unit.objects.select_for_update(skip_locked=True).filter(
        allocation=allocation, sku=sku, state=UnitState.FREE
    )
    unit = units.first()
    if unit is None:
        return {"code": "sold_out"}
    price = Offer.objects.get(sale=sale, sku=sku).price
    now = timezone.now()
    unit.state, unit.version = UnitState.HELD, unit.version + 1
    unit.save(update_fields=["state", "version"])
    made = Reservation.objects.create(
        id=uuid.uuid4(),
        sale=sale,
        allocation=allocation,
        channel=key.channel,
        index=place.index,
        number=number,
        asked=asked,
        fingerprint="",
        quantity=1,
        amount=price,
        epoch=sale.epoch,
        made_at=now,
        deadline_ms=ms(now) + sale.hold_s * 1000,
    )
    ReservationUnit.objects.create(reservation=made, unit=unit, sku=unit.sku, price=price)
    scope = LimitSlot.campaign_scope(sale.campaign_id)
    LimitSlot.objects.bulk_create(
        LimitSlot(scope=scope, axis=axis, digest=digest.hex(), slot=1, limit=sale.campaign.limit, reservation=made)
        for axis, digest in sorted(place.digests.items())
    )
    return {"reservation": str(made.pk), "deadline": made.deadline_ms, "amount": price}


urlpatterns = [path("bare", bare), path("lines/<int:line>/reserve", Reserve.as_view())]
