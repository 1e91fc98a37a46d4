"""The desk around a case: the rest of its ring, whose it is, notes, and the filters of the list."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from cryptography.fernet import InvalidToken
from django import forms
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from flashsale.admin.action_page import ROWS_MAX, Table
from flashsale.admin.case_actions import CaseAction, NoteForm
from flashsale.admin.evidence import evidence_summary
from flashsale.admin.labels import local_time, state_label
from flashsale.life import case_desk
from flashsale.life.case_desk import RingRow
from flashsale.life.read_contacts import Reading, note_reading
from flashsale.life.staff_campaigns import rows_of
from flashsale.models import Case
from flashsale.rules.money import format_money
from flashsale.rules.states import CaseState, ReservationState

BACKEND = "django.contrib.auth.backends.ModelBackend"
UNDECIDED = (CaseState.OPEN, CaseState.PROPOSED, CaseState.APPROVED)
SOON = timedelta(hours=24)


def _why(row: RingRow, case: Case) -> str:
    """The state of the order's case, or why it has none."""
    if row.case is not None:
        return state_label(row.case.state)
    if row.order.state != ReservationState.CONFIRMED:
        return _("no case: the order is not valid any more")
    if row.order.sale_id != case.reservation.sale_id:
        return _("no case: it belongs to another sale, %(sale)s") % {"sale": row.order.sale.name}
    if not row.scored:
        return _("no case: the buyer has restricted the order, or is erased")
    if row.score < row.threshold:
        return _("no case: below the threshold of %(threshold)d") % {"threshold": row.threshold}
    return _("no case yet")


def ring_table(case: Case, rows: Sequence[RingRow]) -> Table:
    """One row an order: its case or reservation as a link, score, amount, evidence, and why it has no case."""
    shown = [
        [
            _link(row),
            f"{row.score:.0f}",
            format_money(row.order.amount, row.order.sale.campaign.currency),
            evidence_summary(row.evidence),
            _why(row, case),
        ]
        for row in rows[:ROWS_MAX]
    ]
    head = [_("reservation"), _("score"), _("amount"), _("evidence"), _("case")]
    return Table(_("All orders of this ring: %(count)d") % {"count": len(rows)}, head, shown)


def _link(row: RingRow) -> str:
    name, pk = ("case", row.case.pk) if row.case else ("reservation", row.order.pk)
    return format_html('<a href="{}">{}</a>', reverse(f"admin:flashsale_{name}_change", args=[pk]), row.order.pk)


