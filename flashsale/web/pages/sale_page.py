"""The home page, and the waiting page of a sale. Orders are in orders.py, codes in codes.py.

A whole crowd reloads the waiting page, so it reads only Redis (the gate). It reads PostgreSQL (the books) for a sale
that is over, and for the reservation of a browser that has a place.
"""

from contextlib import suppress
from typing import Any

from django.conf import settings
from django.core.cache import cache
from django.db import Error
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.templatetags.static import static
from django.urls import reverse
from django.utils.translation import get_language, gettext
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_safe

from flashsale.gate import bridge
from flashsale.gate.client import GateDown
from flashsale.gate.sale_card import LineCard, OfferCard, SaleCard
from flashsale.life import entries, look, places, status
from flashsale.life import receipt as receipts
from flashsale.models import Channel, Reservation, Sale
from flashsale.providers import beacon, payments
from flashsale.rules import wall_clock
from flashsale.rules.calling import people_ahead
from flashsale.rules.lottery import QUICKNET_CHAIN
from flashsale.rules.money import format_money
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.shopper_message import in_language
from flashsale.rules.states import AllocationMode, Phase, PlaceState, ReservationState, SaleState
from flashsale.web import browser_cookie
from flashsale.web.formatting import format_time, format_time_ms
from flashsale.web.hot import proofs
from flashsale.web.pages import channel_pages, codes, own_orders, texts

PAST_SHOWN = 3
SALES_READ = 200
LIVELY = {Phase.LOBBY, Phase.OPEN, Phase.PAUSED}
OVER = {Phase.CLOSED, Phase.CALLED_OFF}
# A place may have been used before it was merged into an earlier one and voided.
USED = {PlaceState.SPENT, PlaceState.VOIDED}


def page_context(_request: HttpRequest) -> dict[str, Any]:
    """The template context that every page needs: the languages, and the address of the demo's outbox."""
    return {"languages": [("id", "Indonesia"), ("en", "English")], "outbox_url": settings.FLASHSALE_OUTBOX_URL}


@gzip_page
@never_cache
@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """Lists sales by campaign: all that run or come, and the last few that are over."""
    sales = (
        Sale.objects.filter(campaign__sandbox_of=None)
        .exclude(state=SaleState.DRAFT)
        .select_related("campaign", "clock")
        .order_by("-opens_at")[:SALES_READ]
    )
    return render(request, "flashsale/home.html", page_context(request) | {"campaigns": _by_campaign(sales)})


def _by_campaign(sales: Any) -> list[dict[str, Any]]:
    campaigns: dict[int, dict[str, Any]] = {}
    for sale in sales:
        campaign = campaigns.setdefault(sale.campaign_id, {"name": sale.campaign.name, "coming": [], "past": []})
        phase = sale.phase(wall_clock.now_ms())
        row = {
            "code": sale.code,
            "name": sale.name,
            "phase": texts.phases()[phase],
            "lively": phase in LIVELY,
            "opens": format_time(sale.opens_at, sale.campaign.time_zone),
        }
        campaign["past" if phase in OVER else "coming"].append(row)
    return [{"name": c["name"], "sales": [*reversed(c["coming"]), *c["past"][:PAST_SHOWN]]} for c in campaigns.values()]


@gzip_page
@never_cache
@ensure_csrf_cookie
@require_safe
def sale(request: HttpRequest, code: str) -> HttpResponse:
    """The waiting page of a sale."""
    try:
        response = _waiting_page(request, bridge.run(places.sale_card(code=code)))
    except Refused as refused:
        response = _over_page(request, code) if refused.outcome is Outcome.NOT_FOUND else busy_page(request)
    except GateDown:
        response = busy_page(request)
    browser_cookie.set_browser_id(request, response)
    return response


