"""Reservations, searched by id, payment, phone or e-mail. Personal data is shown only to users who may see contacts."""

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.decorators import method_decorator
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.debug import sensitive_post_parameters

from flashsale.admin.action_page import Action, ReadOnlyAdmin
from flashsale.admin.labels import failure_text, local_time, state_label
from flashsale.admin.list_filters import PeriodFilter
from flashsale.admin.support import SupportPages
from flashsale.life import refund, review
from flashsale.life.find_orders import FOUND_MAX
from flashsale.life.find_person import search_orders
from flashsale.life.read_contacts import look_at_contact
from flashsale.models import Reservation
from flashsale.models.sale import moment
from flashsale.rules.money import format_money
from flashsale.rules.states import PaymentState, ReservationState


class OpenCase(Action):
    """Opens a case for an order that no rule found."""

    name = "open-case"
    title = gettext_lazy("Open a case")
    permission = "flashsale.add_case"
    bulk = True

    def is_available(self, row: Reservation) -> bool:
        """For a confirmed order without a case."""
        return row.state == ReservationState.CONFIRMED and not hasattr(row, "case")

    def consequences(self, rows: Any) -> list[str]:  # noqa: ARG002
        """The shop waits with the parcel."""
        return [
            _("People review the order. It is not shipped until they have decided."),
            _("This alone cancels nothing."),
        ]

    def perform(self, *, row: Reservation, request: HttpRequest, data: dict[str, Any]) -> str:  # noqa: ARG002
        """Opens the case, without a score."""
        review.open_case(reservation=row, by=request.user)
        return _("A case is open for %(order)s.") % {"order": row}


class RefundAgain(Action):
    """Tries a failed refund again."""

    name = "refund-again"
    needs_proof = True
    title = gettext_lazy("Try the refund again")
    permission = "flashsale.settle_refund"

    def is_available(self, row: Reservation) -> bool:
        """For an order whose refund failed."""
        return row.payment is not None and row.payment.payment_state == PaymentState.REFUND_FAILED

    def consequences(self, rows: Any) -> list[str]:  # noqa: ARG002
        """The payment provider gets the request again."""
        return [_("The payment provider gets the request again. It refunds a payment only once.")]

    def perform(self, *, row: Reservation, request: HttpRequest, data: dict[str, Any]) -> str:  # noqa: ARG002
        """Makes the refund due. A Celery task sends it. Raises ValidationError if the refund has not failed."""
        if not refund.refund_again(reservation=row.pk, by=request.user):
            raise ValidationError(_("The refund has not failed: nothing was changed."))
        return _("The refund is due again.")


class SendBack(Action):
    """Sends money back that is not what was asked for."""

    name = "send-back"
    needs_proof = True
    title = gettext_lazy("Send the money back")
    permission = "flashsale.settle_refund"

    def is_available(self, row: Reservation) -> bool:
        """For an attempt to which another amount or currency came."""
        return any(one.payment_state == PaymentState.MISMATCH for one in row.attempts.all())

    def consequences(self, rows: Any) -> list[str]:  # noqa: ARG002
        """Nothing is sold for it."""
        return [_("The payment provider is asked to send back all that came. The buyer may pay again in time.")]

    def perform(self, *, row: Reservation, request: HttpRequest, data: dict[str, Any]) -> str:  # noqa: ARG002
        """Makes the refund due. Raises ValidationError if no other amount or currency came."""
        if not refund.send_mismatch_back(reservation=row.pk, by=request.user):
            raise ValidationError(_("No other amount or currency came for this order: nothing was changed."))
        return _("The refund is due.")


