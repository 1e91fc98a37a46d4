"""What a buyer needs to pay: a QR code, an account number or a link, and the time that is left."""

from collections.abc import Mapping
from typing import Any

import segno
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.dateparse import parse_datetime
from django.utils.safestring import SafeString, mark_safe
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from flashsale.models import Reservation
from flashsale.models.sale import ms
from flashsale.providers import payments
from flashsale.providers.payments.checked import is_link
from flashsale.rules import wall_clock
from flashsale.rules.states import ReservationState
from flashsale.web.formatting import format_time
from flashsale.web.pages import own_orders, texts
from flashsale.web.pages.json_views import json_problems

# A link with another scheme, like javascript:, is not shown, whatever the provider sends.
_WEB = ("https://", "http://")


def steps(row: Reservation) -> dict[str, Any] | None:
    """How the buyer pays for a held reservation; None while there is nothing to show."""
    payment = row.payment
    if row.state != ReservationState.HELD or payment is None or not payment.is_open or not payment.instructions:
        return None
    shown: Mapping[str, str] = payment.instructions
    until = parse_datetime(shown.get("expires_at") or "") or payment.expires_at
    return {
        "method": texts.method(payment.method),
        "qr": qr_svg(shown["qr"]) if shown.get("qr") else "",
        "bank": shown.get("bank", ""),
        "biller": shown.get("biller", ""),
        "number": shown.get("number", ""),
        "url": shown["url"] if shown.get("url", "").startswith(_WEB) else "",
        "deeplink": shown["deeplink"] if is_link(shown.get("deeplink", "")) else "",
        "until": format_time(until, row.sale.campaign.time_zone) if until else "",
        "is_demo": payment.account == payments.DemoProvider.account,
        "left_ms": max(0, ms(until) - wall_clock.now_ms()) if until else 0,
    }


def mark(row: Reservation) -> str:
    """A text that is another one when the order page would be another one."""
    payment = row.payment
    if payment is None:
        return row.state
    return f"{row.state} {payment.number} {payment.payment_state} {bool(payment.instructions)}"


def qr_svg(text: str, *, error: str = "m") -> SafeString:
    """A QR code as SVG, dark on white also on a dark page, because many cameras read no other.

    `error` is the least level of error correction: "l" for a long text, so that the code has fewer dots.
    """
    code = segno.make_qr(text, error=error)
    # segno writes numbers and fixed attributes only; the text is inside the code.
    return mark_safe(code.svg_inline(border=4, dark="#000", light="#fff", omitsize=True, svgclass="qr"))  # noqa: S308


@never_cache
@require_safe
@json_problems
def state(request: HttpRequest, code: str, reservation: Any) -> HttpResponse:
    """Says whether the order page has changed; it follows the payment with this."""
    row = own_orders.reservations(request, code=code).filter(pk=reservation).prefetch_related("attempts__refunds")
    return JsonResponse({"mark": mark(own_orders.one(row))})
