"""Reviews and dry runs: how far they are, and what they found."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from flashsale.admin.step import ReadOnlyAdmin, Table
from flashsale.admin.words import local
from flashsale.life.rule_set_text import KINDS, MARKS
from flashsale.models import ReviewRun

RENEWED_S = 3


def found(run: ReviewRun) -> list[Table]:
    """What a run found: by kind of household, by what was seen, and how the scores spread."""
    summary = run.summary
    if not summary:
        return []
    homes = {
        "one": _("alone at the address"),
        "household": _("2 to 4 people at the address"),
        "house": _("5 to 19: boarding house, office"),
        "crowd": _("20 or more: campus, pick-up point"),
    }
    by_home = [
        [homes[home], orders, flagged, f"{100 * flagged / orders:.1f} %" if orders else "–"]
        for home, (orders, flagged) in ((home, summary["homes"][home]) for home in homes)
    ]
    seen = {**summary["reasons"], **summary["marks"]}
    words = {**KINDS, **MARKS}
    return [
        Table(
            _("Who is looked at"), [_("kind of household"), _("orders"), _("looked at"), _("share")], by_home,
            [_("total"), summary["orders"], summary["flagged"], _("groups: %(count)d") % {"count": summary["groups"]}],
        ),
        Table(
            _("What was seen on them"), [_("what"), _("orders")],
            [[words.get(word, word), count] for word, count in sorted(seen.items(), key=lambda one: -one[1])],
        ),
        Table(
            _("Scores of all orders"), [f"{low}–{low + 9 if low < 90 else 100}" for low in range(0, 100, 10)],
            [summary["scores"]],
        ),
    ]  # fmt: skip


@admin.register(ReviewRun)
class ReviewRunAdmin(ReadOnlyAdmin):
    """The newest first; a page of one that is under way renews itself."""

    list_display = ["sale", "rules", "dry", "progress", "looked_at", "asked", "finished"]
    list_filter = ["sale", "dry"]
    list_select_related = ["sale__campaign", "rules"]
    ordering = ["-asked_at"]
    fields = ["sale", "rules", "dry", "progress", "asked_by", "asked", "finished"]
    panel_template = "admin/flashsale/run_panel.html"

    def panel(self, row: ReviewRun) -> dict[str, Any]:
        """Progress as a bar, then what was found."""
        steps = row.orders * 2
        done = 1.0 if row.finished_at else (row.read + row.scored) / steps if steps else 0.0
        return {"tables": found(row), "run": row, "width": round(300 * done), "percent": round(100 * done)}

    def change_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Looks again by itself while the run is under way."""
        answer = super().change_view(request, *args, **kwargs)
        run = getattr(answer, "context_data", {}).get("original") if request.method == "GET" else None
        if run is not None and run.finished_at is None:
            answer["Refresh"] = str(RENEWED_S)
        return answer

    @admin.display(description=gettext_lazy("progress"))
    def progress(self, run: ReviewRun) -> str:
        """Read, then scored, of how many."""
        return _("%(read)d read, %(scored)d scored of %(orders)d") % {
            "read": run.read, "scored": run.scored, "orders": run.orders,
        }  # fmt: skip

    @admin.display(description=gettext_lazy("looked at"))
    def looked_at(self, run: ReviewRun) -> str:
        """Once it is over."""
        return str(run.summary["flagged"]) if run.summary else "–"

    @admin.display(description=gettext_lazy("asked for"), ordering="asked_at")
    def asked(self, run: ReviewRun) -> str:
        """In the campaign's zone."""
        return local(run.asked_at, run.sale.campaign.zone)

    @admin.display(description=gettext_lazy("finished"), ordering="finished_at")
    def finished(self, run: ReviewRun) -> str:
        """In the campaign's zone."""
        return local(run.finished_at, run.sale.campaign.zone)
