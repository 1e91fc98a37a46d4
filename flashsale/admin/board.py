"""The live board: what runs and what comes, its figures, its promises and its alarms. It reads, and measures nothing.

A page draws itself once; its script then fetches the same address with `?part=1`, which has only what changes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db.models import QuerySet
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from flashsale.admin.action_page import Table
from flashsale.admin.board_charts import Chart, charts
from flashsale.admin.labels import local_time, state_label
from flashsale.admin.live_figures import live_figures, total
from flashsale.life import monitor, samples
from flashsale.life.alarm_list import ALARMS, AlarmKind
from flashsale.life.alarms import open_alarms
from flashsale.life.samples import LineSample, Sample
from flashsale.life.staff_campaigns import is_limited, rows_of
from flashsale.models import Alarm, Case, Sale
from flashsale.models.record import record_name
from flashsale.models.sale import ms
from flashsale.rules.states import CaseState, Phase, SaleState

# A sale that has ended stays for an hour, because its buyers still pay.
ENDED_SHOWN = timedelta(hours=1)
SALES_MAX = 12
# The span of the charts in minutes, and the seconds between two points.
SPANS: Mapping[int, int] = {15: 15, 60: 60, 1440: 900}
SPAN = 15
REFRESH_MS = 5_000
REFUSALS_MAX = 12
BAR_WIDTH = 300
RUNNING = (Phase.OPEN, Phase.PAUSED)


@dataclass(frozen=True, slots=True)
class Clock:
    """The large clock: a text, and how long until then, in ms. It stands in a pause."""

    text: str
    left_ms: int | None
    runs: bool

    @property
    def shown(self) -> str:
        """Hours, minutes and seconds."""
        seconds = max(0, (self.left_ms or 0) // 1000)
        days, rest = divmod(seconds, 86_400)
        clock = f"{rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}"
        return f"{days} d {clock}" if days else clock


@dataclass(frozen=True, slots=True)
class Promises:
    """What the monitor says about a sale: when it was checked last, and what is broken."""

    seconds: int | None
    broken: Sequence[str]


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of a sale. A figure that nothing has measured is None."""

    sums: Mapping[str, int | None]
    per_minute: Mapping[str, int]
    lines: Sequence[tuple[LineSample, Sequence[tuple[str, int, int]]]]
    refusals: Table | None
    sample: Sample | None


@dataclass(slots=True)
class SaleBoard:
    """One sale on the board."""

    sale: Sale
    phase: Phase
    clock: Clock
    figures: Figures | None
    promises: Promises
    controls: list[tuple[str, Any, str]] = field(default_factory=list)
    charts: list[Chart] = field(default_factory=list)

    @property
    def phase_text(self) -> str:
        """The phase in the reader's language."""
        return state_label(self.phase)

    @property
    def opens(self) -> str:
        """The opening in the campaign's zone."""
        return local_time(self.sale.opens_at, self.sale.campaign.zone)

    @property
    def closes(self) -> str:
        """The closing in the campaign's zone."""
        return local_time(self.sale.closes_at, self.sale.campaign.zone)


def board_sales(sales: "QuerySet[Sale]") -> list[Sale]:
    """Those of these sales that are on the board: first those that run, then those that come.

    After them stand those that ended within an hour.
    """
    shown = sales.filter(
        state__in=[SaleState.PUBLISHED, SaleState.PAUSED, SaleState.CALLED_OFF], campaign__sandbox_of=None
    )
    now = timezone.now()
    # The closing is on the line's clock, which may have stood; so each sale says itself whether it is over.
    found = shown.select_related("campaign", "clock").order_by("opens_at", "pk")
    ranked = [(rank, sale) for sale in found if (rank := _rank(sale, now)) is not None]
    return [sale for _rank_, sale in sorted(ranked, key=lambda one: one[0])][:SALES_MAX]


def _rank(sale: Sale, now: datetime) -> int | None:
    phase = sale.phase(ms(now))
    if phase in RUNNING:
        return 0
    if phase not in {Phase.CLOSED, Phase.CALLED_OFF}:
        return 1
    # A pause has moved the end by its length.
    ended_at = sale.closes_at + timedelta(milliseconds=sale.paused_ms)
    begun = sale.lobby_at <= now if phase is Phase.CALLED_OFF else ended_at <= now
    return 2 if begun and now < ended_at + ENDED_SHOWN else None


def content(sales: Sequence[Sale], *, user: Any, span: int | None = None) -> dict[str, Any]:
    """The context of the board of these sales; with `span` (minutes) it has the charts. Raises django.db.Error.

    Alarms and cases are those of the user's campaigns, with the alarms of the whole installation.
    """
    now = timezone.now()
    known = monitor.latest()
    live = live_figures([one.code for one in sales])
    boards = [_board(one, now, known, live.get(one.code)) for one in sales]
    for one in boards if span else ():
        step, until = SPANS[span or SPAN], now + timedelta(seconds=1)
        found = samples.recent(one.sale, until - timedelta(minutes=span or SPAN), until, step)
        one.charts = charts(found, one.sale.campaign.zone)
    return {
        "boards": boards,
        "alarms": [_shown(alarm, now) for alarm in _alarms(user)],
        "backlog": rows_of(Case.objects.filter(state__in=[CaseState.OPEN, CaseState.PROPOSED]), user).count(),
        "gate_answers": known.gate_answers,
        "at": local_time(now, timezone.get_current_timezone()),
        "at_ms": ms(now),
    }


