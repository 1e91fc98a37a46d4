"""Actions on a case: propose, approve, undo, dismiss, send back, note an appeal. A cancellation needs two people."""

from collections.abc import Sequence
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import get_language, gettext_lazy, ngettext
from django.utils.translation import gettext as _

from flashsale.admin.action_page import SAMPLE_SIZE, Action, Table
from flashsale.admin.evidence import evidence_summary, evidence_table, note_evidence
from flashsale.admin.labels import local_time
from flashsale.life import appeal, review
from flashsale.life.case_desk import NOTE_CHARS_MAX
from flashsale.models import Case
from flashsale.rules.reasons import REASONS, cancel_reason
from flashsale.rules.states import CaseState


def reason_title(code: str) -> str:
    """A reason's title in the reader's language; a dash for an empty code."""
    return cancel_reason(code).title.in_language(get_language() or "id") if code else "–"


def evidence_tables(cases: Sequence[Case]) -> list[Table]:
    """For one case all its evidence; for many cases a summary of the first SAMPLE_SIZE."""
    if len(cases) == 1:
        return [evidence_table(cases[0].evidence)]
    rows = [
        [str(case.reservation_id), f"{case.score:.0f}", evidence_summary(case.evidence)] for case in cases[:SAMPLE_SIZE]
    ]
    title = _("Sample: %(shown)d of %(count)d") % {"shown": len(rows), "count": len(cases)}
    return [Table(title, [_("reservation"), _("score"), _("evidence")], rows)]


class ReasonForm(forms.Form):
    """The choice of a reason from the catalogue. A free text is not possible."""

    reason = forms.ChoiceField(label=gettext_lazy("reason"), widget=forms.RadioSelect)

    def __init__(self, data: Any) -> None:
        super().__init__(data)
        language = get_language() or "id"
        self.fields["reason"].choices = [  # type: ignore[attr-defined]
            (code.value, f"{reason.title.in_language(language)}: {reason.explanation.in_language(language)}")
            for code, reason in REASONS.items()
            if reason.needs_case
        ]


class NoteForm(forms.Form):
    """A text about a case, for colleagues."""

    text = forms.CharField(
        label=gettext_lazy("note"),
        required=False,
        max_length=NOTE_CHARS_MAX,
        widget=forms.Textarea(attrs={"rows": 4, "cols": 60}),
        help_text=gettext_lazy(
            "Everyone who sees the case reads it. It cannot be changed. Write no names or addresses."
        ),
    )


class CaseAction(Action):
    """An action of the review. The page shows the evidence."""

    permission = "flashsale.change_case"

    def rows_to_open_first(self, rows: Sequence[Case], user: Any) -> Sequence[Case]:
        """For many cases, the part of a random sample that the user has not opened yet."""
        return review.unviewed_sample(cases=rows, by=user)

    def note_readings(self, rows: Sequence[Case], user: Any) -> None:
        """The evidence that the page shows: of a sample, if there are many rows."""
        note_evidence(rows[:SAMPLE_SIZE], by=user)

    def tables(self, rows: Sequence[Case]) -> list[Table]:
        """The evidence."""
        return evidence_tables(rows)


class Propose(CaseAction):
    """open → proposed."""

    name = "propose"
    title = gettext_lazy("Propose to cancel")
    bulk = True

    def is_available(self, row: Case) -> bool:
        """For an open case."""
        return row.state == CaseState.OPEN

    def consequences(self, rows: Sequence[Case]) -> list[str]:
        """Another person decides."""
        text = ngettext("%(count)d order is proposed", "%(count)d orders are proposed", len(rows))
        return [
            text % {"count": len(rows)} + " " + _("for cancellation. Another person has to approve."),
            _("The buyer reads the reason that you choose, in the same words everywhere."),
        ]

    def build_form(self, rows: Sequence[Case], data: Any) -> forms.Form:  # noqa: ARG002
        """The choice of the reason."""
        return ReasonForm(data)

    def perform(self, *, row: Case, request: HttpRequest, data: dict[str, Any]) -> str:
        """Proposes the cancellation for the chosen reason."""
        review.propose(case=row, code=data["reason"], by=request.user)
        return _("Proposed. Another person has to approve.")


def _proposal(case: Case) -> list[Any]:
    """The proposal that a page of the case has shown."""
    return [case.state, case.reason, case.proposed_by_id, str(case.proposed_at)]


