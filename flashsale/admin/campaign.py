"""Campaigns with their axes and channels, and the API keys of partners."""

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db import models
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from flashsale.admin.action_page import Action, ActionAdmin, ReadOnlyAdmin
from flashsale.admin.inline import EditedInline, ReadOnlyInline
from flashsale.admin.labels import local_time
from flashsale.life.sandbox import sandbox_channel
from flashsale.models import Campaign, CampaignAxis, Channel, PartnerKey
from flashsale.models.campaign import zone_name
from flashsale.models.frozen import Frozen
from flashsale.models.partner_key import KEYS_MAX

HTTPS_URLS: dict[Any, Any] = {models.URLField: {"assume_scheme": "https"}}


def is_frozen(campaign: Campaign | None) -> bool:
    """Whether a sale of the campaign was published: the publication freezes its fields and axes."""
    return campaign is not None and campaign.is_frozen


def shown_frozen(model: type[Frozen]) -> list[str]:
    """The frozen fields that pages show."""
    return [name for name in model.frozen_fields() if model._meta.get_field(name).editable]  # noqa: SLF001


class MakeKey(Action):
    """Makes a Bearer key for a partner and shows it once."""

    name = "make-key"
    title = gettext_lazy("Make a key")
    permission = "flashsale.add_partnerkey"

    def is_available(self, row: Channel) -> bool:
        """For a partner with fewer than KEYS_MAX active keys. The own page does not call the API."""
        return row.kind == Channel.Kind.PARTNER and row.keys.filter(revoked_at=None).count() < KEYS_MAX

    def consequences(self, rows: Any) -> list[str]:
        """The key is shown once."""
        return [
            _("A key for %(channel)s is made and shown once, on the next page. Only its hash is kept.")
            % {"channel": rows[0].name},
            _("A channel may have two active keys, so that a partner can change keys without an interruption."),
        ]

    def perform(self, *, row: Channel, request: HttpRequest, data: dict[str, Any]) -> HttpResponse:  # noqa: ARG002
        """Returns the page with the key. A Django message would leave the key in a cookie."""
        stored, key = PartnerKey.make(row, by=request.user)
        context = {
            **admin.site.each_context(request),
            "title": _("The new key"),
            "key": key,
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
        keys = PartnerKey.objects.filter(channel__campaign__sandbox_of=row, revoked_at=None)
        return keys.count() < KEYS_MAX

    def consequences(self, rows: Any) -> list[str]:
        """The key is shown once, and it is for test sales."""
        return [
            _("A test key for %(channel)s is made and shown once, on the next page. It works in test sales only.")
            % {"channel": rows[0].name},
            _("Its test sales sell nothing, take no money, write to no person, and are deleted after a day."),
        ]

    def perform(self, *, row: Channel, request: HttpRequest, data: dict[str, Any]) -> HttpResponse:
        """Returns the page with the key."""
        return super().perform(row=sandbox_channel(row, by=request.user), request=request, data=data)


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


class AxisInline(EditedInline):
    """The campaign's axes. They cannot change after the first publication."""

    model = CampaignAxis

    def has_add_permission(self, request: HttpRequest, obj: Campaign | None = None) -> bool:
        """False for a frozen campaign."""
        return not is_frozen(obj) and super().has_add_permission(request, obj)

    def has_change_permission(self, request: HttpRequest, obj: Campaign | None = None) -> bool:
        """False for a frozen campaign."""
        return not is_frozen(obj) and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Campaign | None = None) -> bool:
        """False for a frozen campaign."""
        return not is_frozen(obj) and super().has_delete_permission(request, obj)


