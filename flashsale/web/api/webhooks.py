"""Webhooks of the calling channel: add, list, change, delete, another secret, the log, send again, a test message."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.utils import timezone
from drf_spectacular.utils import extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from flashsale.life import webhooks
from flashsale.models import Delivery, Webhook
from flashsale.rules.events import EventType
from flashsale.rules.outcomes import Refused
from flashsale.rules.states import DeliveryFailure, DeliveryState, WebhookOff
from flashsale.rules.webhooks import TEST_TYPE, URL_CHARS_MAX
from flashsale.web import limits
from flashsale.web.api.access import CursorPages, PartnerView
from flashsale.web.api.idempotency import run_once
from flashsale.web.api.reservations import KEY
from flashsale.web.api.serializers import Text, WholeNumber
from flashsale.web.api.strict import Instant, PageSerializer, StrictSerializer

TYPES = [type_.value for type_ in EventType]


@extend_schema_serializer(component_name="Webhook")
class WebhookSerializer(serializers.Serializer[Any]):
    """An address of yours that gets events."""

    id = serializers.UUIDField()
    url = serializers.CharField()
    types = serializers.ListField(
        child=serializers.ChoiceField(TYPES), help_text="The events that it gets; an empty list: all."
    )
    enabled = serializers.SerializerMethodField()
    off = serializers.ChoiceField(
        ["", *(off.value for off in WebhookOff)],
        help_text="Why it is off: it answered 410 (gone), it took nothing for a day (failing), or people did so.",
    )
    off_at = serializers.DateTimeField(allow_null=True)
    made_at = serializers.DateTimeField()
    failing_since = serializers.DateTimeField(
        allow_null=True, help_text="Since when it has taken nothing; null while it works."
    )
    paused_until = serializers.DateTimeField(allow_null=True, help_text="Until then it gets nothing.")
    previous_until = serializers.DateTimeField(
        allow_null=True, help_text="Until then messages have a second signature, with the previous secret."
    )
    waiting = serializers.SerializerMethodField(help_text="Deliveries that are not done.")

    def get_enabled(self, row: Webhook) -> bool:
        """Whether it gets events."""
        return not row.off

    def get_waiting(self, row: Webhook) -> int:
        """How many deliveries are due, now or later."""
        return row.deliveries.filter(state=DeliveryState.DUE).count()


@extend_schema_serializer(component_name="WebhookWithSecret")
class WebhookWithSecretSerializer(WebhookSerializer):
    """A webhook with its newest secret, which is shown only here."""

    secret = serializers.CharField(help_text="`whsec_` and 32 bytes in base64. It signs what you get.")


@extend_schema_serializer(component_name="WebhookList")
class WebhookListSerializer(serializers.Serializer[Any]):
    """All webhooks of the channel, the oldest first."""

    results = WebhookSerializer(many=True)


@extend_schema_serializer(component_name="Delivery")
class DeliverySerializer(serializers.Serializer[Any]):
    """An event on its way to a webhook, and the last try."""

    id = serializers.IntegerField()
    message = serializers.CharField(source="message_id", help_text="The header `webhook-id`: the id of the event.")
    type = serializers.CharField(help_text=f"The type of the event, or {TEST_TYPE}.")
    state = serializers.ChoiceField([state.value for state in DeliveryState])
    made_at = serializers.DateTimeField()
    due_at = serializers.SerializerMethodField(
        help_text="When it is tried next, at the earliest; null when it is done."
    )
    attempts = serializers.IntegerField()
    tried_at = serializers.DateTimeField(allow_null=True, help_text="The last try.")
    took_ms = serializers.IntegerField(allow_null=True)
    status = serializers.IntegerField(allow_null=True, help_text="The HTTP status of your answer; null without one.")
    failure = serializers.ChoiceField(
        ["", *(failure.value for failure in DeliveryFailure)], help_text="Why the last try failed."
    )
    answer = serializers.CharField(help_text="The first 500 characters of your answer, or why there was none.")

    def get_due_at(self, row: Delivery) -> str | None:
        """When it is tried next."""
        return timezone.localtime(row.due_at).isoformat() if row.state == DeliveryState.DUE else None


class _UrlField(Text):
    """The address of a receiver."""

    def to_internal_value(self, data: Any) -> str:
        """The address, or a validation error that says what is wrong with it."""
        try:
            return webhooks.check_url(super().to_internal_value(data))
        except Refused as refused:
            raise serializers.ValidationError(refused.detail) from refused


def _types() -> serializers.ListField:
    return serializers.ListField(
        child=serializers.ChoiceField(TYPES),
        required=False,
        max_length=len(TYPES),
        help_text="The events that it gets. Without it, or with an empty list: all.",
    )


class NewWebhookSerializer(StrictSerializer):
    """A new webhook."""

    url = _UrlField(max_length=URL_CHARS_MAX, help_text="An https address with a public host.")
    types = _types()


class WebhookChangeSerializer(StrictSerializer):
    """What changes. Members that are not sent stay as they are."""

    url = _UrlField(max_length=URL_CHARS_MAX, required=False)
    types = _types()
    enabled = serializers.BooleanField(
        required=False, help_text="false: it gets nothing. true: it goes on where it stopped."
    )


@extend_schema_serializer(component_name="WebhookRotate")
class RotateSerializer(StrictSerializer):
    """How long the present secret stays valid beside the new one."""

    keep_s = WholeNumber(
        min_value=0,
        max_value=int(webhooks.KEPT_SECRET_MAX.total_seconds()),
        default=int(webhooks.KEPT_SECRET.total_seconds()),
        help_text="Seconds. 0: all earlier secrets end at once. While an earlier one still signs, only 0 is possible.",
    )


@extend_schema_serializer(component_name="WebhookResend")
class ResendSerializer(StrictSerializer):
    """From when events are sent again."""

    since = Instant(help_text="A time in the last 30 days, with an offset.")


class DeliveryFiltersSerializer(PageSerializer):
    """Query parameters that select deliveries, and the page."""

    state = serializers.ChoiceField([state.value for state in DeliveryState], required=False)


class _WebhookView(PartnerView):
    """Base of the views of webhooks."""

    def _find(self, id_: UUID) -> Webhook:
        return webhooks.find(channel=self.partner.channel, id_=id_)

    @property
    def _by(self) -> str:
        return f"channel:{self.partner.channel}"

    def _once(self, request: Request, act: Callable[[int], dict[str, Any]]) -> Response:
        """Runs `act` once for the request's key. Another webhook, secret or message would be an effect of its own."""
        return run_once(request, self.partner, act, one_commit=True)

    def _with_secret(self, response: Response) -> Response:
        """Adds the secret to the answer. The answer that is kept for the key has none, because it is not encrypted."""
        row = Webhook.objects.filter(channel=self.partner.channel, pk=response.data["id"]).first()
        response.data = {**response.data, "secret": webhooks.secret_of(row) if row else ""}
        return response


