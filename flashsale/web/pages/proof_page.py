"""The page on which a shopper checks the draw of a sale, and the receipt of a ticket as a page to read and print."""

from base64 import urlsafe_b64encode
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import get_language
from django.views.decorators.cache import cache_control, never_cache
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_safe
from django.views.decorators.vary import vary_on_cookie, vary_on_headers

from flashsale.gate import bridge
from flashsale.gate.client import GateDown
from flashsale.life import entries
from flashsale.models import Sale
from flashsale.rules.states import SaleState
from flashsale.web.formatting import format_clock_ms, format_time, format_time_ms
from flashsale.web.pages import proof_texts
from flashsale.web.pages.paying import qr_svg
from flashsale.web.pages.sale_page import busy_page, other_chain, own_receipt, page_context

FRESH_S = 60


@gzip_page
@cache_control(private=True, max_age=FRESH_S)
@vary_on_cookie
@vary_on_headers("Accept-Language")
@require_safe
def proof(request: HttpRequest, code: str) -> HttpResponse:
    """Says in three sentences what the draw proves, and has the button that checks all of it in the browser.

    It names no ticket, so it is the same for all people. The script reads the receipt from the fragment of the
    address, from the field, or from this browser's place.
    """
    sale = Sale.objects.exclude(state=SaleState.DRAFT).select_related("campaign").filter(code=code).first()
    if sale is None:
        raise Http404
    carried = sale.allocations.exclude(carries=None).values_list("code", flat=True)
    context = {
        "sale": sale,
        "is_drand": sale.waits_for_drand,
        "freezes": format_time(sale.freezes_at, sale.campaign.time_zone),
        "proof_data": {
            "sale": sale.code,
            "language": get_language(),
            "transcript": reverse("transcript", args=[code]),
            "lines": reverse("transcript", args=[code]).removesuffix("transcript") + "lines/",
            "draw": reverse("draw-json", args=[code]),
            "keys": reverse("keys"),
            "receipt": reverse("receipt", args=[code]),
            "carried": list(carried),
            "chain": other_chain(sale.beacon_chain),
            "texts": proof_texts.script(),
        },
    }
    return render(request, "flashsale/proof.html", context | page_context(request))


@gzip_page
@never_cache
@require_safe
def ticket(request: HttpRequest, code: str) -> HttpResponse:
    """The receipt of this browser's place, to read and to print."""
    try:
        card, line, signed = own_receipt(request, code)
        receipt = signed["receipt"]
        is_behind = bridge.run(entries.is_behind(card=card, line=line, index=receipt["index"]))
    except GateDown:
        return busy_page(request)
    link = request.build_absolute_uri(reverse("proof", args=[code])) + "#" + fragment(signed)
    day, clock = (one(receipt["time"], card.time_zone) for one in (format_time_ms, format_clock_ms))
    context = {
        "sale": card,
        "line": line.name or line.code,
        "receipt": receipt,
        "is_behind": is_behind,
        "time": f"{day} ({clock})",
        "proven": [(proof_texts.axis(axis), mark) for axis, mark in receipt["holder"].items()],
        "signed": signed,
        "link": link,
        # The proof of a million tickets makes a long link. With the least error correction its code stays readable.
        "qr": qr_svg(link, error="l"),
    }
    return render(request, "flashsale/ticket.html", context | page_context(request))


def fragment(signed: Mapping[str, Any]) -> str:
    """A signed receipt as the fragment of a link. Browsers send no fragment to a server. check.js reads it.

    `hashes` are the root, the leaf and the proof, one after the other, as base64url.
    """
    receipt = signed["receipt"]
    members = {
        "line": receipt["line"],
        "index": receipt["index"],
        "time": receipt["time"],
        "holder": ",".join(f"{axis}:{mark}" for axis, mark in receipt["holder"].items()),
        "key": signed["key"],
        "signature": signed["signature"],
    }
    if "root" in receipt:
        hashes = bytes.fromhex("".join([receipt["root"], receipt["leaf"], *receipt["proof"]]))
        joined = urlsafe_b64encode(hashes).rstrip(b"=").decode()
        members |= {"cohort": receipt["cohort"], "state": receipt["state"], "hashes": joined}
    return urlencode(members, safe=":,")
