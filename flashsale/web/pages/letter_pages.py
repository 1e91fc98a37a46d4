"""The pages behind the links in letters: the decision about an order with its appeal, and invitations.

The sealed link is enough to open a page, so buyers of every channel can use it. GET changes nothing. A change is a POST
of the page's own form.
"""

from http import HTTPStatus
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import get_language, gettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from flashsale.gate.client import GateDown
from flashsale.life import appeal as appeals
from flashsale.life import sealed_links
from flashsale.life.notify import appeal_outcome_text, evidence_texts, is_by_machine
from flashsale.models import Case, Channel, Notice
from flashsale.rules.money import format_money
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.reasons import ReasonCode, cancel_reason
from flashsale.web import limits, problems
from flashsale.web.formatting import format_time
from flashsale.web.pages import texts
from flashsale.web.pages.sale_page import page_context


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def appeal(request: HttpRequest, token: str) -> HttpResponse:
    """Shows why an order was cancelled, where the money is, and the appeal. POST appeals, or waives the appeal."""
    alert, status = "", 200
    try:
        case = appeals.case_from_link(token=token)
        if request.method == "POST":
            limits.enforce(request, limits.LETTERS)
            _act(request, case)
            return redirect("appeal", token)
    except Refused as refused:
        if refused.outcome is Outcome.NOT_FOUND:
            raise Http404 from refused
        if refused.outcome is Outcome.EXPIRED:
            return _gone(request, gettext("This link is too old."))
        alert = problems.title(refused.outcome, (get_language() or "id")[:2])
        status = problems.status_of(refused.outcome)
    except GateDown:
        # PostgreSQL has committed the change. A later tick updates Redis.
        return redirect("appeal", token)
    context = page_context(request) | {"case": _case_context(case), "alert": alert, "words_max": appeals.WORDS_MAX}
    return render(request, "flashsale/appeal.html", context, status=status)


def _act(request: HttpRequest, case: Case) -> None:
    if request.POST.get("action") == "waive":
        appeals.waive(case=case)
    else:
        appeals.appeal(case=case, words=request.POST.get("words", ""))


def _case_context(case: Case) -> dict[str, Any]:
    order, language = case.reservation, (get_language() or "id")[:2]
    zone, cancellation = order.sale.campaign.time_zone, order.cancellation
    why, filed = cancel_reason(case.reason), getattr(case, "appeal", None)
    return {
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
        "possible": appeals.is_possible(case=case, now=timezone.now()),
        "refund_waits": order.limit_slots.exists(),
        "received": format_time(filed.received_at, zone) if filed else "",
        "decided": format_time(filed.decided_at, zone) if filed and filed.decided_at else "",
        "outcome": appeal_outcome_text(filed) if filed else "",
    }


@never_cache
@require_safe
def invitation(request: HttpRequest, token: str) -> HttpResponse:
    """Shows the way to a follow-up sale. The link grants nothing: the line checks the identity of each shopper."""
    try:
        row = sealed_links.row_id_of(sealed_links.Kind.INVITATION, token)
    except Refused as refused:
        if refused.outcome is Outcome.EXPIRED:
            return _gone(request, gettext("This invitation has ended."))
        raise Http404 from refused
    invited = Notice.objects.select_related("sale__campaign", "line__sale", "reservation__channel").filter(
        pk=row, kind=Notice.Kind.INVITED
    )
    notice = invited.first()
    if notice is None or notice.line is None:
        raise Http404
    if notice.line.ends_at <= timezone.now():
        return _gone(request, gettext("This invitation has ended."))
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


def _gone(request: HttpRequest, message: str) -> HttpResponse:
    return render(request, "flashsale/over.html", page_context(request) | {"message": message}, status=HTTPStatus.GONE)
