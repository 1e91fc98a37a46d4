"""What each kind of person does at a sale, from the lobby to the confirmed order."""

import asyncio
import random
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum

from simulation.client import now_ms
from simulation.journal import Answer
from simulation.people import Kind
from simulation.poco_campaign import OFFERS
from simulation.shopper import Items, Shopper
from simulation.watch import Watch

LATE_S = 1.5
TRIES = 4
# Under so many names a reseller comes.
NAMES = 12
PRICES = {str(offer["sku"]): int(offer["price"]) for offer in OFFERS}


class End(StrEnum):
    """How a sale ended for somebody."""

    BOUGHT = "bought"
    EMPTY_HANDED = "empty-handed"
    STOPPED = "stopped at the door"
    NO_SHOW = "did not come"
    EXPIRED = "let the hold expire"
    LAPSED = "came too late"
    FAILED = "met an unexpected answer"


@dataclass(frozen=True, slots=True)
class Tempo:
    """How fast people are, in seconds: until they enter, from call to click, from hold to payment."""

    enter_s: float
    think_s: float
    pay_s: float


@dataclass(slots=True)
class Visit:
    """One person at one line, and what came of it. `more` opens further doors for somebody with several names."""

    shopper: Shopper
    watch: Watch
    tempo: Tempo
    luck: random.Random
    more: Callable[[int], "Visit | None"] = lambda _: None
    end: End = End.FAILED
    why: str = ""
    index: int = 0
    reservation: str = ""
    fresh: set[tuple[str, int]] = field(default_factory=set)

    @property
    def kind(self) -> Kind:
        """What kind of person this is."""
        return self.shopper.person.kind


async def attend(visit: Visit) -> Visit:
    """Live through the sale."""
    if visit.kind is Kind.LATE:
        await visit.watch.opened.wait()
    await asyncio.sleep(visit.luck.uniform(0, visit.tempo.enter_s))
    entered = await visit.shopper.enter()
    if not entered.ok:
        return _ended(visit, End.STOPPED, entered)
    visit.index = int(entered.body["index"])
    await _AFTER_ENTERING.get(visit.kind, _buy)(visit)
    return visit


async def _buy(visit: Visit) -> None:
    """Wait, be called, reserve, pay."""
    if not await _called(visit):
        return
    reserved = await _reserve(visit)
    if reserved is not None:
        await _pay(visit, reserved)


async def _called(visit: Visit) -> bool:
    await visit.watch.drawn.wait()
    if not visit.watch.document["seed"] or not await visit.watch.reached(visit.watch.number(visit.index)):
        visit.end = End.EMPTY_HANDED
        return False
    await asyncio.sleep(visit.luck.uniform(0.05, visit.tempo.think_s))
    seen = await visit.shopper.look()
    if seen.ok and seen.body["state"] != "called":
        visit.end, visit.why = End.LAPSED, str(seen.body["state"])
        return False
    return True


async def _reserve(visit: Visit) -> Answer | None:
    """The first choice, then what is left: an offer that is gone costs nobody the claim."""
    wishes = list(PRICES)
    visit.luck.shuffle(wishes)
    answer = None
    for sku in wishes[:TRIES]:
        answer = await _ask(visit, [{"sku": sku, "quantity": 1}], key=_key(visit))
        if answer.ok:
            visit.reservation = str(answer.body["reservation"])
            return answer
        if answer.code != "offer_gone":
            break
    if answer is not None:
        _ended(visit, _REFUSED.get(answer.code, End.FAILED), answer)
    return None


def _key(visit: Visit) -> str:
    return str(uuid.UUID(int=visit.luck.getrandbits(128), version=4))


async def _ask(visit: Visit, items: Items, *, key: str) -> Answer:
    reserve = visit.shopper.reserve
    if visit.kind is Kind.DOUBLE:
        answers = await asyncio.gather(reserve(items=items, key=key), reserve(items=items, key=key))
        return next((answer for answer in answers if answer.ok), answers[0])
    answer = await reserve(items=items, key=key)
    if visit.kind is Kind.RETRIER and answer.ok:
        await asyncio.sleep(visit.luck.uniform(0.1, 0.6))
        answer = await reserve(items=items, key=key)
    return answer


