"""Sends one-time codes: queues a code at once, and hands it to a gateway in the background.

The process that accepts a code starts to send it at once. Every web process also looks for codes that are due once a
second, so that a code is sent although its process has died.

A code has a list of senders. It goes on to the next one when a sender refuses it, and when no report says within 30 s
that it was delivered. All senders send the same digits with the same validity. A gateway that does not answer may have
sent the code, so its message is not repeated: the code waits for the report, or for the 30 s.

What if the process dies here: before `code_queue.add`, the shopper has no answer, and the same request runs again.
After it, the code is due again when its lease ends, and another process sends it. But once a process has begun to call
the gateway, the gateway may have the message. Then it counts as unanswered and is not sent again by the same sender.
"""

import asyncio
import hmac
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

import structlog
from django.conf import settings

from flashsale.gate import code_queue, provider_pace
from flashsale.gate.client import GateCache, GateDown
from flashsale.life.places import keyring
from flashsale.providers import messages
from flashsale.providers.messages.base import Later, Message, NotSent, Report, Sender, Unanswered
from flashsale.rules import wall_clock
from flashsale.rules.identity import Axis
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.tokens import TokenRefused, code_digits

log = structlog.get_logger(__name__)
ADDRESS = "address of a code"
VALID_MS = 10 * 60 * 1000
FALLBACK_MS = 30_000
LATE_LEASE_MS = 5_000
# How often a code is tried with one sender. A try may fail because the sender takes no message now, cannot be reached,
# or because the process dies.
TRIES_MAX = 5
RETRY_S = 2.0
LATE_AT_ONCE = 200
RETRY_FULL_S = 20

