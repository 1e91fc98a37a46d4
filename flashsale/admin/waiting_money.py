"""The list of all money that waits: what must be done next, by whom, and until when."""

from collections.abc import Iterable
from typing import Any

from django.core.paginator import Paginator
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from flashsale.admin.action_page import Table
from flashsale.admin.labels import local_time, state_label
from flashsale.life.staff_campaigns import rows_of
from flashsale.life.waiting_money import ACTIONS, WHO_LABELS, WaitingFor
from flashsale.models import Inbox, Refund
from flashsale.rules.money import format_money

SHOWN, PAGE = 20, 100


def content(*, by: Any, action: str = "", page: str = "1") -> dict[str, Any]:
    """The template's context: all actions with their first rows, or the page of one action."""
    now = timezone.now()
    chosen = next((one for one in ACTIONS if one.name == action), None)
    if chosen is not None:
        rows = Paginator(chosen.waiting(now, by=by), PAGE).get_page(page)
        return {"parts": [_part(chosen, rows.paginator.count, rows)], "page": rows}
    counts = [(one, rows_of(one.rows(now), by).count()) for one in ACTIONS]
    return {"parts": [_part(one, count, one.waiting(now, by=by)[:SHOWN]) for one, count in counts if count]}


def _part(action: WaitingFor, count: int, rows: Iterable[Any]) -> dict[str, Any]:
    title = f"{action.title} ({WHO_LABELS[action.who]}): {count}"
    head = [_("reference"), _("order"), _("amount"), _("state"), _("until")]
    cells = [_cells(action, row) for row in rows]
    return {"name": action.name, "count": count, "more": count > len(cells), "table": Table(title, head, cells)}


def _cells(action: WaitingFor, row: Any) -> list[Any]:
    if isinstance(row, Inbox):
        until = timezone.localtime(action.until(row)).strftime("%Y-%m-%d %H:%M %Z")
        return [row.reference, "–", "–", row.account, until]
    attempt = row.attempt if isinstance(row, Refund) else row
    order = attempt.reservation
    amount = row.amount if isinstance(row, Refund) or row.paid is None else row.paid
    return [
        _link("refund" if isinstance(row, Refund) else "paymentattempt", row.pk, row.reference),
        _link("reservation", order.pk, str(order.pk)[:8]),
        format_money(int(amount), attempt.paid_currency or attempt.currency),
        state_label(row.state),
        local_time(action.until(row), order.sale.campaign.zone),
    ]


def _link(model: str, pk: Any, text: str) -> SafeString:
    return format_html('<a href="{}">{}</a>', reverse(f"admin:flashsale_{model}_change", args=[pk]), text)
