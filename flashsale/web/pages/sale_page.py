"""Pages for shoppers: all sales, and one sale's waiting page. Orders stand in orders.py, codes in codes.py.

A crowd reloads the waiting page, so it is made from the gate alone; the books are asked only for a sale that is over.
"""

import time
from contextlib import suppress
from typing import Any

from django.conf import settings
from django.db import Error
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import get_language, gettext
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_safe

from flashsale.gate import bridge
from flashsale.gate.client import GateDown
from flashsale.gate.sale_card import LineCard, OfferCard, SaleCard
from flashsale.life import look, places, status
from flashsale.life import receipt as receipts
from flashsale.models import Reservation, Sale
from flashsale.rules.calling import people_ahead
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.states import AllocationMode, Phase, PlaceState, ReservationState, SaleState
from flashsale.web import browser_cookie
from flashsale.web.formatting import moment, moment_ms, money
from flashsale.web.hot import proofs
from flashsale.web.pages import codes, own_orders, texts

PAST_SHOWN = 3
SALES_READ = 200
LIVELY = {Phase.LOBBY, Phase.OPEN, Phase.PAUSED}
OVER = {Phase.CLOSED, Phase.CALLED_OFF}
# A voided place may have been used before it was joined to an earlier one.
USED = {PlaceState.SPENT, PlaceState.VOIDED}


def tongues(_request: HttpRequest) -> dict[str, Any]:
    """What every page's head needs: the languages, and whether this is a demo."""
    return {"tongues": [("id", "Indonesia"), ("en", "English")], "outbox_url": settings.FLASHSALE_OUTBOX_URL}


@gzip_page
@never_cache
@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """All sales by campaign: what runs or comes, and the last few that are over."""
    sales = (
        Sale.objects.exclude(state=SaleState.DRAFT)
        .select_related("campaign", "clock")
        .order_by("-opens_at")[:SALES_READ]
    )
    return render(request, "flashsale/home.html", tongues(request) | {"campaigns": _by_campaign(sales)})


def _by_campaign(sales: Any) -> list[dict[str, Any]]:
    campaigns: dict[int, dict[str, Any]] = {}
    for sale in sales:
        campaign = campaigns.setdefault(sale.campaign_id, {"name": sale.campaign.name, "coming": [], "past": []})
        stands = sale.phase(_now_ms())
        row = {
            "code": sale.code, "name": sale.name, "phase": texts.phases()[stands], "lively": stands in LIVELY,
            "opens": moment(sale.opens_at, sale.campaign.time_zone),
        }  # fmt: skip
        campaign["past" if stands in OVER else "coming"].append(row)
    return [{"name": c["name"], "sales": [*reversed(c["coming"]), *c["past"][:PAST_SHOWN]]} for c in campaigns.values()]


@gzip_page
@never_cache
@ensure_csrf_cookie
@require_safe
def sale(request: HttpRequest, code: str) -> HttpResponse:
    """The waiting page of a sale."""
    try:
        answer = _waiting(request, bridge.run(places.card(code=code)))
    except Refused as refused:
        answer = _finished(request, code) if refused.outcome is Outcome.NOT_FOUND else busy(request)
    except GateDown:
        answer = busy(request)
    browser_cookie.remember(request, answer)
    return answer


@never_cache
@require_safe
def receipt(request: HttpRequest, code: str) -> HttpResponse:
    """The receipt of this browser's place, as a file to keep; needs no script."""
    try:
        card = bridge.run(places.card(code=code))
        line = own_line(request, card=card)
        if line is None:
            raise Http404
        place = places.open_place(card=card, line=line, token=request.COOKIES.get(f"fs_place_{code}", ""))
    except Refused as refused:
        raise Http404 from refused
    except GateDown:
        return busy(request)
    headers = {"Content-Disposition": f'attachment; filename="{code}-receipt.json"'}
    return JsonResponse(receipts.receipt(card=card, line=line, place=place), headers=headers)


def _waiting(request: HttpRequest, card: SaleCard) -> HttpResponse:
    line = own_line(request, card=card)
    document = bridge.run(status.status(card=card, line=line or card.lines[0]))
    shown = _shown(card) | tongues(request) | {"report": document["phase"] in OVER}
    if line is None or not codes.provable(card=card):
        leading = {code for line in card.lines for code in line.channels}
        names = ", ".join(channel.name for channel in card.channels if channel.code in leading)
        shown["closed_door"] = gettext("The way into this sale: %(channels)s.") % {"channels": names}
        return render(request, "flashsale/sale.html", shown)
    view = _place(request, card, line)
    made = _made(request, card.code) if view and view.state in USED else None
    shown["sale"] |= {"phase": texts.phases()[document["phase"]], "over": line.name or line.code}
    shown |= {
        "axes": [axis.value for axis in card.hard_at_enter],
        "line_offers": [_offer(offer, card.currency) for offer in card.offers if offer.sku in line.skus],
        "methods": texts.methods(), "carried": line.carries is not None,
        "place": texts.place(view.number, people_ahead(number=view.number or 0, called=view.called)) if view else "",
        "sheet": _sheet(request, card, line, document, view) | _kept(made, document["now"]),
        "order": made and _order_url(made, card.code),
    }  # fmt: skip
    return render(request, "flashsale/sale.html", shown)


