"""The forms on the pages of a sale's actions."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from flashsale.admin.sale_forms import LineField, ZonedDateTimeField
from flashsale.life import schedule
from flashsale.life.rule_set_text import KIND_LABELS
from flashsale.models import Allocation, CampaignAxis, PublishedRuleSet, Sale, Stock
from flashsale.models.sale import MESSAGE_BYTES_MAX, POLL_MS_MAX, UNITS_MAX, possible_time, short_enough
from flashsale.rules.identity import Axis, BadValue, canonical_value
from flashsale.rules.shopper_message import both_languages
from flashsale.rules.visible import visible

# A later date is a typing error. Near the last date of the calendar, the closing could not move by the same amount.
POSTPONED_MOST = timedelta(days=365)
BAD_ROWS_SHOWN = 20
# By BadValue.why. A row without any value is skipped, so none is empty.
BAD_VALUES = {"too_long": gettext_lazy("too long"), "malformed": gettext_lazy("cannot be read")}


class SaleActionForm(forms.Form):
    """A form that adjusts its fields to a sale."""

    def __init__(self, data: Any, *, sale: Sale) -> None:
        super().__init__(data)
        self.adjust_to(sale)

    def adjust_to(self, sale: Sale) -> None:
        """Sets the choices, initial values and help texts that depend on the sale."""


class PauseForm(SaleActionForm):
    """The message that shoppers read during the pause, in one language or in both."""

    message = forms.CharField(
        label=gettext_lazy("message to shoppers"),
        max_length=MESSAGE_BYTES_MAX,
        required=False,
        help_text=gettext_lazy("They read it on the waiting page. Write Indonesian here if you write English below."),
    )
    message_en = forms.CharField(
        label=gettext_lazy("the same in English"),
        max_length=MESSAGE_BYTES_MAX,
        required=False,
        help_text=gettext_lazy("Empty: all shoppers read the message above. Both together have 200 bytes at most."),
    )

    def clean(self) -> dict[str, Any]:
        """Makes one message of the two texts. Raises ValidationError if it is too long."""
        data: dict[str, Any] = super().clean() or {}
        if {"message", "message_en"} <= set(data):
            data["message"] = both_languages(data["message"], data["message_en"])
            try:
                short_enough(data["message"])
            except ValidationError as error:
                self.add_error("message", error)
        return data


class TellForm(PauseForm):
    """The message that shoppers read while the sale goes on."""

    def adjust_to(self, sale: Sale) -> None:
        """Starts with the present message. Empty texts take it away."""
        lines = sale.message.split("\n", 1)
        self.fields["message"].initial, self.fields["message_en"].initial = [*lines, ""][:2]


class CallOffForm(PauseForm):
    """The message that shoppers read after the sale was called off."""

    def adjust_to(self, sale: Sale) -> None:  # noqa: ARG002
        """Makes the message required, because shoppers must read why the sale ended."""
        self.fields["message"].required = True


class TryOutForm(SaleActionForm):
    """The choice of the rule set for a dry run."""

    rules = forms.ModelChoiceField(
        label=gettext_lazy("rules"), queryset=PublishedRuleSet.objects.all(), empty_label=None
    )

    def adjust_to(self, sale: Sale) -> None:
        """Selects the newest set, because a reviewer often tries a set just after making it."""
        self.fields["rules"].initial = PublishedRuleSet.newest()
        self.fields["rules"].help_text = _("The sale was published with set %(rules)s.") % {"rules": sale.rules or "–"}


class PostponeForm(PauseForm):
    """The new opening in the campaign's zone, and a message to shoppers."""

    opens_at = ZonedDateTimeField(label=gettext_lazy("opens"))
    field_order = ("opens_at", "message", "message_en")

    def adjust_to(self, sale: Sale) -> None:
        """Starts with the present opening."""
        field = self.fields["opens_at"]
        assert isinstance(field, ZonedDateTimeField)
        field.zone = sale.campaign.zone
        field.validators = []  # `clean_opens_at` has a narrower bound
        field.initial = sale.opens_at
        short = sale.opens_at.astimezone(sale.campaign.zone).tzname()
        field.help_text = _("Time in %(zone)s (%(short)s).") % {"zone": sale.campaign.time_zone, "short": short}

    def clean_opens_at(self) -> datetime:
        """Raises ValidationError for an opening more than POSTPONED_MOST after the present one."""
        opens_at: datetime = self.cleaned_data["opens_at"]
        if opens_at - self.fields["opens_at"].initial > POSTPONED_MOST:
            raise ValidationError(_("At most a year after the present opening."))
        possible_time(opens_at)
        return opens_at


class BrakeForm(SaleActionForm):
    """How fast people are called, and how often pages poll."""

    rate_per_s = forms.IntegerField(label=gettext_lazy("called per second, at most"), min_value=1, max_value=100_000)
    poll_ms = forms.IntegerField(
        label=gettext_lazy("pages ask every (ms)"),
        min_value=0,
        max_value=POLL_MS_MAX,
        help_text=gettext_lazy("0: as the phase of the sale wants. The brake when the servers are too busy."),
    )

    def adjust_to(self, sale: Sale) -> None:
        """Starts with the present values."""
        self.fields["rate_per_s"].initial = sale.rate_per_s
        self.fields["poll_ms"].initial = sale.poll_ms