@never_cache
@require_safe
def receipt(request: HttpRequest, code: str) -> HttpResponse:
    """The receipt of this browser's place, as a download that works without JavaScript."""
    try:
        _, _, signed = own_receipt(request, code)
    except GateDown:
        return busy_page(request)
    return JsonResponse(signed, headers={"Content-Disposition": f'attachment; filename="{code}-receipt.json"'})


def own_receipt(request: HttpRequest, code: str) -> tuple[SaleCard, LineCard, dict[str, Any]]:
    """The sale, the line and the signed receipt of this browser's place. Raises Http404 without one, and GateDown."""
    try:
        card = bridge.run(places.sale_card(code=code))
        line = own_line(request, card=card)
        if line is None:
            raise Http404
        place = places.open_place(card=card, line=line, token=request.COOKIES.get(f"fs_place_{code}", ""))
        inclusion = bridge.run(entries.inclusion_of(card=card, line=line, index=place.index))
    except Refused as refused:
        raise Http404 from refused
    return card, line, receipts.receipt(card=card, line=line, place=place, inclusion=inclusion)


def other_chain(declared: str) -> dict[str, Any] | None:
    """The chain that the scripts of the pages check against. None if it is quicknet, which they know, or no chain."""
    chain = beacon.chain_of(declared)
    if chain is None or chain == QUICKNET_CHAIN:
        return None
    return {"hash": chain.hash, "genesis_s": chain.genesis_s, "period_s": chain.period_s}


def _waiting_page(request: HttpRequest, card: SaleCard) -> HttpResponse:
    line = own_line(request, card=card)
    document = bridge.run(status.status(card=card, line=line or card.lines[0]))
    context = _sale_context(card) | page_context(request) | {"report": document["phase"] in OVER}
    if line is None or not codes.can_prove(card=card):
        return render(request, "flashsale/sale.html", context | _partners_only(card))
    view = _look(request, card, line)
    reservation = _own_reservation(request, card.code) if view and view.state in USED else None
    context["sale"] |= {"phase": texts.phases()[document["phase"]], "over": line.name or line.code}
    context |= {
        "axes": [axis.value for axis in card.hard_at_enter],
        "line_offers": [_offer(offer, card.currency) for offer in card.offers if offer.sku in line.skus],
        "methods": _methods(card, line),
        "shop": _shop(card, line),
        "demo": payments.DemoProvider.account in payments.configured,
        "paying": _url_to_pay(reservation, card.code),
        "carried": line.carries is not None,
        "place": _place(view, document) if view else "",
        "script_data": _script_data(request, card, line, document, view)
        | _reservation_data(reservation, document["now"]),
        "order": reservation and _order_url(reservation, card.code),
    }
    return render(request, "flashsale/sale.html", context)


def _place(view: look.PlaceView, document: dict[str, Any]) -> str:
    is_late = bool(document.get("draw", {}).get("root")) and view.index > document["cohort"]
    return texts.place(view.number, people_ahead(number=view.number or 0, called=view.called), is_late=is_late)


def _partners_only(card: SaleCard) -> dict[str, Any]:
    """The context for a sale that our page cannot enter: the channels that can, with their links."""
    codes_of_lines = {code for line in card.lines for code in line.channels}
    channels = [channel for channel in card.channels if channel.code in codes_of_lines]
    names = ", ".join(channel.name for channel in channels)
    urls = {code: pages.entry_url for code, pages in channel_pages.of(card).items()}
    return {
        "notice": gettext("This sale is only on %(channels)s.") % {"channels": names},
        "channel_links": [(channel.name, urls[channel.code]) for channel in channels if urls.get(channel.code)],
    }


def _shop(card: SaleCard, line: LineCard) -> str:
    """The name of the shop at whose checkout people of this line pay, "" if they pay on our page."""
    pages = channel_pages.of(card)
    own = (channel for channel in card.channels if channel.proves_by_code and channel.code in line.channels)
    return next((channel.name for channel in own if channel.code in pages and pages[channel.code].checkout_url), "")


