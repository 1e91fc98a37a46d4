"""Passes: a shop to whose checkout our page sends buyers redeems what they bring."""

from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from flashsale.life.passes import redeem
from flashsale.rules.key_rights import KeyScope
from flashsale.rules.passes import CHARS_MAX
from flashsale.rules.quotas import QuotaClass
from flashsale.web.api.access import PartnerView
from flashsale.web.api.confirm_once import own_reservations
from flashsale.web.api.idempotency import run_once
from flashsale.web.api.reservations import KEY
from flashsale.web.api.serializers import ReservationSerializer, Text
from flashsale.web.api.strict import StrictSerializer


class PassSerializer(StrictSerializer):
    """A pass that a buyer has brought."""

    # "pass" is a word of Python, so the field cannot be declared by its name.
    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        """The one field."""
        return {"pass": Text(max_length=CHARS_MAX, help_text="The text that the browser has posted to your checkout.")}


@extend_schema_serializer(component_name="RedeemedPass")
class RedeemedPassSerializer(serializers.Serializer[Any]):
    """A pass that is used up."""

    id = serializers.CharField(help_text="`jti` of the pass.")
    number = serializers.IntegerField(
        help_text="Counts the passes of the reservation. The newest visit is the buyer's: end an older one."
    )
    redeemed_at = serializers.DateTimeField()
    reservation = ReservationSerializer()


class RedeemPass(PartnerView):
    """A pass → used up."""

    scope = KeyScope.PAY
    quota_class = QuotaClass.PAY
    form = PassSerializer

    @extend_schema(
        operation_id="redeemPass",
        tags=["reservations"],
        parameters=[KEY],
        request=PassSerializer,
        responses=RedeemedPassSerializer,
    )
    def post(self, request: Request) -> Response:
        """Redeems a pass once, while its reservation is held. The same request again gets the same answer."""

        def act(call: int) -> dict[str, Any]:
            redeemed = redeem(text=self.values["pass"], channel=self.partner.channel, call=call)
            row = own_reservations().get(pk=redeemed.reservation.pk)
            return dict(RedeemedPassSerializer(redeemed._asdict() | {"reservation": row}).data)

        return run_once(request, self.partner, act)
