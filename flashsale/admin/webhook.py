"""Webhooks of partners and their log. A webhook is added on its channel's page."""

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from flashsale.admin.action_page import Action, ReadOnlyAdmin
from flashsale.admin.labels import local_time, state_label
from flashsale.admin.list_filters import PeriodFilter
from flashsale.life import webhooks
from flashsale.models import Channel, Delivery, Webhook
from flashsale.rules.events import EventType
from flashsale.rules.outcomes import Refused
from flashsale.rules.states import DeliveryState
from flashsale.rules.webhooks import URL_CHARS_MAX


class WebhookForm(forms.Form):
    """The address of a receiver, and what it gets."""

    address = forms.CharField(label=gettext_lazy("address"), max_length=URL_CHARS_MAX)
    types = forms.MultipleChoiceField(
        label=gettext_lazy("types of events"),
        required=False,
        choices=[(type_.value, type_.value) for type_ in EventType],
        help_text=gettext_lazy("Choose none for all."),
    )

    def clean_address(self) -> str:
        """The address, if a webhook may have it."""
        try:
            return webhooks.check_url(self.cleaned_data["address"])
        except Refused as refused:
            raise ValidationError(refused.detail) from refused


def _secret_page(request: HttpRequest, row: Webhook) -> HttpResponse:
    """The page with the secret. A Django message would leave it in a cookie."""
    context = {
        **admin.site.each_context(request),
        "title": _("The secret of the webhook"),
        "secret": webhooks.secret_of(row),
        "webhook": row,
    }
    return TemplateResponse(request, "admin/flashsale/webhook_secret.html", context)


class AddWebhook(Action):
    """Adds an address that gets the events of a channel."""

    name = "add-webhook"
    needs_proof = True
    title = gettext_lazy("Add a webhook")
    permission = "flashsale.add_webhook"

    def is_available(self, row: Channel) -> bool:
        """For a partner with fewer than WEBHOOKS_MAX webhooks."""
        return row.kind == Channel.Kind.PARTNER and row.webhooks.count() < webhooks.WEBHOOKS_MAX

    def consequences(self, rows: Any) -> list[str]:
        """What it gets, and that the secret is shown once."""
        return [
            _("The address gets what happens in the channel %(channel)s from now on.") % {"channel": rows[0].name},
            _("The secret that signs the messages is shown once, on the next page. The partner needs it."),
        ]

    def build_form(self, rows: Any, data: Any) -> forms.Form:  # noqa: ARG002
        """The address and the types."""
        return WebhookForm(data)

    def shown_values(self, row: Channel) -> Any:
        """The webhooks that the channel has, so that a second click of one page adds no second one."""
        return sorted(str(pk) for pk in row.webhooks.values_list("pk", flat=True))

    def perform(self, *, row: Channel, request: HttpRequest, data: dict[str, Any]) -> HttpResponse:
        """Returns the page with the secret."""
        made = webhooks.make(channel=row.pk, url=data["address"], types=data["types"], by=request.user)
        return _secret_page(request, made)


class _WebhookAction(Action):
    """An action on a webhook."""

    permission = "flashsale.change_webhook"

    def is_available(self, row: Webhook) -> bool:
        """For a webhook that is not switched off."""
        return not row.off


class ChangeWebhook(_WebhookAction):
    """Another address, or other types."""

    name = "change-webhook"
    needs_proof = True
    title = gettext_lazy("Change")

    def is_available(self, row: Webhook) -> bool:  # noqa: ARG002
        """Always."""
        return True

    def consequences(self, rows: Any) -> list[str]:  # noqa: ARG002
        """Where waiting messages go."""
        return [_("Messages that wait go to the new address. The secret stays the same.")]

    def build_form(self, rows: Any, data: Any) -> forms.Form:
        """The address and the types."""
        return WebhookForm(data, initial={"address": rows[0].url, "types": rows[0].types})

    def perform(self, *, row: Webhook, request: HttpRequest, data: dict[str, Any]) -> str:
        """Changes it."""
        webhooks.change(webhook=row, by=request.user, url=data["address"], types=data["types"])
        return _("The webhook is changed.")


class SwitchOff(_WebhookAction):
    """On → off."""

    name = "switch-off"
    title = gettext_lazy("Switch off")

    def consequences(self, rows: Any) -> list[str]:  # noqa: ARG002
        """What the partner can still do."""
        return [_("The address gets nothing until staff switch it on. The partner can still read its events.")]

    def perform(self, *, row: Webhook, request: HttpRequest, data: dict[str, Any]) -> str:  # noqa: ARG002
        """Switches it off."""
        webhooks.change(webhook=row, by=request.user, enabled=False)
        return _("The webhook is switched off.")


