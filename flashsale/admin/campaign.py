"""Campaigns with their axes and channels, and the keys of partners."""

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db import models
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from flashsale.admin.inline import EditedInline, ReadOnlyInline
from flashsale.admin.step import ReadOnlyAdmin, Step, StepAdmin
from flashsale.admin.words import local
from flashsale.models import Campaign, CampaignAxis, Channel, PartnerKey
from flashsale.models.partner_key import KEYS_MAX
from flashsale.rules.states import SaleState

SECURE: dict[Any, Any] = {models.URLField: {"assume_scheme": "https"}}


def frozen(campaign: Campaign | None) -> bool:
    """Whether a sale of the campaign is published."""
    return campaign is not None and campaign.frozen_at is not None


class MakeKey(Step):
    """A new Bearer key, shown once."""

    name = "make-key"
    title = gettext_lazy("Make a key")
    permission = "flashsale.add_partnerkey"

    def offered(self, row: Channel) -> bool:
        """Partners call the API; our own page does not."""
        return row.kind == Channel.Kind.PARTNER and row.keys.filter(revoked_at=None).count() < KEYS_MAX

    def foretell(self, rows: Any) -> list[str]:
        """The key is seen once."""
        return [
            _("A key for %(channel)s is made and shown once, on the next page. Only its hash is kept.")
            % {"channel": rows[0].name},
            _("Two keys may be active, so that a partner can change over without a gap."),
        ]

    def take(self, *, row: Channel, request: HttpRequest, data: dict[str, Any]) -> HttpResponse:  # noqa: ARG002
        """The key goes into this answer and nowhere else: messages would leave it in a cookie."""
        stored, key = PartnerKey.make(row, by=request.user)
        context = {
            **admin.site.each_context(request),
            "title": _("The new key"),
            "key": key,
            "stored": stored,
            "channel": row,
        }
        return TemplateResponse(request, "admin/flashsale/key.html", context)


class RevokeKey(Step):
    """The end of a key."""

    name = "revoke"
    title = gettext_lazy("Revoke")
    permission = "flashsale.change_partnerkey"
    bulk = True

    def offered(self, row: PartnerKey) -> bool:
        """A key ends once."""
        return row.revoked_at is None

    def foretell(self, rows: Any) -> list[str]:  # noqa: ARG002
        """When it takes effect."""
        return [
            _("Requests with this key are refused within five seconds. This cannot be undone; a new key can be made.")
        ]

    def take(self, *, row: PartnerKey, request: HttpRequest, data: dict[str, Any]) -> str:  # noqa: ARG002
        """A second revocation keeps the time of the first."""
        if not row.revoke(by=request.user):
            raise ValidationError(_("This key was revoked before."))
        return _("The key %(key)s is revoked.") % {"key": row}


class AxisInline(EditedInline):
    """By what people are known; fixed with the first publication."""

    model = CampaignAxis

    def has_add_permission(self, request: HttpRequest, obj: Campaign | None = None) -> bool:
        """Not once frozen."""
        return not frozen(obj) and super().has_add_permission(request, obj)

    def has_change_permission(self, request: HttpRequest, obj: Campaign | None = None) -> bool:
        """Not once frozen."""
        return not frozen(obj) and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Campaign | None = None) -> bool:
        """Not once frozen."""
        return not frozen(obj) and super().has_delete_permission(request, obj)


class ChannelForm(forms.ModelForm):
    """A channel whose code and kind stand in a published sale keeps them."""

    def clean(self) -> dict[str, Any]:
        """Names the field that can no longer change."""
        data: dict[str, Any] = super().clean() or {}
        published = self.instance.pk and self.instance.allocations.exclude(sale__state=SaleState.DRAFT).exists()
        for field in {"code", "kind"} & set(self.changed_data) if published else ():
            self.add_error(field, _("A published sale names this channel: this can no longer change."))
        return data


class ChannelInline(EditedInline):
    """Channels; the link leads to a channel's keys."""

    model = Channel
    form = ChannelForm
    formfield_overrides = SECURE
    show_change_link = True

    def has_delete_permission(self, request: HttpRequest, obj: Campaign | None = None) -> bool:
        """Not once frozen."""
        return not frozen(obj) and super().has_delete_permission(request, obj)


class KeyInline(ReadOnlyInline):
    """A channel's keys, to look at; the link leads to where one is revoked."""

    model = PartnerKey
    fields = readonly_fields = ("prefix", "made_at", "revoked_at")
    show_change_link = True


@admin.register(Campaign)
class CampaignAdmin(StepAdmin):
    """A product launch."""

    list_display = ["name", "code", "time_zone", "currency", "limit", "frozen"]
    search_fields = ["name", "code"]
    inlines = [AxisInline, ChannelInline]

    @admin.display(description=gettext_lazy("frozen since"), ordering="frozen_at")
    def frozen(self, campaign: Campaign) -> str:
        """The first publication, in the campaign's zone."""
        return local(campaign.frozen_at, campaign.zone)

    def get_readonly_fields(self, request: HttpRequest, obj: Campaign | None = None) -> list[str]:  # noqa: ARG002
        """What the first publication froze."""
        return ["code", "time_zone", "currency", "limit", "frozen"] if frozen(obj) else ["frozen"]

    def has_delete_permission(self, request: HttpRequest, obj: Campaign | None = None) -> bool:
        """Not once frozen."""
        return not frozen(obj) and super().has_delete_permission(request, obj)


@admin.register(Channel)
class ChannelAdmin(StepAdmin):
    """A channel and its keys; it is made in its campaign."""

    form = ChannelForm
    formfield_overrides = SECURE
    list_display = ["name", "code", "kind", "campaign"]
    list_filter = ["campaign", "kind"]
    readonly_fields = ["campaign"]
    inlines = [KeyInline]
    steps = (MakeKey(),)

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002
        """Channels are made on the campaign's page."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Channel | None = None) -> bool:
        """Not once the campaign is frozen."""
        return not (obj and frozen(obj.campaign)) and super().has_delete_permission(request, obj)


@admin.register(PartnerKey)
class PartnerKeyAdmin(ReadOnlyAdmin):
    """Partner keys: made on the channel's page, ended here."""

    list_display = ["prefix", "channel", "made_at", "revoked_at"]
    list_filter = ["channel__campaign", "channel"]
    list_select_related = ["channel"]
    fields = ["channel", "prefix", "made_at", "revoked_at"]
    steps = (RevokeKey(),)