class ChannelForm(forms.ModelForm):
    """The form of a channel. It shows its fields, but does not read them, once a published sale uses the channel."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.is_frozen:
            for name in {*Channel.frozen_fields()} & self.fields.keys():
                self.fields[name].disabled = True

    def clean_entries_max(self) -> int:
        """0 for an empty field."""
        return self.cleaned_data["entries_max"] or 0


class ChannelInline(EditedInline):
    """The campaign's channels. The link of a row leads to the channel's page, which has its keys."""

    model = Channel
    form = ChannelForm
    formfield_overrides = HTTPS_URLS
    show_change_link = True

    def has_delete_permission(self, request: HttpRequest, obj: Campaign | None = None) -> bool:
        """False for a frozen campaign."""
        return not is_frozen(obj) and super().has_delete_permission(request, obj)


class KeyTimes(admin.options.BaseModelAdmin):
    """The times of a key in the campaign's zone, with the name of the zone."""

    @admin.display(description=gettext_lazy("made"), ordering="made_at")
    def made(self, key: PartnerKey) -> str:
        """When it was made."""
        return local_time(key.made_at, key.channel.campaign.zone)

    @admin.display(description=gettext_lazy("revoked"), ordering="revoked_at")
    def revoked(self, key: PartnerKey) -> str:
        """When it was revoked; a dash for an active key."""
        return local_time(key.revoked_at, key.channel.campaign.zone)


class KeyInline(KeyTimes, ReadOnlyInline):
    """A channel's keys, read only. The link of a row leads to the key's page, where it can be revoked."""

    model = PartnerKey
    fields = readonly_fields = ("prefix", "made", "revoked")
    show_change_link = True


class TimeZoneField(forms.CharField):
    """A time zone by its IANA name, or by its Indonesian abbreviation: WIB, WITA, WIT."""

    def to_python(self, value: Any) -> str:
        """The IANA name. The model refuses what is no time zone."""
        return zone_name(super().to_python(value) or "")


@admin.register(Campaign)
class CampaignAdmin(ActionAdmin):
    """Campaigns: a campaign is one product launch."""

    list_display = ["name", "code", "time_zone", "currency", "limit", "code_countries", "frozen"]
    search_fields = ["name", "code"]
    inlines = [AxisInline, ChannelInline]

    @admin.display(description=gettext_lazy("frozen since"), ordering="frozen_at")
    def frozen(self, campaign: Campaign) -> str:
        """The time of the first publication, in the campaign's zone."""
        return local_time(campaign.frozen_at, campaign.zone)

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Reads the time zone as people write it."""
        if db_field.name == "time_zone":
            kwargs["form_class"] = TimeZoneField
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def get_readonly_fields(self, request: HttpRequest, obj: Campaign | None = None) -> list[str]:  # noqa: ARG002
        """For a frozen campaign also the fields that the first publication froze: all of them."""
        return [*shown_frozen(Campaign), "frozen"] if is_frozen(obj) else ["frozen"]

    def edited_rows(self, row: Campaign) -> list[models.Model]:
        """The campaign, its axes and its channels."""
        return [*super().edited_rows(row), *CampaignAxis.objects.filter(campaign=row), *row.channels.all()]

    def has_delete_permission(self, request: HttpRequest, obj: Campaign | None = None) -> bool:
        """False for a frozen campaign."""
        return not is_frozen(obj) and super().has_delete_permission(request, obj)


@admin.register(Channel)
class ChannelAdmin(ActionAdmin):
    """Channels with their keys."""

    form = ChannelForm
    formfield_overrides = HTTPS_URLS
    list_display = ["name", "code", "kind", "campaign"]
    list_filter = ["campaign", "kind"]
    readonly_fields = ["campaign"]
    inlines = [KeyInline]
    row_actions = (MakeKey(), MakeTestKey())

    def has_change_permission(self, request: HttpRequest, obj: Channel | None = None) -> bool:
        """False once a published sale uses the channel."""
        return not (obj and obj.is_frozen) and super().has_change_permission(request, obj)

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002
        """Always False: a channel is added on its campaign's page."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Channel | None = None) -> bool:
        """False for a channel of a frozen campaign."""
        return not (obj and is_frozen(obj.campaign)) and super().has_delete_permission(request, obj)


@admin.register(PartnerKey)
class PartnerKeyAdmin(KeyTimes, ReadOnlyAdmin):
    """Partners' keys. A key is made on its channel's page and revoked here."""

    list_display = ["prefix", "channel", "made", "revoked"]
    list_filter = ["channel__campaign", "channel"]
    list_select_related = ["channel__campaign"]
    fields = ["channel", "prefix", "made", "revoked"]
    row_actions = (RevokeKey(),)
