"""The door for payment providers' call-backs: believed by their signature alone, and safe to send again."""

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from flashsale.life.settle import handle_callback
from flashsale.providers import payments
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.states import PaymentState
from flashsale.web import limits
from flashsale.web.api.access import PublicView
from flashsale.web.api.serializers import WholeNumber
from flashsale.web.hot.http import BODY_BYTES_MAX, Misused
from flashsale.web.problems import Fault

SIGNATURE = [
    OpenApiParameter("Webhook-Id", str, OpenApiParameter.HEADER, required=True),
    OpenApiParameter(
        "Webhook-Timestamp", int, OpenApiParameter.HEADER, required=True,
        description="Seconds since 1970. Older than five minutes is refused: sign again to send again.",
    ),
    OpenApiParameter(
        "Webhook-Signature", str, OpenApiParameter.HEADER, required=True,
        description='"v1," and HMAC-SHA256 of "id.timestamp.body" in base64, as Standard Webhooks have it.',
    ),
]  # fmt: skip


class CallBack(serializers.Serializer[object]):
    """What the demo provider says of a charge."""

    reference = serializers.CharField(max_length=80, help_text="Ours, as the charge had it.")
    amount = WholeNumber(min_value=0, help_text="In whole units of the currency.")
    currency = serializers.CharField(max_length=3, help_text="ISO 4217.")
    paid = serializers.BooleanField(help_text="Whether the money is there; false is final.")


class Heard(serializers.Serializer[object]):
    """Where the payment stands now, however often and however late it was said."""

    reference = serializers.CharField()
    state = serializers.ChoiceField([state.value for state in PaymentState])


class DemoCallBack(PublicView):
    """Call-backs of the demo provider. What it has signed is not throttled: a bank speaks for a whole sale at once."""

    throttle_classes = []

    @extend_schema(operation_id="paymentCallBack", parameters=SIGNATURE, request=CallBack, responses=Heard, auth=[])
    def post(self, request: Request) -> Response:
        """Tells what became of a charge. Late money buys the units if they are still free, else it is refunded."""
        if len(request.body) > BODY_BYTES_MAX:
            raise Misused(Fault.TOO_LARGE, f"The body may have {BODY_BYTES_MAX} bytes.")
        try:
            told = payments.provider.parse_callback(body=request.body, headers=request.headers)
        except payments.InvalidSignature as error:
            limits.spend(request, limits.API_ADDRESS)
            raise Refused(Outcome.FORBIDDEN, str(error)) from error
        except ValueError as error:
            raise Refused(Outcome.MALFORMED, str(error)) from error
        return Response({"reference": told.reference, "state": handle_callback(callback=told)})
