"""Steps of a sale before a fault, and checks of what must be true after it."""

import asyncio
import importlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import redis
from django.db import connection, models
from django.utils import timezone

from flashsale.gate import bridge, client, inspect, scripts
from flashsale.gate.client import GateDown, gate
from flashsale.life import audit, audit_events, expire, inbox, tick
from flashsale.life.audit_after_sale import moved_wrongly
from flashsale.life.audit_scope import Scope
from flashsale.life.confirm import Buyer, PaymentChoice, confirm
from flashsale.life.crash_points import CRASH_POINTS
from flashsale.models import DemoCharge, Inbox, LimitSlot, PaymentAttempt, Refund, Reservation, Sale, Unit
from flashsale.providers import payments
from flashsale.rules.identity import Axis
from flashsale.rules.outcomes import Outcome, Refused
from tests.factories import PHONE, Shopper, card_of, identity, lobby_sale, open_now, tend


class Died(Exception):
    """Stands for the end of the process."""


def dies(*_: Any, **__: Any) -> Any:
    """Replaces the function at which the process ends."""
    raise Died


def dying(monkeypatch: pytest.MonkeyPatch, where: Any, name: str, act: Callable[[], Any]) -> None:
    """Calls `act`. The process ends at the moment when it would call `name`."""
    with monkeypatch.context() as patch:
        patch.setattr(where, name, dies)
        with pytest.raises(Died):
            act()


def dies_at(monkeypatch: pytest.MonkeyPatch, name: str, act: Callable[[], Any]) -> None:
    """Calls `act`. The process ends at this one of the crash points that the life declares."""
    point = next(point for point in CRASH_POINTS if point.name == name)
    module, _, path = point.next_call.partition(":")
    *owners, step = path.split(".")
    where = importlib.import_module(module)
    for owner in owners:
        where = getattr(where, owner)
    dying(monkeypatch, where, step, act)


def called(*names: str, stock: int = 2, **fields: Any) -> tuple[Sale, list[Shopper]]:
    """An open sale with these people. As many of them are called as there are units."""
    values: dict[str, Any] = {"stock": {PHONE: stock}, "max_entries": 20_000, "rate_per_s": 100_000}
    sale = lobby_sale(**values | fields)
    people = [Shopper(sale, name) for name in names]
    for person in people:
        person.enter()
    open_now(sale)
    tend(sale)
    return sale, people


def buy(person: Shopper, *, key: str = "once", instrument: str = "wallet", **soft: Any) -> Reservation:
    """The person's confirmed order."""
    return pay(person, person.reserve(key=key).id, instrument=instrument, **soft)


def pay(
    person: Shopper, reservation: UUID, *, price: int = 1_799_000, instrument: str = "wallet", **soft: str
) -> Reservation:
    """The person pays for a reservation."""
    known = identity(person.name)
    contact = {"name": person.name, "address": f"Jl. Melati {sum(map(ord, person.name))}"}
    contact |= {"phone": known[Axis.PHONE], "email": known[Axis.EMAIL]}
    also = {Axis(axis): value for axis, value in soft.items()}
    return bridge.run(confirm(
        reservation=reservation, channel=person.channel.id,
        buyer=Buyer(identity=known | also, contact=contact, language="id"),
        payment_choice=PaymentChoice(price=price, method="qris", instrument=instrument),
    ))  # fmt: skip


def the_payment(reservation: UUID | None = None) -> PaymentAttempt:
    """The last attempt to pay."""
    attempts = PaymentAttempt.objects.order_by("number")
    found = (attempts.filter(reservation=reservation) if reservation else attempts).last()
    assert found is not None
    return found


def paid_by(row: Reservation) -> PaymentAttempt:
    """The payment of a reservation that has one."""
    assert row.payment is not None
    return row.payment


