"""Cases: frozen evidence, a proposal, a decision by another person."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext_lazy

from flashsale.admin import evidence, graph
from flashsale.admin.case_steps import Appeal, Approve, Dismiss, Propose, Reopen, Undo, reason_title
from flashsale.admin.step import ReadOnlyAdmin
from flashsale.admin.words import local, state
from flashsale.life.review import record_view
from flashsale.models import Case


@admin.register(Case)
class CaseAdmin(ReadOnlyAdmin):
    """The most suspicious first."""

    list_display = ["which", "points", "group", "seen", "state_word", "sale", "reason_word", "proposed_by"]
    list_display_links = ["which"]
    list_filter = ["state", "reservation__sale", "run"]
    search_fields = ["reservation__id__startswith"]
    ordering = ["-score", "pk"]
    fields = [
        "order", "sale", "state_word", "points", "rules_version", "rules_hash", "opened", "reason_word",
        "proposed_by", "proposed", "decided_by", "decided", "due", "appeal",
    ]  # fmt: skip
    steps = (Propose(), Approve(), Undo(), Dismiss(), Reopen(), Appeal())
    panel_template = "admin/flashsale/group_panel.html"

    def get_queryset(self, request: HttpRequest) -> Any:
        """With what every page shows."""
        related = ("reservation__sale__campaign", "proposed_by", "decided_by", "appeal")
        return super().get_queryset(request).select_related(*related)

    def panel(self, row: Case) -> dict[str, Any]:
        """The evidence as it was frozen, and the group that it comes from."""
        shown = {"evidence": evidence.table(row.evidence)}
        group = graph.group_of(row)
        if len(group) == 1:
            return shown
        return shown | {"graph": graph.draw(group), "group": row.group, "run": row.run_id}

    def change_view(self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any) -> Any:
        """Whoever opens a case has its evidence before them."""
        answer = super().change_view(request, object_id, *args, **kwargs)
        context = getattr(answer, "context_data", None) or {}
        if context.get("panel") and request.method == "GET":
            case = context["original"]
            record_view(case=case, by=request.user)
            if "graph" in context["panel"]:
                may = request.user.has_perm("flashsale.view_contact")
                context["panel"]["beside"] = graph.side_by_side(graph.group_of(case), with_contacts=may)
        return answer

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """The list of one group is linked from its cases."""
        return lookup == "group" or super().lookup_allowed(lookup, value, request)

    @admin.display(description=gettext_lazy("reservation"))
    def which(self, case: Case) -> str:
        """Its number."""
        return str(case.reservation_id)

    @admin.display(description=gettext_lazy("score"), ordering="score")
    def points(self, case: Case) -> str:
        """Whole points are enough."""
        return f"{case.score:.0f}"

    @admin.display(description=gettext_lazy("evidence"))
    def seen(self, case: Case) -> str:
        """In one line."""
        return evidence.summary(case.evidence)

    @admin.display(description=gettext_lazy("state"), ordering="state")
    def state_word(self, case: Case) -> str:
        """In the reader's language."""
        return state(case.state)

    @admin.display(description=gettext_lazy("sale"))
    def sale(self, case: Case) -> str:
        """Where it was bought."""
        return case.reservation.sale.name

    @admin.display(description=gettext_lazy("reason"))
    def reason_word(self, case: Case) -> str:
        """Of the catalogue."""
        return reason_title(case.reason)

    @admin.display(description=gettext_lazy("reservation"))
    def order(self, case: Case) -> str:
        """A link to the order."""
        url = reverse("admin:flashsale_reservation_change", args=[case.reservation_id])
        return format_html('<a href="{}">{}</a>', url, case.reservation_id)

    @admin.display(description=gettext_lazy("opened"))
    def opened(self, case: Case) -> str:
        """In the campaign's zone."""
        return local(case.opened_at, case.reservation.sale.campaign.zone)

    @admin.display(description=gettext_lazy("proposed"))
    def proposed(self, case: Case) -> str:
        """In the campaign's zone."""
        return local(case.proposed_at, case.reservation.sale.campaign.zone)

    @admin.display(description=gettext_lazy("decided"))
    def decided(self, case: Case) -> str:
        """In the campaign's zone."""
        return local(case.decided_at, case.reservation.sale.campaign.zone)

    @admin.display(description=gettext_lazy("carried out"))
    def due(self, case: Case) -> str:
        """Until then the approval can be undone."""
        return local(case.due_at, case.reservation.sale.campaign.zone)

    @admin.display(description=gettext_lazy("appeal"))
    def appeal(self, case: Case) -> str:
        """A link to the appeal, if there is one."""
        if not hasattr(case, "appeal"):
            return "–"
        url = reverse("admin:flashsale_appeal_change", args=[case.appeal.pk])
        return format_html('<a href="{}">{}</a>', url, state(case.appeal.state))
