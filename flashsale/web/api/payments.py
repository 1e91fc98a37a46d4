"""Notifications of payment providers. Only the signature authenticates them, and a provider may repeat them."""

import logging
from collections.abc import Sequence

from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from flashsale.life import inbox
from flashsale.models import PaymentAttempt
from flashsale.providers import payments
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.web import limits
from flashsale.web.api.access import PublicView
from flashsale.web.api.serializers import PAYMENT_STATES, WholeNumber
from flashsale.web.api.strict import StrictSerializer, read
from flashsale.web.hot.http import BODY_BYTES_MAX, HttpFault, parse_json_object
from flashsale.web.problems import Fault

log = logging.getLogger(__name__)
SIGNATURE = [
    OpenApiParameter("Webhook-Id", str, OpenApiParameter.HEADER, required=True),
    OpenApiParameter(
        "Webhook-Timestamp",
        int,
        OpenApiParameter.HEADER,
        required=True,
        description="Seconds since 1970. One older than five minutes is refused; sign it again to repeat it.",
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
class DemoNotificationSerializer(StrictSerializer):
    """The result of a charge, from the demo provider."""

    reference = serializers.CharField(max_length=80, help_text="Our reference, as in the charge.")
    amount = WholeNumber(min_value=0, help_text="In whole units of the currency.")
    currency = serializers.CharField(max_length=3, help_text="ISO 4217.")
    paid = serializers.BooleanField(help_text="Whether the provider has the money; false is final.")


@extend_schema_serializer(component_name="Heard")
class NotificationResultSerializer(serializers.Serializer[object]):
    """The state of the payment when the notification came. It changes within a second if there is news."""

    reference = serializers.CharField()
    state = serializers.ChoiceField(PAYMENT_STATES)


class _Notifications(PublicView):
    """Notifications of payment providers. Those that are taken have no rate limit, because a bank tells of a sale."""

    throttle_classes = []
    form = None  # the signature covers the bytes of the body, so it is checked before the body is read

    def receive(self, request: Request, account: str) -> list[str]:
        """Stores the notification, and returns the references that it is about. Another process asks the provider.

        So a provider that is slow, or that waits for this answer first, does not delay the answer.
        """
        with limits.counting_refusals(request):
            references = self._references(request, account)
        inbox.store(account=account, references=references, body=request.body, headers=request.headers)
        return references

    def _references(self, request: Request, account: str) -> list[str]:
        """The payments that a notification is about. Refuses what is not signed, malformed or too large."""
        if len(request.body) > BODY_BYTES_MAX:
            raise HttpFault(Fault.TOO_LARGE, f"The body may have {BODY_BYTES_MAX} bytes.")
        try:
            references = inbox.references_in(account=account, body=request.body, headers=request.headers)
            self.check(request.body, references)
        except payments.NotBelieved as error:
            log.warning("a notification of %s is not believed: %s", account, error)
            raise Refused(Outcome.FORBIDDEN, str(error)) from error
        except ValueError as error:
            log.warning("a notification of %s is malformed: %s", account, error)
            raise Refused(Outcome.MALFORMED, str(error)) from error
        return references

    def check(self, body: bytes, references: Sequence[str]) -> None:
        """Refuses what the account's provider does not send. Providers check their own."""


class PaymentNotification(_Notifications):
    """Notifications of the provider whose account the path names."""

    schema = None

    def post(self, request: Request, account: str) -> Response:
        """Says that something happened to payments. The provider is asked what it is; only its answer counts."""
        return Response({"references": self.receive(request, account)})


class DemoPaymentNotification(_Notifications):
    """Notifications of the demo provider."""

    @extend_schema(
        operation_id="paymentCallBack",
        parameters=SIGNATURE,
        request=DemoNotificationSerializer,
        responses=NotificationResultSerializer,
        auth=[],
    )
    def post(self, request: Request) -> Response:
        """Says that something happened to a payment. The provider is asked what it is; only its answer counts.

        The answer comes at once. The payment is settled within a second after it: late money buys the units if they are
        still free; else it is refunded.
        """
        (reference,) = self.receive(request, payments.DemoProvider.account)
        attempt = PaymentAttempt.objects.prefetch_related("refunds").get(reference=reference)
        return Response({"reference": reference, "state": attempt.payment_state})

    def check(self, body: bytes, references: Sequence[str]) -> None:
        """Refuses MALFORMED, UNKNOWN_FIELD, and NOT_FOUND for a reference that is not ours."""
        read(DemoNotificationSerializer, parse_json_object(body))
        if not PaymentAttempt.objects.filter(reference__in=references, account=payments.DemoProvider.account).exists():
            log.warning("a notification names the unknown reference %r", *references)
            raise Refused(Outcome.NOT_FOUND, "There is no payment with this reference.")