def apart(act: Callable[..., Any], *args: Any, **fields: Any) -> Any:
    """Calls `act` in a thread of its own, and closes the thread's connection to PostgreSQL."""
    try:
        return act(*args, **fields)
    finally:
        connection.close()


def nth(reservation: UUID, number: int) -> str:
    """The reference of an attempt of a reservation."""
    return PaymentAttempt.objects.get(reservation=reservation, number=number).reference


def told(reference: str) -> str:
    """The bank sends a notification about a reference. Returns the state of the payment after it."""
    body, headers = payments.DemoProvider().signed_notification(reference=reference)
    inbox.store(account="demo", references=[reference], body=body, headers=headers)
    inbox.read_inbox()
    return str(PaymentAttempt.objects.get(reference=reference).payment_state)


def due_again() -> None:
    """Moves the dates of all work at the providers into the past, as if the lease of a dead process were over."""
    past = timezone.now() - timedelta(seconds=1)
    for model in (Inbox, PaymentAttempt, Refund):
        model.objects.filter(next_look_at__isnull=False).update(next_look_at=past)


def come_due(sale: Sale) -> None:
    """Moves the deadlines of all holds into the past, in PostgreSQL and Redis."""
    Reservation.objects.filter(sale=sale).update(deadline_ms=1)
    due = scripts.keys_of(card_of(sale)).due

    async def in_gate() -> None:
        for reservation in await gate().redis.zrange(due, 0, -1):
            await gate().redis.zadd(due, {reservation: 1})

    bridge.run(in_gate())


def reap(sale: Sale) -> int:
    """Runs the reaper. Returns how many reservations it found due."""
    return bridge.run(expire.expire(card=card_of(sale)))


def in_gate(sale: Sale) -> dict[str, Any]:
    """What Redis counts: offered, held and sold units of the first line, and the used limit of each digest."""
    card = card_of(sale)
    counted = bridge.run(inspect.counters(card, card.lines[0]))
    used = bridge.run(inspect.used_limits(card))
    return {
        "offered": len(bridge.run(inspect.offered_units(card, card.lines[0]))), "held": counted["held"],
        "sold": counted["sold"], "used": sorted(count for count in used.values() if count),
    }  # fmt: skip


def in_books() -> dict[str, Any]:
    """What PostgreSQL has: units and reservations by state, and the number of limit slots."""
    return {
        "units": sorted(Unit.objects.values_list("state", flat=True)),
        "reservations": sorted(Reservation.objects.values_list("state", flat=True)),
        "claims": LimitSlot.objects.count(),
    }


def paid_elsewhere(person: Shopper) -> str:
    """The person reserves and pays in the app of their bank, and we do not know it yet. Returns the reference."""
    held = pay(person, person.reserve().id, instrument=payments.DEMO_LATER)
    assert (held.state, paid_by(held).payment_state) == ("held", "started")
    assert payments.DemoProvider().pay(reference=paid_by(held).reference) is payments.Charge.PAID
    return paid_by(held).reference


def end(sale: Sale) -> None:
    """Lets all holds of the sale expire."""
    come_due(sale)
    reap(sale)


def money_astray() -> list[str]:
    """References with a fault: the bank has the money but there is no order, or there is an order and a refund."""
    kept = set(
        PaymentAttempt.objects.filter(state="paid", reservation__state="confirmed").values_list("reference", flat=True)
    )
    paid = DemoCharge.objects.filter(state="paid").values_list("reference", "refunded")
    return [reference for reference, refunded in paid if (reference in kept) == refunded]


NOTHING_TAKEN = {"offered": 2, "held": 0, "sold": 0, "used": []}
ONE_HELD = {"offered": 1, "held": 1, "sold": 0, "used": [1, 1]}
CHECKS = (
    audit._oversold, audit._unbalanced, audit._over_limit, audit._out_of_order, audit._two_places,
    moved_wrongly, audit_events.unlike_events,
)  # fmt: skip


