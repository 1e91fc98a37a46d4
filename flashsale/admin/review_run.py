"""Reviews and dry runs: their progress and their results."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from flashsale.admin.action_page import ReadOnlyAdmin, Table
from flashsale.admin.labels import local_time
from flashsale.admin.list_filters import PeriodFilter
from flashsale.life.rule_set_text import FACT_LABELS, KIND_LABELS, MARK_LABELS
from flashsale.models import ReviewRun

REFRESH_S = 3


def result_tables(run: ReviewRun) -> list[Table]:
    """Flagged orders by kind of household, the clues, and the scores in steps of ten. Empty before the end."""
    summary = run.summary
    if not summary:
        return []
    homes = {
        "one": _("alone at the address"),
        "household": _("2 to 4 people at the address"),
        "house": _("5 to 19: boarding house, office"),
        "crowd": _("20 or more: campus, pick-up point"),
    }
    home_rows = [
        [homes[home], orders, flagged, f"{100 * flagged / orders:.1f} %" if orders else "–"]
        for home, (orders, flagged) in ((home, summary["homes"][home]) for home in homes)
    ]
    home_totals = [
        _("total"),
        summary["orders"],
        summary["flagged"],
        _("groups: %(count)d") % {"count": summary["groups"]},
    ]
    counts = sorted(
        {**summary["reasons"], **summary.get("facts", {}), **summary["marks"]}.items(), key=lambda item: -item[1]
    )
    labels = {**KIND_LABELS, **FACT_LABELS, **MARK_LABELS}
    return [
        Table(
            _("Flagged orders by household"),
            [_("kind of household"), _("orders"), _("flagged"), _("share")],
            home_rows,
            home_totals,
        ),
        Table(
            _("Clues on the flagged orders"),
            [_("clue"), _("orders")],
            [[labels.get(clue, clue), count] for clue, count in counts],
        ),
        Table(
            _("Scores of all orders"),
            [f"{low}–{low + 9 if low < 90 else 100}" for low in range(0, 100, 10)],
            [summary["scores"]],
        ),
    ]


@admin.register(ReviewRun)
class ReviewRunAdmin(ReadOnlyAdmin):
    """Review runs, newest first. The page of a run that is not finished reloads itself."""

    list_display = ["sale", "rules", "dry", "progress", "flagged", "asked", "finished"]
    list_per_page = 50
    list_filter = ["dry", PeriodFilter.of("asked_at"), "sale"]
    list_select_related = ["sale__campaign", "rules"]
    ordering = ["-asked_at"]
    fields = ["sale", "rules", "dry", "progress", "asked_by", "asked", "finished"]
    panel_template = "admin/flashsale/run_panel.html"

    def panel(self, row: ReviewRun) -> dict[str, Any]:
        """The progress as a bar (width in units of its viewBox), then the results."""
        work = row.orders * 2  # each order is read, then scored
        done = 1.0 if row.finished_at else (row.read + row.scored) / work if work else 0.0
        return {"tables": result_tables(row), "run": row, "width": round(300 * done), "percent": round(100 * done)}

    def change_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Adds a `Refresh` header until the run is finished."""
        response = super().change_view(request, *args, **kwargs)
        run = getattr(response, "context_data", {}).get("original") if request.method == "GET" else None
        if run is not None and run.finished_at is None:
            response["Refresh"] = str(REFRESH_S)
        return response

    @admin.display(description=gettext_lazy("progress"))
    def progress(self, run: ReviewRun) -> str:
        """How many orders are read, how many are scored, how many there are."""
        counts = {"read": run.read, "scored": run.scored, "orders": run.orders}
        return _("%(read)d read, %(scored)d scored of %(orders)d") % counts

    @admin.display(description=gettext_lazy("flagged"))
    def flagged(self, run: ReviewRun) -> str:
        """How many orders the rules flagged; a dash before the end."""
        return str(run.summary["flagged"]) if run.summary else "–"

    @admin.display(description=gettext_lazy("asked for"), ordering="asked_at")
    def asked(self, run: ReviewRun) -> str:
        """When the run was requested, in the campaign's zone."""
        return local_time(run.asked_at, run.sale.campaign.zone)

    @admin.display(description=gettext_lazy("finished"), ordering="finished_at")
    def finished(self, run: ReviewRun) -> str:
        """When it finished, in the campaign's zone."""
        return local_time(run.finished_at, run.sale.campaign.zone)
