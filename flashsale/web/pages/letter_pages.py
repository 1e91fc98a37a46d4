"""The pages behind the links in letters: an order, the decision about it with its appeal, its refund, invitations.

The sealed link is enough to open a page, so buyers of every channel can use it. Its token is the fragment of the URL,
which a browser does not send: a script posts it, or the buyer pastes the link into a form. Then the browser keeps it in
a cookie of the page. GET changes nothing. A change is a POST of the page's own form, and to waive an appeal takes a
fresh one-time code.
"""

import re
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import get_language, gettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from flashsale.gate.client import GateDown
from flashsale.life import appeal as appeals
from flashsale.life import bank_account as bank_accounts
from flashsale.life import sealed_links
from flashsale.life.letters import appeal_outcome_text, evidence_texts, is_by_machine
from flashsale.models import Case, Channel, Notice, Refund, Reservation
from flashsale.rules import bank_accounts as accounts
from flashsale.rules import wall_clock
from flashsale.rules.money import format_money
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.reasons import ReasonCode, cancel_reason
from flashsale.rules.states import RefundState
from flashsale.web import limits, problems
from flashsale.web.formatting import format_time
from flashsale.web.pages import order_codes, orders, paying, texts
from flashsale.web.pages.json_views import json_problems
from flashsale.web.pages.sale_page import page_context

# The token of the letter that this browser has opened. Each kind of letter has its own path, so its own cookie.
COOKIE = "fs_letter"
COOKIE_S = 12 * 60 * 60
WAIVE = "waive"
LINK_PATTERN = re.compile(r"fs1\.[A-Za-z0-9_\-]+")


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def appeal(request: HttpRequest) -> HttpResponse:
    """Shows why an order was cancelled, where the money is, and the appeal. POST appeals, or waives the appeal."""
    if "link" in request.POST or not _token(request):
        return _open(request, sealed_links.Kind.APPEAL)
    alert, status, response = "", 200, redirect("appeal")
    try:
        case = appeals.case_from_link(token=_token(request))
        if request.method == "POST":
            limits.enforce(request, limits.LETTERS)
            # A page of an earlier release does not name its case.
            if request.POST.get("case", str(case.pk)) == str(case.pk):
                _act(request, case, response)
                return response
            # The browser has opened the letter about another order since it loaded this form.
            alert = gettext("Another letter is open in this browser, so nothing was sent. Open the right letter again.")
            status = HTTPStatus.CONFLICT.value
    except Refused as refused:
        if refused.outcome in {Outcome.NOT_FOUND, Outcome.EXPIRED}:
            return _unusable(request, sealed_links.Kind.APPEAL, refused)
        alert, status = texts.refusal(refused, has_place=False), problems.status_of(refused.outcome)
    except GateDown:
        # PostgreSQL has committed the change. A later tick updates Redis.
        return response
    page = reverse("appeal")
    code = order_codes.form(request, case.reservation, action=WAIVE, send_to=page, post_to=page) | {"case": case.pk}
    context = {"case": _case_context(case), "alert": alert, "words_max": appeals.WORDS_MAX, "code": code}
    return render(request, "flashsale/appeal.html", page_context(request) | context, status=status)


def _act(request: HttpRequest, case: Case, response: HttpResponse) -> None:
    order, page = case.reservation, reverse("appeal")
    match request.POST.get("action"):
        case "code":
            _refuse_late(case)
            order_codes.send(request, order, response, action=WAIVE, path=page)
        case "waive":
            if not appeals.is_waived(case=case):
                _refuse_late(case)
                order_codes.check(request, order, response, action=WAIVE, path=page)
            appeals.waive(case=case)
        case _:
            appeals.appeal(case=case, words=request.POST.get("words", ""))


def _refuse_late(case: Case) -> None:
    if not appeals.is_possible(case=case, now=wall_clock.now()):
        raise Refused(Outcome.APPEAL_OVER, "Nothing is left to waive.")


def _token(request: HttpRequest) -> str:
    return request.COOKIES.get(COOKIE, "")


def _open(request: HttpRequest, kind: sealed_links.Kind) -> HttpResponse:
    """Keeps the token of the posted link in a cookie of the page. Without a link, shows the form that asks for it."""
    if "link" not in request.POST:
        # A form of the page is older than the cookie.
        alert = gettext("Please open the link in your letter again.") if request.method == "POST" else ""
        return _opener(request, kind, alert, HTTPStatus.BAD_REQUEST if alert else HTTPStatus.OK)
    found = LINK_PATTERN.search(request.POST["link"])
    token = found.group() if found else ""
    try:
        sealed_links.row_id_of(kind, token)
    except Refused as refused:
        return _unusable(request, kind, refused)
    response = redirect(kind.value)
    response.set_cookie(
        COOKIE, token, max_age=COOKIE_S, path=reverse(kind.value), secure=not settings.FLASHSALE_DEMO,
        httponly=True, samesite="Strict",
    )  # fmt: skip
    return response