def broken(sale: Sale) -> list[str]:
    """What an audit finds broken. It looks only once, because no request is running in a test."""
    return [line for check in CHECKS for line in check(Scope.whole(sale.campaign))]


@contextmanager
def dropped(model: type[models.Model], name: str) -> Iterator[None]:
    """Drops a constraint. At the end, rows that break it are deleted and the constraint is added again."""
    constraints: Any = model._meta.constraints
    constraint = next(c for c in constraints if c.name == name)
    constraints.remove(constraint)
    with connection.schema_editor() as editor:
        editor.remove_constraint(model, constraint)
    try:
        yield
    finally:
        Refund.objects.all().delete()
        PaymentAttempt.objects.all().delete()
        Reservation.objects.all().delete()
        constraints.append(constraint)
        with connection.schema_editor() as editor:
            editor.add_constraint(model, constraint)


def wipe(port: int) -> None:
    """Erases the Redis on this port."""
    with redis.Redis(host="127.0.0.1", port=port) as inside:
        inside.flushall()


def recover(sale: Sale) -> None:
    """Does what each web process does within seconds: loads lost sales into Redis again and runs their ticks."""
    bridge.run(tick.mend_all())
    for _fills_then_tends in range(2):
        tend(sale)


def refused_by_the_gate(person: Shopper) -> Outcome:
    """The outcome of a refusal. Each connection to the old server may fail once before."""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        try:
            person.reserve()
        except GateDown:
            time.sleep(0.02)
            continue
        except Refused as refused:
            return refused.outcome
        break
    raise AssertionError("the gate still takes")


async def close_gate() -> None:
    """Closes the connections of this event loop, so that the next call connects again."""
    await gate().close()
    client._gates.pop(asyncio.get_running_loop(), None)


def lose_everything(gate: redis.Redis, sale: Sale) -> None:
    """Redis loses all keys, and the sale is loaded again from PostgreSQL."""
    gate.flushall()
    bridge.run(tick.mend_all())
    tend(sale)


def memory_of(gate: redis.Redis) -> dict[bytes, bytes]:
    """All that Redis has, for `put_back`."""
    kept = {key: gate.dump(key) for key in gate.scan_iter()}
    return {key: value for key, value in kept.items() if value}  # a key may expire between the two


def put_back(gate: redis.Redis, then: dict[bytes, bytes]) -> None:
    """Gives Redis an older memory under the same run id and replication id, as a snapshot of its machine does."""
    gate.flushall()
    for key, value in then.items():
        gate.restore(key, 0, value)


NAMES = ("ani", "budi", "cici", "dodi", "edi", "fitri")


def halfway(sale: Sale, people: list[Shopper]) -> dict[str, Any]:
    """The second half of a sale, which an older copy of Redis does not have: a hold, an order, a late entry."""
    order = sorted(people, key=lambda person: person.number())
    late = Shopper(sale, "late")
    late.enter()
    tend(sale)
    return {"held": order[1].reserve(), "bought": buy(order[2]), "late": late, "order": order}


def check(sale: Sale, people: list[Shopper], numbers: list[int], then: dict[str, Any]) -> None:
    """All that was acknowledged after the copy was made is there. Order, stock and limit are as before."""
    assert [person.number() for person in people] == numbers
    order = then["order"]
    again = order[1].reserve()
    assert (again.id, again.replayed) == (then["held"].id, True)
    assert Reservation.objects.get(pk=then["bought"].pk).state == "confirmed"
    with pytest.raises(Refused) as refused:
        order[2].reserve(key="another")
    assert refused.value.outcome is Outcome.PLACE_SPENT
    assert then["late"].look().index == then["late"].entry.index
    newcomer = Shopper(sale, "newcomer")
    assert newcomer.enter().index > then["late"].entry.index
    assert order[3].reserve().replayed is False
    assert in_gate(sale) == {"offered": 2, "held": 3, "sold": 1, "used": [1] * 8}
    assert broken(sale) == []
