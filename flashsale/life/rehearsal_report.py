"""The report of a rehearsal as texts and tables, in the language of the reader."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from flashsale.rules.rehearsals import VERBS

# A share from which something is named as what limits the sale.
NEAR_ITS_END = 0.7
# The crowd's own machine was busy: an action came so much later than it was due.
LATE_MS = 2000
TITLES = {
    "door": gettext_lazy("answers of the door"),
    "calling": gettext_lazy("people called per second"),
    "claim": gettext_lazy("claim window"),
    "gateway": gettext_lazy("pace of the payment accounts"),
    "quota": gettext_lazy("quota of a channel"),
    "entries": gettext_lazy("most entries of a line"),
    "cpu": gettext_lazy("processors of the server"),
}
UNITS = {
    "door": gettext_lazy("ms (p95)"), "calling": gettext_lazy("people/s"),
    "claim": gettext_lazy("s of the selling time"),
    "gateway": gettext_lazy("payments/s"), "quota": gettext_lazy("calls/min"), "entries": gettext_lazy("people"),
    "cpu": gettext_lazy("percent"),
}  # fmt: skip
ADVICE = {
    "door": gettext_lazy("Add web processes, or set the brake of the sale: pages ask less often then."),
    "calling": gettext_lazy("Raise the people called per second, if the payment accounts can follow."),
    "claim": gettext_lazy("Shorten the claim window, or raise the overbooking, so that the last units sell sooner."),
    "gateway": gettext_lazy("Ask the provider for a higher pace, add an account, or call fewer people per second."),
    "quota": gettext_lazy("Raise the quota of this channel, or ask the partner to send bundles of people."),
    "entries": gettext_lazy("Raise the most entries of a line, or people are refused when it is full."),
    "cpu": gettext_lazy("Give the server more cores, or run more machines with web processes."),
}

VERDICTS = {
    "held": gettext_lazy("kept"),
    "broken": gettext_lazy("BROKEN"),
    "not checkable here": gettext_lazy("not checkable here"),
}


class Part(NamedTuple):
    """A table of the report."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[Any]]


def headline(report: Mapping[str, Any]) -> list[str]:
    """The sentences that matter most: how it ended, what limits the sale first, and whether the promises held."""
    figures = report["figures"]
    if figures is None:
        return [_("The crowd has sent no figures, so there is nothing to report.")]
    return [_end(report, figures), *_first(report, figures), _promises(report)]


def _end(report: Mapping[str, Any], figures: Mapping[str, Any]) -> str:
    if figures["paid"] >= report["units"] > 0:
        return _("Sold out %(seconds)s after the opening.") % {"seconds": seconds(figures["last_paid_s"])}
    counts = {"paid": figures["paid"], "units": report["units"]}
    if figures["over"]:
        return _("Not sold out: %(paid)d of %(units)d units are paid, and no person waits any more.") % counts
    return _("Not sold out when the crowd left: %(paid)d of %(units)d units are paid.") % counts


def _first(report: Mapping[str, Any], figures: Mapping[str, Any]) -> Iterator[str]:
    first = next(iter(report["limits"]), None)
    if first and first["share"] >= NEAR_ITS_END:
        text = _("What limits this sale first: %(what)s. %(advice)s")
        yield text % {"what": TITLES[first["what"]], "advice": ADVICE[first["what"]]}
    else:
        yield _("Nothing came near its limit with this crowd. Rehearse with more people.")
    if figures["failed"]:
        failed = figures["failed"]
        yield ngettext(
            "%(count)d request got no answer, or an error of the server.",
            "%(count)d requests got no answer, or an error of the server.", failed,
        ) % {"count": failed}  # fmt: skip
    if figures["late_ms"] > LATE_MS:
        yield _(
            "The machine of the crowd was too slow, so the times are too long. Send the crowd from another machine."
        )


def _promises(report: Mapping[str, Any]) -> str:
    broken = [found["title"] for found in report["promises"] if found["broken"]]
    if broken:
        return _("BROKEN promises: %(titles)s.") % {"titles": ", ".join(broken)}
    if not report["promises"]:
        return _("The promises were not audited.")
    return _("All promises held.")


def limits(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What limits the sale, the nearest to its end first: its name, and how much was used, with the advice."""
    used = "{share:.0%} ({found:g} / {most:g} {unit}). {advice}"
    return [
        (str(TITLES[what]), used.format_map(limit | {"unit": UNITS[what], "advice": ADVICE[what]}))
        for limit in report["limits"]
        if (what := limit["what"]) in TITLES
    ]


def parts(report: Mapping[str, Any]) -> list[Part]:
    """The tables. Without figures there are only the promises."""
    figures = report["figures"]
    found = [] if figures is None else [*_people(figures)]
    rows = [
        [promise["promise"] or "", promise["title"], VERDICTS.get(promise["verdict"], "")]
        for promise in report["promises"]
    ]
    return [*found, Part(_("Promises"), ["#", _("promise"), _("verdict")], rows)]


def _people(figures: Mapping[str, Any]) -> Iterator[Part]:
    share = f"{100 * figures['paid'] / figures['called']:.1f} %" if figures["called"] else "–"
    yield Part(
        _("People"),
        [_("entered"), _("called"), _("did not come"), _("paid"), _("paid of called"), _("disappointed")],
        [[figures["entered"], figures["called"], figures["no_shows"], figures["paid"], share, figures["disappointed"]]],
    )
    waits = ((_("before the opening"), figures["early_wait_s"]), (_("after the opening"), figures["late_wait_s"]))
    yield Part(
        _("Wait until called"),
        [_("entered"), _("people"), _("called"), _("half of them within"), _("95 % within"), _("longest")],
        [_waited(name, wait) for name, wait in waits],
    )
    yield Part(
        _("The door, as the crowd saw it"),
        [_("call"), _("count"), "p50", "p95", "p99", _("longest")],
        [
            [verb, times["calls"], *(f"{times[one]:.0f} ms" for one in ("p50_ms", "p95_ms", "p99_ms", "most_ms"))]
            for verb in VERBS
            if (times := figures["verbs"].get(verb))
        ],
    )
    yield Part(
        _("Load"),
        [_("calls per second"), _("highest second"), _("duration")],
        [[f"{figures['calls_per_s']:g}", figures["calls_highest"], seconds(figures["seconds"])]],
    )
    refused = sorted(figures["refused"].items(), key=lambda item: -item[1])
    if refused:
        yield Part(_("Refused, and sent again"), [_("answer"), _("count")], refused)


def _waited(name: str, wait: Mapping[str, Any]) -> list[Any]:
    times = [seconds(wait[one]) if wait["called"] else "–" for one in ("half", "p95", "most")]
    return [name, wait["people"], wait["called"], *times]


def seconds(found: float | None) -> str:
    """A duration, as people read it."""
    if found is None:
        return "–"
    return f"{found:.1f} s" if found < 60 else f"{int(found // 60)} min {int(found % 60)} s"


def report_lines(report: Mapping[str, Any]) -> list[str]:
    """The report as lines for a terminal."""
    lines = [*headline(report), "", _("What limits the sale")]
    lines += [f"  {what}: {used}" for what, used in limits(report)]
    for part in parts(report):
        lines += ["", part.title, "  " + " | ".join(map(str, part.head))]
        lines += ["  " + " | ".join(map(str, row)) for row in part.rows]
    return lines
