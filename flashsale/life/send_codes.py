"""Sends one-time codes: accepts one in microseconds, and hands it to a gateway in the background.

The process that accepts a code starts to send it at once. Every web process also looks for codes that are due once a
second, so that a code is sent although its process has died.

A code has a list of channels. It goes on to the next one when a channel refuses it, and when no report says within 30 s
that it was delivered. All channels send the same digits with the same validity. A gateway that does not answer may have
sent the code, so its message is not repeated: the code waits for the report, or for the 30 s.

What if the process dies here: before `code_queue.add`, the shopper has no answer, and the same request runs again.
After it, the code is due again when its lease ends, and another process sends it. If the gateway had taken it already,
the person gets the same digits twice.
"""

import asyncio
import hmac
from collections.abc import Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog
from django.conf import settings

from flashsale.gate import code_queue, provider_pace
from flashsale.gate.client import GateCache, GateDown
from flashsale.life.places import keyring
from flashsale.providers import messages
from flashsale.providers.messages.base import Channel, Later, Message, NotSent, Report, Unanswered
from flashsale.rules.identity import Axis
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.tokens import TokenRefused, code_digits

log = structlog.get_logger(__name__)
ADDRESS = "address of a code"
VALID_MS = 10 * 60 * 1000
FALLBACK_MS = 30_000
LATE_LEASE_MS = 5_000
# A channel has so many tries: it takes no message now, it cannot be reached, or the process died each time.
TRIES_MAX = 5
RETRY_S = 2.0
LATE_AT_ONCE = 200
RETRY_FULL_S = 20

