"""A buyer's own order on our page; the cookie of the place shows whose it is, and the books alone are asked."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.db import Error
from django.db.models import Prefetch
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotFound, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import get_language, gettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from flashsale.gate.client import GateDown
from flashsale.life import appeal, sealed_links
from flashsale.life import release as giving_back
from flashsale.life.cancel import cancel
from flashsale.life.confirm import Buyer, Payer
from flashsale.life.confirm import confirm as confirm_order
from flashsale.life.notify import outcome_of
from flashsale.models import Cancellation, Payment, Reservation, ReservationUnit
from flashsale.rules.identity import Axis
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.reasons import ReasonCode, cancel_reason
from flashsale.rules.states import ReservationState
from flashsale.web import browser_cookie, client_ip, problems
from flashsale.web.formatting import moment, money
from flashsale.web.pages import own_orders, texts
from flashsale.web.pages.json_views import fields_of, json_post
from flashsale.web.pages.sale_page import busy, tongues

BUYER = ("name", "address", "phone", "email")


@json_post
def confirm(request: HttpRequest, code: str) -> HttpResponse:
    """Pays the reservation of this browser's place and answers where its order stands."""
    given = fields_of(request, "reservation", "amount", "method", "instrument", *BUYER)
    missing = [name for name in BUYER if not given[name].strip()]
    if missing:
        raise Refused(Outcome.BAD_IDENTITY, f"Missing: {', '.join(missing)}.")
    row = _own(request, code, _uuid(given["reservation"]))
    identity = {
        Axis.PHONE: given["phone"], Axis.EMAIL: given["email"], Axis.ADDRESS: given["address"],
        Axis.PAYMENT: given["instrument"], Axis.DEVICE: browser_cookie.of(request),
        Axis.NETWORK: client_ip.address_of(request),
    }  # fmt: skip
    buyer = Buyer(identity, {name: given[name] for name in BUYER}, (get_language() or "id")[:2])
    payer = Payer(_amount(given["amount"]), given["method"], given["instrument"])
    confirm_order(reservation=row.pk, channel=row.channel_id, buyer=buyer, payer=payer)
    return JsonResponse({"order": reverse("order", args=[code, row.pk])})


@json_post
def release(request: HttpRequest, code: str) -> HttpResponse:
    """Gives the held reservation of this browser's place back."""
    row = _own(request, code, _uuid(fields_of(request, "reservation")["reservation"]))
    giving_back.release(reservation=row.pk, channel=row.channel_id)
    return JsonResponse({"released": True})


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise Refused(Outcome.NOT_FOUND, "There is no such reservation.") from error


