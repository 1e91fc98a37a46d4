"""What people do with a case: propose, approve, dismiss, send back, note an appeal. No one cancels alone."""

from collections.abc import Sequence
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import get_language, gettext_lazy, ngettext
from django.utils.translation import gettext as _

from flashsale.admin.evidence import summary, table
from flashsale.admin.step import SAMPLE, Step, Table
from flashsale.admin.words import local
from flashsale.life import appeal, review
from flashsale.models import Case
from flashsale.rules.reasons import REASONS, cancel_reason
from flashsale.rules.states import CaseState


def reason_title(code: str) -> str:
    """A reason's title in the reader's language."""
    return cancel_reason(code).title.in_language(get_language() or "id") if code else "–"


def evidence_of(rows: Sequence[Case]) -> list[Table]:
    """All evidence of one case, or a sample of many."""
    if len(rows) == 1:
        return [table(rows[0].evidence)]
    seen = [[str(case.reservation_id), f"{case.score:.0f}", summary(case.evidence)] for case in rows[:SAMPLE]]
    title = _("Sample: %(shown)d of %(count)d") % {"shown": len(seen), "count": len(rows)}
    return [Table(title, [_("reservation"), _("score"), _("evidence")], seen)]


class ReasonForm(forms.Form):
    """A reason of the catalogue; none is written by hand."""

    reason = forms.ChoiceField(label=gettext_lazy("reason"), widget=forms.RadioSelect)

    def __init__(self, data: Any) -> None:
        super().__init__(data)
        language = get_language() or "id"
        self.fields["reason"].choices = [  # type: ignore[attr-defined]
            (code.value, f"{reason.title.in_language(language)}: {reason.explanation.in_language(language)}")
            for code, reason in REASONS.items()
            if reason.needs_case
        ]


class CaseStep(Step):
    """A step of the review."""

    permission = "flashsale.change_case"

    def must_open(self, rows: Sequence[Case], user: Any) -> Sequence[Case]:
        """Many at once: a random sample."""
        return review.unopened_sample(cases=rows, by=user)

    def tables(self, rows: Sequence[Case]) -> list[Table]:
        """Nobody decides without the evidence."""
        return evidence_of(rows)


class Propose(CaseStep):
    """open → proposed."""

    name = "propose"
    title = gettext_lazy("Propose to cancel")
    bulk = True

    def offered(self, row: Case) -> bool:
        """An open case."""
        return row.state == CaseState.OPEN

    def foretell(self, rows: Sequence[Case]) -> list[str]:
        """Someone else decides."""
        text = ngettext("%(count)d order is proposed", "%(count)d orders are proposed", len(rows))
        return [
            text % {"count": len(rows)} + " " + _("for cancellation. Another person has to approve."),
            _("The buyer reads the reason you choose, in the same words everywhere."),
        ]

    def filled(self, rows: Sequence[Case], data: Any) -> forms.Form:  # noqa: ARG002
        """The reason."""
        return ReasonForm(data)

    def take(self, *, row: Case, request: HttpRequest, data: dict[str, Any]) -> str:
        """Under the chosen reason."""
        review.propose(case=row, code=data["reason"], by=request.user)
        return _("Proposed. Another person has to approve.")


