"""Callbacks of payment providers. Only the signature authenticates them, and a provider may repeat them."""

from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_serializer
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
from flashsale.web.api.strict import StrictSerializer, read
from flashsale.web.hot.http import BODY_BYTES_MAX, HttpFault, parse_json_object
from flashsale.web.problems import Fault

SIGNATURE = [
    OpenApiParameter("Webhook-Id", str, OpenApiParameter.HEADER, required=True),
    OpenApiParameter(
        "Webhook-Timestamp",
        int,
        OpenApiParameter.HEADER,
        required=True,
        description="Seconds since 1970. A callback older than five minutes is refused; sign it again to repeat it.",
    ),
    OpenApiParameter(
        "Webhook-Signature",
        str,
        OpenApiParameter.HEADER,
        required=True,
        description='"v1," and HMAC-SHA256 of "id.timestamp.body" in base64, as Standard Webhooks have it.',
    ),
]


@extend_schema_serializer(component_name="CallBack")
class CallbackSerializer(StrictSerializer):
    """The result of a charge, from the demo provider."""

    reference = serializers.CharField(max_length=80, help_text="Our reference, as in the charge.")
    amount = WholeNumber(min_value=0, help_text="In whole units of the currency.")
    currency = serializers.CharField(max_length=3, help_text="ISO 4217.")
    paid = serializers.BooleanField(help_text="Whether the provider has the money; false is final.")


@extend_schema_serializer(component_name="Heard")
class CallbackResultSerializer(serializers.Serializer[object]):
    """The state of the payment now, also after a late or repeated callback."""

    reference = serializers.CharField()
    state = serializers.ChoiceField([state.value for state in PaymentState])


class DemoPaymentCallback(PublicView):
    """Callbacks of the demo provider. Signed ones have no rate limit, because a bank calls back for a whole sale."""

    throttle_classes = []
    form = None  # the signature covers the bytes of the body, so it is checked before the body is read

    @extend_schema(
        operation_id="paymentCallBack",
        parameters=SIGNATURE,
        request=CallbackSerializer,
        responses=CallbackResultSerializer,
        auth=[],
    )
    def post(self, request: Request) -> Response:
        """Reports the result of a charge. Late money buys the units if they are still free; else it is refunded."""
        if len(request.body) > BODY_BYTES_MAX:
            raise HttpFault(Fault.TOO_LARGE, f"The body may have {BODY_BYTES_MAX} bytes.")
        try:
            callback = payments.provider.parse_callback(body=request.body, headers=request.headers)
        except payments.InvalidSignature as error:
            limits.enforce(request, limits.API_ADDRESS)
            raise Refused(Outcome.FORBIDDEN, str(error)) from error
        except ValueError as error:
            raise Refused(Outcome.MALFORMED, str(error)) from error
        read(CallbackSerializer, parse_json_object(request.body))
        return Response({"reference": callback.reference, "state": handle_callback(callback=callback)})