async def _pay(visit: Visit, reserved: Answer) -> None:
    await asyncio.sleep(visit.luck.uniform(0.1, visit.tempo.pay_s))
    price = int(reserved.body["amount"])
    confirmed = await _confirm(visit, price)
    if confirmed.ok:
        visit.end = End.BOUGHT
    else:
        _ended(visit, End.EXPIRED if confirmed.code in {"expired", "not_held"} else End.FAILED, confirmed)


async def _confirm(visit: Visit, price: int) -> Answer:
    confirm = visit.shopper.confirm
    if visit.kind is Kind.DOUBLE:
        answers = await asyncio.gather(*(confirm(reservation=visit.reservation, price=price) for _ in range(2)))
        return next((answer for answer in answers if answer.ok), answers[0])
    answer = await confirm(reservation=visit.reservation, price=price)
    if visit.kind is Kind.RETRIER and answer.ok:
        answer = await confirm(reservation=visit.reservation, price=price)
    return answer


async def _stay_away(visit: Visit) -> None:
    visit.end = End.NO_SHOW


async def _push_in(visit: Visit) -> None:
    """As soon as the line is open, and long before one's turn."""
    await visit.watch.drawn.wait()
    early = await visit.shopper.reserve(items=[{"sku": next(iter(PRICES)), "quantity": 1}], key=_key(visit))
    if early.ok:
        visit.reservation = str(early.body["reservation"])
        await _pay(visit, early)
    else:
        await _buy(visit)


async def _change_ones_mind(visit: Visit) -> None:
    await visit.shopper.leave()
    back = await visit.shopper.enter()
    if not back.ok:
        _ended(visit, End.STOPPED, back)
        return
    visit.index = int(back.body["index"])
    await _buy(visit)


async def _hold(visit: Visit) -> None:
    """Reserve, do nothing, and try to confirm when it is too late."""
    if not await _called(visit):
        return
    reserved = await _reserve(visit)
    if reserved is None:
        return
    held_s = (int(reserved.body["deadline"]) - now_ms()) / 1000
    await asyncio.sleep(max(0.0, held_s) + LATE_S)
    late = await visit.shopper.confirm(reservation=visit.reservation, price=int(reserved.body["amount"]))
    _ended(visit, End.BOUGHT if late.ok else End.EXPIRED, late)


async def _resell(visit: Visit) -> None:
    """Enter again and again under other names, then buy with every place got."""
    places = {(visit.shopper.line, visit.index): visit}
    for number in range(1, NAMES):
        again = visit.more(number)
        if again is None:
            continue
        entered = await again.shopper.enter()
        if entered.ok:
            again.index = int(entered.body["index"])
            places.setdefault((again.shopper.line, again.index), again)
    visit.fresh = set(places)
    await asyncio.gather(*(_buy(place) for place in places.values()))


def _ended(visit: Visit, end: End, answer: Answer) -> Visit:
    visit.end, visit.why = end, answer.code
    return visit


_REFUSED = {
    "sold_out": End.EMPTY_HANDED,
    "offer_gone": End.EMPTY_HANDED,
    "closed": End.EMPTY_HANDED,
    "limit_reached": End.STOPPED,
    "unpaid_twice": End.STOPPED,
    "lapsed": End.LAPSED,
    "place_spent": End.LAPSED,
}
_AFTER_ENTERING: dict[Kind, Callable[[Visit], Awaitable[None]]] = {
    Kind.NO_SHOW: _stay_away,
    Kind.IMPATIENT: _push_in,
    Kind.LEAVER: _change_ones_mind,
    Kind.HOLDER: _hold,
    Kind.RESELLER: _resell,
}
