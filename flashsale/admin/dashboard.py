"""The first page of the admin: sales that run or come, what waits for people, and what partners' servers need."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.contrib.auth.models import AnonymousUser, User
from django.db.models import Count, QuerySet
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from flashsale.admin.board import alarm_lines, bar, board_sales
from flashsale.admin.labels import local_time, state_label
from flashsale.admin.live_figures import live_figures, total
from flashsale.admin.partner_key import ending_keys
from flashsale.gate import bridge
from flashsale.gate.client import GateDown
from flashsale.gate.quotas import QuotaAlarm, alarms
from flashsale.life import two_people
from flashsale.life.person_requests import due_requests
from flashsale.life.staff_campaigns import rows_of
from flashsale.life.waiting_money import WHO_LABELS, people_wait
from flashsale.models import Appeal, Case, Channel, Notice, PartnerKey, PersonRequest, Proposal, Sale
from flashsale.models.sale import ms
from flashsale.rules.states import AppealState, CaseState, NoticeState

SALES_MAX = 8
REQUESTS_MAX = 10
PROPOSALS_MAX = 10


@dataclass(frozen=True, slots=True)
class SaleTile:
    """A sale on the first page.

    `figures` is None if Redis does not answer. `bar` has (CSS class, x, width) of each part of the drawn bar.
    """

    sale: Sale
    phase: str
    opens: str
    closes: str
    figures: dict[str, int] | None
    bar: list[tuple[str, int, int]]


def content(user: User | AnonymousUser) -> dict[str, Any]:
    """The template's context. A part that the user may not see is None."""
    may = user.has_perm
    cases = rows_of(Case.objects.filter(reservation__sale__campaign__sandbox_of=None), user).order_by()
    notices = rows_of(Notice.objects.filter(sale__campaign__sandbox_of=None), user).order_by()
    appeals = rows_of(Appeal.objects.order_by(), user)
    return {
        "alarms": alarm_lines(user) if may("flashsale.view_sale") else None,
        "proposals": _proposals(user) if may("flashsale.view_sale") else [],
        "sales": _sale_tiles(user) if may("flashsale.view_sale") else None,
        "cases": _counts(cases, CaseState.OPEN, CaseState.PROPOSED) if may("flashsale.view_case") else None,
        "appeals": _counts(appeals, AppealState.OPEN) if may("flashsale.view_appeal") else None,
        "notices": _counts(notices, NoticeState.DUE, NoticeState.FAILED) if may("flashsale.view_notice") else None,
        "money": _waiting_money(user) if may("flashsale.view_refund") else None,
        "keys": _ending_keys(user) if may("flashsale.view_partnerkey") else None,
        "support": _support(user),
        "requests": _due_requests(user) if may("flashsale.view_personrequest") else None,
        "quotas": _quota_alarms(user) if may("flashsale.view_channel") else None,
    }


def _proposals(user: Any) -> list[tuple[str, str, str]]:
    """What waits for a second person: the address of the page, what is proposed, and by whom and when."""
    actions = {Proposal.Verb.PUBLISH: "publish", Proposal.Verb.ADD_UNITS: "add-units"}
    sales = rows_of(Sale.objects.all(), user)
    return [
        (
            reverse(f"admin:flashsale_sale_{actions[Proposal.Verb(one.verb)]}") + f"?id={one.sale_id}",
            f"{one.sale.name} ({one.sale.code}): {one.get_verb_display()}",
            f"{one.by}, {local_time(one.at, one.sale.campaign.zone)}",
        )
        for one in two_people.open_proposals().filter(sale__in=sales)[:PROPOSALS_MAX]
        if two_people.counts(one)
    ]


def _ending_keys(user: Any) -> list[tuple[PartnerKey, str]]:
    return [(key, local_time(key.expires_at, key.channel.campaign.zone)) for key in rows_of(ending_keys(), user)]


def _support(user: User | AnonymousUser) -> list[tuple[str, str]]:
    """The pages of the desk of support and finance that the user may open: name of the address, and title."""
    pages = [("admin:flashsale_support", _("Find a person"))] if user.has_perm("flashsale.view_reservation") else []
    if pages and user.has_perm("flashsale.export_reservation"):
        pages.append(("admin:flashsale_exports", _("Exports")))
    return pages


def _due_requests(user: Any) -> list[tuple[PersonRequest, str, bool]]:
    """The requests of people that are not answered, the most urgent first: request, date, whether it is late."""
    now, zone = timezone.now(), timezone.get_default_timezone()
    shown = rows_of(due_requests(), user)[:REQUESTS_MAX]
    return [(row, local_time(row.due_at, ZoneInfo(str(zone))), row.is_late(now)) for row in shown]


def _quota_alarms(user: Any) -> list[tuple[Channel, QuotaAlarm, str]]:
    """The alarms of the last day; none while Redis does not answer."""
    try:
        found = bridge.run(alarms())
    except GateDown:
        return []
    live = Channel.objects.filter(campaign__sandbox_of=None).select_related("campaign")
    channels = rows_of(live, user).in_bulk([alarm.channel for alarm in found])
    return [
        (channel, alarm, local_time(datetime.fromtimestamp(alarm.at_ms / 1000, UTC), channel.campaign.zone))
        for alarm in found
        if (channel := channels.get(alarm.channel))
    ]


def _waiting_money(user: Any) -> list[tuple[str, str, int]]:
    waiting = people_wait(timezone.now(), by=user)
    return [(action.name, f"{action.title} ({WHO_LABELS[action.who]})", count) for action, count in waiting if count]


def _counts(rows: "QuerySet[Any]", *states: str) -> list[tuple[str, str, int]]:
    found = dict(rows.filter(state__in=states).values_list("state").annotate(count=Count("pk")))
    return [(state, state_label(state), found.get(state, 0)) for state in states]


def _sale_tiles(user: Any) -> list[SaleTile]:
    sales = board_sales(rows_of(Sale.objects.all(), user))[:SALES_MAX]
    figures = live_figures([sale.code for sale in sales])
    return [_tile(sale, total(figures[sale.code]) if sale.code in figures else None) for sale in sales]


def _tile(sale: Sale, sums: dict[str, int] | None) -> SaleTile:
    zone = sale.campaign.zone
    return SaleTile(
        sale=sale,
        phase=state_label(sale.phase(ms(timezone.now()))),
        opens=local_time(sale.opens_at, zone),
        closes=local_time(sale.closes_at, zone),
        figures=sums,
        bar=bar({name: sums[name] for name in ("sold", "held", "free")}) if sums else [],
    )