def _methods(card: SaleCard, line: LineCard) -> list[tuple[str, str]]:
    """The ways to pay that this line's offers allow, as (code, name)."""

    def read() -> str:
        own = Channel.objects.filter(campaign_id=card.campaign, kind=Channel.Kind.OWN_PAGE, code__in=line.channels)
        channel, campaign = own.values_list("payment_accounts", "campaign__payment_accounts").first() or ("", "")
        return channel or campaign

    # Only PostgreSQL has the names of the accounts. They are frozen with the campaign.
    names = cache.get_or_set(f"payment-accounts/{card.campaign}/{line.line_id}", read, channel_pages.FRESH_S)
    prices = [offer.price for offer in card.offers if offer.sku in line.skus]
    least, most = min(prices, default=0), max(prices, default=0) * card.weight
    offered = payments.methods_of(names=names or "", own_page=True)
    return texts.methods(offered, least=least, most=most, currency=card.currency)


def own_line(request: HttpRequest, *, card: SaleCard) -> LineCard | None:
    """The line that our own page leads this browser to, None if there is none.

    A browser with a place goes to the line of that place. For others the order of preference is: a line that has not
    rolled over; the line of the invitation in the query string; the line that carries over the line of an old place;
    the line that is open to everybody.
    """
    own_channels = {channel.code for channel in card.channels if channel.kind == "own page"}
    lines = [line for line in card.lines if own_channels & set(line.channels) and line.mode == AllocationMode.LINE]
    kept = _kept_places(request)
    for line in lines:
        if (card.sale, line.line_id) in kept:
            return line
    # The time of the line's clock, which all lines of a sale share.
    rolling = any(line.rolls_over_at for line in lines)
    now = bridge.run(status.status(card=card, line=lines[0]))["now"] if rolling else 0

    def preference(line: LineCard) -> tuple[bool, bool, bool, bool]:
        old = line.carries
        return (
            not 0 < line.rolls_over_at <= now,
            request.GET.get("line") == line.code,
            old is not None and (old.sale, old.line) in kept,
            old is None and not line.listed_only,
        )

    return max(lines, key=preference, default=None)


def _kept_places(request: HttpRequest) -> set[tuple[int, int]]:
    """Sale and line id of each place in this browser's cookies."""
    kept = set()
    for name, token in request.COOKIES.items():
        if name.startswith("fs_place_"):
            with suppress(Refused):
                place = places.open_token(token)
                kept.add((place.sale, place.line))
    return kept


def _look(request: HttpRequest, card: SaleCard, line: LineCard) -> look.PlaceView | None:
    token = request.COOKIES.get(f"fs_place_{card.code}", "")
    if not token:
        return None
    try:
        place = places.open_place(card=card, line=line, token=token)
        return bridge.run(look.look(card=card, line=line, place=place))
    except Refused:
        return None


def _script_data(
    request: HttpRequest, card: SaleCard, line: LineCard, document: dict[str, Any], view: look.PlaceView | None
) -> dict[str, Any]:
    """The data that line.js starts with."""
    return {
        "sale": card.code,
        "line": line.code,
        "language": get_language(),
        "currency": card.currency,
        "hot": f"/v1/sales/{card.code}/lines/{line.code}/",
        "here": reverse("sale", args=[card.code]),
        "transcript": f"/v1/sales/{card.code}/transcript",
        "check": static("flashsale/check.js"),
        "chain": other_chain(card.beacon_chain),
        "axes": [axis.value for axis in card.hard_at_enter],
        "lobby_at": card.lobby_at,
        "proven": _is_proven(request, card),
        "status": document,
        "texts": texts.script(limit=card.weight),
        "work": texts.work() if card.codes_need_work else None,
        "place": view
        and {"index": view.index, "number": view.number, "state": view.state, "claim_ends": view.claim_ends},
    }


def _own_reservation(request: HttpRequest, code: str) -> Reservation | None:
    """The reservation of this browser's place; None also if PostgreSQL does not answer."""
    try:
        return own_orders.reservations(request, code=code).first()
    except (Refused, Error):
        return None


