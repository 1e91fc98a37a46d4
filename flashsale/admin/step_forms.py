"""What people say with a step of a sale."""

from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from flashsale.admin.sale_forms import LineField, WallTimeField
from flashsale.life.rule_set_text import KINDS
from flashsale.models import Allocation, CampaignAxis, PublishedRuleSet, Sale, Stock
from flashsale.models.sale import MESSAGE_BYTES_MAX, POLL_MS_MAX, UNITS_MAX, short_enough

# Further on it is a slip of the pen, and at the end of the calendar the closing could not move along.
POSTPONED_MOST = timedelta(days=365)


class SaleStepForm(forms.Form):
    """A form that knows its sale."""

    def __init__(self, data: Any, *, sale: Sale) -> None:
        super().__init__(data)
        self.prepare(sale)

    def prepare(self, sale: Sale) -> None:
        """Fits the fields to the sale."""


class PauseForm(SaleStepForm):
    """What shoppers read meanwhile."""

    message = forms.CharField(
        label=gettext_lazy("message to shoppers"), max_length=MESSAGE_BYTES_MAX, required=False,
        validators=[short_enough], help_text=gettext_lazy("They read it on the waiting page."),
    )  # fmt: skip


class CallOffForm(PauseForm):
    """What shoppers read from then on."""

    def prepare(self, sale: Sale) -> None:  # noqa: ARG002
        """Nobody is sent home without a word."""
        self.fields["message"].required = True


class TryOutForm(SaleStepForm):
    """Which rules are tried."""

    rules = forms.ModelChoiceField(
        label=gettext_lazy("rules"), queryset=PublishedRuleSet.objects.all(), empty_label=None
    )

    def prepare(self, sale: Sale) -> None:
        """The newest to begin with: who tries rules out has often just made them."""
        self.fields["rules"].initial = PublishedRuleSet.newest()
        self.fields["rules"].help_text = _("The sale was published with set %(rules)s.") % {"rules": sale.rules or "–"}


class PostponeForm(PauseForm):
    """The new opening, in the campaign's zone."""

    opens_at = WallTimeField(label=gettext_lazy("opens"))
    field_order = ("opens_at", "message")

    def prepare(self, sale: Sale) -> None:
        """From the present opening on."""
        field = self.fields["opens_at"]
        assert isinstance(field, WallTimeField)
        field.zone = sale.campaign.zone
        field.initial = sale.opens_at
        short = sale.opens_at.astimezone(sale.campaign.zone).tzname()
        field.help_text = _("Time in %(zone)s (%(short)s).") % {"zone": sale.campaign.time_zone, "short": short}

    def clean_opens_at(self) -> datetime:
        """Not for ever."""
        opens_at: datetime = self.cleaned_data["opens_at"]
        if opens_at - self.fields["opens_at"].initial > POSTPONED_MOST:
            raise ValidationError(_("At most a year after the present opening."))
        return opens_at


class BrakeForm(SaleStepForm):
    """How fast the line moves and how often pages ask."""

    rate_per_s = forms.IntegerField(label=gettext_lazy("called per second, at most"), min_value=1, max_value=100_000)
    poll_ms = forms.IntegerField(
        label=gettext_lazy("pages ask every (ms)"), min_value=0, max_value=POLL_MS_MAX,
        help_text=gettext_lazy("0: as the phase of the sale wants. The brake when the servers are too busy."),
    )  # fmt: skip

    def prepare(self, sale: Sale) -> None:
        """As they are."""
        self.fields["rate_per_s"].initial = sale.rate_per_s
        self.fields["poll_ms"].initial = sale.poll_ms


class StockField(forms.ModelChoiceField):
    """An offer in a line, with the units it has."""

    def label_from_instance(self, obj: Stock) -> str:
        """As people speak of it."""
        return f"{obj.allocation.name or obj.allocation.code} – {obj}"


class AddUnitsForm(SaleStepForm):
    """More new units for one offer in one line."""

    stock = StockField(label=gettext_lazy("line and offer"), queryset=Stock.objects.none())
    quantity = forms.IntegerField(
        label=gettext_lazy("units in all"), min_value=1, max_value=UNITS_MAX,
        help_text=gettext_lazy("With those that are there already."),
    )  # fmt: skip

    def prepare(self, sale: Sale) -> None:
        """The sale's own."""
        own = Stock.objects.filter(allocation__sale=sale).select_related("allocation", "offer")
        self.fields["stock"].queryset = own  # type: ignore[attr-defined]


class ListForm(SaleStepForm):
    """People for a line's list, one value a row."""

    line = LineField(label=gettext_lazy("line"), queryset=Allocation.objects.none())
    axis = forms.ChoiceField(label=gettext_lazy("axis"))
    people = forms.CharField(
        label=gettext_lazy("people"), widget=forms.Textarea(attrs={"rows": 12, "cols": 50}),
        help_text=gettext_lazy("One value a row. They are turned into digests at once and not kept."),
    )  # fmt: skip

    def prepare(self, sale: Sale) -> None:
        """The sale's lines that have a list; axes that are proven at the door."""
        self.fields["line"].queryset = sale.allocations.filter(listed_only=True)  # type: ignore[attr-defined]
        proven = sale.campaign.axes.filter(hard=True, checked_at=CampaignAxis.CheckedAt.ENTER)
        self.fields["axis"].choices = [(row.axis, KINDS[row.axis]) for row in proven]  # type: ignore[attr-defined]


class ReallocateForm(SaleStepForm):
    """Where returned units go, and how many stay for appeals."""

    target = LineField(label=gettext_lazy("to line"), queryset=Allocation.objects.none())
    reserve = forms.IntegerField(
        label=gettext_lazy("kept for appeals"), min_value=0, required=False,
        help_text=gettext_lazy(
            "Empty: no unit moves while an appeal about it is possible. A number: published with the plan."
        ),
    )  # fmt: skip

    units = forms.IntegerField(
        label=gettext_lazy("units at most"), min_value=1, required=False,
        help_text=gettext_lazy("Empty: all that may move. A number shares them out among several lines."),
    )  # fmt: skip
    due_at = WallTimeField(
        label=gettext_lazy("planned for"), required=False,
        help_text=gettext_lazy("Empty: now. The time to appeal ends 12 hours before."),
    )  # fmt: skip
    dry = forms.BooleanField(
        label=gettext_lazy("dry run"), required=False, help_text=gettext_lazy("Only say what would happen.")
    )

    def prepare(self, sale: Sale) -> None:
        """Lines of later sales of the same campaign."""
        at = self.fields["due_at"]
        assert isinstance(at, WallTimeField)
        at.zone = sale.campaign.zone
        others = Sale.objects.filter(campaign=sale.campaign).exclude(pk=sale.pk).select_related("clock")
        later = [other for other in others if not other.is_over(timezone.now())]
        self.fields["target"].queryset = Allocation.objects.filter(sale__in=later).select_related("sale")  # type: ignore[attr-defined]
