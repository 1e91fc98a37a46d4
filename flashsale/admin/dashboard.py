"""The first page of the admin: sales that run or come, cases and notices that wait."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import AnonymousUser, User
from django.db.models import Count, QuerySet
from django.utils import timezone

from flashsale.admin import figures, words
from flashsale.models import Appeal, Case, Notice, Sale
from flashsale.models.sale import ms
from flashsale.rules.states import AppealState, CaseState, NoticeState, SaleState

SALES_MAX = 8
ENDED_LATELY = timedelta(hours=24)
BAR_WIDTH = 300


@dataclass(frozen=True, slots=True)
class SaleCard:
    """A sale in one card; `bar` are (class, x, width) of a drawn bar, None when the gate does not answer."""

    sale: Sale
    phase: str
    opens: str
    closes: str
    figures: dict[str, int] | None
    bar: list[tuple[str, int, int]]


def content(user: User | AnonymousUser) -> dict[str, Any]:
    """What this person may see."""
    may = user.has_perm
    cases, notices = Case.objects.order_by(), Notice.objects.order_by()
    return {
        "sales": _sales() if may("flashsale.view_sale") else None,
        "cases": _counts(cases, CaseState.OPEN, CaseState.PROPOSED) if may("flashsale.view_case") else None,
        "appeals": _counts(Appeal.objects.order_by(), AppealState.OPEN) if may("flashsale.view_appeal") else None,
        "notices": _counts(notices, NoticeState.DUE, NoticeState.FAILED) if may("flashsale.view_notice") else None,
    }


def _counts(rows: "QuerySet[Any]", *states: str) -> list[tuple[str, str, int]]:
    found = dict(rows.filter(state__in=states).values_list("state").annotate(count=Count("pk")))
    return [(state, words.state(state), found.get(state, 0)) for state in states]


def _sales() -> list[SaleCard]:
    shown = Sale.objects.filter(
        state__in=[SaleState.PUBLISHED, SaleState.PAUSED], closes_at__gt=timezone.now() - ENDED_LATELY
    )
    sales = shown.select_related("campaign").order_by("opens_at")[:SALES_MAX]
    lines = figures.many([sale.code for sale in sales])
    return [_card(sale, figures.total(lines[sale.code]) if sale.code in lines else None) for sale in sales]


def _card(sale: Sale, sums: dict[str, int] | None) -> SaleCard:
    zone = sale.campaign.zone
    phase = words.state(sale.phase(ms(timezone.now())))
    return SaleCard(
        sale,
        phase,
        words.local(sale.opens_at, zone),
        words.local(sale.closes_at, zone),
        sums,
        _bar(sums) if sums else [],
    )


def _bar(sums: dict[str, int]) -> list[tuple[str, int, int]]:
    units = sum(sums[name] for name in ("sold", "held", "free")) or 1
    parts, at = [], 0
    for name in ("sold", "held", "free"):
        width = round(BAR_WIDTH * sums[name] / units)
        parts.append((name, at, width))
        at += width
    return parts
