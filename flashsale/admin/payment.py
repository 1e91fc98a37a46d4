"""Money on its way: attempts to pay and refunds that have a next step, with its date. Read-only."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy

from flashsale.admin.action_page import ReadOnlyAdmin
from flashsale.admin.labels import local_time, state_label
from flashsale.models import PaymentAttempt, Refund


@admin.register(PaymentAttempt)
class PaymentAttemptAdmin(ReadOnlyAdmin):
    """Attempts to pay, the newest first."""

    list_display = ["reference", "reservation", "account", "method", "amount", "currency", "paid", "state_name", "next"]
    list_filter = ["state", "account", "method"]
    list_select_related = ["reservation__sale__campaign"]
    search_fields = ["reference__startswith", "provider_id__startswith"]
    show_full_result_count = False
    ordering = ["-made_at"]
    fields = [
        "reference", "reservation", "number", "account", "method", "amount", "currency", "state_name", "provider_id",
        "paid", "fee", "next",
    ]  # fmt: skip

    @admin.display(description=gettext_lazy("state"), ordering="state")
    def state_name(self, row: PaymentAttempt) -> str:
        """The state in the reader's language."""
        return state_label(row.state)

    @admin.display(description=gettext_lazy("next look"), ordering="next_look_at")
    def next(self, row: PaymentAttempt) -> str:
        """When the provider is asked again, or by when people decide; a dash for never."""
        return local_time(row.next_look_at, row.reservation.sale.campaign.zone)


@admin.register(Refund)
class RefundAdmin(ReadOnlyAdmin):
    """Refunds, those with the nearest next step first."""

    list_display = ["reference", "attempt", "amount", "why_name", "state_name", "times", "detail", "next"]
    list_filter = ["state", "why"]
    list_select_related = ["attempt__reservation__sale__campaign"]
    search_fields = ["reference__startswith", "provider_id__startswith"]
    show_full_result_count = False
    ordering = ["next_look_at"]
    fields = ["reference", "attempt", "amount", "why_name", "state_name", "provider_id", "detail", "times", "next"]

    def get_queryset(self, request: HttpRequest) -> Any:
        """Joins the rows that every page shows."""
        return super().get_queryset(request).select_related("attempt__reservation__sale__campaign")

    @admin.display(description=gettext_lazy("reason"), ordering="why")
    def why_name(self, row: Refund) -> str:
        """The reason in the reader's language."""
        return state_label(row.why)

    @admin.display(description=gettext_lazy("state"), ordering="state")
    def state_name(self, row: Refund) -> str:
        """The state in the reader's language."""
        return state_label(row.state)

    @admin.display(description=gettext_lazy("next look"), ordering="next_look_at")
    def next(self, row: Refund) -> str:
        """When the next step is due; a dash for never."""
        return local_time(row.next_look_at, row.attempt.reservation.sale.campaign.zone)
