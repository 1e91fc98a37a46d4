"""Appeals: decided by somebody who had no part in the cancellation; the ledger of what they overturned."""

from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import F
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from flashsale.admin import evidence
from flashsale.admin.case_steps import reason_title
from flashsale.admin.step import ReadOnlyAdmin, Step, Table
from flashsale.admin.words import local, state
from flashsale.life import appeal
from flashsale.models import Appeal, Contact
from flashsale.rules.states import AppealState, Remedy


def ledger(entries: Sequence[appeal.LedgerEntry]) -> Table:
    """How often each rule was right, as far as appeals tell."""
    rows = [
        [_rule(entry.rule), entry.cancelled, entry.appealed, entry.upheld, entry.overturned, f"{entry.precision:.1%}"]
        for entry in entries
    ]
    head = [_("rule"), _("orders cancelled"), _("appeals"), _("upheld"), _("overturned"), _("measured precision")]
    return Table(_("Ledger of decisions"), head, rows)


def _rule(name: str) -> str:
    kind, _space, code = name.partition(" ")
    return reason_title(code) if kind == "reason" else name


def words_of(row: Appeal) -> str:
    """The buyer's own words, as long as their contact is kept."""
    contact = Contact.objects.filter(reservation=row.case.reservation_id).first()
    return (contact.read().get("appeal", "") if contact else "") or "–"


class Decide(Step):
    """A step of somebody who had no part in the cancellation."""

    permission = "flashsale.change_appeal"
    overturned: bool
    done: Any

    def offered(self, row: Appeal) -> bool:
        """An open appeal."""
        return row.state == AppealState.OPEN

    def tables(self, rows: Sequence[Appeal]) -> list[Table]:
        """What the cancellation rested on, and what the buyer says to it."""
        said = [Table(_("What the buyer says"), [""], [[words_of(row)]]) for row in rows[:1]]
        return [*said, *(evidence.table(row.case.evidence) for row in rows[:1])]

    def take(self, *, row: Appeal, request: HttpRequest, data: dict[str, Any]) -> str:  # noqa: ARG002
        """By a third person."""
        if request.user.pk in {row.proposed_by_id, row.approved_by_id}:
            raise ValidationError(_("You took part in this cancellation: somebody else has to decide."))
        decided = appeal.decide(appeal=row, overturned=self.overturned, by=request.user)
        if decided.remedy == Remedy.PRIORITY:
            return _(
                "Overturned. No unit is left for it: the buyer is refunded and gets the first unit of the next sale."
            )
        return str(self.done)


class Overturn(Decide):
    """The buyer is right."""

    name = "overturn"
    title = gettext_lazy("Overturn: the buyer is right")
    overturned = True
    done = gettext_lazy("Overturned: the order stands again.")

    def foretell(self, rows: Sequence[Appeal]) -> list[str]:  # noqa: ARG002
        """The order, or what stands for it."""
        return [
            _("The order is restored with its unit and its payment, and may be shipped."),
            _("Where no unit is left in the pool, the buyer is refunded and gets the first unit of the next sale."),
            _("The buyer is told by e-mail. The ledger counts it against the rules that pointed at the order."),
        ]


class Uphold(Decide):
    """The cancellation was right."""

    name = "uphold"
    title = gettext_lazy("Uphold: the cancellation stands")
    overturned = False
    done = gettext_lazy("Upheld: the cancellation is final.")

    def foretell(self, rows: Sequence[Appeal]) -> list[str]:  # noqa: ARG002
        """It is over."""
        return [
            _("The cancellation is final: the refund is sent, the limit is free again, the unit may go on."),
            _("The buyer is told by e-mail."),
        ]


@admin.register(Appeal)
class AppealAdmin(ReadOnlyAdmin):
    """Those that wait, first."""

    list_display = ["which", "state_word", "received", "reason_word", "sale", "remedy_word", "decided_by"]
    list_display_links = ["which"]
    list_filter = ["state", "case__reservation__sale"]
    search_fields = ["case__reservation__id__startswith"]
    ordering = [F("decided_at").desc(nulls_first=True), "received_at"]
    steps = (Overturn(), Uphold())
    change_list_template = "admin/flashsale/appeals.html"
    panel_template = "admin/flashsale/case_panel.html"

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:  # noqa: ARG002
        """What the buyer wrote only for whom it concerns."""
        words = ["words"] if request.user.has_perm("flashsale.view_contact") else []
        about = ["case_link", "sale", "reason_word", "proposed_by", "approved_by", "received"]
        return [*about, *words, "state_word", "remedy_word", "decided_by", "decided"]

    def get_queryset(self, request: HttpRequest) -> Any:
        """With what every page shows."""
        related = ("case__reservation__sale__campaign", "proposed_by", "approved_by", "decided_by")
        return super().get_queryset(request).select_related(*related)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """With the ledger."""
        return super().changelist_view(request, {**(extra_context or {}), "table": ledger(appeal.ledger())})

    def panel(self, row: Appeal) -> dict[str, Any]:
        """The evidence as it was frozen."""
        return {"tables": [evidence.table(row.case.evidence)]}

    @admin.display(description=gettext_lazy("reservation"))
    def which(self, row: Appeal) -> str:
        """Its number."""
        return str(row.case.reservation_id)

    @admin.display(description=gettext_lazy("case"))
    def case_link(self, row: Appeal) -> str:
        """To the decision appealed against."""
        url = reverse("admin:flashsale_case_change", args=[row.case_id])
        return format_html('<a href="{}">{}</a>', url, row.case.reservation_id)

    @admin.display(description=gettext_lazy("state"), ordering="state")
    def state_word(self, row: Appeal) -> str:
        """In the reader's language."""
        return state(row.state)

    @admin.display(description=gettext_lazy("remedy"))
    def remedy_word(self, row: Appeal) -> str:
        """In the reader's language."""
        return state(row.remedy) if row.remedy else "–"

    @admin.display(description=gettext_lazy("sale"))
    def sale(self, row: Appeal) -> str:
        """Where it was bought."""
        return row.case.reservation.sale.name

    @admin.display(description=gettext_lazy("reason"))
    def reason_word(self, row: Appeal) -> str:
        """Of the catalogue."""
        return reason_title(row.case.reason)

    @admin.display(description=gettext_lazy("what the buyer says"))
    def words(self, row: Appeal) -> str:
        """In their own words."""
        return words_of(row)

    @admin.display(description=gettext_lazy("received"), ordering="received_at")
    def received(self, row: Appeal) -> str:
        """In the campaign's zone."""
        return local(row.received_at, row.case.reservation.sale.campaign.zone)

    @admin.display(description=gettext_lazy("decided"), ordering="decided_at")
    def decided(self, row: Appeal) -> str:
        """In the campaign's zone."""
        return local(row.decided_at, row.case.reservation.sale.campaign.zone)
