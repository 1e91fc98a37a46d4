"""After the sales: their fairness reports, read as anybody can read them, say what the story has seen itself."""

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
from simulation import fetch
from simulation.observations import Check, Observations, make_check, reservation_of
from simulation.story import Story

# Doors tell the gate what they refused a few times a second.
TOLD_S = 1.0
# Answers that a door gives when it has not heard a no.
NO_REFUSAL = {Outcome.NOT_FOUND, Outcome.NOT_READY, Outcome.UNKNOWN}
DOOR = ("enter", "reserve", "look", "leave", "wait")


def play(story: Story) -> None:
    """Whoever is still open is closed: everybody has gone home."""
    sales = list(Sale.objects.filter(code__in=story.attendances).order_by("opens_at"))
    for sale in sales:
        if sale.phase(ms(timezone.now())) not in OVER:
            sale_control.close_early(sale=sale)
    time.sleep(TOLD_S)
    story.reload_unit_history()
    for sale in sales:
        told = fetch.document(f"{story.servers.url}/v1/sales/{sale.code}/fairness")
        (story.out / f"fairness-{sale.code}.json").write_text(json.dumps(told, indent=1, ensure_ascii=False))
        checks = [
            _kept(told),
            _sold(story.observed, told),
            _refused(story.observed, told),
            _cancelled(story.observed, told),
        ]
        for check in [*checks, _nobody(story, told)]:
            story.checks.append(check)


def _kept(told: dict[str, Any]) -> Check:
    draw, order, returned = told["draw"], told["order"], told["returned"]
    broken = [
        f"{told['sale']}: {what}"
        for what, holds in {
            "the draw is not verified": draw["verified"],
            f"the order is broken: {order}": order["kept"] and not order["wrong"] and order["before_call"] == 0,
            f"units that came back are lost: {returned}": returned["units"]
            == returned["resting"] + returned["restored"] + sum(move["units"] for move in returned["moved"]),
        }.items()
        if not holds
    ]
    return _check(told, "draw, order and units hold", broken, f"{order['reservations']} reservations")


def _sold(observed: Observations, told: dict[str, Any]) -> Check:
    bought = {
        reservation_of(answer) for answer in observed.journal.answers_to("confirm", sale=told["sale"]) if answer.ok
    }
    counted = sum(channel["bought"] for channel in told["channels"])
    broken = [f"{told['sale']}: {counted} bought, {len(bought)} acknowledged"] if counted != len(bought) else []
    return _check(told, "bought units are those acknowledged", broken, f"{counted} bought")


def _refused(observed: Observations, told: dict[str, Any]) -> Check:
    """An answer that was lost on its way may have been a refusal."""
    answers = list(observed.journal.answers_to(*DOOR, sale=told["sale"]))
    heard = Counter((a.verb, a.code) for a in answers if a.status and not a.ok and a.code not in NO_REFUSAL)
    lost = Counter(a.verb for a in answers if not a.status)
    refused = {(row["verb"], row["reason"]): row["times"] for row in told["refused"]}
    counted = Counter({what: times for what, times in refused.items() if what[1] not in NO_REFUSAL})
    broken = [
        f"{told['sale']}: {verb} {reason} {counted[verb, reason]} times, heard {heard[verb, reason]} times"
        for verb, reason in sorted(heard.keys() | counted.keys())
        if not 0 <= counted[verb, reason] - heard[verb, reason] <= lost[verb]
    ]
    return _check(told, "refusals at the door are those heard", broken, f"{counted.total()} refusals")


def _cancelled(observed: Observations, told: dict[str, Any]) -> Check:
    """Orders that an appeal restored were cancelled too, but stand in the units' ways as if nothing had happened."""
    ended = sum(1 for row in observed.unit_history if row["sale"] == told["sale"] and row["cancelled_ms"])
    total, restored = told["cancellations"]["total"], told["returned"]["restored"]
    reasons = sum(row["orders"] for row in told["cancellations"]["reasons"])
    broken = [f"{told['sale']}: {total}, {reasons} by reason, not {ended} and {restored} restored"]
    right = total == reasons == ended + restored
    return _check(told, "cancellations are those of the units' ways", [] if right else broken, f"{total} cancelled")


def _nobody(story: Story, told: dict[str, Any]) -> Check:
    text = json.dumps(told)
    named = [value for person in story.people for value in (person.phone, person.email, person.name) if value in text]
    return _check(told, "the report names nobody", named, f"none of {len(story.people)} people")


def _check(told: dict[str, Any], title: str, broken: list[str], counted: str) -> Check:
    held = make_check(0, f"fairness report: {title}", broken, counted, "what the story has seen")
    return Check(0, held.title, held.held, held.found, held.expected, told["name"])
