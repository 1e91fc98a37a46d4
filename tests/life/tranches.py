"""Sales in several lines: units roll over from one line to the next, and old numbers are carried over."""

from datetime import timedelta
from typing import Any

from django.utils import timezone

from flashsale.gate import bridge, inspect
from flashsale.life import audit, sale_control
from flashsale.life.enter import Entry, digest_identity, enter
from flashsale.life.schedule import publish
from flashsale.models import Allocation, Campaign, Sale
from tests.factories import (
    PHONE,
    Shopper,
    card_of,
    draft_sale,
    identity,
    lobby_sale,
    open_now,
    poco_campaign,
    tend,
)  # fmt: skip


def line(code: str, units: int, *, channel: str = "lazada", **rules: Any) -> dict[str, Any]:
    """A line of a new sale with one channel and so many phones; `rules` are more of its fields."""
    return {"code": code, "channels": [channel], "stock": {PHONE: units}} | rules


def sale_of(*lines: dict[str, Any], campaign: Campaign | None = None, **fields: Any) -> Sale:
    """A published sale with these lines."""
    return publish(sale=draft_sale(campaign, lines=lines, **fields))


def offered(sale: Sale, code: str) -> int:
    """How many units of a line can be reserved now."""
    card = card_of(sale)
    return len(bridge.run(inspect.offered_units(card, card.line(code))))


def held_promises() -> None:
    """Fails when the audit finds a broken promise."""
    findings = audit.audit()
    assert [(f.promise, f.broken) for f in findings if f.verdict is audit.Verdict.BROKEN] == []


def rolling_sale(units: int, **fields: Any) -> Sale:
    """A sale whose line `first` gives its unclaimed units to `public` half an hour after the opening."""
    opens = timezone.now() + timedelta(hours=1)
    first = line("first", units, successor="public", rolls_over_at=opens + timedelta(minutes=30))
    return sale_of(
        first, line("public", 0, channel="akulaku"), opens_at=opens, closes_at=opens + timedelta(hours=1), **fields
    )


def carried_sales() -> tuple[list[Shopper], Sale]:
    """A sold-out sale of one unit with five people, and a follow-up sale that carries its order over."""
    campaign = poco_campaign()
    first = lobby_sale(campaign, stock={PHONE: 1})
    people = [Shopper(first, f"person-{n}") for n in range(5)]
    for person in people:
        person.enter()
    open_now(first)
    tend(first)
    people.sort(key=lambda person: person.number())
    people[0].reserve()
    sale_control.close_early(sale=first)
    carries = Allocation.objects.get(sale=first)
    return people, sale_of(line("carried", 2, carries=carries), campaign=campaign)


def carry(person: Any, sale: Sale, token: str | None = None) -> Entry:
    """The person enters the follow-up sale and shows the place of the first one (or another `token`)."""
    card = card_of(sale)
    known = digest_identity(card=card, values=identity(person.name))
    return bridge.run(
        enter(
            card=card,
            line=card.line("carried"),
            channel=person.channel,
            digests=known,
            carried=token or person.entry.token,
        )
    )