class StockField(forms.ModelChoiceField):
    """The choice of an offer in a line, with its present units."""

    def label_from_instance(self, obj: Stock) -> str:
        """The name of the line, then offer and units."""
        return f"{obj.allocation.name or obj.allocation.code} – {obj}"


class AddUnitsForm(SaleActionForm):
    """The new total of units for one offer in one line."""

    stock = StockField(label=gettext_lazy("line and offer"), queryset=Stock.objects.none())
    quantity = forms.IntegerField(
        label=gettext_lazy("units in all"),
        min_value=1,
        max_value=UNITS_MAX,
        help_text=gettext_lazy("The total, including the present units."),
    )

    def adjust_to(self, sale: Sale) -> None:
        """Offers only the lines of this sale."""
        own = Stock.objects.filter(allocation__sale=sale).select_related("allocation", "offer")
        self.fields["stock"].queryset = own  # type: ignore[attr-defined]


class ListForm(SaleActionForm):
    """People for a line's list, one value a row."""

    line = LineField(label=gettext_lazy("line"), queryset=Allocation.objects.none())
    axis = forms.ChoiceField(label=gettext_lazy("axis"))
    people = forms.CharField(
        label=gettext_lazy("people"),
        widget=forms.Textarea(attrs={"rows": 12, "cols": 50}),
        help_text=gettext_lazy("One value a row. The values become digests at once and are not kept."),
    )

    def adjust_to(self, sale: Sale) -> None:
        """Offers the sale's lines with a list, and the hard axes that are checked when people enter the line."""
        self.fields["line"].queryset = sale.allocations.filter(listed_only=True)  # type: ignore[attr-defined]
        self.canon_version = sale.campaign.canon_version
        axes = sale.campaign.axes.filter(hard=True, checked_at=CampaignAxis.CheckedAt.ENTER)
        self.fields["axis"].choices = [(row.axis, KIND_LABELS[row.axis]) for row in axes]  # type: ignore[attr-defined]

    def clean_people(self) -> str:
        """The rows without invisible characters, such as the byte-order mark at the start of a file."""
        return visible(self.cleaned_data["people"])

    def clean(self) -> dict[str, Any]:
        """Adds an error for each row that cannot be read, with its number and what is wrong with it."""
        data: dict[str, Any] = super().clean() or {}
        axis, people = data.get("axis"), data.get("people", "")
        if not axis or "line" not in data:
            return data
        try:
            schedule.list_channel(line=data["line"], axes={Axis(axis)})
        except ValidationError as error:
            self.add_error("axis", error)
        errors = list(self._bad_rows(Axis(axis), people))
        for text in errors[:BAD_ROWS_SHOWN]:
            self.add_error("people", text)
        if len(errors) > BAD_ROWS_SHOWN:
            self.add_error("people", _("%(count)d rows cannot be read.") % {"count": len(errors)})
        return data

    def _bad_rows(self, axis: Axis, people: str) -> Iterator[str]:
        for number, value in enumerate(people.splitlines(), start=1):
            try:
                if value.strip():
                    canonical_value(axis, value, self.canon_version)
            except BadValue as error:
                why = {"row": number, "axis": KIND_LABELS[axis], "why": BAD_VALUES[error.why]}
                yield _("Row %(row)d (%(axis)s): %(why)s. No row was added.") % why


class ReallocateForm(SaleActionForm):
    """Where returned units go, how many, when, and how many stay for appeals."""

    target = LineField(label=gettext_lazy("to line"), queryset=Allocation.objects.none())
    reserve = forms.IntegerField(
        label=gettext_lazy("kept for appeals"),
        min_value=0,
        required=False,
        help_text=gettext_lazy(
            "Empty: no unit moves while an appeal about it is possible. A number: published with the plan."
        ),
    )

    units = forms.IntegerField(
        label=gettext_lazy("units at most"),
        min_value=1,
        required=False,
        help_text=gettext_lazy("Empty: all that may move. A number shares them out among several lines."),
    )
    due_at = ZonedDateTimeField(
        label=gettext_lazy("planned for"),
        required=False,
        help_text=gettext_lazy("Empty: now. The time to appeal ends 12 hours before."),
    )
    dry = forms.BooleanField(
        label=gettext_lazy("dry run"), required=False, help_text=gettext_lazy("Only say what would happen.")
    )

    def adjust_to(self, sale: Sale) -> None:
        """Offers the lines of the campaign's other sales that are not over."""
        due_at = self.fields["due_at"]
        assert isinstance(due_at, ZonedDateTimeField)
        due_at.zone = sale.campaign.zone
        others = Sale.objects.filter(campaign=sale.campaign).exclude(pk=sale.pk).select_related("clock")
        targets = [other for other in others if not other.is_over(timezone.now())]
        self.fields["target"].queryset = Allocation.objects.filter(sale__in=targets).select_related("sale")  # type: ignore[attr-defined]
