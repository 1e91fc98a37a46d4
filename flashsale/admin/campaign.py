"""Campaigns with their axes and channels."""

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db import models
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from flashsale.admin.action_page import ActionAdmin
from flashsale.admin.inline import EditedInline
from flashsale.admin.labels import local_time
from flashsale.admin.partner_key import KeyInline, MakeKey, MakeTestKey
from flashsale.admin.webhook import AddWebhook
from flashsale.models import Campaign, CampaignAxis, Channel
from flashsale.models.campaign import zone_name
from flashsale.models.frozen import Frozen

HTTPS_URLS: dict[Any, Any] = {models.URLField: {"assume_scheme": "https"}}


def is_frozen(campaign: Campaign | None) -> bool:
    """Whether a sale of the campaign was published: the publication freezes its fields and axes."""
    return campaign is not None and campaign.is_frozen


def shown_frozen(model: type[Frozen]) -> list[str]:
    """The frozen fields that pages show."""
    return [name for name in model.frozen_fields() if model._meta.get_field(name).editable]  # noqa: SLF001


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

    def clean_signatures_required(self) -> bool:
        """Raises ValidationError while an active key has no signing secret, because it could not write any more."""
        required: bool = self.cleaned_data["signatures_required"]
        if required and not self.instance.signatures_required and self.instance.pk:
            unable = ", ".join(map(str, self.instance.keys.active().filter(sealed="")))
            if unable:
                raise ValidationError(
                    _("These keys have no signing secret: %(keys)s. Make new keys, then revoke these."),
                    params={"keys": unable},
                )
        return required


class ChannelInline(EditedInline):
    """The campaign's channels. The link of a row leads to the channel's page, which has its keys."""

    model = Channel
    form = ChannelForm
    formfield_overrides = HTTPS_URLS
    show_change_link = True

    def has_delete_permission(self, request: HttpRequest, obj: Campaign | None = None) -> bool:
        """False for a frozen campaign."""
        return not is_frozen(obj) and super().has_delete_permission(request, obj)


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
    row_actions = (MakeKey(), MakeTestKey(), AddWebhook())

    def has_change_permission(self, request: HttpRequest, obj: Channel | None = None) -> bool:
        """False once a published sale uses the channel."""
        return not (obj and obj.is_frozen) and super().has_change_permission(request, obj)

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002
        """Always False: a channel is added on its campaign's page."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Channel | None = None) -> bool:
        """False for a channel of a frozen campaign."""
        return not (obj and is_frozen(obj.campaign)) and super().has_delete_permission(request, obj)
