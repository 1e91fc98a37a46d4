"""Campaigns with their axes and channels."""

from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db import models
from django.http import HttpRequest
from django.urls import URLPattern, path
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from flashsale.admin.action_page import ActionAdmin
from flashsale.admin.copy_actions import CopyCampaign
from flashsale.admin.import_actions import ImportTable, template_view
from flashsale.admin.inline import EditedInline, LabelledFormSet
from flashsale.admin.labels import local_time
from flashsale.admin.partner_key import KeyInline, MakeKey, MakeTestKey
from flashsale.admin.typed_fields import DurationField
from flashsale.admin.webhook import AddWebhook
from flashsale.life.move_drafts import keep_clock_times, keep_order
from flashsale.models import Campaign, CampaignAxis, Channel, Record
from flashsale.models.campaign import zone_name, zone_names
from flashsale.models.frozen import Frozen
from flashsale.rules.identity import Axis

HTTPS_URLS: dict[Any, Any] = {models.URLField: {"assume_scheme": "https"}}


def is_frozen(campaign: Campaign | None) -> bool:
    """Whether a sale of the campaign was published: the publication freezes its fields and axes."""
    return campaign is not None and campaign.is_frozen


def shown_frozen(model: type[Frozen]) -> list[str]:
    """The frozen fields that pages show."""
    return [name for name in model.frozen_fields() if model._meta.get_field(name).editable]  # noqa: SLF001


# What a new campaign begins with: a person is known by phone and e-mail, both proven before entering the line.
PROPOSED_AXES = [
    {"axis": axis.value, "hard": True, "checked_at": CampaignAxis.CheckedAt.ENTER} for axis in (Axis.PHONE, Axis.EMAIL)
]


class ProposedAxisForm(forms.ModelForm):
    """An axis. One that the page proposed is saved although it was not typed."""

    def has_changed(self) -> bool:
        """True for a proposed axis of a new campaign."""
        proposed = self.instance.pk is None and bool(self.initial.get("axis"))
        return proposed or super().has_changed()


class AxisFormSet(LabelledFormSet):
    """The axes of a campaign: at least one."""

    def clean(self) -> None:
        """Raises ValidationError without any axis, because the limit would count nothing."""
        super().clean()
        kept = [form for form in self.forms if form not in self.deleted_forms and form.cleaned_data.get("axis")]
        if not kept and not any(self.errors):
            raise ValidationError(
                _("A campaign needs an axis: without one, it knows no people, and the limit counts nothing.")
            )


class AxisInline(EditedInline):
    """The campaign's axes. They cannot change after the first publication. A new campaign proposes two."""

    model = CampaignAxis
    form = ProposedAxisForm
    formset = AxisFormSet

    def get_extra(self, request: HttpRequest, obj: Campaign | None = None, **kwargs: Any) -> int:
        """A row for each proposed axis of a new campaign."""
        return len(PROPOSED_AXES) if obj is None else super().get_extra(request, obj, **kwargs)

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


class KeepTimes(models.TextChoices):
    """What stays when the zone of a campaign with drafts changes."""

    CLOCK = "clock", gettext_lazy("The clock times stay: 10:00 there becomes 10:00 here, at another moment.")
    MOMENT = "moment", gettext_lazy("The moments stay: the clocks here show another time.")


