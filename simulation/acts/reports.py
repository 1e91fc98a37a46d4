"""After the sales: compares their public fairness reports with what the story observed."""

import json
import time
from collections import Counter
from typing import Any

from django.utils import timezone

from flashsale.life import sale_control
from flashsale.life.fairness_report import OVER
from flashsale.models import Sale
from flashsale.models.sale import ms
from flashsale.rules.outcomes import Outcome
from simulation import fetch, order_letters
from simulation.observations import Check, Observations, confirmations, make_check, reservation_of
from simulation.story import Story

# The doors write their counts of refusals to Redis a few times a second.
COUNTS_WRITTEN_S = 1.0
# Problem codes that the doors do not count as refusals.
NO_REFUSAL = {Outcome.NOT_FOUND, Outcome.NOT_READY, Outcome.UNKNOWN}
DOOR = ("enter", "reserve", "look", "leave", "wait")


def play(story: Story) -> None:
    """Closes the sales that are still open, because all people are done, and checks the report of each sale."""
    sales = list(Sale.objects.filter(code__in=story.attendances).order_by("opens_at"))
    for sale in sales:
        if sale.phase(ms(timezone.now())) not in OVER:
            sale_control.close_early(sale=sale)
    time.sleep(COUNTS_WRITTEN_S)
    story.reload_unit_history()
    for sale in sales:
        report = fetch.document(f"{story.servers.url}/v1/sales/{sale.code}/fairness")
        (story.out / f"fairness-{sale.code}.json").write_text(json.dumps(report, indent=1, ensure_ascii=False))
        checks = [
            _valid(report),
            _sold(story.observed, report),
            _refused(story.observed, report),
            _cancelled(story.observed, report),
        ]
        for check in [*checks, _names_no_person(story, report)]:
            story.checks.append(check)
    story.checks.append(order_letters.counted(story, sales=[sale.code for sale in sales]))


def _valid(report: dict[str, Any]) -> Check:
    draw, order, returned = report["draw"], report["order"], report["returned"]
    broken = [
        f"{report['sale']}: {what}"
        for what, holds in {
            "the draw is not verified": draw["verified"],
            f"the order is broken: {order}": order["kept"] and not order["wrong"] and order["before_call"] == 0,
            f"units that came back are lost: {returned}": returned["units"]
            == returned["resting"] + returned["restored"] + sum(move["units"] for move in returned["moved"]),
        }.items()
        if not holds
    ]
    return _check(report, "draw, order and units hold", broken, f"{order['reservations']} reservations")


def _sold(observed: Observations, report: dict[str, Any]) -> Check:
    bought = {reservation_of(answer) for answer in confirmations(observed, report["sale"])}
    counted = sum(channel["bought"] for channel in report["channels"])
    broken = [f"{report['sale']}: {counted} bought, {len(bought)} acknowledged"] if counted != len(bought) else []
    return _check(report, "bought orders are those acknowledged", broken, f"{counted} bought")


def _refused(observed: Observations, report: dict[str, Any]) -> Check:
    """The report counts the refusals that clients received. A lost answer may have been a refusal too."""
    answers = list(observed.journal.answers_to(*DOOR, sale=report["sale"]))
    received = Counter((a.verb, a.code) for a in answers if a.status and not a.ok and a.code not in NO_REFUSAL)
    lost = Counter(a.verb for a in answers if not a.status)
    refused = {(row["verb"], row["reason"]): row["times"] for row in report["refused"]}
    counted = Counter({what: times for what, times in refused.items() if what[1] not in NO_REFUSAL})
    broken = [
        f"{report['sale']}: {verb} {reason} {counted[verb, reason]} times, received {received[verb, reason]} times"
        for verb, reason in sorted(received.keys() | counted.keys())
        if not 0 <= counted[verb, reason] - received[verb, reason] <= lost[verb]
    ]
    return _check(report, "refusals are those that clients received", broken, f"{counted.total()} refusals")


def _cancelled(observed: Observations, report: dict[str, Any]) -> Check:
    """The report counts restored orders as cancelled; the history of the units has no cancellation time for them."""
    ended = sum(1 for row in observed.unit_history if row["sale"] == report["sale"] and row["cancelled_ms"])
    total, restored = report["cancellations"]["total"], report["returned"]["restored"]
    reasons = sum(row["orders"] for row in report["cancellations"]["reasons"])
    broken = [f"{report['sale']}: {total}, {reasons} by reason, not {ended} and {restored} restored"]
    right = total == reasons == ended + restored
    return _check(
        report, "cancellations are those in the history of the units", [] if right else broken, f"{total} cancelled"
    )


def _names_no_person(story: Story, report: dict[str, Any]) -> Check:
    text = json.dumps(report)
    named = [value for person in story.people for value in (person.phone, person.email, person.name) if value in text]
    return _check(report, "the report names no person", named, f"none of {len(story.people)} people")


def _check(report: dict[str, Any], title: str, broken: list[str], counted: str) -> Check:
    held = make_check(0, f"fairness report: {title}", broken, counted, "what the story observed")
    return Check(0, held.title, held.held, held.found, held.expected, report["name"])
