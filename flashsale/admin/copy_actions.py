"""Copy a sale or a campaign: the page shows the draft with its new times before it is made."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from flashsale.admin.action_page import Action, Preview, Table
from flashsale.admin.labels import local_time
from flashsale.admin.sale_forms import ZonedDateTimeField
from flashsale.life import copy_plan
from flashsale.life.copy_plan import PlannedCopy
from flashsale.life.move_drafts import clock_of
from flashsale.models import Campaign, ListEntry, Sale
from flashsale.models.campaign import CODE
from flashsale.rules.states import AllocationMode


class CopyForm(forms.Form):
    """The new opening on the clock of the campaign's zone, the new code and the name."""

    opens_at = ZonedDateTimeField(label=gettext_lazy("opens"))
    code = forms.CharField(label=gettext_lazy("code"), max_length=40, validators=[CODE])
    name = forms.CharField(label=gettext_lazy("name"), max_length=120)

    def __init__(self, data: Any, *, source: Sale | Campaign) -> None:
        super().__init__(data)
        campaign = source if isinstance(source, Campaign) else source.campaign
        first = source if isinstance(source, Sale) else campaign.sales.order_by("opens_at", "pk").first()
        field = self.fields["opens_at"]
        assert isinstance(field, ZonedDateTimeField)
        field.zone = campaign.zone
        field.help_text = _("Time in %(zone)s (%(short)s).") % {
            "zone": campaign.time_zone,
            "short": timezone.now().astimezone(campaign.zone).tzname(),
        }
        if first is None:
            del self.fields["opens_at"]
        else:
            field.initial = copy_plan.next_opening(first.opens_at, campaign.zone, timezone.now())
        self.fields["code"].initial = copy_plan.free_code(type(source), source.code)
        self.fields["name"].initial = source.name


class SaleCopyForm(CopyForm):
    """As above, with the choice to take the people on the lists over."""

    lists = forms.BooleanField(
        label=gettext_lazy("copy the people on the lists"),
        required=False,
        help_text=gettext_lazy("Otherwise the lists of the new draft are empty."),
    )

    def __init__(self, data: Any, *, source: Sale) -> None:
        super().__init__(data, source=source)
        if not source.allocations.filter(listed_only=True).exists():
            del self.fields["lists"]


class CopySale(Action):
    """Makes a draft like the sale."""

    name = "copy"
    title = gettext_lazy("Copy")
    permission = "flashsale.add_sale"
    has_preview = True

    def is_available(self, row: Sale) -> bool:
        """For every sale of a campaign that is neither a sandbox nor erased."""
        return not row.campaign.is_test and row.campaign.erased_at is None

    def consequences(self, rows: Sequence[Sale]) -> list[str]:  # noqa: ARG002
        """What a copy is."""
        return [_("A new draft is made. The sale that you copy does not change.")]

    def build_form(self, rows: Sequence[Sale], data: Any) -> forms.Form:
        """Proposes the same time a week later."""
        return SaleCopyForm(data, source=rows[0])

    def preview(self, rows: Sequence[Sale], data: dict[str, Any], user: Any) -> Preview:  # noqa: ARG002
        """The times and lines of the new draft."""
        sale = rows[0]
        by = clock_of(data["opens_at"], sale.campaign.zone) - clock_of(sale.opens_at, sale.campaign.zone)
        planned = copy_plan.planned_sale(sale=sale, by=by, code=data["code"], name=data["name"])
        listed = ListEntry.objects.filter(allocation__sale=sale).count()
        texts = [_("One draft is made. All its times move with its opening. Publish it when it is ready.")]
        if "listed" in {name for line in planned.lines for name in line}:
            text = ngettext(
                "%(count)d person is on its lists.",
                "%(count)d people are on its lists.",
                listed if data["lists"] else 0,
            )
            texts.append(text % {"count": listed if data["lists"] else 0})
        return Preview(
            [*texts, *_reminders([planned])], [_times_table([planned]), _lines_table([planned])],
            _passed([planned]),
        )  # fmt: skip

    def perform(self, *, row: Sale, request: HttpRequest, data: dict[str, Any]) -> HttpResponse:
        """Makes the draft and shows its page."""
        copy = copy_plan.copy_sale(sale=row, by=request.user, **{"lists": False, **data})
        messages.success(request, _("%(sale)s is a new draft. Look at it, then publish it.") % {"sale": copy.name})
        return HttpResponseRedirect(reverse("admin:flashsale_sale_change", args=[copy.pk]))