class SwitchOn(_WebhookAction):
    """Off → on."""

    name = "switch-on"
    title = gettext_lazy("Switch on")

    def is_available(self, row: Webhook) -> bool:
        """For a webhook that is switched off."""
        return bool(row.off)

    def consequences(self, rows: Any) -> list[str]:  # noqa: ARG002
        """Where it goes on."""
        return [_("It goes on where it stopped, with the events of the last 30 days.")]

    def perform(self, *, row: Webhook, request: HttpRequest, data: dict[str, Any]) -> str:  # noqa: ARG002
        """Switches it on."""
        webhooks.change(webhook=row, by=request.user, enabled=True)
        return _("The webhook is switched on.")


class RotateForm(forms.Form):
    """Whether the present secrets end at once."""

    at_once = forms.BooleanField(
        label=gettext_lazy("end the present secrets at once"),
        required=False,
        help_text=gettext_lazy("For a stolen secret. The receiver refuses all messages until it has the new secret."),
    )


class Rotate(_WebhookAction):
    """Another secret."""

    name = "rotate"
    needs_proof = True
    title = gettext_lazy("Make another secret")

    def consequences(self, rows: Any) -> list[str]:
        """How long the present secret stays valid."""
        texts = [
            _("Messages have a signature of both secrets for a day. Then the present secret ends."),
            _("The new secret is shown once, on the next page. The partner needs it."),
        ]
        ends, zone = rows[0].previous_until, rows[0].channel.campaign.zone
        if ends and ends > timezone.now():
            text = _(
                "An earlier secret signs until %(until)s. Until then you can only end all present secrets at once."
            )
            texts.append(text % {"until": local_time(ends, zone)})
        return texts

    def build_form(self, rows: Any, data: Any) -> forms.Form:  # noqa: ARG002
        """Whether the present secrets end at once."""
        return RotateForm(data)

    def shown_values(self, row: Webhook) -> Any:
        """The present secrets: a second click of one page would end the secret that the partner's receiver has."""
        return [row.sealed]

    def perform(self, *, row: Webhook, request: HttpRequest, data: dict[str, Any]) -> HttpResponse:
        """Returns the page with the secret."""
        keep = timedelta(0) if data["at_once"] else webhooks.KEPT_SECRET
        return _secret_page(request, webhooks.rotate(webhook=row, by=request.user, keep=keep))


class SendTest(_WebhookAction):
    """A message to try the receiver."""

    name = "test"
    title = gettext_lazy("Send a test message")

    def consequences(self, rows: Any) -> list[str]:  # noqa: ARG002
        """What is sent."""
        return [_("A message of the type webhook.test goes out within some seconds. The deliveries show the answer.")]

    def shown_values(self, row: Webhook) -> Any:
        """The newest test message: a second click of one page would send another one."""
        return row.deliveries.filter(event=None).order_by("pk").values_list("pk", flat=True).last()

    def perform(self, *, row: Webhook, request: HttpRequest, data: dict[str, Any]) -> str:  # noqa: ARG002
        """Sends it."""
        webhooks.send_test(webhook=row)
        return _("The test message is due.")


class SinceForm(forms.Form):
    """From when events are sent again."""

    hours = forms.IntegerField(label=gettext_lazy("hours back"), min_value=1, max_value=30 * 24 - 1)


class ResendSince(_WebhookAction):
    """Events once more."""

    name = "resend-since"
    title = gettext_lazy("Send events again")

    def consequences(self, rows: Any) -> list[str]:  # noqa: ARG002
        """What is sent."""
        return [_("All events of these hours go out again, the oldest first. Each has the same id as before.")]

    def build_form(self, rows: Any, data: Any) -> forms.Form:  # noqa: ARG002
        """How many hours."""
        return SinceForm(data)

    def perform(self, *, row: Webhook, request: HttpRequest, data: dict[str, Any]) -> str:  # noqa: ARG002
        """Makes them due."""
        webhooks.resend_since(webhook=row, since=timezone.now() - timedelta(hours=data["hours"]))
        return _("The events are due again.")


class DeleteWebhook(_WebhookAction):
    """Deletes a webhook and its log."""

    name = "delete-webhook"
    title = gettext_lazy("Delete")
    permission = "flashsale.delete_webhook"

    def is_available(self, row: Webhook) -> bool:  # noqa: ARG002
        """Always."""
        return True

    def consequences(self, rows: Any) -> list[str]:  # noqa: ARG002
        """What is lost."""
        return [_("The address, its secret and its deliveries are deleted. The events stay.")]

    def perform(self, *, row: Webhook, request: HttpRequest, data: dict[str, Any]) -> HttpResponse:  # noqa: ARG002
        """Deletes it and returns to the list."""
        webhooks.remove(webhook=row, by=request.user)
        messages.success(request, _("The webhook is deleted."))
        return HttpResponseRedirect(reverse("admin:flashsale_webhook_changelist"))