class Ring(CaseAction):
    """Shows all orders of the ring of a case, and opens cases for those that have none."""

    name = "ring"
    title = gettext_lazy("The rest of this ring")

    def button_text(self, rows: Sequence[Case]) -> str:  # noqa: ARG002
        """The title is that of the page, which shows the ring."""
        return _("Open cases for the rest")

    def is_available(self, row: Case) -> bool:
        """For a case with a ring of more than one order."""
        return len(self._rows(row)) > 1

    @staticmethod
    def _rows(case: Case) -> list[RingRow]:
        if not hasattr(case, "ring_rows"):
            case.ring_rows = case_desk.ring_of(case)  # type: ignore[attr-defined]
        found: list[RingRow] = case.ring_rows  # type: ignore[attr-defined]
        return found

    def rows_to_open_first(self, rows: Sequence[Case], user: Any) -> Sequence[Case]:  # noqa: ARG002
        """None, because opening a case decides nothing."""
        return ()

    def note_readings(self, rows: Sequence[Case], user: Any) -> None:
        """The evidence of the ring."""
        for case in rows:
            orders = [row.order.pk for row in self._rows(case)[:ROWS_MAX]]
            note_reading(Reading.EVIDENCE, by=user, sale=case.reservation.sale, orders=orders)

    def tables(self, rows: Sequence[Case]) -> list[Table]:
        """The orders."""
        return [ring_table(case, self._rows(case)) for case in rows]

    def _to_open(self, case: Case) -> int:
        return sum(row.can_open(case.reservation.sale) for row in self._rows(case))

    def obstacles(self, rows: Sequence[Case]) -> list[str]:
        """None of the orders needs a case."""
        return [] if any(map(self._to_open, rows)) else [_("Each order that can have a case has one.")]

    def consequences(self, rows: Sequence[Case]) -> list[str]:
        """How many cases are opened."""
        count = sum(map(self._to_open, rows))
        if not count:
            return []
        text = ngettext(
            "A case is opened for %(count)d order. It is not shipped until people have decided.",
            "Cases are opened for %(count)d orders. They are not shipped until people have decided.",
            count,
        )
        return [text % {"count": count}]

    def next_steps(self, rows: Sequence[Case], user: Any) -> list[tuple[str, str]]:
        """To propose or to dismiss all open cases of the ring together."""
        cases = [found for case in rows for found in case_desk.undecided(self._rows(case))][:ROWS_MAX]
        if len(cases) < 2 or not user.has_perm(self.permission):
            return []
        ids = urlencode([("id", str(found.pk)) for found in cases])
        count = {"count": len(cases)}
        return [
            (_("Propose to cancel all %(count)d open cases") % count, f"{_page('propose')}?{ids}"),
            (_("Dismiss all %(count)d open cases") % count, f"{_page('dismiss')}?{ids}"),
        ]

    def perform(self, *, row: Case, request: HttpRequest, data: dict[str, Any]) -> str | HttpResponse:  # noqa: ARG002
        """Opens the cases, and shows the ring again."""
        case_desk.open_rest(case=row, by=request.user)
        return HttpResponseRedirect(f"{_page(self.name)}?id={row.pk}")


def _page(action: str) -> str:
    return reverse(f"admin:flashsale_case_{action}")


class _Desk(CaseAction):
    """An action that decides nothing, so no sample has to be opened for it."""

    bulk = True

    def is_available(self, row: Case) -> bool:
        """For an undecided case."""
        return row.is_open

    def rows_to_open_first(self, rows: Sequence[Case], user: Any) -> Sequence[Case]:  # noqa: ARG002
        """None."""
        return ()

    def note_readings(self, rows: Sequence[Case], user: Any) -> None:
        """Nothing: the page shows no evidence."""

    def tables(self, rows: Sequence[Case]) -> list[Table]:  # noqa: ARG002
        """None."""
        return []


class AssignToMe(_Desk):
    """Gives cases to the user."""

    name = "assign-to-me"
    title = gettext_lazy("Assign to me")

    def consequences(self, rows: Sequence[Case]) -> list[str]:  # noqa: ARG002
        """The case comes into the list."""
        return [_("The case is in your list. Everyone with the right can still decide it.")]

    def perform(self, *, row: Case, request: HttpRequest, data: dict[str, Any]) -> str:  # noqa: ARG002
        """Assigns the case."""
        case_desk.assign(case=row, to=request.user, by=request.user)
        return _("Assigned to you.")


class AssignForm(forms.Form):
    """The choice of a person."""

    to = forms.ModelChoiceField(
        label=gettext_lazy("assigned to"),
        queryset=get_user_model().objects.none(),
        required=False,
        empty_label=gettext_lazy("no person"),
    )

    def __init__(self, data: Any) -> None:
        super().__init__(data)
        people = get_user_model().objects.with_perm("flashsale.change_case", backend=BACKEND)
        self.fields["to"].queryset = people.filter(is_staff=True).order_by("username")  # type: ignore[attr-defined]