class CopyCampaign(Action):
    """Makes a campaign like this one, with drafts of all its sales."""

    name = "copy"
    title = gettext_lazy("Copy")
    permission = "flashsale.add_campaign"
    is_global = True
    has_preview = True

    def is_available(self, row: Campaign) -> bool:
        """For every campaign that is no sandbox."""
        return not row.is_test

    def consequences(self, rows: Sequence[Campaign]) -> list[str]:  # noqa: ARG002
        """What a copy is."""
        return [_("A new campaign is made with drafts of all sales. The campaign that you copy does not change.")]

    def build_form(self, rows: Sequence[Campaign], data: Any) -> forms.Form:
        """Proposes the same time a week later for the first sale."""
        return CopyForm(data, source=rows[0])

    def preview(self, rows: Sequence[Campaign], data: dict[str, Any], user: Any) -> Preview:  # noqa: ARG002
        """The times and lines of all new drafts."""
        planned = copy_plan.planned_sales(campaign=rows[0], opens_at=data.get("opens_at") or timezone.now())
        text = ngettext(
            "One campaign is made, with %(count)d draft.", "One campaign is made, with %(count)d drafts.", len(planned)
        )
        texts = [
            text % {"count": len(planned)},
            _("It has the same axes and channels, and a salt of its own: people who took part before are new to it."),
            _("It has no keys, no webhooks and no lists. Make keys for its partners."),
        ]
        return Preview([*texts, *_reminders(planned)], [_times_table(planned), _lines_table(planned)], _passed(planned))

    def perform(self, *, row: Campaign, request: HttpRequest, data: dict[str, Any]) -> HttpResponse:
        """Makes the campaign and shows its page."""
        opens_at = data.get("opens_at") or timezone.now()
        copy = copy_plan.copy_campaign(
            campaign=row, opens_at=opens_at, code=data["code"], name=data["name"], by=request.user
        )
        messages.success(request, _("%(campaign)s is a new campaign with its drafts.") % {"campaign": copy.name})
        return HttpResponseRedirect(reverse("admin:flashsale_campaign_change", args=[copy.pk]))


def _passed(planned: Sequence[PlannedCopy]) -> list[str]:
    """A draft that could not be published, because its opening has passed."""
    now = timezone.now()
    text = _("%(sale)s would open in the past. Choose a later opening.")
    return [text % {"sale": copy.fields["code"]} for copy in planned if copy.fields["opens_at"] <= now]


def _reminders(planned: Sequence[PlannedCopy]) -> list[str]:
    """What the copy leaves to the person."""
    texts = [_("The message to shoppers and the brake of the day are not copied. The rule set is the newest one.")]
    if any(line["carries"] for copy in planned for line in copy.lines):
        texts.append(_("A line carries an order over. Check that it is still the order that you mean."))
    return texts


def _times_table(planned: Sequence[PlannedCopy]) -> Table:
    head = [_("sale"), _("code"), _("lobby opens"), _("opens"), _("closes"), _("the source opens")]
    rows = []
    for copy in planned:
        zone = copy.source.campaign.zone
        times = [local_time(copy.fields[name], zone) for name in ("lobby_at", "opens_at", "closes_at")]
        rows.append([copy.fields["name"], copy.fields["code"], *times, local_time(copy.source.opens_at, zone)])
    return Table(_("New drafts"), head, rows)


def _lines_table(planned: Sequence[PlannedCopy]) -> Table:
    head = [_("sale"), _("line"), _("channels"), _("units"), _("opens later"), _("rolls over to")]
    rows = [[copy.fields["code"], *_line_row(copy, line)] for copy in planned for line in copy.lines]
    return Table(_("Lines"), head, rows)


def _line_row(copy: PlannedCopy, line: Any) -> list[Any]:
    zone = copy.source.campaign.zone
    units = ", ".join(f"{sku}: {count}" for sku, count in line["stock"].items())
    name = line["name"] or line["code"]
    if line["mode"] == AllocationMode.DIRECT:
        name = f"{name} ({AllocationMode.DIRECT})"
    later = _at(line, "opens_at", zone)
    rolls = f"{line['successor']}, {_at(line, 'rolls_over_at', zone)}" if "successor" in line else "–"
    return [name, ", ".join(line["channels"]), units, later, rolls]


def _at(line: Any, field: str, zone: Any) -> str:
    at: datetime | None = line.get(field)
    return local_time(at, zone)
