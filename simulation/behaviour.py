"""What each kind of person does in a sale, from the lobby to the confirmed order."""

import asyncio
import random
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum

from simulation.client import now_ms
from simulation.journal import Answer
from simulation.line_watcher import LineWatcher
from simulation.people import Kind
from simulation.poco_campaign import OFFERS
from simulation.shopper import Items, Shopper

# More than the time in which a partner may still confirm: 1.4 s in the longest holds of a story.
LATE_BY_S = 3.0
OFFERS_TRIED = 4
# Number of names that a reseller uses.
ALIASES = 12
PRICES = {str(offer["sku"]): int(offer["price"]) for offer in OFFERS}


class Result(StrEnum):
    """How a sale ended for a person."""

    BOUGHT = "bought"
    EMPTY_HANDED = "got nothing"
    STOPPED = "refused"
    NO_SHOW = "did not come"
    EXPIRED = "let the hold expire"
    LAPSED = "came too late"
    FAILED = "got an unexpected answer"


@dataclass(frozen=True, slots=True)
class Delays:
    """The longest delays of people, in seconds: until they enter, from call to click, from hold to payment."""

    enter_s: float
    think_s: float
    pay_s: float


@dataclass(slots=True)
class Participant:
    """One person in one line, and the result. `make_alias` makes the same person again under another name."""

    shopper: Shopper
    watcher: LineWatcher
    delays: Delays
    rng: random.Random
    make_alias: Callable[[int], "Participant | None"] = lambda _: None
    result: Result = Result.FAILED
    refusal: str = ""
    index: int = 0
    reservation: str = ""
    # Proof (see Shopper), line and index.
    own_places: set[tuple[str, str, int]] = field(default_factory=set)

    @property
    def kind(self) -> Kind:
        """The kind of person."""
        return self.shopper.person.kind


async def attend(participant: Participant) -> Participant:
    """Plays the sale for one person, from entering to the result."""
    if participant.kind is Kind.LATE:
        await participant.watcher.opened.wait()
    await asyncio.sleep(participant.rng.uniform(0, participant.delays.enter_s))
    entered = await participant.shopper.enter()
    if not entered.ok:
        return _end_with(participant, Result.STOPPED, entered)
    participant.index = int(entered.body["index"])
    await _AFTER_ENTERING.get(participant.kind, _buy)(participant)
    return participant


async def _buy(participant: Participant) -> None:
    """Waits for the call, reserves and pays."""
    if not await _wait_for_call(participant):
        return
    reserved = await _reserve_something(participant)
    if reserved is not None:
        await _pay(participant, reserved)


async def _wait_for_call(participant: Participant) -> bool:
    await participant.watcher.drawn.wait()
    if not participant.watcher.document["seed"] or not await participant.watcher.wait_for_call(
        participant.watcher.number(participant.index), participant.rng
    ):
        participant.result = Result.EMPTY_HANDED
        return False
    await asyncio.sleep(participant.rng.uniform(0.05, participant.delays.think_s))
    view = await participant.shopper.look()
    if view.ok and view.body["state"] != "called":
        participant.result, participant.refusal = Result.LAPSED, str(view.body["state"])
        return False
    return True


async def _reserve_something(participant: Participant) -> Answer | None:
    """Tries the first choice, then other offers, because an offer that is sold out does not end the claim window."""
    skus = list(PRICES)
    participant.rng.shuffle(skus)
    answer = None
    for sku in skus[:OFFERS_TRIED]:
        answer = await _send_reserve(participant, [{"sku": sku, "quantity": 1}], key=_key(participant))
        if answer.ok:
            participant.reservation = str(answer.body["reservation"])
            return answer
        if answer.code != "offer_gone":
            break
    if answer is not None:
        _end_with(participant, _RESULT_BY_REFUSAL.get(answer.code, Result.FAILED), answer)
    return None


def _key(participant: Participant) -> str:
    return str(uuid.UUID(int=participant.rng.getrandbits(128), version=4))


async def _send_reserve(participant: Participant, items: Items, *, key: str) -> Answer:
    reserve = participant.shopper.reserve
    if participant.kind is Kind.DOUBLE:
        answers = await asyncio.gather(reserve(items=items, key=key), reserve(items=items, key=key))
        return next((answer for answer in answers if answer.ok), answers[0])
    answer = await reserve(items=items, key=key)
    if participant.kind is Kind.RETRIER and answer.ok:
        await asyncio.sleep(participant.rng.uniform(0.1, 0.6))
        answer = await reserve(items=items, key=key)
    return answer


