"""A model of two buyers and one unit. It is so small that a test can try all orders of events.

Both buyers are called. Each can reserve and send that again, confirm with an instrument that pays at once or later, pay
in the app of their bank, get a notification that the payment succeeded, miss the deadline, release and cancel. The
reaper and the sweep can run at any moment. The model follows the promises. It uses no line of the code that it tests.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

Step = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Buyer:
    """One buyer: states of reservation, payment and charge at the bank. `late`: the deadline has passed."""

    held: str = ""  # held, confirmed, expired, released, cancelled
    late: bool = False
    payment: str = ""  # started, paid, declined, refund_due, refunded
    bank: str = ""  # pending, paid, declined
    sent_back: bool = False

    @property
    def ended(self) -> bool:
        return self.held in {"expired", "released", "cancelled"}


@dataclass(frozen=True, slots=True)
class World:
    """Both buyers, and which of them started to pay first. The sale is running all the time."""

    buyers: tuple[Buyer, Buyer] = (Buyer(), Buyer())
    first: int = -1

    @property
    def free(self) -> bool:
        return not any(buyer.held in {"held", "confirmed"} for buyer in self.buyers)

    def put(self, who: int, **changes: Any) -> "World":
        changed = replace(self.buyers[who], **changes)
        return replace(self, buyers=(changed, self.buyers[1]) if who == 0 else (self.buyers[0], changed))


def possible(world: World) -> Iterator[Step]:
    """All steps that are possible now."""
    for who, buyer in enumerate(world.buyers):
        yield "reserve", who
        if buyer.held:
            yield from (("confirm", who), ("confirm later", who), ("release", who), ("cancel", who))
        if buyer.held == "held" and not buyer.late:
            yield "late", who
        if buyer.bank == "pending":
            yield "pay", who
        if buyer.bank == "paid":
            yield "notify", who
    yield from (("reap", 0), ("sweep", 0))


def after(world: World, step: Step) -> tuple[World, str]:
    """The world after a step, and the answer; None for a step that no request made."""
    what, who = step
    return RULES[what](world, who)


def _reserve(world: World, who: int) -> tuple[World, str]:
    buyer = world.buyers[who]
    if buyer.held:
        return world, "expired" if buyer.ended else "reserved"
    return (world.put(who, held="held"), "reserved") if world.free else (world, "sold_out")


def _confirm(world: World, who: int) -> tuple[World, str]:
    return _pay(world, who, "paid")


def _confirm_later(world: World, who: int) -> tuple[World, str]:
    return _pay(world, who, "pending")


def _pay(world: World, who: int, instrument: str) -> tuple[World, str]:
    buyer = world.buyers[who]
    if buyer.held == "confirmed":
        return world, "confirmed"
    if buyer.ended or buyer.late:
        if buyer.payment != "started":
            return world, "expired" if buyer.held in {"held", "expired"} else "not_held"
        # An ended hold takes no new money. Money that came counts; a charge that is still open is closed.
        world = _settle(_close(world, who), who)
        if world.buyers[who].held == "confirmed":
            return world, "confirmed"
        return _send_back(world, who), "expired"
    if not buyer.payment:
        world = replace(world, first=who) if world.first < 0 else world
        # One reference has one answer, also with another instrument.
        world = world.put(who, payment="started", bank=instrument)
    if world.buyers[who].bank == "pending":
        return world, "held"
    return _settle(world, who), "confirmed"


def _close(world: World, who: int) -> World:
    return world if world.buyers[who].bank == "paid" else world.put(who, bank="declined")


def _settle(world: World, who: int) -> World:
    """Applies the result of the bank, once."""
    buyer, other = world.buyers[who], world.buyers[1 - who]
    if buyer.payment != "started":
        return world
    if buyer.bank != "paid":
        return world.put(who, payment="declined")
    # Late money buys the unit if it is free and the other buyer, who is called, cannot claim it any more.
    late = buyer.held == "expired" and world.free and other.held
    if buyer.held == "held" or late:
        return world.put(who, held="confirmed", late=False, payment="paid")
    return world.put(who, payment="refund_due")


def _send_back(world: World, who: int) -> World:
    due = world.buyers[who].payment == "refund_due"
    return world.put(who, payment="refunded", sent_back=True) if due else world


def _pay_in_app(world: World, who: int) -> tuple[World, str]:
    return world.put(who, bank="paid"), ""


def _notify(world: World, who: int) -> tuple[World, str]:
    world = _settle(world, who)
    return world, world.buyers[who].payment


def _late(world: World, who: int) -> tuple[World, str]:
    return world.put(who, late=True), ""


def _release(world: World, who: int) -> tuple[World, str]:
    if world.buyers[who].held in {"held", "released"}:
        return world.put(who, held="released", late=False), "released"
    return world, "not_held"


def _cancel(world: World, who: int) -> tuple[World, str]:
    buyer = world.buyers[who]
    if buyer.held == "confirmed":
        return world.put(who, held="cancelled", payment="refund_due"), "cancelled"
    return world, "cancelled" if buyer.held == "cancelled" else "not_cancellable"


def _reap(world: World, _: int) -> tuple[World, str]:
    for who, buyer in enumerate(world.buyers):
        if buyer.held == "held" and buyer.late:
            world = world.put(who, held="expired", late=False)
    return world, ""


def _sweep(world: World, _: int) -> tuple[World, str]:
    order = (1, 0) if world.first == 1 else (0, 1)
    for who in order:
        if world.buyers[who].ended and world.buyers[who].payment == "started":
            world = _settle(_close(world, who), who)
    for who in order:
        world = _send_back(world, who)
    return world, ""


RULES = {
    "reserve": _reserve, "confirm": _confirm, "confirm later": _confirm_later, "pay": _pay_in_app,
    "notify": _notify, "late": _late, "release": _release, "cancel": _cancel, "reap": _reap, "sweep": _sweep,
}  # fmt: skip


def mirrored(world: World) -> World:
    """The same world with the two buyers exchanged. The rules are the same for both."""
    first = world.first if world.first < 0 else 1 - world.first
    return World((world.buyers[1], world.buyers[0]), first)


def explore(depth: int | None = None) -> dict[World, int]:
    """All worlds that at most `depth` steps reach, without mirrored ones, each with its number of steps."""
    found = {World(): 0}
    waiting = deque(found)
    while waiting:
        world = waiting.popleft()
        if depth is not None and found[world] >= depth:
            continue
        for step in possible(world):
            then, _ = after(world, step)
            if then not in found and mirrored(then) not in found:
                found[then] = found[world] + 1
                waiting.append(then)
    return found


def walks(depth: int) -> Iterator[list[Step]]:
    """Lists of steps that together take each possible step in each world that fewer than `depth` steps reach."""
    inside = explore(depth - 1)
    left = {world: list(possible(world)) for world in inside}
    ways = _ways(inside)
    while any(left.values()):
        world = min((w for w in left if left[w]), key=lambda w: inside[w])
        walk = list(ways[world])
        while left.get(world):
            walk.append(left[world].pop())
            world, _ = after(world, walk[-1])
        yield walk


def _ways(inside: dict[World, int]) -> dict[World, tuple[Step, ...]]:
    """A shortest list of steps to each world."""
    ways: dict[World, tuple[Step, ...]] = {World(): ()}
    waiting = deque(ways)
    while waiting:
        world = waiting.popleft()
        for step in possible(world):
            then, _ = after(world, step)
            if then in inside and then not in ways:
                ways[then] = (*ways[world], step)
                waiting.append(then)
    return ways