class WebhookList(_WebhookView):
    """All webhooks of the channel."""

    form = NewWebhookSerializer
    limit_of_writes = limits.CHANGES

    @extend_schema(operation_id="listWebhooks", responses=WebhookListSerializer)
    def get(self, request: Request) -> Response:  # noqa: ARG002 - the framework's signature
        """All webhooks of the channel."""
        rows = Webhook.objects.filter(channel=self.partner.channel).order_by("made_at", "pk")
        return Response({"results": WebhookSerializer(rows, many=True).data})

    @extend_schema(
        operation_id="addWebhook",
        parameters=[KEY],
        request=NewWebhookSerializer,
        responses={201: WebhookWithSecretSerializer},
    )
    def post(self, request: Request) -> Response:
        """Adds an address that gets the events of the channel from now on. Keep the secret: it is not shown again."""

        def act(_call: int) -> dict[str, Any]:
            values = self.values
            row = webhooks.make(
                channel=self.partner.channel, url=values["url"], types=values.get("types", []), by=self._by
            )
            return dict(WebhookSerializer(row).data)

        response = self._with_secret(self._once(request, act))
        response.status_code = 201
        return response


class WebhookDetail(_WebhookView):
    """One webhook."""

    form = WebhookChangeSerializer
    limit_of_writes = limits.CHANGES

    @extend_schema(operation_id="readWebhook", responses=WebhookSerializer)
    def get(self, request: Request, id: UUID) -> Response:  # noqa: A002, ARG002 - the URL names the parameter
        """One webhook."""
        return Response(WebhookSerializer(self._find(id)).data)

    @extend_schema(operation_id="changeWebhook", request=WebhookChangeSerializer, responses=WebhookSerializer)
    def patch(self, request: Request, id: UUID) -> Response:  # noqa: A002, ARG002
        """Changes the address or the types, or switches the webhook off or on. Safe to repeat, so it needs no key."""
        return Response(WebhookSerializer(webhooks.change(webhook=self._find(id), by=self._by, **self.values)).data)

    @extend_schema(operation_id="deleteWebhook", responses={204: None})
    def delete(self, request: Request, id: UUID) -> Response:  # noqa: A002, ARG002
        """Deletes the webhook and its log."""
        webhooks.remove(webhook=self._find(id), by=self._by)
        return Response(status=204)


