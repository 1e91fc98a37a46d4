"""Appeals, decided by a person who had no part in the cancellation, and the ledger of overturned decisions."""

from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import F, OuterRef, Subquery
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from flashsale.admin import evidence
from flashsale.admin.action_page import Action, ReadOnlyAdmin, Table
from flashsale.admin.case_actions import reason_title
from flashsale.admin.labels import local_time, state_label
from flashsale.admin.list_filters import PeriodFilter
from flashsale.life import appeal
from flashsale.life.read_contacts import read_contacts
from flashsale.life.rule_set_text import FACT_LABELS, MARK_LABELS
from flashsale.models import Appeal, Refund
from flashsale.rules.money import format_money
from flashsale.rules.states import AppealState, Remedy


def ledger_table(entries: Sequence[appeal.LedgerEntry]) -> Table:
    """For each rule: cancelled orders, appeals, and the share of final cancellations that were not overturned."""
    rows = [
        [
            _rule_title(entry.rule),
            entry.cancelled,
            entry.appealed,
            entry.upheld,
            entry.overturned,
            entry.decided,
            _("nothing decided yet") if entry.precision is None else f"{entry.precision:.1%}",
        ]
        for entry in entries
    ]
    head = [
        _("rule"),
        _("orders cancelled"),
        _("appeals"),
        _("upheld"),
        _("overturned"),
        _("final"),
        _("of the final ones, not overturned"),
    ]
    return Table(_("Ledger of decisions"), head, rows)


def _rule_title(name: str) -> str:
    """The rule in words, with the version of its set: "1: paid only seconds after reserving"."""
    kind, _space, code = name.partition(" ")
    if kind == "reason":
        return reason_title(code)
    same, _space, axis = code.partition(" ")
    if same == "same" and axis:
        label: Any = _("same %(axis)s") % {"axis": evidence.kind_label(axis)}
        return f"{kind}: {label}"
    label = FACT_LABELS.get(code) or MARK_LABELS.get(code)
    return f"{kind}: {label}" if label else name


def buyer_statement(row: Any) -> str:
    """The text that the buyer wrote in the appeal; a dash once the contact, which holds it, is erased.

    Leaves a record of the reader, which the page has noted in the row.
    """
    order = row.case.reservation
    data = read_contacts(reservations=[order], by=row.reader).get(order.pk)
    return (data or {}).get("appeal", "") or "–"


class AppealDecision(Action):
    """Decides an appeal. The user must not have proposed or approved the cancellation."""

    permission = "flashsale.change_appeal"
    overturned: bool
    done_text: Any

    def is_available(self, row: Appeal) -> bool:
        """For an open appeal."""
        return row.state == AppealState.OPEN

    def note_readings(self, rows: Sequence[Appeal], user: Any) -> None:
        """The evidence that the page shows."""
        evidence.note_evidence([row.case for row in rows[:1]], by=user)

    def tables(self, rows: Sequence[Appeal]) -> list[Table]:
        """The buyer's statement, and the evidence for the cancellation."""
        statements = [Table(_("What the buyer says"), [""], [[buyer_statement(row)]]) for row in rows[:1]]
        return [*statements, *(evidence.evidence_table(row.case.evidence) for row in rows[:1])]

    def who_decides(self) -> str:
        """Shown before the click, so that a person who took part in the cancellation does not try in vain."""
        return _("Only a person who neither proposed nor approved the cancellation can decide.")

    def perform(self, *, row: Appeal, request: HttpRequest, data: dict[str, Any]) -> str:  # noqa: ARG002
        """Raises ValidationError for a user who took part in the cancellation."""
        if request.user.pk in {row.proposed_by_id, row.approved_by_id}:
            raise ValidationError(_("You took part in this cancellation. Another person has to decide."))
        decided = appeal.decide(appeal=row, overturned=self.overturned, by=request.user)
        if decided.remedy == Remedy.PRIORITY:
            return _("Overturned. No unit is left: the buyer is refunded and gets the first unit of the next sale.")
        return str(self.done_text)


class Overturn(AppealDecision):
    """Decides in favour of the buyer."""

    name = "overturn"
    needs_proof = True
    title = gettext_lazy("Overturn: the buyer is right")
    overturned = True
    done_text = gettext_lazy("Overturned: the order is valid again.")

    def consequences(self, rows: Sequence[Appeal]) -> list[str]:  # noqa: ARG002
        """The order is restored, or the buyer gets a refund and priority."""
        return [
            _("The order is restored with its unit and its payment, and may be shipped."),
            _("If no unit is left in the pool, the buyer is refunded and gets the first unit of the next sale."),
            _("The buyer gets an e-mail. The ledger counts the decision against the rules that flagged the order."),
            self.who_decides(),
        ]


class Uphold(AppealDecision):
    """Decides that the cancellation was right."""

    name = "uphold"
    title = gettext_lazy("Uphold: the cancellation stands")
    overturned = False
    done_text = gettext_lazy("Upheld: the cancellation is final.")

    def consequences(self, rows: Sequence[Appeal]) -> list[str]:  # noqa: ARG002
        """The cancellation becomes final."""
        return [
            _("The cancellation is final: the refund is sent, the limit is free again, the unit may move on."),
            _("The buyer gets an e-mail."),
            self.who_decides(),
        ]


