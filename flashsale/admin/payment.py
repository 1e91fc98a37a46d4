"""Money on its way: attempts to pay, refunds, and the list of all that wait, with its next steps and their dates."""

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.timesince import timesince
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from flashsale.admin import waiting_money
from flashsale.admin.action_page import ReadOnlyAdmin
from flashsale.admin.labels import local_time, state_label
from flashsale.admin.list_filters import PeriodFilter, ProviderFilter
from flashsale.admin.refund_actions import REFUND_ACTIONS, RefundAction, SettleDoubt
from flashsale.life import bank_account
from flashsale.life.download import download
from flashsale.life.staff_session import demand_fresh_proof
from flashsale.models import PaymentAttempt, Refund
from flashsale.rules.csv_lines import for_spreadsheets
from flashsale.rules.money import format_money
from flashsale.rules.states import RefundState

# Of a field with an amount: the column that shows it in its place.
AS_MONEY = {"amount": "amount_as_money", "paid": "paid_as_money", "fee": "fee_as_money"}


def as_money(names: Iterable[Any]) -> list[Any]:
    """These columns, with amounts as people write them."""
    return [AS_MONEY.get(str(name), name) for name in names]


class MoneyList(ChangeList):
    """A list that shows amounts as people write them."""

    def __init__(self, request: HttpRequest, model: Any, list_display: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(request, model, as_money(list_display), *args, **kwargs)


class MoneyColumns(ReadOnlyAdmin):
    """Pages that show amounts as people write them: Rp 2.299.000. The fields keep their names in `list_display`."""

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:  # noqa: ARG002
        """The list with amounts as money."""
        return MoneyList

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        """The fields, those of amounts as money."""
        return as_money(super().get_fields(request, obj))

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        """Adds the columns of amounts."""
        return [*super().get_readonly_fields(request, obj), *AS_MONEY.values()]

    @admin.display(description=gettext_lazy("amount"), ordering="amount")
    def amount_as_money(self, row: Any) -> str:
        """What was asked for, or goes back."""
        return format_money(row.amount, row.currency)

    @admin.display(description=gettext_lazy("paid"), ordering="paid")
    def paid_as_money(self, row: Any) -> str:
        """What came, in the currency in which it came; a dash for nothing."""
        return "–" if row.paid is None else format_money(row.paid, row.paid_currency or row.currency)

    @admin.display(description=gettext_lazy("fee"), ordering="fee")
    def fee_as_money(self, row: Any) -> str:
        """The fee of the provider; a dash if it is not known."""
        return "–" if row.fee is None else format_money(row.fee, row.currency)


@admin.register(PaymentAttempt)
class PaymentAttemptAdmin(MoneyColumns):
    """Attempts to pay, the newest first."""

    list_display = [
        "reference",
        "reservation",
        "account",
        "method",
        "amount",
        "currency",
        "paid",
        "state_name",
        "age",
        "next",
    ]
    list_filter = ["state", PeriodFilter.of("made_at"), "account", "method"]
    list_per_page = 50
    list_select_related = ["reservation__sale__campaign"]
    search_fields = ["reference__startswith", "provider_id__startswith"]
    show_full_result_count = False
    ordering = ["-made_at"]
    fields = [
        "reference", "reservation", "number", "account", "method", "amount", "currency", "state_name", "provider_id",
        "paid", "fee", "next", "parts", "doubt", "doubt_at",
    ]  # fmt: skip
    row_actions = (SettleDoubt(),)

    @admin.display(description=gettext_lazy("state"), ordering="state")
    def state_name(self, row: PaymentAttempt) -> str:
        """The state in the reader's language."""
        return state_label(row.state)

    @admin.display(description=gettext_lazy("age"), ordering="-made_at")
    def age(self, row: PaymentAttempt) -> str:
        """How long ago it began."""
        return timesince(row.made_at, depth=1)

    @admin.display(description=gettext_lazy("next look"), ordering="next_look_at")
    def next(self, row: PaymentAttempt) -> str:
        """When the provider is asked again, or by when people decide; a dash for never."""
        return local_time(row.next_look_at, row.reservation.sale.campaign.zone)


@admin.register(Refund)
class RefundAdmin(MoneyColumns):
    """Refunds, those with the nearest next step first."""

    list_display = [
        "reference",
        "attempt",
        "provider",
        "amount",
        "why_name",
        "state_name",
        "age",
        "times",
        "detail",
        "next",
        "possible_until",
    ]
    list_filter = ["state", "waits", "why", ProviderFilter.of("attempt__account"), PeriodFilter.of("made_at")]
    list_per_page = 50
    list_select_related = ["attempt__reservation__sale__campaign"]
    search_fields = ["reference__startswith", "provider_id__startswith"]
    show_full_result_count = False
    ordering = ["next_look_at"]
    fields = [
        "reference", "attempt", "amount", "why_name", "state_name", "waits", "provider_id", "detail", "times", "next",
        "possible_until", "account", "transferred_by", "transferred_at", "confirmed_by", "astray_at",
    ]  # fmt: skip
    row_actions = REFUND_ACTIONS

    def get_urls(self) -> list[URLPattern]:
        """Adds the page of all money that waits, and the list for transfers."""
        page = path("waiting/", self.admin_site.admin_view(self.waiting_view), name="flashsale_refund_waiting")
        list_page = path(
            "transfers/", self.admin_site.admin_view(self.transfers_view), name="flashsale_refund_transfers"
        )
        return [page, list_page, *super().get_urls()]

    def waiting_view(self, request: HttpRequest) -> HttpResponse:
        """Attempts, refunds and notifications that are not final, by their next action."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        found = waiting_money.content(
            by=request.user, action=request.GET.get("action", ""), page=request.GET.get("p", "1")
        )
        context = {**self.admin_site.each_context(request), "opts": self.opts, "title": _("Money that waits"), **found}
        context["may_list"] = request.user.has_perm(RefundAction.permission)
        return TemplateResponse(request, "admin/flashsale/waiting_money.html", context)

    def transfers_view(self, request: HttpRequest) -> HttpResponseBase:
        """The list for transfers as a CSV file. It is a POST, because the trail says who has made it."""
        if not request.user.has_perm(RefundAction.permission):
            raise PermissionDenied
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        demand_fresh_proof(request)
        rows = bank_account.list_transfers(by=request.user)
        return download(request, "transfers.csv", for_spreadsheets([bank_account.Transfer._fields, *rows]))

    def get_queryset(self, request: HttpRequest) -> Any:
        """Joins the rows that every page shows."""
        return super().get_queryset(request).select_related("attempt__reservation__sale__campaign", "bank_account")

    @admin.display(description=gettext_lazy("bank account"))
    def account(self, row: Refund) -> str:
        """Whether the buyer has given an account, and since when it stands on a list; never the account itself."""
        found, zone = getattr(row, "bank_account", None), row.attempt.reservation.sale.campaign.zone
        if found is not None and found.listed_at:
            return _("given; on the list for transfers since %(time)s") % {"time": local_time(found.listed_at, zone)}
        if found is not None:
            return _("given; not on the list for transfers yet")
        return _("waits for the buyer's account") if row.state == RefundState.IMPOSSIBLE else "–"

    @admin.display(description=gettext_lazy("reason"), ordering="why")
    def why_name(self, row: Refund) -> str:
        """The reason in the reader's language."""
        return state_label(row.why)

    @admin.display(description=gettext_lazy("state"), ordering="state")
    def state_name(self, row: Refund) -> str:
        """The state in the reader's language."""
        return state_label(row.state)

    @admin.display(description=gettext_lazy("provider"), ordering="attempt__account")
    def provider(self, row: Refund) -> str:
        """The payment account and the method."""
        return f"{row.attempt.account} {row.attempt.method}"

    @admin.display(description=gettext_lazy("age"), ordering="-made_at")
    def age(self, row: Refund) -> str:
        """How long ago it was made."""
        return timesince(row.made_at, depth=1)

    @admin.display(description=gettext_lazy("next look"), ordering="next_look_at")
    def next(self, row: Refund) -> str:
        """When the next step is due; a dash for never."""
        return local_time(row.next_look_at, row.attempt.reservation.sale.campaign.zone)

    @admin.display(description=gettext_lazy("possible until"), ordering="refund_by")
    def possible_until(self, row: Refund) -> str:
        """Until when the provider refunds; a dash for ever."""
        return local_time(row.refund_by, row.attempt.reservation.sale.campaign.zone)