class RotateWebhook(_WebhookView):
    """Another secret."""

    form = RotateSerializer
    limit_of_writes = limits.CHANGES

    @extend_schema(
        operation_id="rotateWebhookSecret",
        parameters=[KEY],
        request=RotateSerializer,
        responses=WebhookWithSecretSerializer,
    )
    def post(self, request: Request, id: UUID) -> Response:  # noqa: A002
        """Makes a new secret. Until the previous one ends, messages have a signature of each."""

        def act(_call: int) -> dict[str, Any]:
            keep = timedelta(seconds=self.values["keep_s"])
            return dict(WebhookSerializer(webhooks.rotate(webhook=self._find(id), by=self._by, keep=keep)).data)

        return self._with_secret(self._once(request, act))


class TestWebhook(_WebhookView):
    """A message to try a receiver."""

    @extend_schema(operation_id="testWebhook", parameters=[KEY], request=None, responses=DeliverySerializer)
    def post(self, request: Request, id: UUID) -> Response:  # noqa: A002
        """Sends a message of the type `webhook.test` within some seconds. Read the deliveries to see your answer."""

        def act(_call: int) -> dict[str, Any]:
            return dict(DeliverySerializer(webhooks.send_test(webhook=self._find(id))).data)

        return self._once(request, act)


class ResendWebhook(_WebhookView):
    """Events once more."""

    form = ResendSerializer

    @extend_schema(operation_id="resendEvents", parameters=[KEY], request=ResendSerializer, responses=WebhookSerializer)
    def post(self, request: Request, id: UUID) -> Response:  # noqa: A002
        """Sends all events since a time again, the oldest first, each with the same id as before."""

        def act(_call: int) -> dict[str, Any]:
            row = webhooks.resend_since(webhook=self._find(id), since=self.values["since"])
            return dict(WebhookSerializer(row).data)

        return self._once(request, act)


class DeliveryList(_WebhookView):
    """The log of a webhook."""

    pagination_class = CursorPages
    query = DeliveryFiltersSerializer

    @extend_schema(
        operation_id="listDeliveries", parameters=[DeliveryFiltersSerializer], responses=DeliverySerializer(many=True)
    )
    def get(self, request: Request, id: UUID) -> Response:  # noqa: A002
        """What went to the webhook in the last 30 days, or is on its way, the newest first."""
        rows = self._find(id).deliveries.all()
        if "state" in self.parameters:
            rows = rows.filter(state=self.parameters["state"])
        pages = self.pagination_class()
        page = pages.paginate_queryset(rows, request, self)
        return pages.get_paginated_response(DeliverySerializer(page, many=True).data)


class ResendDelivery(_WebhookView):
    """One delivery once more."""

    @extend_schema(operation_id="resendDelivery", parameters=[KEY], request=None, responses=DeliverySerializer)
    def post(self, request: Request, id: UUID, delivery: int) -> Response:  # noqa: A002
        """Sends one message again, with the same id."""

        def act(_call: int) -> dict[str, Any]:
            return dict(DeliverySerializer(webhooks.resend(webhook=self._find(id), delivery=delivery)).data)

        return self._once(request, act)
