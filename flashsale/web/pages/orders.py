"""A buyer's order on our page. The place cookie identifies the buyer; the page reads PostgreSQL (the books) only."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.db import Error
from django.db.models import Prefetch, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotFound, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import get_language, gettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from flashsale.gate import bridge
from flashsale.gate.client import GateDown
from flashsale.life import appeal, sealed_links
from flashsale.life import release as releasing
from flashsale.life.cancel import cancel
from flashsale.life.confirm import Buyer, PaymentChoice
from flashsale.life.confirm import confirm as confirm_order
from flashsale.life.contact import CONTACT_FIELDS
from flashsale.life.letters import appeal_outcome_text
from flashsale.life.payment_turn import seconds_until_turn
from flashsale.models import Cancellation, PaymentAttempt, Reservation, ReservationUnit
from flashsale.rules import wall_clock
from flashsale.rules.identity import Axis
from flashsale.rules.money import format_money
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.reasons import ReasonCode, cancel_reason
from flashsale.rules.states import ReservationState
from flashsale.web import browser_cookie, client_ip, problems
from flashsale.web.formatting import format_time
from flashsale.web.idempotency import answer_once, fingerprint, valid_key
from flashsale.web.pages import order_codes, own_orders, paying, texts
from flashsale.web.pages.json_views import json_post, text_fields
from flashsale.web.pages.sale_page import busy_page, page_context

CANCEL = "cancel"


@json_post
def confirm(request: HttpRequest, code: str) -> HttpResponse:
    """Pays the reservation of this browser's place; responds with the address of the order page.

    The script sends an Idempotency-Key for each press of the button. Without one, the body is the key.
    """
    fields = text_fields(request, "reservation", "amount", "method", "instrument", *CONTACT_FIELDS)
    row = _own(request, code, _uuid(fields["reservation"]))
    identity = {
        Axis.PHONE: fields["phone"],
        Axis.EMAIL: fields["email"],
        Axis.ADDRESS: fields["address"],
        # For limits by instrument. The review takes the provider's word in its place (life/buyer_digests.py).
        Axis.PAYMENT: fields["instrument"],
        Axis.DEVICE: browser_cookie.browser_id(request),
        Axis.NETWORK: client_ip.address_of(request),
    }
    buyer = Buyer(identity, {name: fields[name] for name in CONTACT_FIELDS}, (get_language() or "id")[:2])
    payment_choice = PaymentChoice(_amount(fields["amount"]), fields["method"], fields["instrument"])

    def pay(call: int) -> dict[str, Any]:
        bridge.run(
            confirm_order(
                reservation=row.pk, channel=row.channel_id, buyer=buyer, payment_choice=payment_choice, call=call
            )
        )
        row.refresh_from_db(fields=["state"])
        wait = seconds_until_turn(reservation=row.pk)
        return {"order": reverse("order", args=[code, row.pk])} | ({"again_s": wait} if wait else {})

    key = request.headers.get("Idempotency-Key")
    document, _ = answer_once(
        channel=row.channel_id,
        # A key belongs to the place that made the reservation, so those of two browsers never meet.
        key=fingerprint([str(row.pk), valid_key(key) if key else fields]),
        request=fingerprint([str(row.pk), fields]),
        act=pay,
        settled=lambda _: row.state != ReservationState.HELD,
    )
    if "again_s" in document:
        return JsonResponse(document, status=202, headers={"Retry-After": str(document["again_s"])})
    return JsonResponse(document)


@json_post
def release(request: HttpRequest, code: str) -> HttpResponse:
    """Gives back the units of the held reservation of this browser's place."""
    row = _own(request, code, _uuid(text_fields(request, "reservation")["reservation"]))
    releasing.release(reservation=row.pk, channel=row.channel_id)
    return JsonResponse({"released": True})


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise Refused(Outcome.NOT_FOUND, "There is no such reservation.") from error


