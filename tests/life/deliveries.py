"""Steps of tests of webhooks."""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from django.db.models import F

from flashsale.gate import bridge
from flashsale.life import deliver, events, webhooks
from flashsale.models import Channel, Delivery, Reservation, Sale, Webhook
from tests.hooks import Hooks

TIMES = {
    Webhook: ("failing_since", "paused_until", "leased_until", "previous_until"),
    Delivery: ("due_at", "give_up_at"),
}


def channel_id(sale: Sale, code: str = "lazada") -> int:
    return Channel.objects.get(campaign=sale.campaign, code=code).pk


def webhook_to(hooks: Hooks, channel: int, *types: str) -> Webhook:
    """A webhook of the channel that leads to this receiver."""
    row = webhooks.make(channel=channel, url=hooks.url, types=types, by=f"channel:{channel}")
    hooks.secret(webhooks.secret_of(row))
    return row


def run() -> int:
    """One run, until all of its lanes have ended."""
    return bridge.run(deliver.deliver_due(wait_s=None))


def later(**by: float) -> None:
    """Moves the times of all webhooks and deliveries into the past, as if so much time had passed."""
    for model, names in TIMES.items():
        model._default_manager.update(**{name: F(name) - timedelta(**by) for name in names})


def wait_until(true: Callable[[], object], *, seconds: float = 120.0) -> None:
    """Waits until something is true. Fails when the time is over."""
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until
        time.sleep(0.02)


def deliver_all() -> None:
    """Runs as the beat does, five minutes apart, until nothing waits."""
    for _ in range(50):
        run()
        if not Delivery.objects.filter(state="due", webhook__off="").exists():
            return
        later(minutes=5)
    raise AssertionError("deliveries still wait")


def of(row: Webhook, **fields: Any) -> list[Any]:
    """The log: type, state, attempts, HTTP status and failure of each delivery, the oldest first."""
    found = row.deliveries.filter(**fields).order_by("pk")
    return list(found.values_list("type", "state", "attempts", "status", "failure"))


def feed(channel: int) -> dict[str, dict[str, Any]]:
    """All events of a channel as its partner reads them, by id."""
    found, page = [], events.read_events(channel=channel, after="", limit=100)
    while True:
        found += page.events
        if not page.more:
            return {
                str(one.id): {
                    "reservation": str(one.reservation),
                    "type": one.type,
                    "sequence": one.sequence,
                    "data": one.data,
                }
                for one in found
            }
        page = events.read_events(channel=channel, after=page.after, limit=100)


def copy_of_the_books(told: Mapping[str, Mapping[str, Any]]) -> tuple[dict[str, str], Counter[str]]:
    """What a partner knows that has only these events: the state of each reservation, and the units in each state."""
    states: dict[str, str] = {}
    units: Counter[str] = Counter()
    last: dict[str, int] = {}
    for event in told.values():
        kind, _, word = event["type"].partition(".")
        id_ = event["reservation"]
        if kind != "reservation" or event["sequence"] < last.get(id_, 0):
            continue
        last[id_], quantity = event["sequence"], event["data"]["quantity"]
        if id_ in states:
            units[states[id_]] -= quantity
        states[id_] = "confirmed" if word == "restored" else word
        units[states[id_]] += quantity
    return states, +units


def books(channel: int) -> tuple[dict[str, str], Counter[str]]:
    """The same from PostgreSQL."""
    rows = Reservation.objects.filter(channel=channel).values_list("pk", "state", "quantity")
    units: Counter[str] = Counter()
    for _, state, quantity in rows:
        units[state] += quantity
    return {str(id_): state for id_, state, _ in rows}, units
