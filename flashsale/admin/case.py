"""Cases: evidence that does not change, a proposal, and a decision by another person."""

from typing import Any

from django.contrib import admin
from django.db.models import F
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext, gettext_lazy

from flashsale.admin import case_graph, evidence
from flashsale.admin.action_page import ReadOnlyAdmin
from flashsale.admin.case_actions import Approve, Dismiss, NoteAppeal, Propose, Reopen, Undo, reason_title
from flashsale.admin.case_desk import DESK_ACTIONS, DeadlineFilter, WhoseFilter, deadline_text, notes_table
from flashsale.admin.labels import local_time, state_label
from flashsale.life.review import record_view
from flashsale.models import Case
from flashsale.rules.money import format_money


@admin.register(Case)
class CaseAdmin(ReadOnlyAdmin):
    """Cases, the nearest deadline first, then the highest score."""

    list_display = [
        "order",
        "deadline",
        "points",
        "ring",
        "amount",
        "clues",
        "state_name",
        "assigned_to",
        "sale",
        "reason_name",
        "proposed_by",
    ]
    list_display_links = ["order"]
    list_filter = [DeadlineFilter, WhoseFilter, "state", "reservation__sale", "run"]
    list_per_page = 50
    show_full_result_count = False
    # A case links to the list of its group's cases.
    link_lookups = ("group",)
    search_fields = ["reservation__id__startswith"]
    ordering = [F("deadline_at").asc(nulls_last=True), "-score", "pk"]
    fields = [
        "order_link",
        "sale",
        "state_name",
        "deadline",
        "assigned_to",
        "points",
        "rules_version",
        "rules_hash",
        "opened",
        "reason_name",
        "proposed_by",
        "proposed",
        "decided_by",
        "decided",
        "due",
        "appeal_link",
    ]
    row_actions = (Propose(), Approve(), Undo(), Dismiss(), Reopen(), NoteAppeal(), *DESK_ACTIONS)
    panel_template = "admin/flashsale/case_panel.html"

    def get_queryset(self, request: HttpRequest) -> Any:
        """Joins the rows that every page shows. Without cases of test sales, which have no reviewers."""
        related = ("reservation__sale__campaign", "proposed_by", "decided_by", "assigned_to", "appeal")
        live = super().get_queryset(request).filter(reservation__sale__campaign__sandbox_of=None)
        return live.select_related(*related)

    def panel(self, row: Case) -> dict[str, Any]:
        """The evidence as it was when the case was opened, and the graph of the case's group."""
        panel: dict[str, Any] = {"evidence": evidence.evidence_table(row.evidence), "notes": notes_table(row)}
        group = case_graph.group_of(row)
        if len(group) == 1:
            return panel
        return panel | {"graph": case_graph.draw(group), "ring": f"{reverse('admin:flashsale_case_ring')}?id={row.pk}"}

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """Records that the user read the evidence of the cases on this page of the list."""
        response = super().changelist_view(request, extra_context)
        shown = (getattr(response, "context_data", None) or {}).get("cl")
        if shown is not None:
            evidence.note_evidence(shown.result_list, by=request.user)
        return response

    def change_view(self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any) -> Any:
        """Records that the user opened the case: a decision about many cases requires that a sample was opened."""
        response = super().change_view(request, object_id, *args, **kwargs)
        context = getattr(response, "context_data", None) or {}
        if context.get("panel") and request.method == "GET":
            case = context["original"]
            record_view(case=case, by=request.user)
            group = case_graph.group_of(case)[: case_graph.ORDERS_MAX]
            evidence.note_evidence(group, by=request.user)
            if "graph" in context["panel"]:
                group = case_graph.group_of(case)
                context["panel"]["side_by_side"] = case_graph.side_by_side(group, reader=request.user)
        return response

    @admin.display(description=gettext_lazy("reservation"))
    def order(self, case: Case) -> str:
        """The id of the reservation."""
        return str(case.reservation_id)

    @admin.display(description=gettext_lazy("score"), ordering="score")
    def points(self, case: Case) -> str:
        """The score, rounded to whole points."""
        return f"{case.score:.0f}"

    @admin.display(description=gettext_lazy("group"), ordering="group")
    def ring(self, case: Case) -> str:
        """The number of the group in its review; a link to all orders of the ring."""
        if case.group is None:
            return "–"
        name = gettext("ring %(number)s") % {"number": case.group}
        return format_html('<a href="{}?id={}">{}</a>', reverse("admin:flashsale_case_ring"), case.pk, name)

    @admin.display(description=gettext_lazy("amount"), ordering="reservation__amount")
    def amount(self, case: Case) -> str:
        """The amount of the order with its currency."""
        return format_money(case.reservation.amount, case.reservation.sale.campaign.currency)

    @admin.display(description=gettext_lazy("deadline"), ordering="deadline_at")
    def deadline(self, case: Case) -> str:
        """Until when people decide, with a mark when it is over."""
        return deadline_text(case)

    @admin.display(description=gettext_lazy("evidence"))
    def clues(self, case: Case) -> str:
        """The evidence in one line."""
        return evidence.evidence_summary(case.evidence)

    @admin.display(description=gettext_lazy("state"), ordering="state")
    def state_name(self, case: Case) -> str:
        """The state in the reader's language."""
        return state_label(case.state)

    @admin.display(description=gettext_lazy("sale"))
    def sale(self, case: Case) -> str:
        """The sale of the order."""
        return case.reservation.sale.name

    @admin.display(description=gettext_lazy("reason"))
    def reason_name(self, case: Case) -> str:
        """The title of the reason in the catalogue."""
        return reason_title(case.reason)

    @admin.display(description=gettext_lazy("reservation"))
    def order_link(self, case: Case) -> str:
        """A link to the reservation."""
        url = reverse("admin:flashsale_reservation_change", args=[case.reservation_id])
        return format_html('<a href="{}">{}</a>', url, case.reservation_id)

    @admin.display(description=gettext_lazy("opened"))
    def opened(self, case: Case) -> str:
        """When it was opened, in the campaign's zone."""
        return local_time(case.opened_at, case.reservation.sale.campaign.zone)

    @admin.display(description=gettext_lazy("proposed"))
    def proposed(self, case: Case) -> str:
        """When the cancellation was proposed, in the campaign's zone."""
        return local_time(case.proposed_at, case.reservation.sale.campaign.zone)

    @admin.display(description=gettext_lazy("decided"))
    def decided(self, case: Case) -> str:
        """When it was decided, in the campaign's zone."""
        return local_time(case.decided_at, case.reservation.sale.campaign.zone)

    @admin.display(description=gettext_lazy("carried out"))
    def due(self, case: Case) -> str:
        """When an approved cancellation is carried out. Until then the approval can be undone."""
        return local_time(case.due_at, case.reservation.sale.campaign.zone)

    @admin.display(description=gettext_lazy("appeal"))
    def appeal_link(self, case: Case) -> str:
        """A link to the appeal, if there is one."""
        if not hasattr(case, "appeal"):
            return "–"
        url = reverse("admin:flashsale_appeal_change", args=[case.appeal.pk])
        return format_html('<a href="{}">{}</a>', url, state_label(case.appeal.state))