class Assign(_Desk):
    """Gives cases to a person."""

    name = "assign"
    title = gettext_lazy("Assign")

    def consequences(self, rows: Sequence[Case]) -> list[str]:  # noqa: ARG002
        """The case comes into the list."""
        return [_("The case is in the list of this person. Everyone with the right can still decide it.")]

    def build_form(self, rows: Sequence[Case], data: Any) -> forms.Form:
        """The choice of the person."""
        form = AssignForm(data)
        if len(rows) == 1:
            form.fields["to"].initial = rows[0].assigned_to_id
        return form

    def perform(self, *, row: Case, request: HttpRequest, data: dict[str, Any]) -> str:
        """Assigns the case. Raises ValidationError for a person who may not see its campaign."""
        to = data["to"]
        if to is not None and not may_see(row, to):
            raise ValidationError(_("%(user)s may not see this campaign.") % {"user": to})
        case_desk.assign(case=row, to=to, by=request.user)
        return _("Assigned to %(user)s.") % {"user": to} if to else _("Assigned to no person.")


def may_see(case: Case, user: Any) -> bool:
    """Whether the user may see the campaign of the case."""
    return bool(rows_of(Case.objects.filter(pk=case.pk), user).exists())


class AddNote(_Desk):
    """Adds a note to a case."""

    name = "note"
    title = gettext_lazy("Add a note")
    bulk = False

    def is_available(self, row: Case) -> bool:  # noqa: ARG002
        """Always."""
        return True

    def consequences(self, rows: Sequence[Case]) -> list[str]:  # noqa: ARG002
        """The note stays."""
        return [_("The note stays with the case. The audit trail says who wrote it and when.")]

    def build_form(self, rows: Sequence[Case], data: Any) -> forms.Form:  # noqa: ARG002
        """The text."""
        form = NoteForm(data)
        form.fields["text"].required = True
        return form

    def perform(self, *, row: Case, request: HttpRequest, data: dict[str, Any]) -> str:
        """Adds it."""
        case_desk.add_note(case=row, text=data["text"], by=request.user)
        return _("The note is added.")


DESK_ACTIONS = (Ring(), AssignToMe(), Assign(), AddNote())


def notes_table(case: Case) -> Table | None:
    """The notes of a case, the oldest first; None without notes."""
    zone = case.reservation.sale.campaign.zone
    notes = case.notes.select_related("by")
    rows = [[local_time(note.at, zone), note.by.get_username(), note_text(note)] for note in notes]
    return Table(_("Notes"), [_("when"), _("who"), _("note")], rows) if rows else None


def note_text(note: Any) -> str:
    """The text; a dash if it was encrypted with another key."""
    try:
        return str(note.read()["text"])
    except InvalidToken:
        return "–"


def deadline_text(case: Case) -> str:
    """Until when people decide, with a mark if that time is over; a dash for a decided case."""
    if case.deadline_at is None or not case.is_open:
        return "–"
    text = local_time(case.deadline_at, case.reservation.sale.campaign.zone)
    if case.deadline_at > timezone.now():
        return text
    return format_html('{} <strong class="overdue">{}</strong>', text, _("overdue"))


class WhoseFilter(admin.SimpleListFilter):
    """Mine, of other people, of no person."""

    title = gettext_lazy("assigned to")
    parameter_name = "whose"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002
        """The choices."""
        return [("mine", _("me")), ("others", _("other people")), ("none", _("no person"))]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any]":
        """The cases of the choice."""
        if self.value() == "mine":
            return queryset.filter(assigned_to=request.user.pk)
        if self.value() == "others":
            return queryset.filter(assigned_to__isnull=False).exclude(assigned_to=request.user.pk)
        return queryset.filter(assigned_to=None) if self.value() == "none" else queryset


class DeadlineFilter(admin.SimpleListFilter):
    """Overdue, or due within a day."""

    title = gettext_lazy("deadline")
    parameter_name = "deadline"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002
        """The choices."""
        return [("overdue", _("overdue")), ("soon", _("within 24 hours")), ("undecided", _("not decided yet"))]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any]":  # noqa: ARG002
        """The undecided cases of the choice."""
        now, undecided = timezone.now(), queryset.filter(state__in=UNDECIDED)
        if self.value() == "overdue":
            return undecided.filter(deadline_at__lte=now)
        if self.value() == "soon":
            return undecided.filter(deadline_at__lte=now + SOON)
        return undecided if self.value() == "undecided" else queryset
