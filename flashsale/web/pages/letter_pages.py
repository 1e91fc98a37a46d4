"""Pages that the links of letters lead to: the decision about an order with its appeal, and invitations.

The sealed link is all that a buyer needs, whichever channel they bought through. Reading changes nothing: acting is a
POST of the page's own form.
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
from flashsale.life import appeal as appealing
from flashsale.life import sealed_links
from flashsale.life.notify import facts_of, is_by_machine, outcome_of
from flashsale.models import Case, Channel, Notice
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.reasons import cancel_reason
from flashsale.web import limits, problems
from flashsale.web.formatting import moment, money
from flashsale.web.pages import texts
from flashsale.web.pages.sale_page import tongues


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def appeal(request: HttpRequest, token: str) -> HttpResponse:
    """Why an order was cancelled, what became of the money, and the appeal; POST appeals, or waives it."""
    alert, status = "", 200
    try:
        case = appealing.case_of(token=token)
        if request.method == "POST":
            limits.spend(request, limits.LETTERS)
            _act(request, case)
            return redirect("appeal", token)
    except Refused as refused:
        if refused.outcome is Outcome.NOT_FOUND:
            raise Http404 from refused
        if refused.outcome is Outcome.EXPIRED:
            return _over(request, gettext("This link is too old."))
        alert = problems.title(refused.outcome, (get_language() or "id")[:2])
        status = problems.status_of(refused.outcome)
    except GateDown:
        return redirect("appeal", token)  # the books have it; the gate is told by whoever comes next
    shown = tongues(request) | {"case": _shown(case), "alert": alert, "words_max": appealing.WORDS_MAX}
    return render(request, "flashsale/appeal.html", shown, status=status)


def _act(request: HttpRequest, case: Case) -> None:
    if request.POST.get("what") == "waive":
        appealing.waive(case=case)
    else:
        appealing.appeal(case=case, words=request.POST.get("words", ""))


def _shown(case: Case) -> dict[str, Any]:
    order, language = case.reservation, (get_language() or "id")[:2]
    zone, ended = order.sale.campaign.time_zone, order.cancellation
    why, heard = cancel_reason(case.reason), getattr(case, "appeal", None)
    return {
        "order": order.pk, "sale": order.sale.name, "title": why.title.in_language(language),
        "explanation": why.explanation.in_language(language), "facts": facts_of(case),
        "by_machine": is_by_machine(case), "rules_version": case.rules_version,
        "cancelled": moment(case.decided_at or ended.at, zone),
        "amount": money(order.amount, order.sale.campaign.currency), "refund": texts.refund(order),
        "until": moment(ended.appeal_until, zone) if ended.appeal_until else "",
        "possible": appealing.is_possible(case=case, now=timezone.now()),
        "refund_waits": order.limit_slots.exists(),
        "received": moment(heard.received_at, zone) if heard else "",
        "decided": moment(heard.decided_at, zone) if heard and heard.decided_at else "",
        "outcome": outcome_of(heard) if heard else "",
    }  # fmt: skip


@never_cache
@require_safe
def invitation(request: HttpRequest, token: str) -> HttpResponse:
    """The way to a follow-up sale. It opens nothing by itself: the line asks who comes."""
    try:
        row = sealed_links.row_of(sealed_links.Kind.INVITATION, token)
    except Refused as refused:
        if refused.outcome is Outcome.EXPIRED:
            return _over(request, gettext("This invitation has ended."))
        raise Http404 from refused
    invited = Notice.objects.select_related("sale__campaign", "line__sale", "reservation__channel").filter(
        pk=row, kind=Notice.Kind.INVITED
    )
    notice = invited.first()
    if notice is None or notice.line is None:
        raise Http404
    if notice.line.ends_at <= timezone.now():
        return _over(request, gettext("This invitation has ended."))
    zone, channel = notice.sale.campaign.time_zone, _way_in(notice)
    shown = {
        "sale": notice.sale, "line": notice.line.code, "kept": notice.line.listed_only,
        "opens": moment(notice.line.opens_at or notice.sale.opens_at, zone),
        "until": moment(notice.line.ends_at, zone), "channel": channel,
        "own": channel.kind == Channel.Kind.OWN_PAGE,
    }  # fmt: skip
    return render(request, "flashsale/invitation.html", tongues(request) | shown)


def _way_in(notice: Notice) -> Channel:
    """The buyer's own channel where it leads to the line, else our page, else the first that does."""
    assert notice.line is not None
    ways = list(notice.line.channels.order_by("pk"))
    wanted = (
        [way for way in ways if way.pk == notice.reservation.channel_id]
        + [way for way in ways if way.kind == Channel.Kind.OWN_PAGE]
        + ways
    )
    return wanted[0]


def _over(request: HttpRequest, what: str) -> HttpResponse:
    return render(request, "flashsale/over.html", tongues(request) | {"what": what}, status=HTTPStatus.GONE)