@admin.register(Reservation)
class ReservationAdmin(ReadOnlyAdmin):
    """Reservations with their units, payment, case and buyer. The newest first."""

    list_display = [
        "id",
        "sale",
        "allocation",
        "channel",
        "number",
        "quantity",
        "amount",
        "state_name",
        "paid",
        "ships",
        "last_letter",
        "made",
    ]
    list_filter = ["state", PeriodFilter.of("made_at"), "sale", "channel"]
    list_per_page = 50
    # A search by phone, e-mail or payment leads to the list of the reservations that it found.
    link_lookups = ("id__in",)
    list_select_related = ["sale", "allocation", "channel", "case"]
    search_fields = ["id__startswith"]
    change_list_template = "admin/flashsale/reservations.html"
    show_full_result_count = False
    ordering = ["-made_at"]
    row_actions = (OpenCase(), RefundAgain(), SendBack())

    def get_queryset(self, request: HttpRequest) -> Any:
        """Joins the rows that every page shows."""
        return (
            super()
            .get_queryset(request)
            .select_related("sale__campaign", "allocation", "channel", "case")
            .prefetch_related("attempts__refunds", "notices")
        )

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """The reservation, which notes its reader, because the audit trail records who reads a contact."""
        order = super().get_object(request, object_id, from_field)
        if order is not None:
            order.reader = request.user
        return order

    def get_urls(self) -> list[URLPattern]:
        """Adds the address to which the search is sent, and the pages of support and finance."""
        find = path("find/", self.admin_site.admin_view(self.find_view), name="flashsale_reservation_find")
        return [find, *SupportPages(self).urls(), *super().get_urls()]

    @method_decorator(sensitive_post_parameters("typed"))
    def find_view(self, request: HttpRequest) -> HttpResponse:
        """Searches for what was typed, and leads to the list of what was found.

        The search is sent by POST, so that a phone number stands in no address, access log or history of a browser.
        """
        if not self.has_view_permission(request):
            raise PermissionDenied
        listed = reverse("admin:flashsale_reservation_changelist")
        if request.method != "POST":
            return HttpResponseRedirect(listed)
        try:
            found = search_orders(
                typed=request.POST.get("typed", ""),
                by=request.user,
                sees_contacts=request.user.has_perm("flashsale.view_contact"),
            )
        except ValidationError as error:
            self.message_user(request, error.messages[0], messages.ERROR)
            return HttpResponseRedirect(listed)
        if not found:
            self.message_user(request, _("No reservation was found."), messages.WARNING)
            return HttpResponseRedirect(listed)
        text = ngettext("%(count)d reservation was found.", "%(count)d reservations were found.", len(found))
        text %= {"count": len(found)}
        if len(found) == FOUND_MAX:
            text += " " + _("There may be more: these are the newest.")
        self.message_user(request, text)
        return HttpResponseRedirect(f"{listed}?id__in={','.join(map(str, found))}")

    def get_fieldsets(self, request: HttpRequest, obj: Reservation | None = None) -> Any:  # noqa: ARG002
        """Shows the buyer only to users who may see contacts."""
        order = [
            "id",
            "sale",
            "allocation",
            "channel",
            "index",
            "number",
            "partner_reference",
            "units",
            "total",
            "state_name",
            "ships",
            "case_link",
            "events_link",
            "story_link",
        ]
        fieldsets: list[tuple[Any, Any]] = [
            (None, {"fields": order}),
            (_("Times"), {"fields": ["made", "deadline", "confirmed", "ended"]}),
            (_("Payment"), {"fields": ["paid", "payment_method", "payment_reference", "refund_reference"]}),
            (_("Letters"), {"fields": ["letters"]}),
        ]
        if request.user.has_perm("flashsale.view_contact"):
            fieldsets.append((_("Buyer"), {"fields": ["buyer"]}))
        return fieldsets

    @admin.display(description=gettext_lazy("state"), ordering="state")
    def state_name(self, order: Reservation) -> str:
        """The state in the reader's language."""
        return state_label(order.state)

    @admin.display(description=gettext_lazy("payment"))
    def paid(self, order: Reservation) -> str:
        """The state of the payment in the reader's language."""
        return state_label(order.payment.payment_state) if order.payment else "–"

    @admin.display(description=gettext_lazy("last letter"))
    def last_letter(self, order: Reservation) -> str:
        """The newest letter about the order, and its state."""
        newest = max(order.notices.all(), key=lambda letter: (letter.due_at, letter.pk), default=None)
        return f"{newest.get_kind_display()}: {state_label(newest.state)}" if newest else "–"

    @admin.display(description=gettext_lazy("may be shipped"), boolean=True)
    def ships(self, order: Reservation) -> bool:
        """Whether the shop may ship the order now."""
        return not order.do_not_ship

    @admin.display(description=gettext_lazy("units"))
    def units(self, order: Reservation) -> SafeString:
        """Serial numbers, each with a link to the unit's history."""
        links = (
            (reverse("admin:flashsale_unit_change", args=[item.unit_id]), item.unit.serial, item.sku)
            for item in order.items
        )
        return format_html_join(", ", '<a href="{}">{}</a> ({})', links)

    @admin.display(description=gettext_lazy("amount"))
    def total(self, order: Reservation) -> str:
        """The amount with its currency."""
        return format_money(order.amount, order.sale.campaign.currency)

    @admin.display(description=gettext_lazy("case"))
    def case_link(self, order: Reservation) -> str:
        """A link to the case, if there is one."""
        if not hasattr(order, "case"):
            return "–"
        url = reverse("admin:flashsale_case_change", args=[order.case.pk])
        return format_html('<a href="{}">{}</a>', url, state_label(order.case.state))

    @admin.display(description=gettext_lazy("events"))
    def events_link(self, order: Reservation) -> str:
        """A link to the list of the order's events."""
        url = f"{reverse('admin:flashsale_event_changelist')}?reservation={order.pk}"
        return format_html('<a href="{}">{}</a>', url, _("what happened"))

    @admin.display(description=gettext_lazy("story"))
    def story_link(self, order: Reservation) -> SafeString:
        """A link to the page with all that happened."""
        return format_html('<a href="{}">{}</a>', reverse("admin:flashsale_story", args=[order.pk]), _("on one page"))

    @admin.display(description=gettext_lazy("reserved"))
    def made(self, order: Reservation) -> str:
        """The time of the reservation on the line's clock."""
        return local_time(order.made_at, order.sale.campaign.zone)

    @admin.display(description=gettext_lazy("held until"))
    def deadline(self, order: Reservation) -> str:
        """The end of the hold on the line's clock."""
        return local_time(moment(order.deadline_ms), order.sale.campaign.zone)

    @admin.display(description=gettext_lazy("confirmed"))
    def confirmed(self, order: Reservation) -> str:
        """When it was confirmed; a dash if it was not."""
        return local_time(order.confirmed_at, order.sale.campaign.zone)

    @admin.display(description=gettext_lazy("ended"))
    def ended(self, order: Reservation) -> str:
        """When it ended; a dash if it has not."""
        return local_time(order.ended_at, order.sale.campaign.zone)

    @admin.display(description=gettext_lazy("method"))
    def payment_method(self, order: Reservation) -> str:
        """The payment method that the buyer chose."""
        return order.payment.method if order.payment else "–"

    @admin.display(description=gettext_lazy("reference"))
    def payment_reference(self, order: Reservation) -> str:
        """The reference by which the payment provider knows the payment."""
        return order.payment.reference if order.payment else "–"

    @admin.display(description=gettext_lazy("refund reference"))
    def refund_reference(self, order: Reservation) -> str:
        """The provider's reference of the refund; a dash before the refund is sent."""
        return (order.payment.refund_reference if order.payment else "") or "–"

    @admin.display(description=gettext_lazy("letters"))
    def letters(self, order: Reservation) -> str:
        """Each letter about the order with a link, its state, and why it did not arrive; the newest first."""
        lines = (
            (
                reverse("admin:flashsale_notice_change", args=[letter.pk]),
                letter.get_kind_display(),
                state_label(letter.state),
                f" – {failure_text(letter)}" if letter.failure else "",
            )
            for letter in order.notices.order_by("-due_at", "-pk")
        )
        return format_html_join("", '<a href="{}">{}</a>: {}{}<br>', lines) or "–"

    @admin.display(description=gettext_lazy("contact"))
    def buyer(self, order: Any) -> str:
        """Name, address, phone, e-mail, and the statement of an appeal. Leaves a record of the reader."""
        try:
            found = look_at_contact(reservation=order, by=order.reader)
        except ValidationError as error:
            return error.messages[0]
        if order.pk not in found:
            return _("none, or erased")
        data = found[order.pk]
        if data is None:
            return _("It cannot be read with this server's key.")
        return format_html_join("", "{}<br>", ((value,) for value in data.values()))