def _unusable(request: HttpRequest, kind: sealed_links.Kind, refused: Refused) -> HttpResponse:
    """The page for a link that is too old (410) or not ours (404). It forgets the link, and asks for another one."""
    if refused.outcome is Outcome.EXPIRED:
        return _gone(request, kind)
    return _opener(request, kind, gettext("This is not the link of a letter."), HTTPStatus.NOT_FOUND)


def _gone(request: HttpRequest, kind: sealed_links.Kind) -> HttpResponse:
    invited = kind is sealed_links.Kind.INVITATION
    alert = gettext("This invitation has ended.") if invited else gettext("This link is too old.")
    return _opener(request, kind, alert, HTTPStatus.GONE)


def _opener(request: HttpRequest, kind: sealed_links.Kind, alert: str, status: int) -> HttpResponse:
    response = render(request, "flashsale/letter.html", page_context(request) | {"alert": alert}, status=status)
    response.delete_cookie(COOKIE, path=reverse(kind.value), samesite="Strict")
    return response


@never_cache
@require_safe
def old_link(_request: HttpRequest, kind: str, token: str) -> HttpResponse:
    """Leads a link of an earlier release, which had its token in the path, to the page with the token as fragment."""
    return redirect(f"{reverse(kind)}#{quote(token, safe='')}")


def _case_context(case: Case) -> dict[str, Any]:
    order, language = case.reservation, (get_language() or "id")[:2]
    zone, cancellation = order.sale.campaign.time_zone, order.cancellation
    why, filed = cancel_reason(case.reason), getattr(case, "appeal", None)
    return {
        "id": case.pk,
        "order": texts.order_number(order.pk),
        "sale": order.sale.name,
        "title": why.title.in_language(language),
        "explanation": why.explanation.in_language(language),
        "facts": evidence_texts(case),
        "our_mistake": case.reason == ReasonCode.CANCELLED_BY_MISTAKE,
        "by_machine": is_by_machine(case),
        "rules_version": case.rules_version,
        "cancelled": format_time(case.decided_at or cancellation.at, zone),
        "amount": format_money(order.amount, order.sale.campaign.currency),
        "refund": texts.refund(order),
        "until": format_time(cancellation.appeal_until, zone) if cancellation.appeal_until else "",
        "time_to_appeal": texts.time_to_appeal(cancellation.appeal_until, zone),
        "possible": appeals.is_possible(case=case, now=wall_clock.now()),
        "refund_waits": order.limit_slots.exists(),
        "received": format_time(filed.received_at, zone) if filed else "",
        "decided": format_time(filed.decided_at, zone) if filed and filed.decided_at else "",
        "outcome": appeal_outcome_text(filed) if filed else "",
    }


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def invitation(request: HttpRequest) -> HttpResponse:
    """Shows the way to a follow-up sale. The link grants nothing: the line checks the identity of each shopper."""
    kind = sealed_links.Kind.INVITATION
    if request.method == "POST" or not _token(request):
        return _open(request, kind)
    try:
        row = sealed_links.row_id_of(kind, _token(request))
    except Refused as refused:
        return _unusable(request, kind, refused)
    invited = Notice.objects.select_related("sale__campaign", "line__sale", "reservation__channel").filter(
        pk=row, kind=Notice.Kind.INVITED
    )
    notice = invited.first()
    if notice is None or notice.line is None:
        raise Http404
    if notice.line.ends_at <= wall_clock.now():
        return _gone(request, kind)
    zone, channel = notice.sale.campaign.time_zone, _entry_channel(notice)
    context = {
        "sale": notice.sale,
        "line": notice.line.code,
        "kept": notice.line.listed_only,
        "opens": format_time(notice.line.opens_at or notice.sale.opens_at, zone),
        "until": format_time(notice.line.ends_at, zone),
        "channel": channel,
        "own": channel.kind == Channel.Kind.OWN_PAGE,
    }
    return render(request, "flashsale/invitation.html", page_context(request) | context)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def order(request: HttpRequest) -> HttpResponse:
    """Shows the order of a letter to a browser without a place, and how to pay for it. The page changes nothing."""
    kind = sealed_links.Kind.ORDER
    if request.method == "POST" or not _token(request):
        return _open(request, kind)
    try:
        row = _ordered(request)
    except Refused as refused:
        return _unusable(request, kind, refused)
    shown = orders.order_context(row) | {"follow": reverse("my-order-payment")}
    return render(request, "flashsale/order.html", page_context(request) | {"sale": row.sale, "order": shown})