class CampaignForm(forms.ModelForm):
    """The form of a campaign. A change of its zone asks what happens to the times of its drafts."""

    appeal_s = DurationField(
        label=gettext_lazy("time to appeal"), least=1, most=90 * 86_400, initial=24 * 3600,
        help_text=gettext_lazy(
            "How long a buyer may appeal against a cancellation, such as 24 h; until then the unit stays in the pool."
        ),
    )  # fmt: skip
    undo_s = DurationField(
        label=gettext_lazy("time to undo"), most=7 * 86_400, initial=600,
        help_text=gettext_lazy(
            "How long an approved cancellation waits before it is carried out and the buyer is told, such as 10 min."
        ),
    )  # fmt: skip
    keep_times = forms.ChoiceField(
        label=gettext_lazy("times of drafts"), choices=KeepTimes.choices, required=False, widget=forms.RadioSelect,
        help_text=gettext_lazy("Choose this when you change the time zone. It is noted in the audit trail."),
    )  # fmt: skip

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in {"appeal_s", "undo_s", "keep_times"} & self.fields.keys():
            self.fields[name].label = capfirst(self.fields[name].label)

    def clean(self) -> dict[str, Any]:
        """Raises ValidationError for another zone without a word about the drafts."""
        data: dict[str, Any] = super().clean() or {}
        moves = self.instance.pk and data.get("time_zone") not in {None, self.initial.get("time_zone")}
        drafts = self.instance.sales.count() if moves else 0
        if drafts and not data.get("keep_times"):
            text = ngettext(
                "The campaign has %(count)d draft with times in %(zone)s. Say what stays when the zone changes.",
                "The campaign has %(count)d drafts with times in %(zone)s. Say what stays when the zone changes.",
                drafts,
            )
            self.add_error("keep_times", text % {"count": drafts, "zone": self.initial["time_zone"]})
        elif drafts and data["keep_times"] == KeepTimes.CLOCK and data["time_zone"] in zone_names():
            old, new = ZoneInfo(self.initial["time_zone"]), ZoneInfo(data["time_zone"])
            if not keep_order(campaign=self.instance, old=old, new=new):
                self.add_error(
                    "keep_times",
                    _("The clocks there skip an opening or a closing. Change the times of the draft first."),
                )
        return data


class TimeZoneField(forms.CharField):
    """A time zone by its IANA name, or by its Indonesian abbreviation: WIB, WITA, WIT."""

    def to_python(self, value: Any) -> str:
        """The IANA name. The model refuses what is no time zone."""
        return zone_name(super().to_python(value) or "")


@admin.register(Campaign)
class CampaignAdmin(ActionAdmin):
    """Campaigns: a campaign is one product launch."""

    form = CampaignForm
    list_display = ["name", "code", "time_zone", "currency", "limit", "code_countries", "frozen"]
    search_fields = ["name", "code"]
    inlines = [AxisInline, ChannelInline]
    row_actions = (ImportTable(), CopyCampaign())

    def get_urls(self) -> list[URLPattern]:
        """Adds the templates for imports."""
        template = path(
            "template/<str:kind>.csv", self.admin_site.admin_view(template_view), name="flashsale_campaign_template"
        )
        return [template, *super().get_urls()]

    @admin.display(description=gettext_lazy("frozen since"), ordering="frozen_at")
    def frozen(self, campaign: Campaign) -> str:
        """The time of the first publication, in the campaign's zone."""
        return local_time(campaign.frozen_at, campaign.zone)

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Reads the time zone as people write it."""
        if db_field.name == "time_zone":
            kwargs["form_class"] = TimeZoneField
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def get_fields(self, request: HttpRequest, obj: Campaign | None = None) -> list[Any]:
        """The question about the times of drafts stands below the zone, where there are drafts."""
        fields = [name for name in super().get_fields(request, obj) if name != "keep_times"]
        if obj is not None and not is_frozen(obj) and obj.sales.exists():
            fields.insert(fields.index("time_zone") + 1, "keep_times")
        return fields

    def get_formset_kwargs(self, request: HttpRequest, obj: Campaign, inline: Any, prefix: str) -> dict[str, Any]:
        """Proposes axes for a new campaign."""
        kwargs: dict[str, Any] = super().get_formset_kwargs(request, obj, inline, prefix)
        return kwargs if obj.pk or not isinstance(inline, AxisInline) else {**kwargs, "initial": PROPOSED_AXES}

    def save_model(self, request: HttpRequest, obj: Campaign, form: Any, change: bool) -> None:
        """Saves. If the zone has changed, the drafts keep their clock times or their moments, as the form says."""
        super().save_model(request, obj, form, change)
        if not change or "time_zone" not in form.changed_data:
            return
        if form.cleaned_data.get("keep_times") == KeepTimes.CLOCK:
            keep_clock_times(campaign=obj, old=ZoneInfo(form.initial["time_zone"]), by=request.user)
        elif obj.sales.exists():
            Record.write("zone", by=request.user, campaign=obj, facts={"drafts": "moments stay"})

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