# Of each event loop: how many codes a sender is sending, and the tasks that do it.
SENDING: GateCache[str, int] = GateCache()
TASKS: GateCache[asyncio.Task[None], None] = GateCache()


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a code is: waiting, sent, unanswered, delivered or failed, and by which senders.

    `next` is the sender that follows if this one does not deliver, and `next_ms` when it follows an unanswered one (ms
    since 1970, 0: not known). `is_final`: nothing more happens to the code.
    """

    state: str
    sender: str
    tried: tuple[str, ...] = ()
    next: str = ""
    is_final: bool = False
    next_ms: int = 0


async def accept(*, nonce: bytes, axis: Axis, to: str, sale: str, language: str) -> Standing:
    """Queues the code of this nonce and starts to send it. Refuses NOT_READY if its sender has too many waiting.

    Refuses FORBIDDEN if there is no sender to such an address. Raises GateDown.
    """
    senders = messages.senders_to(axis)
    if not senders:
        raise Refused(Outcome.FORBIDDEN, f"Codes are not sent to a {axis.value} here.")
    if await _is_over_budget(senders):
        raise Refused(Outcome.NOT_READY, "The day's budget for codes is used up.", RETRY_FULL_S)
    fields = {"axis": axis.value, "sale": sale, "language": language, "sealed": keyring().seal(ADDRESS, to.encode())}
    added = await code_queue.add(nonce.hex(), fields, senders=senders, valid_ms=VALID_MS, report_ms=FALLBACK_MS)
    if not added:
        raise Refused(Outcome.NOT_READY, "Too many codes are waiting.", RETRY_FULL_S)
    _start(_send_due(messages.SENDERS[senders[0]]))
    return Standing("waiting", senders[0], (), "".join(senders[1:2]))


async def standing(*, nonce: bytes) -> Standing | None:
    """How far the code of this nonce is; None if it is not valid any more. Raises GateDown."""
    code = await code_queue.read(nonce.hex())
    if code is None:
        return None
    following = "".join(code.senders[code.sender : code.sender + 1])
    reports = messages.SENDERS[code.sender_name].reports
    ended = (
        {"delivered", "failed"} | ({"sent"} if not reports else set()) | ({"unanswered"} if not following else set())
    )
    is_final = code.state in ended
    tried = code.senders[: code.sender - 1]
    next_ms = await code_queue.goes_on_at(nonce.hex()) if code.state == "unanswered" and following else 0
    return Standing(code.state, code.sender_name, tried, "" if is_final else following, is_final, next_ms)


async def send_all_due() -> None:
    """Starts to send the codes that are due, and lets those that wait too long go on. Raises GateDown."""
    await go_on()
    for name in dict.fromkeys((*messages.senders_to(Axis.PHONE), *messages.senders_to(Axis.EMAIL))):
        await _send_due(messages.SENDERS[name])


async def go_on() -> None:
    """Lets the codes that no report has come for in time go on to their next sender. Raises GateDown."""
    for id_ in await code_queue.take_late(most=LATE_AT_ONCE, lease_ms=LATE_LEASE_MS):
        code = await code_queue.read(id_)
        if code is None:
            await code_queue.leave_waiting(id_)
        else:
            await _apply(id_, code, code.sender, "late")


async def receive(*, sender: str, reports: list[Report]) -> int:
    """Applies the reports of a gateway; returns how many are about codes of ours. Raises GateDown."""
    known = 0
    for report in reports:
        digest, early = _digest(sender, report.reference), f"early {report.event}"
        noted = await code_queue.reference(digest)
        if not noted or noted.startswith("early "):
            noted = await code_queue.note_reference(digest, early, keep_ms=VALID_MS)
        if noted and not noted.startswith("early "):
            known += await _apply_report(noted, report)
    return known


async def _apply_report(noted: str, report: Report) -> int:
    at, _, id_ = noted.partition(" ")
    code = await code_queue.read(id_)
    if code is None:
        return 0
    if report.event == "failed":
        log.warning("code_not_delivered", sender=code.senders[int(at) - 1], why=report.why)
    await _apply(id_, code, int(at), report.event)
    return 1


async def _send_due(sender: Sender) -> None:
    """Takes as many codes of the sender as this process may send at once, each as a task of its own."""
    sending = SENDING.entries()
    # No more than two seconds of the gateway's pace, so that other processes get turns, too.
    most = min(sender.at_once, max(1, round(2 * sender.pace))) if sender.pace else sender.at_once
    free = most - sending.get(sender.name, 0)
    if free <= 0:
        return
    sending[sender.name] = most
    taken: list[str] = []
    try:
        taken = await code_queue.take(sender.name, most=free, lease_ms=round(sender.lease_s * 1000))
    finally:
        sending[sender.name] -= free - len(taken)
    for id_ in taken:
        _start(_send_one(sender, id_))


async def _send_one(sender: Sender, id_: str) -> None:
    try:
        await _try_to_send(sender, id_)
    finally:
        SENDING.entries()[sender.name] -= 1
    await _send_due(sender)


async def _try_to_send(sender: Sender, id_: str) -> None:
    code = await code_queue.read(id_)
    if code is None or code.sender_name != sender.name or not code.sealed:
        await code_queue.leave(sender.name, id_)
        return
    now = await code_queue.apply(id_, code, sender=code.sender, event="try", ms=FALLBACK_MS)
    if (now.state, now.sender) != ("waiting", code.sender):
        # It was delivered meanwhile, or a process died in the call, so that the gateway may have sent it.
        log.warning("code_not_sent_again", sender=sender.name, state=now.state)
    elif now.tries > TRIES_MAX or not await _may_spend(sender):
        await _apply(id_, code, code.sender, "failed")
    else:
        await _call(sender, id_, code, now.tries)


async def _call(sender: Sender, id_: str, code: code_queue.QueuedCode, tries: int) -> None:
    at = code.sender
    try:
        message = _open(id_, code)
        await _wait_for_turn(sender, id_, code)
        await code_queue.apply(id_, code, sender=at, event="call")
        reference = await sender.send(message)
    except Later as error:
        await _later(id_, code, error.after_s * tries)
    except NotSent as error:
        (log.error if error.refuses_us else log.warning)("code_not_sent", sender=sender.name, why=error.why)
        # The next sender is faster than another try. The last one has no next.
        if error.may_pass and at == len(code.senders):
            await _later(id_, code, RETRY_S * tries)
        else:
            await _apply(id_, code, at, "failed")
    except TokenRefused:
        log.warning("code_not_sent", sender=sender.name, why="sealed with another key")
        await _apply(id_, code, at, "failed")
    except Unanswered as error:
        log.warning("code_unanswered", sender=sender.name, why=str(error))
        await _apply(id_, code, at, "unanswered")
    else:
        await _apply(id_, code, at, "sent")
        if reference:
            await _note(sender, reference, id_, code)


async def _later(id_: str, code: code_queue.QueuedCode, after_s: float) -> None:
    await code_queue.apply(id_, code, sender=code.sender, event="later", ms=round(after_s * 1000))


async def _wait_for_turn(sender: Sender, id_: str, code: code_queue.QueuedCode) -> None:
    if not sender.pace:
        return
    wait_s = await provider_pace.next_turn(f"codes {sender.name}", pace=sender.pace)
    if wait_s > 1:
        # The lease begins at the turn, so that no other process sends the message meanwhile.
        await _later(id_, code, wait_s + sender.lease_s)
    await asyncio.sleep(wait_s)


async def _note(sender: Sender, reference: str, id_: str, code: code_queue.QueuedCode) -> None:
    """Notes what reports about this message are about, and applies one that has come before."""
    before = await code_queue.note_reference(_digest(sender.name, reference), f"{code.sender} {id_}", keep_ms=VALID_MS)
    if before.startswith("early "):
        await _apply(id_, code, code.sender, before.removeprefix("early "))


async def _apply(id_: str, code: code_queue.QueuedCode, at: int, event: str) -> None:
    """Applies an event to a code in its sender `at`. If the code goes on by that, starts to send it."""
    waits = event != "sent" or messages.SENDERS[code.senders[at - 1]].reports
    now = await code_queue.apply(id_, code, sender=at, event=event, ms=FALLBACK_MS if waits else 0)
    if now.state == "waiting" and now.sender > at:
        _start(_send_due(messages.SENDERS[code.senders[now.sender - 1]]))


def _open(id_: str, code: code_queue.QueuedCode) -> Message:
    to = keyring().open(ADDRESS, code.sealed).decode()
    digits = code_digits(settings.FLASHSALE_PEPPER, bytes.fromhex(id_))
    return Message(axis=code.axis, to=to, code=digits, sale=code.sale, language=code.language)


async def _is_over_budget(senders: tuple[str, ...]) -> bool:
    budget = settings.FLASHSALE_CODES_MONEY_PER_DAY
    priced = any(settings.FLASHSALE_CODE_PRICES.get(name) for name in senders)
    return bool(budget and priced and await code_queue.spend(_day(), 0) >= budget)


async def _may_spend(sender: Sender) -> bool:
    """Counts the price of a message against the day's budget; logs an alarm at four fifths of it, and at its end."""
    budget, price = settings.FLASHSALE_CODES_MONEY_PER_DAY, settings.FLASHSALE_CODE_PRICES.get(sender.name, 0)
    if not price:
        return True
    total = await code_queue.spend(_day(), price)
    if budget and any(total - price <= bound < total for bound in (budget * 4 // 5, budget)):
        log.error("codes_money", asked=total, budget=budget, setting="FLASHSALE_CODES_MONEY_PER_DAY")
    return not budget or total <= budget


def _day() -> str:
    return wall_clock.now().strftime("%Y%m%d")


def _digest(sender: str, reference: str) -> str:
    # Meta's references have the person's number in them, so Redis gets a keyed hash.
    text = f"code report/{sender}/{reference}"
    return hmac.digest(settings.FLASHSALE_PEPPER, text.encode(errors="replace"), "sha256").hex()


def _start(work: Coroutine[Any, Any, None]) -> None:
    """Runs the work in the background. The event loop itself keeps only a weak reference to a task."""
    tasks = TASKS.entries()
    task = asyncio.get_running_loop().create_task(_logged(work))
    tasks[task] = None
    task.add_done_callback(lambda done: tasks.pop(done, None))


async def _logged(work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except GateDown as error:
        log.warning("a code is sent later, because Redis does not answer", error=str(error)[:80])