# Of each event loop: how many codes a channel is sending, and the tasks that do it.
SENDING: GateCache[str, int] = GateCache()
TASKS: GateCache[asyncio.Task[None], None] = GateCache()


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a code stands: waiting, sent, unanswered, delivered or failed, and by which channels.

    `next` is the channel that follows if this one does not deliver. `is_final`: nothing more happens to the code.
    """

    state: str
    channel: str
    tried: tuple[str, ...] = ()
    next: str = ""
    is_final: bool = False


async def accept(*, nonce: bytes, axis: Axis, to: str, sale: str, language: str) -> Standing:
    """Queues the code of this nonce and starts to send it. Refuses NOT_READY if its channel has too many waiting.

    Refuses FORBIDDEN if there is no channel to such an address. Raises GateDown.
    """
    channels = messages.channels_to(axis)
    if not channels:
        raise Refused(Outcome.FORBIDDEN, f"Codes are not sent to a {axis.value} here.")
    if await _is_over_budget(channels):
        raise Refused(Outcome.NOT_READY, "The day's budget for codes is used up.", RETRY_FULL_S)
    fields = {"axis": axis.value, "sale": sale, "language": language, "sealed": keyring().seal(ADDRESS, to.encode())}
    added = await code_queue.add(nonce.hex(), fields, channels=channels, valid_ms=VALID_MS, report_ms=FALLBACK_MS)
    if not added:
        raise Refused(Outcome.NOT_READY, "Too many codes are waiting.", RETRY_FULL_S)
    _start(_send_due(messages.CHANNELS[channels[0]]))
    return Standing("waiting", channels[0], (), "".join(channels[1:2]))


async def standing(*, nonce: bytes) -> Standing | None:
    """Where the code of this nonce stands; None if it is not valid any more. Raises GateDown."""
    code = await code_queue.read(nonce.hex())
    if code is None:
        return None
    following = "".join(code.channels[code.channel : code.channel + 1])
    reports = messages.CHANNELS[code.channel_name].reports
    ended = (
        {"delivered", "failed"} | ({"sent"} if not reports else set()) | ({"unanswered"} if not following else set())
    )
    is_final = code.state in ended
    tried = code.channels[: code.channel - 1]
    return Standing(code.state, code.channel_name, tried, "" if is_final else following, is_final)


async def send_all_due() -> None:
    """Starts to send the codes that are due, and lets those that wait too long go on. Raises GateDown."""
    await go_on()
    for name in dict.fromkeys((*messages.channels_to(Axis.PHONE), *messages.channels_to(Axis.EMAIL))):
        await _send_due(messages.CHANNELS[name])


async def go_on() -> None:
    """Lets the codes that no report has come for in time go on to their next channel. Raises GateDown."""
    for id_ in await code_queue.take_late(most=LATE_AT_ONCE, lease_ms=LATE_LEASE_MS):
        code = await code_queue.read(id_)
        if code is None:
            await code_queue.leave_waiting(id_)
        else:
            await _apply(id_, code, code.channel, "late")


async def receive(*, channel: str, reports: list[Report]) -> int:
    """Applies the reports of a gateway; returns how many are about codes of ours. Raises GateDown."""
    known = 0
    for report in reports:
        digest, early = _digest(channel, report.reference), f"early {report.event}"
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
        log.warning("code_not_delivered", channel=code.channels[int(at) - 1], why=report.why)
    await _apply(id_, code, int(at), report.event)
    return 1


async def _send_due(channel: Channel) -> None:
    """Takes as many codes of the channel as this process may send at once, each as a task of its own."""
    sending = SENDING.entries()
    # No more than two seconds of the gateway's pace, so that other processes get turns, too.
    most = min(channel.at_once, max(1, round(2 * channel.pace))) if channel.pace else channel.at_once
    free = most - sending.get(channel.name, 0)
    if free <= 0:
        return
    sending[channel.name] = most
    taken: list[str] = []
    try:
        taken = await code_queue.take(channel.name, most=free, lease_ms=round(channel.lease_s * 1000))
    finally:
        sending[channel.name] -= free - len(taken)
    for id_ in taken:
        _start(_send_one(channel, id_))


async def _send_one(channel: Channel, id_: str) -> None:
    try:
        await _try_to_send(channel, id_)
    finally:
        SENDING.entries()[channel.name] -= 1
    await _send_due(channel)


async def _try_to_send(channel: Channel, id_: str) -> None:
    code = await code_queue.read(id_)
    if code is None or code.channel_name != channel.name or not code.sealed:
        await code_queue.leave(channel.name, id_)
        return
    at = code.channel
    tries = (await code_queue.apply(id_, code, channel=at, event="try")).tries
    if tries > TRIES_MAX or not await _may_spend(channel):
        await _apply(id_, code, at, "failed")
        return
    try:
        message = _open(id_, code)
        await _wait_for_turn(channel, id_, code)
        reference = await channel.send(message)
    except Later as error:
        await _later(id_, code, error.after_s * tries)
    except NotSent as error:
        (log.error if error.refuses_us else log.warning)("code_not_sent", channel=channel.name, why=error.why)
        # The next channel is faster than another try. The last one has no next.
        if error.may_pass and at == len(code.channels):
            await _later(id_, code, RETRY_S * tries)
        else:
            await _apply(id_, code, at, "failed")
    except TokenRefused:
        log.warning("code_not_sent", channel=channel.name, why="sealed with another key")
        await _apply(id_, code, at, "failed")
    except Unanswered as error:
        log.warning("code_unanswered", channel=channel.name, why=str(error))
        await _apply(id_, code, at, "unanswered")
    else:
        await _apply(id_, code, at, "sent")
        if reference:
            await _note(channel, reference, id_, code)


async def _later(id_: str, code: code_queue.QueuedCode, after_s: float) -> None:
    await code_queue.apply(id_, code, channel=code.channel, event="later", ms=round(after_s * 1000))


async def _wait_for_turn(channel: Channel, id_: str, code: code_queue.QueuedCode) -> None:
    if not channel.pace:
        return
    wait_s = await provider_pace.next_turn(f"codes {channel.name}", pace=channel.pace)
    if wait_s > 1:
        # The lease begins at the turn, so that no other process sends the message meanwhile.
        await _later(id_, code, wait_s + channel.lease_s)
    await asyncio.sleep(wait_s)


async def _note(channel: Channel, reference: str, id_: str, code: code_queue.QueuedCode) -> None:
    """Notes what reports about this message are about, and applies one that has come before."""
    before = await code_queue.note_reference(
        _digest(channel.name, reference), f"{code.channel} {id_}", keep_ms=VALID_MS
    )
    if before.startswith("early "):
        await _apply(id_, code, code.channel, before.removeprefix("early "))


async def _apply(id_: str, code: code_queue.QueuedCode, at: int, event: str) -> None:
    """Applies an event to a code in its channel `at`. If the code goes on by that, starts to send it."""
    waits = event != "sent" or messages.CHANNELS[code.channels[at - 1]].reports
    now = await code_queue.apply(id_, code, channel=at, event=event, ms=FALLBACK_MS if waits else 0)
    if now.state == "waiting" and now.channel > at:
        _start(_send_due(messages.CHANNELS[code.channels[now.channel - 1]]))


def _open(id_: str, code: code_queue.QueuedCode) -> Message:
    to = keyring().open(ADDRESS, code.sealed).decode()
    digits = code_digits(settings.FLASHSALE_PEPPER, bytes.fromhex(id_))
    return Message(axis=code.axis, to=to, code=digits, sale=code.sale, language=code.language)


async def _is_over_budget(channels: tuple[str, ...]) -> bool:
    budget = settings.FLASHSALE_CODES_MONEY_PER_DAY
    priced = any(settings.FLASHSALE_CODE_PRICES.get(name) for name in channels)
    return bool(budget and priced and await code_queue.spend(_day(), 0) >= budget)


async def _may_spend(channel: Channel) -> bool:
    """Counts the price of a message against the day's budget; logs an alarm at four fifths of it, and at its end."""
    budget, price = settings.FLASHSALE_CODES_MONEY_PER_DAY, settings.FLASHSALE_CODE_PRICES.get(channel.name, 0)
    if not price:
        return True
    total = await code_queue.spend(_day(), price)
    if budget and any(total - price <= bound < total for bound in (budget * 4 // 5, budget)):
        log.error("codes_money", asked=total, budget=budget, setting="FLASHSALE_CODES_MONEY_PER_DAY")
    return not budget or total <= budget


def _day() -> str:
    return datetime.now(UTC).strftime("%Y%m%d")


def _digest(channel: str, reference: str) -> str:
    # Meta's references have the person's number in them, so Redis gets a keyed hash.
    text = f"code report/{channel}/{reference}"
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
