"""The API keys of partners: made and shown once, changed, revoked; and which of them end soon."""

from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from flashsale.admin.action_page import Action, ReadOnlyAdmin
from flashsale.admin.inline import ReadOnlyInline
from flashsale.admin.labels import local_time
from flashsale.admin.sale_forms import ZonedDateTimeField
from flashsale.life.sandbox import sandbox_channel
from flashsale.models import Channel, PartnerKey
from flashsale.models.partner_key import KEYS_MAX, PartnerKeys, known_networks
from flashsale.rules.key_rights import ALL, KeyScope, scopes_in

ENDS_SOON = timedelta(days=14)
SCOPE_LABELS = {
    KeyScope.READ: gettext_lazy("read: reservations and events"),
    KeyScope.ENTER: gettext_lazy("enter: places in the lines"),
    KeyScope.RESERVE: gettext_lazy("reserve: hold units and give them back"),
    KeyScope.PAY: gettext_lazy("pay: confirm, cancel, refund"),
    KeyScope.MANAGE: gettext_lazy("manage: rotate the key"),
}


def ending_keys() -> PartnerKeys:
    """The active keys that end within ENDS_SOON, the first to end first."""
    soon = PartnerKey.objects.active().filter(expires_at__lt=timezone.now() + ENDS_SOON)
    return soon.select_related("channel__campaign").order_by("expires_at")


class RightsForm(forms.Form):
    """What a key may do, from where, and until when."""

    scopes = forms.MultipleChoiceField(
        label=gettext_lazy("may"),
        choices=list(SCOPE_LABELS.items()),
        widget=forms.CheckboxSelectMultiple,
        required=False,
        help_text=gettext_lazy("Nothing chosen: everything, also what comes with later versions."),
    )
    networks = forms.CharField(
        label=gettext_lazy("only from"),
        max_length=400,
        required=False,
        validators=[known_networks],
        help_text=PartnerKey._meta.get_field("networks").help_text,  # noqa: SLF001
    )
    expires_at = ZonedDateTimeField(
        label=gettext_lazy("ends"),
        required=False,
        help_text=gettext_lazy("Empty: never. The first page of the admin warns two weeks before."),
    )

    def __init__(self, data: Any, *, channel: Channel, key: PartnerKey | None = None) -> None:
        super().__init__(data)
        ends = self.fields["expires_at"]
        assert isinstance(ends, ZonedDateTimeField)
        ends.zone = channel.campaign.zone
        if key:
            self.initial = {
                "scopes": [] if key.scopes == ALL else sorted(scopes_in(key.scopes)),
                "networks": key.networks,
                "expires_at": key.expires_at,
            }

    def clean_scopes(self) -> str:
        """The scopes as the model has them."""
        return ",".join(self.cleaned_data["scopes"]) or ALL

    def clean_expires_at(self) -> datetime | None:
        """Raises ValidationError for a time that is over."""
        ends: datetime | None = self.cleaned_data["expires_at"]
        if ends and ends <= timezone.now():
            raise ValidationError(_("This time is over. Choose a later one, or revoke the key."))
        return ends


class MakeKey(Action):
    """Makes a Bearer key for a partner and shows it once, with its signing secret."""

    name = "make-key"
    needs_proof = True
    title = gettext_lazy("Make a key")
    permission = "flashsale.add_partnerkey"

    def is_available(self, row: Channel) -> bool:
        """For a channel with a server that calls the API, and fewer than KEYS_MAX active keys."""
        return row.has_keys and row.keys.active().count() < KEYS_MAX

    def consequences(self, rows: Any) -> list[str]:
        """The key is shown once."""
        return [
            _("A key for %(channel)s is made and shown once, on the next page. Only its hash is kept.")
            % {"channel": rows[0].name},
            _("The secret that signs its requests is shown there too. It is kept encrypted."),
            _("A channel may have two active keys, so that a partner can change keys without an interruption."),
        ]

    def build_form(self, rows: Any, data: Any) -> forms.Form:
        """Scopes, networks and end."""
        return RightsForm(data, channel=rows[0])

    def shown_values(self, row: Channel) -> Any:
        """The keys of the channel: a second click of one page would make a second key, and show only that one."""
        return list(row.keys.order_by("pk").values_list("pk", flat=True))

    def perform(self, *, row: Channel, request: HttpRequest, data: dict[str, Any]) -> HttpResponse:
        """Returns the page with the key. A Django message would leave the key in a cookie."""
        stored, key = PartnerKey.make(row, by=request.user, **data)
        context = {
            **admin.site.each_context(request),
            "title": _("The new key"),
            "key": key,
            "secret": PartnerKey.secret_in(stored.sealed),
            "stored": stored,
            "channel": row,
        }
        return TemplateResponse(request, "admin/flashsale/key.html", context)


