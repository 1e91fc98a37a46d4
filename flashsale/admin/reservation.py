"""Reservations: found by their number, shown without personal data unless one may see it."""

from typing import Any

from cryptography.fernet import InvalidToken
from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from flashsale.admin.step import ReadOnlyAdmin, Step
from flashsale.admin.words import local, money, state
from flashsale.life import refund, review
from flashsale.models import Reservation
from flashsale.models.sale import moment
from flashsale.rules.states import PaymentState, ReservationState


class OpenCase(Step):
    """A case opened by hand."""

    name = "open-case"
    title = gettext_lazy("Open a case")
    permission = "flashsale.add_case"
    bulk = True

    def offered(self, row: Reservation) -> bool:
        """Confirmed orders, once each."""
        return row.state == ReservationState.CONFIRMED and not hasattr(row, "case")

    def foretell(self, rows: Any) -> list[str]:  # noqa: ARG002
        """The shop waits."""
        return [
            _("The order is put before people; it is not shipped until they have decided."),
            _("Nothing is cancelled by it."),
        ]

    def take(self, *, row: Reservation, request: HttpRequest, data: dict[str, Any]) -> str:  # noqa: ARG002
        """By hand, so without a score."""
        review.open_case(reservation=row, by=request.user)
        return _("A case is open for %(order)s.") % {"order": row}


class RefundAgain(Step):
    """A refund that failed, once more."""

    name = "refund-again"
    title = gettext_lazy("Try the refund again")
    permission = "flashsale.change_case"

    def offered(self, row: Reservation) -> bool:
        """Where it failed."""
        return hasattr(row, "payment") and row.payment.state == PaymentState.REFUND_FAILED

    def foretell(self, rows: Any) -> list[str]:  # noqa: ARG002
        """The provider is asked."""
        return [_("The provider is asked once more; it refunds a payment once, however often it is asked.")]

    def take(self, *, row: Reservation, request: HttpRequest, data: dict[str, Any]) -> str:  # noqa: ARG002
        """Soon, in the background."""
        refund.refund_again(reservation=row.pk)
        return _("The refund is due again.")


@admin.register(Reservation)
class ReservationAdmin(ReadOnlyAdmin):
    """Orders and what became of them."""

    list_display = ["id", "sale", "allocation", "channel", "number", "quantity", "state_word", "paid", "ships"]
    list_filter = ["state", "sale", "channel"]
    list_select_related = ["sale", "allocation", "channel", "payment", "case"]
    search_fields = ["id__startswith"]
    search_help_text = gettext_lazy("The beginning of the reservation's number.")
    show_full_result_count = False
    ordering = ["-made_at"]
    steps = (OpenCase(), RefundAgain())

    def get_queryset(self, request: HttpRequest) -> Any:
        """With what every page shows."""
        return (
            super().get_queryset(request).select_related("sale__campaign", "allocation", "channel", "payment", "case")
        )

    def get_fieldsets(self, request: HttpRequest, obj: Reservation | None = None) -> Any:  # noqa: ARG002
        """Personal data only for whom it concerns."""
        order = [
            "id",
            "sale",
            "allocation",
            "channel",
            "index",
            "number",
            "units",
            "total",
            "state_word",
            "ships",
            "case_link",
        ]
        shown: list[tuple[Any, Any]] = [
            (None, {"fields": order}),
            (_("Times"), {"fields": ["made", "deadline", "confirmed", "ended"]}),
            (_("Payment"), {"fields": ["paid", "payment_method", "payment_reference", "refund_reference"]}),
        ]
        if request.user.has_perm("flashsale.view_contact"):
            shown.append((_("Buyer"), {"fields": ["buyer"]}))
        return shown

    @admin.display(description=gettext_lazy("state"), ordering="state")
    def state_word(self, order: Reservation) -> str:
        """In the reader's language."""
        return state(order.state)

    @admin.display(description=gettext_lazy("payment"))
    def paid(self, order: Reservation) -> str:
        """The payment's state."""
        return state(order.payment.state) if hasattr(order, "payment") else "–"

    @admin.display(description=gettext_lazy("may be shipped"), boolean=True)
    def ships(self, order: Reservation) -> bool:
        """What the shop asks."""
        return not order.do_not_ship

    @admin.display(description=gettext_lazy("units"))
    def units(self, order: Reservation) -> SafeString:
        """Serial numbers, each a link to its way."""
        held = order.items
        links = ((reverse("admin:flashsale_unit_change", args=[h.unit_id]), h.unit.serial, h.sku) for h in held)
        return format_html_join(", ", '<a href="{}">{}</a> ({})', links)

    @admin.display(description=gettext_lazy("amount"))
    def total(self, order: Reservation) -> str:
        """With its currency."""
        return money(order.amount, order.sale.campaign.currency)

    @admin.display(description=gettext_lazy("case"))
    def case_link(self, order: Reservation) -> str:
        """To the case, if there is one."""
        if not hasattr(order, "case"):
            return "–"
        url = reverse("admin:flashsale_case_change", args=[order.case.pk])
        return format_html('<a href="{}">{}</a>', url, state(order.case.state))

    @admin.display(description=gettext_lazy("reserved"))
    def made(self, order: Reservation) -> str:
        """On the line's clock."""
        return local(order.made_at, order.sale.campaign.zone)

    @admin.display(description=gettext_lazy("held until"))
    def deadline(self, order: Reservation) -> str:
        """On the line's clock."""
        return local(moment(order.deadline_ms), order.sale.campaign.zone)

    @admin.display(description=gettext_lazy("confirmed"))
    def confirmed(self, order: Reservation) -> str:
        """If it was."""
        return local(order.confirmed_at, order.sale.campaign.zone)

    @admin.display(description=gettext_lazy("ended"))
    def ended(self, order: Reservation) -> str:
        """If it has."""
        return local(order.ended_at, order.sale.campaign.zone)

    @admin.display(description=gettext_lazy("method"))
    def payment_method(self, order: Reservation) -> str:
        """As the buyer chose it."""
        return order.payment.method if hasattr(order, "payment") else "–"

    @admin.display(description=gettext_lazy("reference"))
    def payment_reference(self, order: Reservation) -> str:
        """Ours, with the provider."""
        return order.payment.reference if hasattr(order, "payment") else "–"

    @admin.display(description=gettext_lazy("refund reference"))
    def refund_reference(self, order: Reservation) -> str:
        """Once the money went back."""
        return (order.payment.refund_reference if hasattr(order, "payment") else "") or "–"

    @admin.display(description=gettext_lazy("contact"))
    def buyer(self, order: Reservation) -> str:
        """Name, address, phone, e-mail."""
        if not hasattr(order, "contact"):
            return _("none, or erased")
        try:
            data = order.contact.read()
        except InvalidToken:
            return _("It cannot be read with this server's key.")
        return format_html_join("", "{}<br>", ((value,) for value in data.values()))