class Approve(CaseStep):
    """proposed → cancelled."""

    name = "approve"
    title = gettext_lazy("Approve: cancel the order")
    bulk = True

    def offered(self, row: Case) -> bool:
        """A proposed case."""
        return row.state == CaseState.PROPOSED

    def foretell(self, rows: Sequence[Case]) -> list[str]:
        """What follows."""
        reasons = ", ".join(sorted({reason_title(case.reason) for case in rows}))
        text = ngettext(
            "%(count)d order is cancelled and refunded.", "%(count)d orders are cancelled and refunded.", len(rows)
        )
        return [
            text % {"count": len(rows)},
            _("Reason: %(reasons)s.") % {"reasons": reasons},
            _("The buyer is told why, and how to appeal; the unit waits in the return pool."),
            _("Only someone who did not propose it can approve."),
        ]

    def take(self, *, row: Case, request: HttpRequest, data: dict[str, Any]) -> str:  # noqa: ARG002
        """By another person than the proposer."""
        if row.proposed_by_id == request.user.pk:
            raise ValidationError(_("You proposed this cancellation yourself: another person has to approve it."))
        case = review.approve(case=row, by=request.user)
        if case.state == CaseState.APPROVED:
            return _("Approved. Until %(time)s it can be undone; then the order is cancelled and the buyer told.") % {
                "time": local(case.due_at, case.reservation.sale.campaign.zone)
            }
        return _("Approved: the order is cancelled.")


class Undo(CaseStep):
    """approved → open."""

    name = "undo"
    title = gettext_lazy("Undo the approval")
    bulk = True

    def offered(self, row: Case) -> bool:
        """Until it is carried out."""
        return row.state == CaseState.APPROVED

    def must_open(self, rows: Sequence[Case], user: Any) -> Sequence[Case]:  # noqa: ARG002
        """Nothing: whoever stops something should not have to read first."""
        return ()

    def foretell(self, rows: Sequence[Case]) -> list[str]:  # noqa: ARG002
        """As if nothing had been."""
        return [_("Nothing has been cancelled yet and the buyer knows of nothing. The case is open again.")]

    def take(self, *, row: Case, request: HttpRequest, data: dict[str, Any]) -> str:  # noqa: ARG002
        """In time."""
        review.undo(case=row, by=request.user)
        return _("Undone: the case is open again.")


class Dismiss(CaseStep):
    """open | proposed → dismissed."""

    name = "dismiss"
    title = gettext_lazy("Dismiss the case")

    def offered(self, row: Case) -> bool:
        """An undecided case."""
        return row.is_open

    def foretell(self, rows: Sequence[Case]) -> list[str]:  # noqa: ARG002
        """The buyer notices nothing."""
        return [_("The order stands and may be shipped. The buyer is told nothing, for nothing happened.")]

    def take(self, *, row: Case, request: HttpRequest, data: dict[str, Any]) -> str:  # noqa: ARG002
        """In favour of the buyer."""
        if row.proposed_by_id == request.user.pk:
            raise ValidationError(
                _("You proposed the cancellation yourself: send it back, or let another person dismiss it.")
            )
        review.dismiss(case=row, by=request.user)
        return _("Dismissed: the order stands.")


class Reopen(CaseStep):
    """proposed → open."""

    name = "reopen"
    title = gettext_lazy("Send back")

    def offered(self, row: Case) -> bool:
        """A proposal that convinces nobody."""
        return row.state == CaseState.PROPOSED

    def foretell(self, rows: Sequence[Case]) -> list[str]:  # noqa: ARG002
        """The proposal is withdrawn."""
        return [_("The proposal is withdrawn and the case is open again.")]

    def take(self, *, row: Case, request: HttpRequest, data: dict[str, Any]) -> str:  # noqa: ARG002
        """Back to the start."""
        review.reopen(case=row, by=request.user)
        return _("The case is open again.")


class Appeal(CaseStep):
    """Notes that the buyer objects."""

    name = "note-appeal"
    title = gettext_lazy("Note an appeal")

    def offered(self, row: Case) -> bool:
        """Once for each cancellation."""
        return row.state == CaseState.CANCELLED and appeal.is_possible(case=row, now=timezone.now())

    def foretell(self, rows: Sequence[Case]) -> list[str]:  # noqa: ARG002
        """The unit stays."""
        return [_("The unit stays in the return pool until someone who did not cancel the order has decided.")]

    def take(self, *, row: Case, request: HttpRequest, data: dict[str, Any]) -> str:  # noqa: ARG002
        """Received now."""
        appeal.appeal(case=row, by=request.user)
        return _("The appeal is noted.")
