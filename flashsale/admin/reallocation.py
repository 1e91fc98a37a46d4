"""Reallocations: plans that move returned units to a follow-up sale, and the units that they moved."""

from typing import Any

from django.contrib import admin
from django.db.models import Count
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from flashsale.admin.action_page import ReadOnlyAdmin
from flashsale.admin.labels import local_time
from flashsale.models import Reallocation

UNITS_SHOWN = 200


@admin.register(Reallocation)
class ReallocationAdmin(ReadOnlyAdmin):
    """Plans, newest first: from which sale, to which line, how many units."""

    list_display = ["source", "target_sale", "target_line", "moved", "units", "reserve", "due", "made_by", "made"]
    list_filter = ["source", "target__sale"]
    fields = [
        "source",
        "target_sale",
        "target_line",
        "moved",
        "units",
        "reserve",
        "due",
        "carried_out",
        "made_by",
        "made",
    ]
    ordering = ["-made_at"]
    panel_template = "admin/flashsale/reallocation_panel.html"

    def get_queryset(self, request: HttpRequest) -> Any:
        """Joins what every page shows, and counts the moved units."""
        related = ("source__campaign", "target__sale", "made_by")
        return super().get_queryset(request).select_related(*related).annotate(moves_made=Count("moves"))

    @admin.display(description=gettext_lazy("to sale"))
    def target_sale(self, plan: Reallocation) -> str:
        """The name of the follow-up sale."""
        return plan.target.sale.name

    @admin.display(description=gettext_lazy("to line"))
    def target_line(self, plan: Reallocation) -> str:
        """The name of the follow-up sale's line, or its code if it has no name."""
        return plan.target.name or plan.target.code

    @admin.display(description=gettext_lazy("units moved"), ordering="moves_made")
    def moved(self, plan: Reallocation) -> int:
        """How many units the plan has moved until now."""
        return int(getattr(plan, "moves_made", 0))

    @admin.display(description=gettext_lazy("made"), ordering="made_at")
    def made(self, plan: Reallocation) -> str:
        """When the plan was made, in the campaign's zone."""
        return local_time(plan.made_at, plan.source.campaign.zone)

    @admin.display(description=gettext_lazy("planned for"), ordering="due_at")
    def due(self, plan: Reallocation) -> str:
        """When the plan is due, in the campaign's zone."""
        return local_time(plan.due_at, plan.source.campaign.zone)

    @admin.display(description=gettext_lazy("carried out"))
    def carried_out(self, plan: Reallocation) -> str:
        """When the plan was carried out, in the campaign's zone."""
        return local_time(plan.carried_out_at, plan.source.campaign.zone)

    def panel(self, row: Reallocation) -> dict[str, Any]:
        """The moved units, each with a link to its history."""
        moves = row.moves.select_related("unit", "origin").order_by("pk")[:UNITS_SHOWN]
        units = [
            (reverse("admin:flashsale_unit_change", args=[m.unit_id]), m.unit.serial, m.origin.code) for m in moves
        ]
        not_shown = row.moves.count() - len(units)
        return {"units": units, "more": _("and %(count)d more") % {"count": not_shown} if not_shown else ""}