@never_cache
@require_safe
@json_problems
def order_payment(request: HttpRequest) -> HttpResponse:
    """Says whether the page of the letter's order has changed, as `paying.state` does for its own browser."""
    return JsonResponse({"mark": paying.mark(_ordered(request))})


def _ordered(request: HttpRequest) -> Reservation:
    """The order of the letter that this browser has opened. Refuses NOT_FOUND, and EXPIRED once people are erased."""
    id_ = sealed_links.row_id_of(sealed_links.Kind.ORDER, _token(request))
    notice = Notice.objects.filter(pk=id_, kind__in=Notice.ABOUT_ORDERS).first()
    if notice is None:
        raise Refused(Outcome.NOT_FOUND, "There is no such letter.")
    found = orders.with_all(Reservation.objects.filter(pk=notice.reservation_id, sale__campaign__erased_at=None))
    row = found.first()
    if row is None:
        raise Refused(Outcome.EXPIRED, "The people of this campaign are erased.")
    return row


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def bank_account(request: HttpRequest) -> HttpResponse:
    """Asks for the bank account to which a refund is transferred, or says when that was done. POST stores the account.

    The page shows the amount, the order's number and the end of the account's number, and nothing else.
    """
    kind, alert, status, wrong = sealed_links.Kind.BANK_ACCOUNT, "", HTTPStatus.OK.value, []
    if "link" in request.POST or not _token(request):
        return _open(request, kind)
    try:
        row = bank_accounts.refund_from_link(token=_token(request))
    except Refused as refused:
        return _unusable(request, kind, refused)
    if request.method == "POST":
        try:
            alert, status = _give_account(request, row)
            if not alert:
                return redirect(kind.value)
        except accounts.BadAccount as error:
            alert, status = gettext("The account is not saved. Please correct the marked fields."), 422
            wrong = error.fields
        except Refused as refused:
            alert, status = texts.refusal(refused, has_place=False), problems.status_of(refused.outcome)
        row = bank_accounts.refund_from_link(token=_token(request))
    context = {"refund": _refund_context(row), "alert": alert, "typed": request.POST, "wrong": wrong}
    return render(request, "flashsale/bank_account.html", page_context(request) | context, status=status)


def _give_account(request: HttpRequest, row: Refund) -> tuple[str, int]:
    """Stores the posted account. Returns an alert and its status, or an empty alert."""
    limits.enforce(request, limits.LETTERS)
    if request.POST.get("refund") != row.reference:
        # The browser has opened the letter about another refund since it loaded this form.
        return gettext("Another letter is open in this browser. Look at the amount, and type the account again."), 409
    typed = {name: request.POST.get(name, "") for name in ("bank", "number", "holder")}
    if not bank_accounts.give(refund=row.pk, account=accounts.Account.typed(**typed)):
        return gettext("The account cannot be changed any more."), 409
    return "", HTTPStatus.OK


def _refund_context(row: Refund) -> dict[str, Any]:
    order, stored = row.attempt.reservation, getattr(row, "bank_account", None)
    account, at = bank_accounts.read(stored) if stored else None, row.transferred_at
    return {
        "order": texts.order_number(order.pk),
        "amount": format_money(row.amount, row.currency),
        "reference": row.reference,
        "account": account.shown if account else "",
        "waits": row.state == RefundState.IMPOSSIBLE,
        "transferred": format_time(at, order.sale.campaign.time_zone) if at else "",
        "confirmed": row.state == RefundState.CONFIRMED,
        "banks": accounts.BANKS,
        "bank_max": accounts.BANK_CHARS_MAX,
        "holder_max": accounts.HOLDER_CHARS_MAX,
    }


def _entry_channel(notice: Notice) -> Channel:
    """The channel to enter the line: the buyer's own channel if it leads there, else our page, else the first one."""
    assert notice.line is not None
    channels = list(notice.line.channels.order_by("pk"))
    by_preference = (
        [channel for channel in channels if channel.pk == notice.reservation.channel_id]
        + [channel for channel in channels if channel.kind == Channel.Kind.OWN_PAGE]
        + channels
    )
    return by_preference[0]
