"""Sales: planned with forms, published after a summary, then changed only through actions."""

from functools import partial
from typing import Any

from django.contrib import admin
from django.db import models
from django.db.models import Sum
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from flashsale.admin.action_page import Table
from flashsale.admin.board_pages import BoardPages
from flashsale.admin.calendar_link import calendar_view
from flashsale.admin.copy_actions import CopySale
from flashsale.admin.import_actions import ImportTable
from flashsale.admin.inline import BoundedRows, EditedInline
from flashsale.admin.labels import local_time, state_label
from flashsale.admin.list_filters import OpeningFilter, StageFilter
from flashsale.admin.live_figures import COLUMNS, live_figures, total
from flashsale.admin.month import month_view
from flashsale.admin.published_sale_actions import (
    AddUnits,
    Brake,
    CallOff,
    CloseEarly,
    Pause,
    Postpone,
    Resume,
    Tell,
    current_phase,
)
from flashsale.admin.rehearsal import Rehearse
from flashsale.admin.sale_actions import (
    Publish,
    PutOnList,
    Reallocate,
    Review,
    TryOut,
    proposal_texts,
    times_table,
    units_table,
)
from flashsale.admin.sale_forms import (
    LINE_FIELDS,
    TRANCHE_FIELDS,
    UNITS_PREFIX,
    OfferForm,
    OfferFormSet,
    SaleForm,
    line_form,
)
from flashsale.life.two_people import draft_rows
from flashsale.models import Allocation, Offer, Sale
from flashsale.rules.states import SaleState

IDENTITY = ["campaign", "code", "name"]
TIMES = ["lobby_at", "opens_at", "closes_at"]
RULES = [
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
    "rules",
    "draw_version",
    "beacon",
    "freeze_s",
]


class OfferInline(EditedInline):
    """The offers of a sale: SKU, name and price."""

    model = Offer
    form = OfferForm
    formset = OfferFormSet
    extra = 1


