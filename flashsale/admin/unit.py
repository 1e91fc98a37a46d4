"""Units: where each one is, and its history."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import get_language, gettext_lazy

from flashsale.admin.action_page import ReadOnlyAdmin
from flashsale.admin.labels import local_time, state_label
from flashsale.admin.unit_history import unit_history
from flashsale.models import Unit


@admin.register(Unit)
class UnitAdmin(ReadOnlyAdmin):
    """Units, read only: `flashsale/life` changes them."""

    list_display = ["serial", "sku", "state_name", "sale", "line"]
    list_filter = ["state", "campaign", "sku", "allocation__sale"]
    list_per_page = 50
    list_select_related = ["allocation__sale"]
    search_fields = ["serial"]
    show_full_result_count = False
    fields = ["serial", "sku", "campaign", "sale", "line", "state_name", "version"]
    panel_template = "admin/flashsale/unit_panel.html"

    @admin.display(description=gettext_lazy("state"), ordering="state")
    def state_name(self, unit: Unit) -> str:
        """The state in the reader's language."""
        return state_label(unit.state)

    @admin.display(description=gettext_lazy("sale"))
    def sale(self, unit: Unit) -> str:
        """The sale that sells the unit, or sold it last."""
        return unit.allocation.sale.name

    @admin.display(description=gettext_lazy("line"))
    def line(self, unit: Unit) -> str:
        """The name of the line, or its code if it has no name."""
        return unit.allocation.name or unit.allocation.code

    def get_queryset(self, request: HttpRequest) -> Any:
        """Joins the rows that every page shows."""
        return super().get_queryset(request).select_related("allocation__sale", "campaign")

    def panel(self, row: Unit) -> dict[str, Any]:
        """The history of the unit."""
        events = unit_history(row, get_language() or "id")
        return {"history": [(local_time(e.at, row.campaign.zone), e.what, e.where, e.link) for e in events]}
