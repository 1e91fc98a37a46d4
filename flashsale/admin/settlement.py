"""Settlements, read only: the files of days that are over, for download."""

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy

from flashsale.admin.action_page import ReadOnlyAdmin
from flashsale.admin.list_filters import PeriodFilter
from flashsale.life import settlement
from flashsale.life.download import download
from flashsale.life.staff_campaigns import rows_of
from flashsale.models import Settlement
from flashsale.rules.money import format_money

FORMS = {"csv": "CSV", "json": "JSON", "signature": gettext_lazy("signature")}


@admin.register(Settlement)
class SettlementAdmin(ReadOnlyAdmin):
    """The files, the newest day first. Each has exactly the bytes that the partner gets."""

    list_display = ["date", "sale", "channel", "lines", "units", "paid", "refunded", "files"]
    list_filter = [PeriodFilter.of("date"), "channel", "sale"]
    list_per_page = 50
    list_select_related = ["sale__campaign", "channel"]
    show_full_result_count = False
    ordering = ["-date", "-pk"]
    fields = ["date", "sale", "channel", "lines", "units", "amount", "paid", "refunded", "fee", "files"]

    def get_urls(self) -> list[URLPattern]:
        """Adds the downloads."""
        file = path(
            "file/<int:pk>/<str:form>/", self.admin_site.admin_view(self.file_view), name="flashsale_settlement_file"
        )
        return [file, *super().get_urls()]

    def file_view(self, request: HttpRequest, pk: int, form: str) -> HttpResponseBase:
        """A file as CSV or as JSON, or its signature."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        row = rows_of(settlement.own_files(), request.user).filter(pk=pk).first()
        if row is None or form not in FORMS:
            raise Http404
        name = f"{row.sale.code}-{row.channel.code}-{row.date}"
        if form != "signature":
            return download(request, f"{name}.{form}", settlement.content(row, form))
        response: HttpResponse = JsonResponse(settlement.signature(row))
        response["Content-Disposition"] = f'attachment; filename="{name}.signature.json"'
        return response

    @admin.display(description=gettext_lazy("units"))
    def units(self, row: Settlement) -> str:
        """The units sold, in all currencies."""
        return str(sum(sums["units"] for sums in row.totals.values()))

    @admin.display(description=gettext_lazy("amount"))
    def amount(self, row: Settlement) -> str:
        """The amount of the orders."""
        return _money(row, "amount")

    @admin.display(description=gettext_lazy("paid"))
    def paid(self, row: Settlement) -> str:
        """The money that came."""
        return _money(row, "paid")

    @admin.display(description=gettext_lazy("refunded"))
    def refunded(self, row: Settlement) -> str:
        """The money that went back."""
        return _money(row, "refunded")

    @admin.display(description=gettext_lazy("fee"))
    def fee(self, row: Settlement) -> str:
        """What the payment provider keeps or added."""
        return _money(row, "fee")

    @admin.display(description=gettext_lazy("files"))
    def files(self, row: Settlement) -> SafeString:
        """Links to the file in both forms, and to its signature."""
        links = (
            (reverse("admin:flashsale_settlement_file", args=[row.pk, form]), word) for form, word in FORMS.items()
        )
        return format_html_join(" · ", '<a href="{}">{}</a>', links)


def _money(row: Settlement, name: str) -> str:
    return ", ".join(format_money(sums[name], currency) for currency, sums in sorted(row.totals.items())) or "–"
