"""Brings a buyer with a held reservation to the checkout of the shop behind our page, with a pass."""

from django.db import Error
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from flashsale.gate.client import GateDown
from flashsale.life import passes
from flashsale.rules.origins import origin_of
from flashsale.rules.outcomes import RETRYABLE, Refused
from flashsale.web import limits
from flashsale.web.pages import own_orders
from flashsale.web.pages.sale_page import busy_page, page_context


@never_cache
@require_POST
def checkout(request: HttpRequest, code: str) -> HttpResponse:
    """A page with a form that posts a new pass to the shop. The script sends it; a button does without the script.

    The pass is in a body and in no address, so it is in no log, no history and no Referer. A reservation that has ended
    leads back to the waiting page, which says why.
    """
    try:
        found = own_orders.reservations(request, code=code).select_related("channel__campaign", "sale__campaign")
        row = own_orders.one(found)
        limits.enforce(request, limits.PASSES, str(row.pk))
        issued = passes.issue(reservation=row)
    except Refused as refused:
        return busy_page(request) if refused.outcome in RETRYABLE else redirect("sale", code)
    except (GateDown, Error):
        return busy_page(request)
    shop = {"name": row.channel.name, "url": issued.checkout_url, "passed": issued.text}
    response = render(request, "flashsale/checkout.html", page_context(request) | {"shop": shop, "code": code})
    # Only this page may post to another site, and only to this one.
    setattr(response, "_csp_update", {"form-action": [origin_of(issued.checkout_url)]})  # noqa: B010 - of django-csp
    return response