def own_line(request: HttpRequest, *, card: SaleCard) -> LineCard | None:
    """The line that our own page leads this browser to, if any.

    Where it has a place; else to none that has rolled over, if there is another: where it was sent by an invitation, or
    had a place in the line that is carried over; else the line that is open to everybody.
    """
    own_orders = {channel.code for channel in card.channels if channel.kind == "own page"}
    lines = [line for line in card.lines if own_orders & set(line.channels) and line.mode == AllocationMode.LINE]
    kept = _kept_places(request)
    for line in lines:
        if (card.sale, line.line_id) in kept:
            return line
    # By the line's clock, which the whole sale shares.
    rolling = any(line.rolls_over_at for line in lines)
    now = bridge.run(status.status(card=card, line=lines[0]))["now"] if rolling else 0

    def fits(line: LineCard) -> tuple[bool, bool, bool, bool]:
        old = line.carries
        return (
            not 0 < line.rolls_over_at <= now, request.GET.get("line") == line.code,
            old is not None and (old.sale, old.line) in kept, old is None and not line.listed_only,
        )  # fmt: skip

    return max(lines, key=fits, default=None)


def _kept_places(request: HttpRequest) -> set[tuple[int, int]]:
    """Sale and line of every place that this browser keeps."""
    kept = set()
    for name, token in request.COOKIES.items():
        if name.startswith("fs_place_"):
            with suppress(Refused):
                place = places.read(token)
                kept.add((place.sale, place.line))
    return kept


def _place(request: HttpRequest, card: SaleCard, line: LineCard) -> look.View | None:
    token = request.COOKIES.get(f"fs_place_{card.code}", "")
    if not token:
        return None
    try:
        place = places.open_place(card=card, line=line, token=token)
        return bridge.run(look.look(card=card, line=line, place=place))
    except Refused:
        return None


def _sheet(
    request: HttpRequest, card: SaleCard, line: LineCard, document: dict[str, Any], view: look.View | None
) -> dict[str, Any]:
    """What the page's script starts with."""
    return {
        "sale": card.code, "line": line.code, "language": get_language(), "currency": card.currency,
        "hot": f"/v1/sales/{card.code}/lines/{line.code}/", "here": reverse("sale", args=[card.code]),
        "transcript": f"/v1/sales/{card.code}/transcript",
        "axes": [axis.value for axis in card.hard_at_enter], "lobby_at": card.lobby_at,
        "proven": _proven(request, card), "status": document, "words": texts.script(),
        "place": view and {
            "index": view.index, "number": view.number, "state": view.state, "claim_ends": view.claim_ends,
        },
    }  # fmt: skip


def _made(request: HttpRequest, code: str) -> Reservation | None:
    """What was reserved with this browser's place; the page does without when the books do not answer."""
    try:
        return own_orders.reservations(request, code=code).first()
    except (Refused, Error):
        return None


def _order_url(made: Reservation, code: str) -> str:
    return reverse("order", args=[code, made.pk])


def _kept(made: Reservation | None, now: int) -> dict[str, Any]:
    """What the browser in which it was reserved would remember of it, for any other of the same person."""
    if made is None:
        return {}
    hold = order = ended = None
    if made.state == ReservationState.CONFIRMED:
        order = _order_url(made, made.sale.code)
    elif made.state == ReservationState.HELD and now < made.deadline_ms:
        hold = {"id": made.pk, "deadline": made.deadline_ms, "amount": made.amount}
    else:
        ended = ReservationState.EXPIRED if made.state == ReservationState.HELD else made.state
    return {"made": {"reservation": hold, "order": order}, "ended": ended}


def _proven(request: HttpRequest, card: SaleCard) -> bool:
    try:
        return bool(proofs.proven(card=card, cookies=request.COOKIES))
    except Refused:
        return False


def _shown(card: SaleCard) -> dict[str, Any]:
    return {
        "sale": {
            "name": card.name, "message": card.message, "commitment": card.commitment, "weight": card.weight,
            "limit": card.weight, "phase": "", "over": "", "code": card.code,
            "opens": moment_ms(card.opens_at, card.time_zone), "closes": moment_ms(card.closes_at, card.time_zone),
        },
        "offers": [_offer(offer, card.currency) for offer in card.offers],
    }  # fmt: skip


def _offer(offer: OfferCard, currency: str) -> dict[str, str]:
    return {"sku": offer.sku, "name": offer.name, "price": money(offer.price, currency)}


def _finished(request: HttpRequest, code: str) -> HttpResponse:
    """A sale that the gate has forgotten; the books have not."""
    over = Sale.objects.exclude(state=SaleState.DRAFT).filter(code=code).select_related("campaign").first()
    if over is None:
        raise Http404
    zone, currency = over.campaign.time_zone, over.campaign.currency
    shown = {
        "sale": {
            "name": over.name, "over": over.campaign.name, "commitment": over.commitment, "code": over.code,
            "limit": over.limit or over.campaign.limit, "phase": texts.phases()[over.phase(_now_ms())],
            "opens": moment(over.opens_at, zone), "closes": moment(over.closes_at, zone),
        },
        "offers": [{"name": offer.name, "price": money(offer.price, currency)} for offer in over.offers.all()],
        "closed_door": texts.phases()[over.phase(_now_ms())], "report": over.phase(_now_ms()) in OVER,
        "order": (made := _made(request, code)) and _order_url(made, code),
    }  # fmt: skip
    return render(request, "flashsale/sale.html", shown | tongues(request))


def busy(request: HttpRequest) -> HttpResponse:
    """Nobody loses a place by this: the page asks again by itself."""
    answer = render(request, "flashsale/busy.html", tongues(request), status=503)
    answer["Retry-After"] = answer["Refresh"] = "20"
    return answer


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