@admin.register(Webhook)
class WebhookAdmin(ReadOnlyAdmin):
    """Addresses of partners that get events."""

    list_display = ["url", "channel", "state", "failing", "waiting"]
    list_filter = ["off", "channel__campaign"]
    list_select_related = ["channel__campaign"]
    fields = ["url", "channel", "type_names", "state", "failing", "failures", "paused", "previous", "waiting", "made"]
    row_actions = (
        ChangeWebhook(), SwitchOff(), SwitchOn(), Rotate(), SendTest(), ResendSince(), DeleteWebhook(),
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> Any:
        """Adds how many deliveries of each webhook are not done."""
        due = Count("deliveries", filter=Q(deliveries__state=DeliveryState.DUE))
        return super().get_queryset(request).annotate(waiting_count=due)

    @admin.display(description=gettext_lazy("types of events"))
    def type_names(self, row: Webhook) -> str:
        """The types, or that it gets all."""
        return ", ".join(row.types) or _("all")

    @admin.display(description=gettext_lazy("state"), ordering="off")
    def state(self, row: Webhook) -> str:
        """Whether it is on, or why it is off and since when."""
        if not row.off:
            return _("on")
        return f"{state_label(row.off)} ({local_time(row.off_at, row.channel.campaign.zone)})"

    @admin.display(description=gettext_lazy("failing since"), ordering="failing_since")
    def failing(self, row: Webhook) -> str:
        """Since when it has taken nothing."""
        return local_time(row.failing_since, row.channel.campaign.zone)

    @admin.display(description=gettext_lazy("paused until"))
    def paused(self, row: Webhook) -> str:
        """Until when it gets nothing."""
        return local_time(row.paused_until, row.channel.campaign.zone)

    @admin.display(description=gettext_lazy("previous secret valid until"))
    def previous(self, row: Webhook) -> str:
        """Until when messages have two signatures."""
        return local_time(row.previous_until, row.channel.campaign.zone)

    @admin.display(description=gettext_lazy("made"), ordering="made_at")
    def made(self, row: Webhook) -> str:
        """When it was made."""
        return local_time(row.made_at, row.channel.campaign.zone)

    @admin.display(description=gettext_lazy("deliveries that wait"))
    def waiting(self, row: Webhook) -> int:
        """How many deliveries are not done."""
        return int(getattr(row, "waiting_count", 0))


class SendDeliveryAgain(Action):
    """Any state → due."""

    name = "send-again"
    title = gettext_lazy("Send again")
    permission = "flashsale.change_webhook"
    bulk = True

    def is_available(self, row: Delivery) -> bool:
        """For every delivery of a webhook that is not switched off."""
        return not row.webhook.off

    def consequences(self, rows: Any) -> list[str]:  # noqa: ARG002
        """What is sent."""
        return [_("The same messages go out again within some seconds, with the same ids.")]

    def perform(self, *, row: Delivery, request: HttpRequest, data: dict[str, Any]) -> str:  # noqa: ARG002
        """Makes it due."""
        webhooks.resend(webhook=row.webhook, delivery=row.pk)
        return _("The message is due again.")


@admin.register(Delivery)
class DeliveryAdmin(ReadOnlyAdmin):
    """The log of webhooks: events on their way, the newest first."""

    list_display = [
        "made",
        "webhook",
        "type",
        "message",
        "state_name",
        "attempts",
        "status",
        "reason",
        "took_ms",
        "due",
    ]
    list_per_page = 50
    list_filter = ["state", "failure", PeriodFilter.of("made_at"), "webhook"]
    list_select_related = ["webhook__channel__campaign"]
    search_fields = ["subject__startswith"]
    show_full_result_count = False
    ordering = ["-pk"]
    fields = [
        "webhook", "type", "message", "subject", "state_name", "attempts", "made", "due", "tried", "status", "reason",
        "took_ms", "answer",
    ]  # fmt: skip
    row_actions = (SendDeliveryAgain(),)

    @admin.display(description=gettext_lazy("message"), ordering="event")
    def message(self, row: Delivery) -> str:
        """The header webhook-id."""
        return row.message_id

    @admin.display(description=gettext_lazy("state"), ordering="state")
    def state_name(self, row: Delivery) -> str:
        """The state in the reader's language."""
        return state_label(row.state)

    @admin.display(description=gettext_lazy("why it failed"), ordering="failure")
    def reason(self, row: Delivery) -> str:
        """Why the last try failed; a dash if it did not."""
        return state_label(row.failure) if row.failure else "–"

    @admin.display(description=gettext_lazy("made"), ordering="made_at")
    def made(self, row: Delivery) -> str:
        """When the delivery was made."""
        return local_time(row.made_at, row.webhook.channel.campaign.zone)

    @admin.display(description=gettext_lazy("next attempt"), ordering="due_at")
    def due(self, row: Delivery) -> str:
        """When it is tried next; a dash if it is done."""
        return local_time(row.due_at if row.state == DeliveryState.DUE else None, row.webhook.channel.campaign.zone)

    @admin.display(description=gettext_lazy("last attempt"), ordering="tried_at")
    def tried(self, row: Delivery) -> str:
        """When it was tried last."""
        return local_time(row.tried_at, row.webhook.channel.campaign.zone)