@admin.register(Appeal)
class AppealAdmin(ReadOnlyAdmin):
    """Appeals. Those that wait for a decision come first."""

    list_display = [
        "order",
        "state_name",
        "received",
        "decide_until",
        "amount",
        "reason",
        "sale",
        "remedy_name",
        "decided_by",
    ]
    list_display_links = ["order"]
    list_filter = ["state", PeriodFilter.of("received_at"), "case__reservation__sale"]
    list_per_page = 50
    show_full_result_count = False
    search_fields = ["case__reservation__id__startswith"]
    ordering = [F("decided_at").desc(nulls_first=True), "received_at"]
    row_actions = (Overturn(), Uphold())
    change_list_template = "admin/flashsale/appeals.html"
    panel_template = "admin/flashsale/tables_panel.html"

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:  # noqa: ARG002
        """Shows the buyer's statement only to users who may see contacts."""
        statement = ["statement"] if request.user.has_perm("flashsale.view_contact") else []
        about = ["case_link", "sale", "reason", "proposed_by", "approved_by", "received"]
        return [*about, *statement, "state_name", "remedy_name", "decided_by", "decided"]

    def get_queryset(self, request: HttpRequest) -> Any:
        """Joins the rows that every page shows."""
        related = ("case__reservation__sale__campaign", "proposed_by", "approved_by", "decided_by")
        waiting = Refund.objects.filter(attempt__reservation=OuterRef("case__reservation"), waits=True)
        rows = super().get_queryset(request).select_related(*related)
        return rows.annotate(decide_by=Subquery(waiting.order_by("next_look_at").values("next_look_at")[:1]))

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """The appeal, which notes its reader, because the audit trail records who reads what a buyer wrote."""
        row = super().get_object(request, object_id, from_field)
        if row is not None:
            row.reader = request.user
        return row

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """Adds the ledger below the list."""
        return super().changelist_view(
            request, {**(extra_context or {}), "table": ledger_table(appeal.ledger(by=request.user))}
        )

    def change_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Records that the user read the evidence."""
        response = super().change_view(request, *args, **kwargs)
        row = (getattr(response, "context_data", None) or {}).get("original")
        if row is not None and request.method == "GET":
            evidence.note_evidence([row.case], by=request.user)
        return response

    def panel(self, row: Appeal) -> dict[str, Any]:
        """The evidence of the case, unchanged since the case was opened."""
        return {"tables": [evidence.evidence_table(row.case.evidence)]}

    @admin.display(description=gettext_lazy("reservation"))
    def order(self, row: Appeal) -> str:
        """The id of the reservation."""
        return str(row.case.reservation_id)

    @admin.display(description=gettext_lazy("case"))
    def case_link(self, row: Appeal) -> str:
        """A link to the case whose decision is appealed."""
        url = reverse("admin:flashsale_case_change", args=[row.case_id])
        return format_html('<a href="{}">{}</a>', url, row.case.reservation_id)

    @admin.display(description=gettext_lazy("state"), ordering="state")
    def state_name(self, row: Appeal) -> str:
        """The state in the reader's language."""
        return state_label(row.state)

    @admin.display(description=gettext_lazy("deadline"), ordering="decide_by")
    def decide_until(self, row: Appeal) -> str:
        """Until when the refund waits for the decision, with a mark when that is over; a dash for a decided appeal."""
        until = getattr(row, "decide_by", None)
        if until is None or row.state != AppealState.OPEN:
            return "–"
        text = local_time(until, row.case.reservation.sale.campaign.zone)
        if until > timezone.now():
            return text
        return format_html('{} <strong class="overdue">{}</strong>', text, _("overdue"))

    @admin.display(description=gettext_lazy("amount"), ordering="case__reservation__amount")
    def amount(self, row: Appeal) -> str:
        """The amount of the order with its currency."""
        return format_money(row.case.reservation.amount, row.case.reservation.sale.campaign.currency)

    @admin.display(description=gettext_lazy("remedy"))
    def remedy_name(self, row: Appeal) -> str:
        """The remedy in the reader's language."""
        return state_label(row.remedy) if row.remedy else "–"

    @admin.display(description=gettext_lazy("sale"))
    def sale(self, row: Appeal) -> str:
        """The sale of the order."""
        return row.case.reservation.sale.name

    @admin.display(description=gettext_lazy("reason"))
    def reason(self, row: Appeal) -> str:
        """The title of the reason in the catalogue."""
        return reason_title(row.case.reason)

    @admin.display(description=gettext_lazy("what the buyer says"))
    def statement(self, row: Appeal) -> str:
        """The buyer's own text."""
        return buyer_statement(row)

    @admin.display(description=gettext_lazy("received"), ordering="received_at")
    def received(self, row: Appeal) -> str:
        """When it arrived, in the campaign's zone."""
        return local_time(row.received_at, row.case.reservation.sale.campaign.zone)

    @admin.display(description=gettext_lazy("decided"), ordering="decided_at")
    def decided(self, row: Appeal) -> str:
        """When it was decided, in the campaign's zone."""
        return local_time(row.decided_at, row.case.reservation.sale.campaign.zone)