class MakeTestKey(MakeKey):
    """Makes a Bearer key of the partner's sandbox."""

    name = "make-test-key"
    title = gettext_lazy("Make a test key")

    def is_available(self, row: Channel) -> bool:
        """For a partner's channel whose sandbox has fewer than KEYS_MAX active keys."""
        if row.kind != Channel.Kind.PARTNER or row.campaign.is_test:
            return False
        return PartnerKey.objects.active().filter(channel__campaign__sandbox_of=row).count() < KEYS_MAX

    def consequences(self, rows: Any) -> list[str]:
        """The key is shown once, and it is for test sales."""
        return [
            _("A test key for %(channel)s is made and shown once, on the next page. It works in test sales only.")
            % {"channel": rows[0].name},
            _("Its test sales sell nothing, take no money, write to no person, and are deleted after a day."),
        ]

    def shown_values(self, row: Channel) -> Any:
        """The test keys of the partner."""
        keys = PartnerKey.objects.filter(channel__campaign__sandbox_of=row)
        return list(keys.order_by("pk").values_list("pk", flat=True))

    def perform(self, *, row: Channel, request: HttpRequest, data: dict[str, Any]) -> HttpResponse:
        """Returns the page with the key."""
        return super().perform(row=sandbox_channel(row, by=request.user), request=request, data=data)


class ChangeKey(Action):
    """Changes what a key may do."""

    name = "change-rights"
    needs_proof = True
    title = gettext_lazy("Change what it may do")
    permission = "flashsale.change_partnerkey"

    def is_available(self, row: PartnerKey) -> bool:
        """For a key that is not revoked. A key that has ended may get a later end."""
        return row.revoked_at is None

    def consequences(self, rows: Any) -> list[str]:  # noqa: ARG002
        """When the change takes effect."""
        return [_("The change takes effect within five seconds.")]

    def build_form(self, rows: Any, data: Any) -> forms.Form:
        """Scopes, networks and end, as they are now."""
        return RightsForm(data, channel=rows[0].channel, key=rows[0])

    def shown_values(self, row: PartnerKey) -> Any:
        """The present rights: another person may have changed them."""
        return [row.scopes, row.networks, str(row.expires_at)]

    def perform(self, *, row: PartnerKey, request: HttpRequest, data: dict[str, Any]) -> str:
        """Stores the rights. Raises ValidationError if a third key would become active again."""
        row.change_rights(by=request.user, **data)
        return _("The key %(key)s is changed.") % {"key": row}


class RevokeKey(Action):
    """Ends a partner's key."""

    name = "revoke"
    title = gettext_lazy("Revoke")
    permission = "flashsale.change_partnerkey"
    bulk = True

    def is_available(self, row: PartnerKey) -> bool:
        """For an active key."""
        return row.revoked_at is None

    def consequences(self, rows: Any) -> list[str]:  # noqa: ARG002
        """When the key stops working."""
        return [
            _("Within five seconds, requests with this key are refused. This cannot be undone. You can make a new key.")
        ]

    def perform(self, *, row: PartnerKey, request: HttpRequest, data: dict[str, Any]) -> str:  # noqa: ARG002
        """Raises ValidationError for a key that is revoked already, which keeps its first time."""
        if not row.revoke(by=request.user):
            raise ValidationError(_("This key was revoked before."))
        return _("The key %(key)s is revoked.") % {"key": row}


class KeyTimes(admin.options.BaseModelAdmin):
    """The times of a key in the campaign's zone, with the name of the zone."""

    @admin.display(description=gettext_lazy("made"), ordering="made_at")
    def made(self, key: PartnerKey) -> str:
        """When it was made."""
        return local_time(key.made_at, key.channel.campaign.zone)

    @admin.display(description=gettext_lazy("ends"), ordering="expires_at")
    def ends(self, key: PartnerKey) -> str:
        """When it ends; a dash for a key without an end."""
        return local_time(key.expires_at, key.channel.campaign.zone)

    @admin.display(description=gettext_lazy("last used"), ordering="last_used_at")
    def last_used(self, key: PartnerKey) -> str:
        """When it was last used, to the minute."""
        return local_time(key.last_used_at, key.channel.campaign.zone)

    @admin.display(description=gettext_lazy("revoked"), ordering="revoked_at")
    def revoked(self, key: PartnerKey) -> str:
        """When it was revoked; a dash for an active key."""
        return local_time(key.revoked_at, key.channel.campaign.zone)

    @admin.display(description=gettext_lazy("signs"), boolean=True)
    def signs(self, key: PartnerKey) -> bool:
        """Whether the key has a signing secret."""
        return bool(key.sealed)


class KeyInline(KeyTimes, ReadOnlyInline):
    """A channel's keys, read only. The link of a row leads to the key's page, where it can be changed and revoked."""

    model = PartnerKey
    fields = readonly_fields = ("prefix", "scopes", "networks", "made", "ends", "last_used", "revoked")
    show_change_link = True


@admin.register(PartnerKey)
class PartnerKeyAdmin(KeyTimes, ReadOnlyAdmin):
    """Partners' keys. A key is made on its channel's page, and changed and revoked here."""

    list_display = ["prefix", "channel", "scopes", "made", "ends", "last_used", "revoked"]
    list_filter = ["channel__campaign", "channel"]
    list_select_related = ["channel__campaign"]
    fields = [
        "channel", "prefix", "scopes", "networks", "signs", "replaces", "made", "ends", "last_used", "revoked",
    ]  # fmt: skip
    row_actions = (ChangeKey(), RevokeKey())
