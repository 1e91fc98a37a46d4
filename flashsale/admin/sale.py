"""Sales: planned through forms, published after a summary, watched while they run."""

from typing import Any

from django.contrib import admin
from django.db.models import Sum
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from flashsale.admin import figures
from flashsale.admin.inline import EditedInline
from flashsale.admin.sale_control import AddUnits, Brake, CallOff, CloseEarly, Pause, Postpone, Resume, phase
from flashsale.admin.sale_forms import LINE, TRANCHE, UNITS, SaleForm, line_form
from flashsale.admin.sale_steps import Publish, PutOnList, Reallocate, Review, TryOut, times, units
from flashsale.admin.step import StepAdmin, Table
from flashsale.admin.words import local, state
from flashsale.models import Allocation, Offer, Sale
from flashsale.rules.states import SaleState

IDENTITY = ["campaign", "code", "name"]
TIMES = ["lobby_at", "opens_at", "closes_at"]
RULES = [
    "limit", "claim_s", "hold_s", "overbooking", "rate_per_s", "claims_max", "extra_time_max", "poll_ms", "max_entries",
    "rules",
]  # fmt: skip


class OfferInline(EditedInline):
    """What is sold."""

    model = Offer
    extra = 1


class LineInline(admin.StackedInline):
    """Who sells how many of it."""

    model = Allocation
    extra = 1
    verbose_name = gettext_lazy("line")
    verbose_name_plural = gettext_lazy("lines and their units")

    def get_formset(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        """One field of units per offer, channels of this campaign."""
        form = line_form(obj)
        return super().get_formset(request, obj, **{**kwargs, "form": form, "fields": [*form.base_fields]})

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:  # noqa: ARG002
        """What every line has; what only tranches have is folded away."""
        units_of = [f"{UNITS}{offer.pk}" for offer in obj.offers.all()]
        tranche = (_("Tranche: opening, list, roll-over"), {"fields": TRANCHE, "classes": ["collapse"]})
        return [(None, {"fields": [*LINE, *units_of]}), tranche]


@admin.register(Sale)
class SaleAdmin(StepAdmin):
    """A sale; once published only its name changes by hand, everything else through steps."""

    form = SaleForm
    list_display = ["name", "code", "campaign", "opens", "closes", "planned_units", "state_word"]
    list_filter = ["campaign"]
    list_select_related = ["campaign"]
    search_fields = ["name", "code"]
    ordering = ["-opens_at"]
    steps = (
        PutOnList(), Publish(), Pause(), Resume(), Postpone(), AddUnits(), Brake(), CloseEarly(), CallOff(),
        Review(), TryOut(), Reallocate(),
    )  # fmt: skip
    panel_template = "admin/flashsale/sale_panel.html"

    def get_queryset(self, request: HttpRequest) -> Any:
        """With the units planned."""
        return super().get_queryset(request).annotate(planned=Sum("allocations__stock__quantity"))

    @admin.display(description=gettext_lazy("opens"), ordering="opens_at")
    def opens(self, sale: Sale) -> str:
        """In the campaign's zone."""
        return local(sale.opens_at, sale.campaign.zone)

    @admin.display(description=gettext_lazy("closes"), ordering="closes_at")
    def closes(self, sale: Sale) -> str:
        """In the campaign's zone."""
        return local(sale.closes_at, sale.campaign.zone)

    @admin.display(description=gettext_lazy("units"), ordering="planned")
    def planned_units(self, sale: Sale) -> int:
        """New units, over all lines."""
        return int(getattr(sale, "planned", 0) or 0)

    @admin.display(description=gettext_lazy("phase"))
    def state_word(self, sale: Sale) -> str:
        """Where it stands now."""
        return state(phase(sale))

    def get_fieldsets(self, request: HttpRequest, obj: Sale | None = None) -> Any:  # noqa: ARG002
        """A published sale shows its times and rules in the panel."""
        if obj and obj.state != SaleState.DRAFT:
            return [(None, {"fields": [*IDENTITY, *RULES]})]
        return [
            (None, {"fields": IDENTITY}),
            (_("Times"), {"fields": TIMES}),
            (_("Rules"), {"fields": RULES}),
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: Sale | None = None) -> list[str]:  # noqa: ARG002
        """The campaign once chosen; nearly everything once published."""
        if obj is None:
            return []
        return ["campaign"] if obj.state == SaleState.DRAFT else ["campaign", "code", *TIMES, *RULES]

    def get_inlines(self, request: HttpRequest, obj: Sale | None) -> list[Any]:  # noqa: ARG002
        """Offers first; lines when the offers are known; neither once published."""
        if obj is None:
            return [OfferInline]
        return [OfferInline, LineInline] if obj.state == SaleState.DRAFT else []

    def has_delete_permission(self, request: HttpRequest, obj: Sale | None = None) -> bool:
        """Drafts only."""
        return (obj is None or obj.state == SaleState.DRAFT) and super().has_delete_permission(request, obj)

    def view_on_site(self, obj: Sale) -> str | None:
        """The public page."""
        return f"/s/{obj.code}/" if obj.state != SaleState.DRAFT else None

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        """Lines with their units."""
        super().save_formset(request, form, formset, change)
        for line in formset.forms if formset.model is Allocation else ():
            if line.instance.pk and line not in formset.deleted_forms:
                line.save_stock()

    def response_add(self, request: HttpRequest, obj: Sale, post_url_continue: str | None = None) -> HttpResponse:
        """On to the lines, which need the offers just saved."""
        if "_addanother" in request.POST or "_popup" in request.POST:
            return super().response_add(request, obj, post_url_continue)
        self.message_user(request, _("Saved. Now say which channels sell how many units, then publish."))
        return HttpResponseRedirect(reverse("admin:flashsale_sale_change", args=[obj.pk]))

    def panel(self, row: Sale) -> dict[str, Any]:
        """State, times, units; the gate's figures once published."""
        published = row.state != SaleState.DRAFT
        return {
            "sale": row, "phase": state(phase(row)), "state": state(row.state),
            "published": published, "figures": self._figures(row) if published else None,
            "tables": [times(row), units(row)],
        }  # fmt: skip

    @staticmethod
    def _figures(sale: Sale) -> Table | None:
        lines = figures.many([sale.code]).get(sale.code)
        if lines is None:
            return None
        head = [_("line"), _("entered"), _("called"), _("free"), _("held"), _("sold")]
        rows = [[code, *(document[column] for column in figures.COLUMNS)] for code, document in lines.items()]
        return Table(_("This second"), head, rows, [_("total"), *figures.total(lines).values()])
