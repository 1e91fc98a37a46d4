"""Find my order: a person proves a phone number or a mailbox with a one-time code, and sees the orders made with it.

It works during a sale and after it, until the people of the campaign are erased. Before the code, the page reads no
order, so its answers are the same whether a person has an order or not. The limits are those of all codes. One contact
is enough to see an order, and never enough to change one: see `own_orders.py`.
"""

from typing import Any

from django.conf import settings
from django.db import Error
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from flashsale.gate.client import GateDown
from flashsale.gate.sale_card import SaleCard
from flashsale.life import places
from flashsale.life.enter import digester
from flashsale.life.find_orders import orders_of_person
from flashsale.life.sale_card import card_of
from flashsale.models import Campaign, Sale
from flashsale.providers import messages
from flashsale.rules import wall_clock
from flashsale.rules.identity import Axis, BadValue
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.states import SaleState
from flashsale.rules.tokens import Challenge, Proof, TokenRefused
from flashsale.web import problems
from flashsale.web.pages import codes, order_codes, orders, texts
from flashsale.web.pages.json_views import json_post
from flashsale.web.pages.sale_page import busy_page, page_context

# What this browser has proven, sealed. So long it may look.
COOKIE, COOKIE_S = "fs_found", 30 * 60
CONTACT_CHARS_MAX = 254
SHOWN_MAX = 20


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def find(request: HttpRequest, code: str) -> HttpResponse:
    """Shows the orders of the person who has proven a contact; before that, the forms for the contact and the code."""
    try:
        sale = _sale(code)
        return _act(request, sale) if request.method == "POST" else _page(request, sale)
    except (GateDown, Error):
        return busy_page(request)


@json_post
def puzzle(request: HttpRequest, code: str) -> HttpResponse:  # noqa: ARG001
    """A puzzle, as at the line. Redis need not know the sale any more."""
    return codes.new_puzzle(card_of(_sale(code)))


def _sale(code: str) -> Sale:
    """The published sale with this code, if the people of its campaign are not erased."""
    found = Sale.objects.filter(code=code, campaign__erased_at=None).exclude(state=SaleState.DRAFT)
    sale = found.select_related("campaign").first()
    if sale is None:
        raise Http404
    return sale


def _act(request: HttpRequest, sale: Sale) -> HttpResponse:
    response = redirect("find", sale.code)
    try:
        match request.POST.get("action"):
            case "find":
                _find(request, sale, response)
            case "forget":
                _delete(response, sale, order_codes.COOKIE, COOKIE)
            case _:
                _send_code(request, sale, response)
    except Refused as refused:
        status = problems.status_of(refused.outcome)
        return _page(request, sale, texts.refusal(refused, has_place=False), status)
    return response


def _send_code(request: HttpRequest, sale: Sale, response: HttpResponse) -> None:
    card, contact = card_of(sale), request.POST.get("contact", "")[: CONTACT_CHARS_MAX + 1]
    axis = Axis.EMAIL if "@" in contact else Axis.PHONE
    if axis not in _provable(sale.campaign):
        raise Refused(Outcome.BAD_IDENTITY, f"{axis.value}: no code can go there.")
    solved = codes.solution(card, request.POST.get("work", ""))
    try:
        digest = digester(card.salt, card.canon_version).digest(axis, contact)
    except BadValue as error:
        raise Refused(Outcome.BAD_IDENTITY, f"{axis.value}: {error}") from error
    challenge = codes.send_code(
        request, card=card, axis=axis, digest=digest, contact=contact, kind=_kind(sale), solved=solved
    )
    _keep(response, sale, order_codes.COOKIE, challenge, codes.VALID_MS // 1000)


def _find(request: HttpRequest, sale: Sale, response: HttpResponse) -> None:
    challenge = _challenge(request, sale)
    if challenge is None:
        raise Refused(Outcome.WRONG_CODE)
    token = request.COOKIES[order_codes.COOKIE]
    codes.check_code(request, kind=_kind(sale), token=token, code=request.POST.get("code", ""))
    proof = Proof(sale.campaign_id, challenge.axis, challenge.digest, wall_clock.now_ms())
    _keep(response, sale, COOKIE, places.keyring().seal(COOKIE, proof.pack()), COOKIE_S)
    _delete(response, sale, order_codes.COOKIE)


def _provable(campaign: Campaign) -> list[Axis]:
    """Contacts by which the campaign knows people, and to which codes can go."""
    known = set(campaign.axes.values_list("axis", flat=True))
    return [axis for axis in (Axis.PHONE, Axis.EMAIL) if axis in known and messages.senders_to(axis)]


def _kind(sale: Sale) -> str:
    return f"{codes.KIND} {COOKIE} {sale.campaign_id}"


def _challenge(request: HttpRequest, sale: Sale) -> Challenge | None:
    return codes.open_challenge(_kind(sale), request.COOKIES.get(order_codes.COOKIE, ""))


def _proof(request: HttpRequest, sale: Sale) -> Proof | None:
    """What this browser has proven in this campaign a short time ago."""
    try:
        proof = Proof.unpack(places.keyring().open(COOKIE, request.COOKIES.get(COOKIE, "")))
    except TokenRefused:
        return None
    fresh = wall_clock.now_ms() - proof.made_ms < COOKIE_S * 1000
    return proof if fresh and proof.campaign == sale.campaign_id else None


def _page(request: HttpRequest, sale: Sale, alert: str = "", status: int = 200) -> HttpResponse:
    context: dict[str, Any] = page_context(request) | {"sale": sale, "alert": alert}
    proof, challenge = _proof(request, sale), _challenge(request, sale)
    if proof is not None:
        found = orders.with_all(orders_of_person(campaign=sale.campaign, axis=proof.axis, digest=proof.digest))
        context["orders"] = [
            orders.order_context(row) | {"sale": row.sale.name, "shop": row.channel.name} for row in found[:SHOWN_MAX]
        ]
    elif challenge is not None:
        send_to = reverse("find", args=[sale.code])
        context["code"] = order_codes.waiting(challenge, zone=sale.campaign.time_zone)
        context["code"] |= {"action": "find", "send_to": send_to, "post_to": send_to}
    else:
        context |= _contact_form(sale)
    return render(request, "flashsale/find.html", context, status=status)


def _contact_form(sale: Sale) -> dict[str, Any]:
    card: SaleCard = card_of(sale)
    names = {Axis.PHONE: gettext("Mobile phone"), Axis.EMAIL: gettext("E-mail")}
    label = gettext("%(one)s or %(other)s") if len(_provable(sale.campaign)) > 1 else "%(one)s"
    provable = [names[axis] for axis in _provable(sale.campaign)]
    shown = {"one": provable[0], "other": provable[-1]} if provable else {}
    work = texts.work() if card.codes_need_work else None
    return {"contact_label": label % shown if provable else "", "work": work}


def _keep(response: HttpResponse, sale: Sale, name: str, token: str, seconds: int) -> None:
    response.set_cookie(
        name, token, max_age=seconds, path=reverse("find", args=[sale.code]), secure=not settings.FLASHSALE_DEMO,
        httponly=True, samesite="Strict",
    )  # fmt: skip


def _delete(response: HttpResponse, sale: Sale, *names: str) -> None:
    for name in names:
        response.delete_cookie(name, path=reverse("find", args=[sale.code]), samesite="Strict")