class Approve(CaseAction):
    """proposed → approved, or cancelled at once if the campaign gives no time to undo."""

    permission = "flashsale.approve_case"
    needs_proof = True
    name = "approve"
    title = gettext_lazy("Approve: cancel the order")
    bulk = True

    def is_available(self, row: Case) -> bool:
        """For a proposed case."""
        return row.state == CaseState.PROPOSED

    def shown_values(self, row: Case) -> Any:
        """The proposal: another person may have taken it back and made another one."""
        return _proposal(row)

    def consequences(self, rows: Sequence[Case]) -> list[str]:
        """The order is cancelled and refunded."""
        reasons = ", ".join(sorted({reason_title(case.reason) for case in rows}))
        text = ngettext(
            "%(count)d order is cancelled and refunded.", "%(count)d orders are cancelled and refunded.", len(rows)
        )
        return [
            text % {"count": len(rows)},
            _("Reason: %(reasons)s.") % {"reasons": reasons},
            _("The buyer is told why and how to appeal. The unit waits in the return pool."),
            _("Only a person who did not propose it can approve it."),
        ]

    def perform(self, *, row: Case, request: HttpRequest, data: dict[str, Any]) -> str:  # noqa: ARG002
        """Raises ValidationError for the user who proposed the cancellation."""
        if row.proposed_by_id == request.user.pk:
            raise ValidationError(_("You proposed this cancellation yourself. Another person has to approve it."))
        case = review.approve(case=row, by=request.user)
        if case.state == CaseState.APPROVED:
            text = _("Approved. It can be undone until %(time)s. Then the order is cancelled and the buyer is told.")
            return text % {"time": local_time(case.due_at, case.reservation.sale.campaign.zone)}
        return _("Approved: the order is cancelled.")


class Undo(CaseAction):
    """approved → open."""

    permission = "flashsale.approve_case"
    name = "undo"
    title = gettext_lazy("Undo the approval")
    bulk = True

    def is_available(self, row: Case) -> bool:
        """For an approved case whose cancellation was not carried out yet."""
        return row.state == CaseState.APPROVED

    def rows_to_open_first(self, rows: Sequence[Case], user: Any) -> Sequence[Case]:  # noqa: ARG002
        """None, because stopping a cancellation must be quick."""
        return ()

    def consequences(self, rows: Sequence[Case]) -> list[str]:  # noqa: ARG002
        """The buyer does not notice it."""
        return [_("Nothing was cancelled yet, and the buyer was not told. The case becomes open again.")]

    def perform(self, *, row: Case, request: HttpRequest, data: dict[str, Any]) -> str:  # noqa: ARG002
        """Opens the case again."""
        review.undo(case=row, by=request.user)
        return _("Undone: the case is open again.")


class Dismiss(CaseAction):
    """open | proposed → dismissed."""

    name = "dismiss"
    title = gettext_lazy("Dismiss the case")
    bulk = True

    def is_available(self, row: Case) -> bool:
        """For a case that is open or proposed."""
        return row.state in {CaseState.OPEN, CaseState.PROPOSED}

    def shown_values(self, row: Case) -> Any:
        """The proposal, if there is one: a person who saw none does not dismiss it unread."""
        return _proposal(row)

    def consequences(self, rows: Sequence[Case]) -> list[str]:  # noqa: ARG002
        """The order stays as it is."""
        return [_("The order stays valid and may be shipped. The buyer gets no message.")]

    def build_form(self, rows: Sequence[Case], data: Any) -> forms.Form:
        """The reason. It may be empty for one case, but not for several."""
        form = NoteForm(data)
        form.fields["text"].label = _("reason")
        form.fields["text"].required = len(rows) > 1
        return form

    def perform(self, *, row: Case, request: HttpRequest, data: dict[str, Any]) -> str:
        """Raises ValidationError for the user who proposed the cancellation."""
        if row.proposed_by_id == request.user.pk:
            raise ValidationError(
                _("You proposed the cancellation yourself: send it back, or let another person dismiss it.")
            )
        review.dismiss(case=row, by=request.user, why=data["text"])
        return _("Dismissed: the order stays valid.")


class Reopen(CaseAction):
    """proposed → open."""

    name = "reopen"
    title = gettext_lazy("Send back")

    def is_available(self, row: Case) -> bool:
        """For a proposed case."""
        return row.state == CaseState.PROPOSED

    def consequences(self, rows: Sequence[Case]) -> list[str]:  # noqa: ARG002
        """The proposal is withdrawn."""
        return [_("The proposal is withdrawn and the case is open again.")]

    def perform(self, *, row: Case, request: HttpRequest, data: dict[str, Any]) -> str:  # noqa: ARG002
        """Opens the case again."""
        review.reopen(case=row, by=request.user)
        return _("The case is open again.")


class NoteAppeal(CaseAction):
    """Records an appeal that did not come through the buyer's page, such as a letter."""

    name = "note-appeal"
    title = gettext_lazy("Note an appeal")

    def is_available(self, row: Case) -> bool:
        """For a cancelled order whose buyer can still appeal."""
        return row.state == CaseState.CANCELLED and appeal.is_possible(case=row, now=timezone.now())

    def consequences(self, rows: Sequence[Case]) -> list[str]:  # noqa: ARG002
        """The unit stays in the return pool."""
        return [_("The unit stays in the return pool until a person who did not cancel the order has decided.")]

    def perform(self, *, row: Case, request: HttpRequest, data: dict[str, Any]) -> str:  # noqa: ARG002
        """Records the appeal with the present time."""
        appeal.appeal(case=row, by=request.user)
        return _("The appeal is noted.")