def alarm_lines(user: Any) -> list[tuple[AlarmKind, str, str]]:
    """Each open alarm that the user may see: its kind, its sentence, and since when."""
    now = timezone.now()
    return [_shown(alarm, now) for alarm in _alarms(user)]


def _alarms(user: Any) -> list[Alarm]:
    """The open alarms. A limited user sees those about sales of other campaigns nowhere."""
    found = list(open_alarms())
    if not is_limited(user):
        return found
    own = {record_name(sale) for sale in rows_of(Sale.objects.all(), user)}
    return [alarm for alarm in found if not alarm.subject.startswith("sale:") or alarm.subject in own]


def _shown(alarm: Alarm, now: datetime) -> tuple[AlarmKind, str, str]:
    kind = ALARMS.get(alarm.code) or AlarmKind(alarm.code, alarm.code, "", "")  # type: ignore[arg-type]
    return kind, kind.sentence(alarm.facts), _ago(now - alarm.noticed_at)


def _ago(passed: timedelta) -> str:
    seconds = max(0, round(passed.total_seconds()))
    for text, size, most in ((_("%(count)d s"), 1, 120), (_("%(count)d min"), 60, 7200)):
        if seconds < most:
            return text % {"count": seconds // size}
    return _("%(count)d h") % {"count": seconds // 3600}


def _board(sale: Sale, now: datetime, known: monitor.Monitored, live: Mapping[str, Any] | None) -> SaleBoard:
    checked = known.sales.get(sale.code)
    promises = Promises(
        round((now - checked.at).total_seconds()) if checked else None,
        [f"{one.promise or ''} {one.title}: {one.text}".strip() for one in checked.broken] if checked else [],
    )
    return SaleBoard(sale, sale.phase(ms(now)), _clock(sale, ms(now)), _figures(sale, live), promises)


def _clock(sale: Sale, wall: int) -> Clock:
    phase, line = sale.phase(wall), sale.line_ms(wall)
    match phase:
        case Phase.PAUSED:
            return Clock(_("paused; left until the end"), ms(sale.closes_at) - line, runs=False)
        case Phase.OPEN:
            return Clock(_("closes in"), ms(sale.closes_at) - line, runs=sale.lease.is_running(wall))
        case Phase.LOBBY | Phase.SCHEDULED:
            return Clock(_("opens in"), ms(sale.opens_at) - wall, runs=True)
    return Clock(state_label(phase), None, runs=False)


def _figures(sale: Sale, live: Mapping[str, Any] | None) -> Figures | None:
    sample = samples.latest(sale)
    if sample is None:
        return _live(live)
    # The second that is a minute older, or the last one before it.
    minute = samples.recent(sale, sample.at - timedelta(seconds=75), sample.at - timedelta(seconds=59))
    names = ("entered", "called", "claimed", "lapsed", "free", "held", "sold")
    per_minute = {}
    if minute and (passed := (sample.at - minute[-1].at).total_seconds()) > 0:
        before = minute[-1]
        per_minute = {
            name: max(0, round((getattr(sample, name) - getattr(before, name)) * 60 / passed)) for name in names[:4]
        }
    return Figures(
        {name: getattr(sample, name) for name in names},
        per_minute,
        [(line, bar({"sold": line.sold, "held": line.held, "free": line.free})) for line in sample.lines],
        _refusals(sample, minute[-1] if minute else None),
        sample,
    )


def _live(live: Mapping[str, Any] | None) -> Figures | None:
    """Before the first sample: what the public status says."""
    if live is None:
        return None
    lines = [
        LineSample(
            code, document["entered"], document["called"], 0, 0, document["free"], document["held"], document["sold"]
        )
        for code, document in live.items()
    ]
    sums: dict[str, int | None] = {"claimed": None, "lapsed": None, **total(live)}
    return Figures(
        sums, {}, [(one, bar({"sold": one.sold, "held": one.held, "free": one.free})) for one in lines], None, None
    )


def _refusals(sample: Sample, before: Sample | None) -> Table:
    most = sorted(sample.refused.items(), key=lambda one: (-one[1], one[0]))[:REFUSALS_MAX]
    earlier = before.refused if before else {}
    rows = [[_reason(word), count, max(0, count - earlier.get(word, 0)) if before else "–"] for word, count in most]
    return Table(_("Refused, by reason"), [_("reason"), _("in all"), _("last minute")], rows)


def _reason(word: str) -> SafeString:
    """The code of a refusal, with a link to its meaning."""
    return format_html('<a href="{}#{}"><code>{}</code></a>', reverse("refusals"), word, word)


def bar(units: Mapping[str, int]) -> list[tuple[str, int, int]]:
    """The parts of a drawn bar: CSS class, x and width of each."""
    whole, parts, x = sum(units.values()) or 1, [], 0
    for name, count in units.items():
        width = round(BAR_WIDTH * count / whole)
        parts.append((name, x, width))
        x += width
    return parts