async def _pay(participant: Participant, reserved: Answer) -> None:
    await asyncio.sleep(participant.rng.uniform(0.1, participant.delays.pay_s))
    price = int(reserved.body["amount"])
    confirmed = await _confirm(participant, price)
    deadline_ms = int(reserved.body["deadline"])
    if confirmed.ok:
        paid = await participant.shopper.pay(reservation=participant.reservation, deadline_ms=deadline_ms)
        participant.result = Result.BOUGHT if paid else Result.EXPIRED
    else:
        _end_with(participant, Result.EXPIRED if _came_too_late(confirmed) else Result.FAILED, confirmed)


def _came_too_late(refused: Answer) -> bool:
    """Whether the hold has expired, or ends before a payment by the chosen method could."""
    too_little = "too little time is left" in str(refused.body.get("detail"))
    return too_little or refused.code in {"expired", "not_held"}


async def _confirm(participant: Participant, price: int) -> Answer:
    confirm = participant.shopper.confirm
    if participant.kind is Kind.DOUBLE:
        answers = await asyncio.gather(*(confirm(reservation=participant.reservation, price=price) for _ in range(2)))
        return next((answer for answer in answers if answer.ok), answers[0])
    answer = await confirm(reservation=participant.reservation, price=price)
    if participant.kind is Kind.RETRIER and answer.ok:
        answer = await confirm(reservation=participant.reservation, price=price)
    return answer


async def _stay_away(participant: Participant) -> None:
    participant.result = Result.NO_SHOW


async def _reserve_too_early(participant: Participant) -> None:
    """Tries to reserve as soon as the line is drawn and open, before the call; then buys in turn."""
    await participant.watcher.drawn.wait()
    await participant.watcher.opened.wait()
    early = await participant.shopper.reserve(items=[{"sku": next(iter(PRICES)), "quantity": 1}], key=_key(participant))
    if early.ok:
        participant.reservation = str(early.body["reservation"])
        await _pay(participant, early)
    else:
        await _buy(participant)


async def _leave_and_return(participant: Participant) -> None:
    await participant.shopper.leave()
    back = await participant.shopper.enter()
    if not back.ok:
        _end_with(participant, Result.STOPPED, back)
        return
    participant.index = int(back.body["index"])
    await _buy(participant)


async def _hold_without_paying(participant: Participant) -> None:
    """Reserves, waits until the hold is over, and then tries to confirm."""
    if not await _wait_for_call(participant):
        return
    reserved = await _reserve_something(participant)
    if reserved is None:
        return
    held_s = (int(reserved.body["deadline"]) - now_ms()) / 1000
    await asyncio.sleep(max(0.0, held_s) + LATE_BY_S)
    late = await participant.shopper.confirm(reservation=participant.reservation, price=int(reserved.body["amount"]))
    _end_with(participant, Result.BOUGHT if late.ok else Result.EXPIRED, late)


async def _enter_under_many_names(participant: Participant) -> None:
    """Enters again under other names, then tries to buy with each place."""
    own_places = {(participant.shopper.proof, participant.shopper.line, participant.index): participant}
    for number in range(1, ALIASES):
        again = participant.make_alias(number)
        if again is None:
            continue
        entered = await again.shopper.enter()
        if entered.ok:
            again.index = int(entered.body["index"])
            own_places.setdefault((again.shopper.proof, again.shopper.line, again.index), again)
    participant.own_places = set(own_places)
    await asyncio.gather(*(_buy(place) for place in own_places.values()))


def _end_with(participant: Participant, end: Result, answer: Answer) -> Participant:
    participant.result, participant.refusal = end, answer.code
    return participant


_RESULT_BY_REFUSAL = {
    "sold_out": Result.EMPTY_HANDED,
    "offer_gone": Result.EMPTY_HANDED,
    "closed": Result.EMPTY_HANDED,
    "limit_reached": Result.STOPPED,
    "unpaid_twice": Result.STOPPED,
    "lapsed": Result.LAPSED,
    "place_spent": Result.LAPSED,
}
_AFTER_ENTERING: dict[Kind, Callable[[Participant], Awaitable[None]]] = {
    Kind.NO_SHOW: _stay_away,
    Kind.IMPATIENT: _reserve_too_early,
    Kind.LEAVER: _leave_and_return,
    Kind.HOLDER: _hold_without_paying,
    Kind.RESELLER: _enter_under_many_names,
}