def _url_to_pay(reservation: Reservation | None, code: str) -> str:
    """The order page where this held reservation is being paid; "" if no payment is under way."""
    payment = reservation and reservation.payment
    return _order_url(reservation, code) if reservation and payment and payment.is_open and payment.instructions else ""


def _order_url(reservation: Reservation, code: str) -> str:
    return reverse("order", args=[code, reservation.pk])


def _reservation_data(reservation: Reservation | None, now: int) -> dict[str, Any]:
    """What line.js keeps in local storage after a reservation, for the other devices of the same person."""
    if reservation is None:
        return {}
    hold = order = ended = None
    if reservation.state == ReservationState.CONFIRMED:
        order = _order_url(reservation, reservation.sale.code)
    elif reservation.state == ReservationState.HELD and now < reservation.deadline_ms:
        hold = {"id": reservation.pk, "deadline": reservation.deadline_ms, "amount": reservation.amount}
    else:
        held = reservation.state == ReservationState.HELD
        ended = ReservationState.EXPIRED if held else reservation.state
    return {"made": {"reservation": hold, "order": order}, "ended": ended}


def _is_proven(request: HttpRequest, card: SaleCard) -> bool:
    try:
        return bool(proofs.proven_digests(card=card, cookies=request.COOKIES))
    except Refused:
        return False


def _sale_context(card: SaleCard) -> dict[str, Any]:
    return {
        "sale": {
            "name": card.name,
            "message": in_language(card.message, get_language()),
            "commitment": card.commitment,
            "commits": card.commits_entries,
            "beacon": card.beacon_chain,
            "is_drand": card.beacon_chain == QUICKNET_CHAIN.hash,
            "freezes": format_time_ms(card.freezes_at, card.time_zone),
            "weight": card.weight,
            "limit": card.weight,
            "extra_time_share": card.extra_time_share,
            "phase": "",
            "over": "",
            "code": card.code,
            "opens": format_time_ms(card.opens_at, card.time_zone),
            "closes": format_time_ms(card.closes_at, card.time_zone),
        },
        "offers": [_offer(offer, card.currency) for offer in card.offers],
    }


def _offer(offer: OfferCard, currency: str) -> dict[str, str]:
    return {"sku": offer.sku, "name": offer.name, "price": format_money(offer.price, currency)}


def _over_page(request: HttpRequest, code: str) -> HttpResponse:
    """The page of a sale that Redis no longer has, from PostgreSQL."""
    sale = Sale.objects.exclude(state=SaleState.DRAFT).filter(code=code).select_related("campaign").first()
    if sale is None:
        raise Http404
    zone, currency, phase = sale.campaign.time_zone, sale.campaign.currency, sale.phase(wall_clock.now_ms())
    reservation = _own_reservation(request, code)
    context = {
        "sale": {
            "name": sale.name,
            "over": sale.campaign.name,
            "commitment": sale.commitment,
            "commits": sale.commits_entries,
            "beacon": sale.beacon_chain,
            "is_drand": sale.waits_for_drand,
            "freezes": format_time(sale.freezes_at, zone),
            "code": sale.code,
            "limit": sale.limit or sale.campaign.limit,
            "phase": texts.phases()[phase],
            "opens": format_time(sale.opens_at, zone),
            "closes": format_time(sale.closes_at, zone),
        },
        "offers": [{"name": offer.name, "price": format_money(offer.price, currency)} for offer in sale.offers.all()],
        "notice": texts.phases()[phase],
        "report": phase in OVER,
        "order": reservation and _order_url(reservation, code),
    }
    return render(request, "flashsale/sale.html", context | page_context(request))


def busy_page(request: HttpRequest) -> HttpResponse:
    """503: Redis or PostgreSQL does not answer. The page reloads itself; all places are kept."""
    response = render(request, "flashsale/busy.html", page_context(request), status=503)
    response["Retry-After"] = response["Refresh"] = "20"
    return response
