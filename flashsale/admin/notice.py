"""Notices to buyers. A Celery task sends them; a person sends a letter again that did not arrive."""

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from flashsale.admin.action_page import Action, ReadOnlyAdmin
from flashsale.admin.labels import failure_text, local_time, state_label
from flashsale.admin.list_filters import PeriodFilter
from flashsale.life import notify_again
from flashsale.models import Notice
from flashsale.rules.identity import EMAIL_CHARS_MAX, Axis, BadValue, message_address
from flashsale.rules.states import NoticeState


class SendAgain(Action):
    """failed | sent | told → due."""

    name = "send-again"
    title = gettext_lazy("Send again")
    permission = "flashsale.change_notice"
    bulk = True

    def is_available(self, row: Notice) -> bool:
        """For a letter that failed or came back, and for one that was sent and did not arrive."""
        return row.state not in {NoticeState.DUE, NoticeState.DROPPED} and row.kind != Notice.Kind.ADDRESS

    def consequences(self, rows: Any) -> list[str]:
        """When it goes out, and what happens to the time to appeal."""
        text = ngettext(
            "%(count)d letter goes out to the same address within a minute.",
            "%(count)d letters go out to the same addresses within a minute.",
            len(rows),
        )
        return [text % {"count": len(rows)}, _("A time to appeal that has not ended begins again with this letter.")]

    def perform(self, *, row: Notice, request: HttpRequest, data: dict[str, Any]) -> str:  # noqa: ARG002
        """Makes the letter due."""
        notify_again.send_again(notice=row, by=request.user)
        return _("The letter is due again.")


class AddressForm(forms.Form):
    """The right address of a buyer."""

    email = forms.CharField(label=gettext_lazy("e-mail"), max_length=EMAIL_CHARS_MAX)

    def clean_email(self) -> str:
        """The address, checked as when a buyer gives one."""
        try:
            return message_address(Axis.EMAIL, self.cleaned_data["email"])
        except BadValue as error:
            raise ValidationError(
                _("The e-mail address does not look right. It must be like name@example.com.")
            ) from error


class CorrectAddress(Action):
    """failed | sent | told → due, to another address."""

    name = "correct-address"
    needs_proof = True
    title = gettext_lazy("Correct the address and send again")
    permission = "flashsale.change_contact"

    def is_available(self, row: Notice) -> bool:
        """For every letter whose buyer's contact data is kept."""
        return hasattr(row.reservation, "contact") and row.kind != Notice.Kind.ADDRESS

    def consequences(self, rows: Any) -> list[str]:
        """Which letters go there, and what the trail keeps."""
        only_shows = _("The letter has a link that shows the order. The trail keeps who changed the address.")
        appeals = _("The letter has a link with which its reader can appeal. The trail keeps who changed the address.")
        return [
            _("This letter and all later ones about the order go to the new address. Ask the buyer for it."),
            only_shows if rows[0].kind in Notice.ABOUT_ORDERS else appeals,
            _("The former address gets a short letter about the change, unless letters to it have come back."),
        ]

    def build_form(self, rows: Any, data: Any) -> forms.Form:  # noqa: ARG002
        """The new address."""
        return AddressForm(data)

    def perform(self, *, row: Notice, request: HttpRequest, data: dict[str, Any]) -> str:
        """Stores the address and makes the letter due."""
        notify_again.correct_address(notice=row, email=data["email"], by=request.user)
        return _("The address is corrected, and the letter is due again.")


class Told(Action):
    """due | failed → told."""

    name = "told"
    title = gettext_lazy("The buyer was told in another way")
    permission = "flashsale.change_notice"

    def is_available(self, row: Notice) -> bool:
        """For a letter that is not sent."""
        return row.state in {NoticeState.DUE, NoticeState.FAILED} and row.kind != Notice.Kind.ADDRESS

    def consequences(self, rows: Any) -> list[str]:  # noqa: ARG002
        """The time to appeal begins."""
        return [
            _("Confirm this only if the buyer knows what the letter says, for example by telephone."),
            _("The letter is not sent any more. If it is about a cancellation, the time to appeal begins now."),
        ]

    def perform(self, *, row: Notice, request: HttpRequest, data: dict[str, Any]) -> str:  # noqa: ARG002
        """Notes it."""
        notify_again.told(notice=row, by=request.user)
        return _("It is noted that the buyer was told.")


@admin.register(Notice)
class NoticeAdmin(ReadOnlyAdmin):
    """Messages to buyers: due, sent, failed, told in another way or dropped. The newest first."""

    list_display = ["order", "kind", "sale", "state_name", "reason", "due", "attempts", "sent"]
    list_filter = ["state", "failure", "kind", PeriodFilter.of("due_at"), "sale"]
    list_per_page = 50
    list_select_related = ["sale__campaign"]
    search_fields = ["reservation__id__startswith"]
    show_full_result_count = False
    ordering = ["-due_at", "-pk"]
    fields = ["order", "kind", "about", "sale", "state_name", "reason", "attempts", "due", "sent"]
    row_actions = (SendAgain(), CorrectAddress(), Told())

    @admin.display(description=gettext_lazy("reservation"))
    def order(self, notice: Notice) -> str:
        """The id of the reservation."""
        return str(notice.reservation_id)

    @admin.display(description=gettext_lazy("state"), ordering="state")
    def state_name(self, notice: Notice) -> str:
        """The state in the reader's language."""
        return state_label(notice.state)

    @admin.display(description=gettext_lazy("why it failed"), ordering="failure")
    def reason(self, notice: Notice) -> str:
        """Why the last attempt failed, with the code of the mail server; a dash if none failed."""
        return failure_text(notice) or "–"

    @admin.display(description=gettext_lazy("next attempt"), ordering="due_at")
    def due(self, notice: Notice) -> str:
        """When it is tried next, in the campaign's zone; a dash if it is not tried any more."""
        return local_time(notice.due_at if notice.state == NoticeState.DUE else None, notice.sale.campaign.zone)

    @admin.display(description=gettext_lazy("sent"), ordering="sent_at")
    def sent(self, notice: Notice) -> str:
        """When it was sent, or the buyer was told, in the campaign's zone."""
        return local_time(notice.sent_at, notice.sale.campaign.zone)
