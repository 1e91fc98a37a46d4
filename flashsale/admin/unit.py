"""Units: where each piece is, and the way it went."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import get_language, gettext_lazy

from flashsale.admin.step import ReadOnlyAdmin
from flashsale.admin.way import way
from flashsale.admin.words import local, state
from flashsale.models import Unit


@admin.register(Unit)
class UnitAdmin(ReadOnlyAdmin):
    """To look at only: units change through the life."""

    list_display = ["serial", "sku", "state_word", "sale", "line"]
    list_filter = ["state", "campaign", "sku", "allocation__sale"]
    list_select_related = ["allocation__sale"]
    search_fields = ["serial"]
    show_full_result_count = False
    fields = ["serial", "sku", "campaign", "sale", "line", "state_word", "version"]
    panel_template = "admin/flashsale/unit_panel.html"

    @admin.display(description=gettext_lazy("state"), ordering="state")
    def state_word(self, unit: Unit) -> str:
        """In the reader's language."""
        return state(unit.state)

    @admin.display(description=gettext_lazy("sale"))
    def sale(self, unit: Unit) -> str:
        """Where it is sold, or was last."""
        return unit.allocation.sale.name

    @admin.display(description=gettext_lazy("line"))
    def line(self, unit: Unit) -> str:
        """The line it belongs to."""
        return unit.allocation.name or unit.allocation.code

    def get_queryset(self, request: HttpRequest) -> Any:
        """With what every page shows."""
        return super().get_queryset(request).select_related("allocation__sale", "campaign")

    def panel(self, row: Unit) -> dict[str, Any]:
        """The way."""
        stations = way(row, get_language() or "id")
        return {"way": [(local(s.at, row.campaign.zone), s.what, s.where, s.link) for s in stations]}
