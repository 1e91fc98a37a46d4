"""The pages of the live board, and its controls: the actions of a published sale, which lead back to the board."""

from collections.abc import Sequence
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _

from flashsale.admin import board
from flashsale.admin.action_page import Action, ActionAdmin
from flashsale.models import Sale
from flashsale.rules.states import SaleState

# Those of the day itself, in this order.
CONTROLS = ("pause", "resume", "tell", "brake", "add-units", "close-early", "call-off")
BACK = "board"


class BoardPages(ActionAdmin):
    """The board of one sale and of all. Who may see sales may see it; each control keeps its own permission."""

    def get_urls(self) -> list[URLPattern]:
        """Adds the two pages of the board."""
        pages = [
            path("board/", self.admin_site.admin_view(self.boards_view), name="flashsale_sale_boards"),
            path("<int:pk>/board/", self.admin_site.admin_view(self.board_view), name="flashsale_sale_board"),
        ]
        return [*pages, *super().get_urls()]

    def boards_view(self, request: HttpRequest) -> HttpResponse:
        """What runs, then what comes."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        return self._page(request, None)

    def board_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """One published sale."""
        sale = self.get_queryset(request).select_related("campaign", "clock").filter(pk=pk).first()
        if not self.has_view_permission(request, sale):
            raise PermissionDenied
        if sale is None or sale.state == SaleState.DRAFT:
            raise Http404
        return self._page(request, sale)

    def _page(self, request: HttpRequest, sale: Sale | None) -> HttpResponse:
        asked = request.GET.get("span", "")
        span = next((minutes for minutes in board.SPANS if str(minutes) == asked), board.SPAN)
        big = "big" in request.GET
        sales = [sale] if sale else board.board_sales(self.get_queryset(request))
        found = board.content(sales, user=request.user, span=span if sale else None)
        for one in found["boards"]:
            one.controls = self._controls(request, one.sale)
        kept = "".join([f"&span={span}" if span != board.SPAN else "", "&big=1" if big else ""])
        context = found | {
            "one": sale,
            "big": big,
            "span": span,
            "spans": [(minutes, minutes == span) for minutes in board.SPANS],
            "part_url": f"{request.path}?part=1{kept}",
            "refresh_ms": board.REFRESH_MS,
        }
        if "part" in request.GET:
            response = TemplateResponse(request, "admin/flashsale/board_part.html", context)
        else:
            title = _("Board: %(sale)s") % {"sale": sale.name} if sale else _("Board")
            page = {**self.admin_site.each_context(request), "opts": self.opts, "title": title}
            if big:
                page["is_nav_sidebar_enabled"] = False
            response = TemplateResponse(request, "admin/flashsale/board.html", page | context)
        response["Cache-Control"] = "no-store"
        return response

    def _controls(self, request: HttpRequest, sale: Sale) -> list[tuple[str, Any, str]]:
        """Name, title and address of each control that is possible now."""
        actions: dict[str, Action] = {action.name: action for action in self.row_actions}
        return [
            (name, actions[name].title, f"{self.action_url(actions[name], [sale.pk])}&back={BACK}")
            for name in CONTROLS
            if actions[name].may(request.user) and actions[name].is_available(sale)
        ]

    def _back_url(self, request: HttpRequest, rows: Sequence[Any]) -> str:
        """The board, if the action was chosen there."""
        if request.GET.get("back") == BACK and len(rows) == 1:
            return reverse("admin:flashsale_sale_board", args=[rows[0].pk])
        return super()._back_url(request, rows)
