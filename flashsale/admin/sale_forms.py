"""The forms of a sale's page: times in the campaign's zone, and for each line the units of each offer."""

from collections.abc import Callable
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.db import models
from django.utils import timezone
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from flashsale.admin.inline import LabelledFormSet
from flashsale.admin.typed_fields import DurationField, MoneyField
from flashsale.models import Allocation, Campaign, Offer, Sale, Stock
from flashsale.models.sale import CLAIM_S, FREEZE_S_MAX, HOLD_S, POLL_MS_MAX, UNITS_MAX, possible_time

UNITS_PREFIX = "units_"
LINE_FIELDS = ["code", "name", "channels"]
TRANCHE_FIELDS = ["mode", "opens_at", "listed_only", "successor", "rolls_over_at", "carries"]


class ZonedDateTimeField(forms.DateTimeField):
    """A date and time that is shown and typed in `zone`."""

    zone: ZoneInfo | None = None
    default_validators = [possible_time]
    widget = forms.DateTimeInput(attrs={"type": "datetime-local", "step": 1}, format="%Y-%m-%dT%H:%M:%S")

    def prepare_value(self, value: Any) -> Any:
        """Converts to the zone."""
        with timezone.override(self.zone):
            return super().prepare_value(value)

    def to_python(self, value: Any) -> datetime | None:
        """Reads the typed time as a time in the zone."""
        with timezone.override(self.zone):
            return super().to_python(value)


class SaleForm(forms.ModelForm):
    """A sale. Its times are typed and shown in its campaign's zone."""

    lobby_at = ZonedDateTimeField(label=gettext_lazy("lobby opens"), required=False)
    opens_at = ZonedDateTimeField(label=gettext_lazy("opens"))
    closes_at = ZonedDateTimeField(label=gettext_lazy("closes"))
    claim_s = DurationField(
        label=gettext_lazy("claim window"), least=1, most=86_400, initial=CLAIM_S,
        help_text=gettext_lazy("How long a person who is called may reserve, such as 5 min."),
    )  # fmt: skip
    hold_s = DurationField(
        label=gettext_lazy("hold"), least=1, most=86_400, initial=HOLD_S,
        help_text=gettext_lazy("How long a reserved unit waits for its payment, such as 15 min."),
    )  # fmt: skip
    poll_ms = DurationField(
        label=gettext_lazy("pages ask every"), unit_ms=1, most=POLL_MS_MAX, initial=0,
        help_text=gettext_lazy(
            "0: as the phase of the sale wants. A time such as 5 s is the brake when the servers are too busy."
        ),
    )  # fmt: skip

    freeze_s = DurationField(
        label=gettext_lazy("lines freeze before the opening"), least=0, most=FREEZE_S_MAX, required=False, empty=None,
        help_text=gettext_lazy(
            "Needs version 2 of the draw. Empty: 60 s with public randomness, else 0. Who comes later stands behind."
        ),
    )  # fmt: skip

    class Meta:
        model = Sale
        fields = (
            "campaign",
            "code",
            "name",
            "lobby_at",
            "opens_at",
            "closes_at",
            "limit",
            "claim_s",
            "hold_s",
            "overbooking",
            "rate_per_s",
            "claims_max",
            "extra_time_max",
            "extra_time_share",
            "poll_ms",
            "max_entries",
            "draw_version",
            "beacon",
            "freeze_s",
        )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        campaign = self._campaign()
        for name, field in self.fields.items():
            if isinstance(field, ZonedDateTimeField | DurationField):
                field.label = capfirst(field.label)
            if isinstance(field, ZonedDateTimeField):
                field.zone = campaign.zone if campaign else None
                field.help_text = self._help_text(campaign, name)
        if "campaign" in self.fields:
            self.fields["campaign"].label_from_instance = _campaign_with_zone  # type: ignore[attr-defined]

    def _campaign(self) -> Campaign | None:
        if self.instance.campaign_id:
            return self.instance.campaign
        chosen = str(self.data.get(self.add_prefix("campaign")) or self.initial.get("campaign"))
        if not chosen.isdecimal() or "campaign" not in self.fields:
            return None
        found: Campaign | None = self.fields["campaign"].queryset.filter(pk=chosen).first()  # type: ignore[attr-defined]
        return found

    @staticmethod
    def _help_text(campaign: Campaign | None, name: str) -> str:
        zone = _("In the campaign's time zone, which is shown beside the campaign's name.")
        if campaign:
            now = timezone.now().astimezone(campaign.zone)
            zone = _("Time in %(zone)s (%(short)s).") % {"zone": campaign.time_zone, "short": now.tzname()}
        return f"{zone} {_('Empty: 24 hours before the opening.')}" if name == "lobby_at" else zone