def _amount(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise Refused(Outcome.MALFORMED, "amount: digits, in whole units of the currency.")
    return int(text)


def _own(request: HttpRequest, code: str, reservation: UUID) -> Reservation:
    """The reservation, if it was made with the place in this browser's cookie; refuses NOT_FOUND."""
    row = (
        own_orders.reservations(request, code=code)
        .filter(pk=reservation)
        .select_related("sale__campaign", "payment", "case__appeal", "cancellation")
        .prefetch_related(
            Prefetch("reservation_units", ReservationUnit.objects.select_related("unit").order_by("pk")), "sale__offers"
        )
        .first()
    )
    if row is None:
        raise Refused(Outcome.NOT_FOUND, "There is no such reservation.")
    return row


@never_cache
@require_safe
def order(request: HttpRequest, code: str, reservation: UUID) -> HttpResponse:
    """One order, for the browser that made it; it needs no gate."""
    try:
        return _page(request, _own(request, code, reservation))
    except Refused as refused:
        raise Http404 from refused
    except Error:
        return busy(request)


@require_POST
def act(request: HttpRequest, code: str, reservation: UUID, what: str) -> HttpResponse:
    """Cancels or gives back, and shows the order again."""
    try:
        row = _own(request, code, reservation)
    except Refused:
        return HttpResponseNotFound()
    except Error:
        return redirect("order", code, reservation)
    try:
        ACTS[what](row)
    except Refused as refused:
        language = (get_language() or "id")[:2]
        return _page(request, row, problems.title(refused.outcome, language), problems.status_of(refused.outcome))
    except (GateDown, Error):
        pass  # the order itself tells what became of it; the gate is told by whoever comes next
    return redirect("order", code, reservation)


ACTS: dict[str, Callable[[Reservation], object]] = {
    "cancel": lambda row: cancel(reservation=row.pk, channel=row.channel_id, code=ReasonCode.BUYER_REQUEST),
    "release": lambda row: giving_back.release(reservation=row.pk, channel=row.channel_id),
}


def _page(request: HttpRequest, row: Reservation, alert: str = "", status: int = 200) -> HttpResponse:
    shown = tongues(request) | {"sale": row.sale, "order": _shown(row), "alert": alert}
    return render(request, "flashsale/order.html", shown, status=status)


def _shown(row: Reservation) -> dict[str, Any]:
    zone, currency = row.sale.campaign.time_zone, row.sale.campaign.currency
    names = {offer.sku: offer.name for offer in row.sale.offers.all()}
    paid: Payment | None = getattr(row, "payment", None)
    return {
        "id": row.pk,
        "state": texts.order_states()[row.state],
        "items": [
            {"name": names[held.sku], "serial": held.unit.serial, "price": money(held.price, currency)}
            for held in row.items
        ],
        "amount": money(row.amount, currency),
        "payment": f"{dict(texts.methods())[paid.method]}: {texts.payment_states()[paid.state]}" if paid else "–",
        "made": moment(row.made_at, zone),
        "confirmed": moment(row.confirmed_at, zone) if row.confirmed_at else "",
        "refund": texts.refund(row) if row.state == ReservationState.CANCELLED else "",
        "notes": _notes(row),
        "more": _more(row),
        "acts": _acts(row),
    }  # fmt: skip


def _notes(row: Reservation) -> list[str]:
    case, language = getattr(row, "case", None), (get_language() or "id")[:2]
    heard = getattr(case, "appeal", None)
    if row.state != ReservationState.CANCELLED:
        if case is not None and case.is_open:
            text = gettext("People are looking at this order. Nothing is decided; it is sent as soon as they are done.")
            return [text]
        return [outcome_of(heard)] if heard else []
    ended: Cancellation = row.cancellation
    why = cancel_reason(ended.reason)
    notes = [why.title.in_language(language), why.explanation.in_language(language)]
    if heard and ended.case_id:
        notes.append(outcome_of(heard) or gettext("Your appeal has arrived. Somebody else decides it."))
    elif ended.appeal_until and ended.appeal_until >= timezone.now():
        until = moment(ended.appeal_until, row.sale.campaign.time_zone)
        notes.append(gettext("You can appeal until %(until)s.") % {"until": until})
    return notes


def _more(row: Reservation) -> dict[str, str] | None:
    """The way to the page of the decision, where one appeals."""
    if row.state != ReservationState.CANCELLED or row.cancellation.case is None:
        return None
    case = row.cancellation.case
    possible = appeal.is_possible(case=case, now=timezone.now())
    name = gettext("Appeal, or have your refund now") if possible else gettext("The decision and your appeal")
    return {"url": sealed_links.path(sealed_links.Kind.APPEAL, case.pk), "name": name}


def _acts(row: Reservation) -> list[dict[str, str]]:
    def one(what: str, name: str, sure: str) -> list[dict[str, str]]:
        return [{"url": reverse("act", args=[row.sale.code, row.pk, what]), "name": name, "sure": sure}]

    if row.state == ReservationState.HELD:
        return one("release", gettext("Give it back"), gettext("Yes, my turn is over then."))
    if row.state == ReservationState.CONFIRMED:
        return one("cancel", gettext("Cancel this order"), gettext("Yes, cancel it and refund me."))
    return []