def _amount(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise Refused(Outcome.MALFORMED, "amount must be digits, in whole units of the currency.")
    return int(text)


def _own(request: HttpRequest, code: str, reservation: UUID) -> Reservation:
    """The reservation, if the place in this browser's cookie made it; refuses NOT_FOUND."""
    return own_orders.one(with_all(own_orders.reservations(request, code=code).filter(pk=reservation)))


def with_all(rows: "QuerySet[Reservation]") -> "QuerySet[Reservation]":
    """The reservations with what their page shows."""
    return rows.select_related("sale__campaign", "channel", "case__appeal", "cancellation").prefetch_related(
        Prefetch("reservation_units", ReservationUnit.objects.select_related("unit").order_by("pk")),
        "sale__offers",
        "attempts__refunds",
    )


@never_cache
@require_safe
def order(request: HttpRequest, code: str, reservation: UUID) -> HttpResponse:
    """Shows one order to the browser that made it. Works without Redis."""
    try:
        return _page(request, _own(request, code, reservation))
    except Refused as refused:
        raise Http404 from refused
    except Error:
        return busy_page(request)


@require_POST
def act(request: HttpRequest, code: str, reservation: UUID, action: str) -> HttpResponse:
    """Cancels the order, sends the code for that, or releases the reservation. Shows the order again."""
    try:
        row = _own(request, code, reservation)
    except Refused:
        return HttpResponseNotFound()
    except Error:
        return redirect("order", code, reservation)
    response = redirect("order", code, reservation)
    try:
        ACTIONS[action](request, row, response)
    except Refused as refused:
        alert, status = texts.refusal(refused, has_place=False), problems.status_of(refused.outcome)
        return _page(request, row, alert, status)
    except (GateDown, Error):
        pass  # the order page shows what PostgreSQL has committed; a later tick updates Redis
    return response


def _send_code(request: HttpRequest, row: Reservation, response: HttpResponse) -> None:
    _refuse_unpaid(row)
    order_codes.send(request, row, response, action=CANCEL, path=_path(row))


def _cancel(request: HttpRequest, row: Reservation, response: HttpResponse) -> None:
    """Cancels a paid order after a fresh code, because a thief may have the place cookie. Safe to repeat."""
    if row.state == ReservationState.CANCELLED and row.cancellation.reason == ReasonCode.BUYER_REQUEST:
        return
    _refuse_unpaid(row)
    order_codes.check(request, row, response, action=CANCEL, path=_path(row))
    cancel(reservation=row.pk, channel=row.channel_id, code=ReasonCode.BUYER_REQUEST)


def _release(_request: HttpRequest, row: Reservation, _response: HttpResponse) -> None:
    releasing.release(reservation=row.pk, channel=row.channel_id)


def _refuse_unpaid(row: Reservation) -> None:
    if row.state != ReservationState.CONFIRMED:
        raise Refused(Outcome.NOT_CANCELLABLE, f"The reservation is {row.state}.")


def _path(row: Reservation) -> str:
    return reverse("order", args=[row.sale.code, row.pk])


ACTIONS: dict[str, Callable[[HttpRequest, Reservation, HttpResponse], None]] = {
    "cancel": _cancel,
    "code": _send_code,
    "release": _release,
}


def _page(request: HttpRequest, row: Reservation, alert: str = "", status: int = 200) -> HttpResponse:
    follow = reverse("payment", args=[row.sale.code, row.pk])
    order = order_context(row) | {
        "follow": follow, "own": True, "decision_link": _decision_link(row), "actions": _actions(row),
    }  # fmt: skip
    context = page_context(request) | {"sale": row.sale, "order": order, "alert": alert}
    if row.state == ReservationState.CONFIRMED:
        send_to, post_to = (reverse("act", args=[row.sale.code, row.pk, verb]) for verb in ("code", CANCEL))
        context["sure"] = _sure_to_cancel(row)
        context["code"] = order_codes.form(request, row, action=CANCEL, send_to=send_to, post_to=post_to)
    return render(request, "flashsale/order.html", context, status=status)


def _sure_to_cancel(row: Reservation) -> str:
    if row.sale.is_over(wall_clock.now()):
        return gettext("Yes, cancel it and refund me.")
    return gettext(
        "Yes, cancel it and refund me. The next person gets the unit. It counts as a reservation that I did "
        "not pay; after two of these I cannot reserve again in this campaign."
    )


def order_context(row: Reservation) -> dict[str, Any]:
    """What order.html shows of an order, without what only its own browser may do."""
    zone, currency = row.sale.campaign.time_zone, row.sale.campaign.currency
    names = {offer.sku: offer.name for offer in row.sale.offers.all()}
    payment = row.payment
    return {
        "id": row.pk,
        "number": texts.order_number(row.pk),
        "state": texts.order_states()[row.state],
        "items": [
            {"name": names[item.sku], "serial": item.unit.serial, "price": format_money(item.price, currency)}
            for item in row.items
        ],
        "amount": format_money(row.amount, currency),
        "payment": _payment_text(payment) if payment else "–",
        "steps": paying.steps(row),
        "mark": paying.mark(row) if payment and payment.is_open else "",
        "made": format_time(row.made_at, zone),
        "confirmed": format_time(row.confirmed_at, zone) if row.confirmed_at else "",
        "refund": texts.refund(row) if row.state == ReservationState.CANCELLED else "",
        "notes": _notes(row),
    }


def _payment_text(payment: PaymentAttempt) -> str:
    return f"{texts.method(payment.method)}: {texts.payment_states()[payment.payment_state]}"


def _notes(row: Reservation) -> list[str]:
    case, language = getattr(row, "case", None), (get_language() or "id")[:2]
    filed = getattr(case, "appeal", None)
    if row.state != ReservationState.CANCELLED:
        if case is not None and case.is_open:
            text = gettext("People are looking at this order. Nothing is decided; it is sent as soon as they are done.")
            return [text]
        return [appeal_outcome_text(filed)] if filed else []
    cancellation: Cancellation = row.cancellation
    why = cancel_reason(cancellation.reason)
    notes = [why.title.in_language(language), why.explanation.in_language(language)]
    if filed and cancellation.case_id:
        notes.append(appeal_outcome_text(filed) or gettext("Your appeal has arrived. Somebody else decides it."))
    elif cancellation.has_time_to_appeal(wall_clock.now()):
        notes.append(texts.time_to_appeal(cancellation.appeal_until, row.sale.campaign.time_zone))
    return notes


def _decision_link(row: Reservation) -> dict[str, str] | None:
    """The link to the page that explains the decision and takes the appeal; None without a case."""
    if row.state != ReservationState.CANCELLED or row.cancellation.case is None:
        return None
    case = row.cancellation.case
    possible = appeal.is_possible(case=case, now=wall_clock.now())
    name = gettext("Appeal, or have your refund now") if possible else gettext("The decision and your appeal")
    return {"url": sealed_links.path(sealed_links.Kind.APPEAL, case.pk), "name": name}


def _actions(row: Reservation) -> list[dict[str, str]]:
    def action(verb: str, name: str, sure: str) -> list[dict[str, str]]:
        return [{"url": reverse("act", args=[row.sale.code, row.pk, verb]), "name": name, "sure": sure}]

    if row.state == ReservationState.HELD:
        return action("release", gettext("Cancel reservation"), gettext("Yes, my turn is over then."))
    return []