class OfferForm(forms.ModelForm):
    """An offer. Its price is typed and shown as people write it."""

    price = MoneyField(label=gettext_lazy("price"), help_text=gettext_lazy("Such as 1.799.000 or 1799000."))

    class Meta:
        model = Offer
        fields = ("sku", "name", "price")


class OfferFormSet(LabelledFormSet):
    """The offers of a sale, with prices in the currency of its campaign."""

    def add_fields(self, form: forms.ModelForm, index: int | None) -> None:
        """Says the currency to the price. A new sale without a campaign has none yet."""
        form.fields["price"].label = capfirst(form.fields["price"].label)
        super().add_fields(form, index)
        sale = self.instance
        if isinstance(sale, Sale) and sale.campaign_id:
            form.fields["price"].currency = sale.campaign.currency  # type: ignore[attr-defined]


def _campaign_with_zone(campaign: Campaign) -> str:
    return f"{campaign.name} ({campaign.time_zone})"


class LineField(forms.ModelChoiceField):
    """The choice of a line."""

    def label_from_instance(self, obj: Allocation) -> str:
        """The sale's name, then the line's name, or its code if it has no name."""
        return f"{obj.sale.name} – {obj.name or obj.code}"


class LineForm(forms.ModelForm):
    """A line. :func:`line_form` adds the fields that depend on the sale, such as the units of each offer."""

    class Meta:
        model = Allocation
        fields = LINE_FIELDS + TRANCHE_FIELDS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            for offer, quantity in self.instance.stock.values_list("offer", "quantity"):
                self.initial[f"{UNITS_PREFIX}{offer}"] = quantity

    def save_stock(self) -> None:
        """Saves the units of each offer. An empty field means that the line does not sell the offer."""
        for name in self.fields:
            if name.startswith(UNITS_PREFIX):
                self._save_units(int(name.removeprefix(UNITS_PREFIX)), self.cleaned_data.get(name))

    def _save_units(self, offer: int, quantity: int | None) -> None:
        stock = Stock.objects.filter(allocation=self.instance, offer=offer)
        if quantity is None:
            stock.delete()
        elif not stock.update(quantity=quantity):
            Stock.objects.create(allocation=self.instance, offer_id=offer, quantity=quantity)


def line_form(sale: Sale) -> type[LineForm]:
    """The form for the lines of this sale: its campaign's channels and lines, its offers, times in its zone."""
    others = Allocation.objects.filter(sale__campaign=sale.campaign).exclude(sale=sale).select_related("sale")
    fields: dict[str, Any] = {
        "channels": forms.ModelMultipleChoiceField(
            sale.campaign.channels.all(), label=capfirst(_("channels")), widget=forms.CheckboxSelectMultiple
        ),
        "successor": _optional("successor", LineField, queryset=sale.allocations.select_related("sale")),
        "carries": _optional("carries", LineField, queryset=others),
        "opens_at": _optional("opens_at", ZonedDateTimeField),
        "rolls_over_at": _optional("rolls_over_at", ZonedDateTimeField),
    }
    for name in ("opens_at", "rolls_over_at"):
        fields[name].zone = sale.campaign.zone
    for offer in sale.offers.all():
        fields[f"{UNITS_PREFIX}{offer.pk}"] = _units_field(offer.sku)
    return type("LineForm", (LineForm,), fields)


def _optional(name: str, kind: Callable[..., forms.Field], **options: Any) -> forms.Field:
    """An optional form field of this kind, with label and help text of the model's field."""
    column = Allocation._meta.get_field(name)  # noqa: SLF001 - Django's documented way to a field
    assert isinstance(column, models.Field)
    return kind(label=capfirst(column.verbose_name), help_text=column.help_text, required=False, **options)


def _units_field(sku: str) -> forms.IntegerField:
    return forms.IntegerField(
        label=capfirst(_("units of %(sku)s") % {"sku": sku}),
        min_value=0,
        max_value=UNITS_MAX,
        required=False,
        help_text=_("Empty: not sold here. 0: only units from cancelled orders."),
    )