class LineInline(BoundedRows, admin.StackedInline):
    """The lines of a sale: their channels, and the units of each offer."""

    model = Allocation
    extra = 1
    verbose_name = gettext_lazy("line")
    verbose_name_plural = gettext_lazy("lines and their units")

    def get_formset(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        """Uses the form that is made for this sale."""
        form = line_form(obj)
        return super().get_formset(request, obj, **{**kwargs, "form": form, "fields": [*form.base_fields]})

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:  # noqa: ARG002
        """The fields of every line; those of a tranche are collapsed."""
        units = [f"{UNITS_PREFIX}{offer.pk}" for offer in obj.offers.all()]
        tranche = (_("Tranche: opening, list, roll-over"), {"fields": TRANCHE_FIELDS, "classes": ["collapse"]})
        return [(None, {"fields": [*LINE_FIELDS, *units]}), tranche]


@admin.register(Sale)
class SaleAdmin(BoardPages):
    """Sales. The form of a published sale changes nothing: its actions do."""

    form = SaleForm
    list_display = ["name", "code", "campaign", "opens", "closes", "planned_units", "phase"]
    list_filter = [StageFilter, OpeningFilter, "campaign"]
    list_per_page = 50
    list_select_related = ["campaign", "clock"]
    search_fields = ["name", "code"]
    ordering = ["-opens_at"]
    row_actions = (
        PutOnList(),
        Rehearse(),
        ImportTable(),
        Publish(),
        CopySale(),
        Pause(),
        Resume(),
        Tell(),
        Postpone(),
        AddUnits(),
        Brake(),
        CloseEarly(),
        CallOff(),
        Review(),
        TryOut(),
        Reallocate(),
    )
    panel_template = "admin/flashsale/sale_panel.html"
    change_list_template = "admin/flashsale/sales.html"

    def get_urls(self) -> list[URLPattern]:
        """Adds the month view and the page of the own calendar."""
        views = [("month", month_view), ("calendar", calendar_view)]
        pages = [
            path(
                f"{name}/",
                self.admin_site.admin_view(partial(view, site=self.admin_site)),
                name=f"flashsale_sale_{name}",
            )
            for name, view in views
        ]
        return [*pages, *super().get_urls()]

    def get_queryset(self, request: HttpRequest) -> Any:
        """Adds the sum of the planned units."""
        return super().get_queryset(request).annotate(planned=Sum("allocations__stock__quantity"))

    @admin.display(description=gettext_lazy("opens"), ordering="opens_at")
    def opens(self, sale: Sale) -> str:
        """The opening in the campaign's zone."""
        return local_time(sale.opens_at, sale.campaign.zone)

    @admin.display(description=gettext_lazy("closes"), ordering="closes_at")
    def closes(self, sale: Sale) -> str:
        """The closing in the campaign's zone."""
        return local_time(sale.closes_at, sale.campaign.zone)

    @admin.display(description=gettext_lazy("units"), ordering="planned")
    def planned_units(self, sale: Sale) -> int:
        """New units of all lines; units from cancelled orders do not count."""
        return int(getattr(sale, "planned", 0) or 0)

    @admin.display(description=gettext_lazy("phase"))
    def phase(self, sale: Sale) -> str:
        """The present phase in the reader's language."""
        return state_label(current_phase(sale))

    def get_fieldsets(self, request: HttpRequest, obj: Sale | None = None) -> Any:  # noqa: ARG002
        """Without the times for a published sale, because the panel shows them."""
        if obj and obj.state != SaleState.DRAFT:
            return [(None, {"fields": [*IDENTITY, *RULES]})]
        return [
            (None, {"fields": IDENTITY}),
            (_("Times"), {"fields": TIMES}),
            (_("Rules"), {"fields": RULES}),
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: Sale | None = None) -> list[str]:  # noqa: ARG002
        """The campaign cannot change after the first save; nothing can change after the publication."""
        if obj is None:
            return []
        return [*IDENTITY, *TIMES, *RULES] if obj.is_frozen else ["campaign"]

    def has_change_permission(self, request: HttpRequest, obj: Sale | None = None) -> bool:
        """False for a published sale."""
        return not (obj and obj.is_frozen) and super().has_change_permission(request, obj)

    def edited_rows(self, row: Sale) -> list[models.Model]:
        """The sale, its offers, its lines, and the units of each offer in each line."""
        return draft_rows(row)

    def get_inlines(self, request: HttpRequest, obj: Sale | None) -> list[Any]:  # noqa: ARG002
        """Only offers for a new sale, because lines need saved offers; none for a published sale."""
        if obj is None:
            return [OfferInline]
        return [OfferInline, LineInline] if obj.state == SaleState.DRAFT else []

    def has_delete_permission(self, request: HttpRequest, obj: Sale | None = None) -> bool:
        """False for a published sale."""
        return (obj is None or obj.state == SaleState.DRAFT) and super().has_delete_permission(request, obj)

    def view_on_site(self, obj: Sale) -> str | None:
        """The sale's public page; None for a draft."""
        return f"/s/{obj.code}/" if obj.state != SaleState.DRAFT else None

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        """Saves the units of each line after the lines."""
        super().save_formset(request, form, formset, change)
        for line in formset.forms if formset.model is Allocation else ():
            if line.instance.pk and line not in formset.deleted_forms:
                line.save_stock()

    def response_add(self, request: HttpRequest, obj: Sale, post_url_continue: str | None = None) -> HttpResponse:
        """Leads to the sale's page, where lines can now be added."""
        if "_addanother" in request.POST or "_popup" in request.POST:
            return super().response_add(request, obj, post_url_continue)
        self.message_user(request, _("Saved. Now say which channels sell how many units, then publish."))
        return HttpResponseRedirect(reverse("admin:flashsale_sale_change", args=[obj.pk]))

    def panel(self, row: Sale) -> dict[str, Any]:
        """State, times and units; for a published sale also the figures from Redis (the gate)."""
        published = row.state != SaleState.DRAFT
        return {
            "sale": row,
            "phase": state_label(current_phase(row)),
            "state": state_label(row.state),
            "published": published,
            "proposal": proposal_texts(row),
            "figures": self._figures_table(row) if published else None,
            "tables": [times_table(row), units_table(row)],
        }

    @staticmethod
    def _figures_table(sale: Sale) -> Table | None:
        """The figures of each line; None if Redis does not answer."""
        figures = live_figures([sale.code]).get(sale.code)
        if figures is None:
            return None
        head = [_("line"), _("entered"), _("called"), _("free"), _("held"), _("sold")]
        rows = [[code, *(document[column] for column in COLUMNS)] for code, document in figures.items()]
        return Table(_("Now"), head, rows, [_("total"), *total(figures).values()])
