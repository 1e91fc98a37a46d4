"""Deliver: sends the events of each channel to its webhooks, at least once and in the order of each reservation.

How this works. A webhook has a cursor. `_spread` makes a delivery of each event between the cursor and the horizon, and
moves the cursor in the same transaction. So the sale does nothing for webhooks, and no event is left out.

Then each webhook that has something due gets a lane. A lane leases its webhook, so that one process at a time sends to
it. It works in rounds: it reads deliveries that are due, sends many at once within PACE, and notes the answers in one
transaction. Of each subject, such as a reservation, a round has only the first delivery that is not done. If the
process dies before the answers are noted, the lease ends, and the same messages go out again with the same ids.

A receiver that takes nothing in a round is left alone for a while, which grows, and then gets one message at a time. So
it costs little, and a slow one holds up only its own lane. The Celery task waits for the lanes a short time and leaves
them to the event loop of its process.
"""

import asyncio
import json
import random
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import structlog
from cryptography.fernet import InvalidToken
from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from flashsale import metrics
from flashsale.books.events import horizon
from flashsale.books.rows import update
from flashsale.life.db_threads import run_in_db_thread
from flashsale.life.erase_person import erased_since
from flashsale.life.events import ChannelEvent, events_between, events_by_id
from flashsale.models import Campaign, Delivery, Record, Webhook
from flashsale.providers.webhooks import Answer, Receiver
from flashsale.rules import wall_clock
from flashsale.rules.states import DeliveryFailure, DeliveryState, WebhookOff
from flashsale.rules.webhooks import GIVE_UP_AFTER, TEST_TYPE, pause_after, retry_delay, signatures

log = structlog.get_logger(__name__)

# Events that become deliveries in one transaction.
SPREAD = 500
# Messages a second to one webhook, and how many are open at a time: before its first answer, and after it.
PACE = 100.0
# To one of a test channel, because its events cost nothing, and a message may go to any host.
PACE_OF_TESTS = 10.0
FIRST_CALLS, OPEN_CALLS = 8, 16
ROUND, ROUND_S = 100, 5.0
WORK_FOR_S, WAIT_S = 20.0, 3.0
# Longer than a round and the answer of its last message.
LEASE = timedelta(seconds=30)
# After so many failures without a success, a round ends.
DOWN_MAX = 8
GONE = 410


async def deliver_due(*, wait_s: float | None = WAIT_S) -> int:
    """Begins to send what is due, and waits up to `wait_s` for it (None: until it is sent). Returns how many lanes.

    Safe to repeat and to run in parallel.
    """
    begun = [
        asyncio.create_task(_run(webhook, lease), name=f"webhook {webhook}")
        for webhook, lease in await run_in_db_thread(_claim_due)
    ]
    _running.update(begun)
    for task in begun:
        task.add_done_callback(_end)
    if begun:
        await asyncio.wait(begun, timeout=wait_s)
    return len(begun)


# The event loop has only weak references to its tasks.
_running: set["asyncio.Task[None]"] = set()


def _end(task: "asyncio.Task[None]") -> None:
    _running.discard(task)
    error = None if task.cancelled() else task.exception()
    if error is not None:
        log.error(
            "the lane of a webhook failed, and begins again after its lease", lane=task.get_name(), exc_info=error
        )


def _claim_due() -> list[tuple[UUID, datetime]]:
    """Makes deliveries of the new events, and leases the webhooks that have something due."""
    settled = horizon().settled
    for pk in Webhook.objects.filter(off="", cursor__lt=settled).order_by("pk").values_list("pk", flat=True):
        _spread(pk, settled)
    now = wall_clock.now()
    due = Delivery.objects.filter(webhook=OuterRef("pk"), state=DeliveryState.DUE, due_at__lte=now)
    waiting = _free(now).filter(Exists(due)).order_by("pk").values_list("pk", flat=True)
    lease = now + LEASE
    return [(pk, lease) for pk in waiting if _free(now).filter(pk=pk).update(leased_until=lease)]


def _free(now: datetime) -> "QuerySet[Webhook]":
    unpaused = Q(paused_until=None) | Q(paused_until__lte=now)
    return Webhook.objects.filter(unpaused, Q(leased_until=None) | Q(leased_until__lte=now), off="")


@transaction.atomic
def _spread(webhook: UUID, settled: int) -> None:
    """Makes deliveries of the next events. One that was delivered before becomes due again, for `resend_since`."""
    row = Webhook.objects.select_for_update().filter(pk=webhook, off="", cursor__lt=settled).first()
    if row is None:
        return
    events, more = events_between(channel=row.channel_id, after=row.cursor, up_to=settled, limit=SPREAD)
    now = wall_clock.now()
    Delivery.objects.bulk_create(
        [
            Delivery(
                webhook=row, event=event.id, type=event.type, subject=event.subject, made_at=now, due_at=now,
                give_up_at=now + GIVE_UP_AFTER,
            )
            for event in events
            if not row.types or event.type in row.types
        ],
        update_conflicts=True,
        unique_fields=["webhook", "event"],
        update_fields=["state", "due_at", "give_up_at", "attempts"],
    )  # fmt: skip
    row.cursor = events[-1].id if more else settled
    row.save(update_fields=["cursor"])


class _Message(NamedTuple):
    """A delivery with its body; None if its event is deleted."""

    delivery: Delivery
    body: bytes | None


class _Sent(NamedTuple):
    """A delivery, when it was tried, and what came of it."""

    delivery: Delivery
    at: datetime
    answer: Answer


class _Round(NamedTuple):
    """What one round sends, and until when the lane has the webhook."""

    url: str
    secrets: Sequence[str]
    messages: Sequence[_Message]
    lease: datetime
    pace: float


@dataclass
class _Lane:
    """What one run of a lane knows."""

    receiver: Receiver
    until: float
    pace: float
    answered: bool = False
    next_at: float = 0.0
    down_in_a_row: int = 0
    stops: bool = False
    sent: list[_Sent] = field(default_factory=list)


async def _run(webhook: UUID, lease: datetime) -> None:
    until = time.monotonic() + WORK_FOR_S
    found = await run_in_db_thread(_next_round, webhook, lease)
    if found is None:
        return
    async with Receiver(found.url, local=settings.FLASHSALE_WEBHOOK_LOCAL) as receiver:
        lane = _Lane(receiver, until, found.pace)
        url = found.url
        while found is not None and found.messages and found.url == url:
            await _send(lane, found)
            sent, lane.sent = lane.sent, []
            go_on = await run_in_db_thread(_note, webhook, sent)
            lease = found.lease
            if not go_on or time.monotonic() > until:
                break
            found = await run_in_db_thread(_next_round, webhook, lease)
            lease = found.lease if found else lease
    await run_in_db_thread(_release, webhook, lease)


def _next_round(webhook: UUID, lease: datetime) -> _Round | None:
    """The next messages of a webhook; None if this process does not have it any more, or it is switched off."""
    now = wall_clock.now()
    renewed = now + LEASE
    if not Webhook.objects.filter(pk=webhook, off="", leased_until=lease).update(leased_until=renewed):
        return None
    row = Webhook.objects.select_related("channel__campaign").get(pk=webhook)
    try:
        keys = row.secrets_at(now)
    except InvalidToken:
        log.exception("the secret of a webhook cannot be decrypted", webhook=str(webhook))
        return None
    # A receiver that took nothing the last time gets one message.
    deliveries = list(_heads(webhook, now)[: 1 if row.failures else ROUND])
    events = events_by_id([delivery.event for delivery in deliveries if delivery.event is not None])
    pace = PACE_OF_TESTS if row.channel.campaign.is_test else PACE
    return _Round(row.url, keys, [_Message(one, _body(one, events)) for one in deliveries], renewed, pace)


def _heads(webhook: UUID, now: datetime) -> "QuerySet[Delivery]":
    """The deliveries that may go out now: due, and the first one of their subject that is not done."""
    due = Delivery.objects.filter(webhook=webhook, state=DeliveryState.DUE)
    earlier = due.filter(subject=OuterRef("subject"), event__lt=OuterRef("event"))
    return due.filter(~Exists(earlier), due_at__lte=now).order_by("due_at", "event")


def _body(delivery: Delivery, events: dict[int, ChannelEvent]) -> bytes | None:
    if delivery.event is not None:
        return document_of(events[delivery.event]) if delivery.event in events else None
    data = {"webhook": str(delivery.webhook_id)}
    return document_of(
        ChannelEvent(0, TEST_TYPE, delivery.made_at, "", None, None, 0, data, None), id_=delivery.message_id
    )


def document_of(event: ChannelEvent, *, id_: str = "") -> bytes:
    """The body of the message about an event. It is the same JSON object as in the feed."""
    fields: dict[str, Any] = {
        "id": id_ or str(event.id),
        "type": event.type,
        "at": timezone.localtime(event.at).isoformat(),
        "sale": event.sale,
        "line": event.line,
        "reservation": str(event.reservation) if event.reservation else None,
        "sequence": event.sequence,
        "data": event.data,
    }
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()


async def _send(lane: _Lane, found: _Round) -> None:
    """Sends the messages of a round. Those for which there is no time stay due."""
    waiting = deque(found.messages)
    until = min(lane.until, time.monotonic() + ROUND_S)

    async def work() -> None:
        while waiting and not lane.stops and lane.down_in_a_row < DOWN_MAX and time.monotonic() < until:
            message = waiting.popleft()
            await _wait_for_turn(lane)
            await _send_one(lane, found, message)

    lane.down_in_a_row = 0
    await asyncio.gather(*(work() for _ in range(OPEN_CALLS if lane.answered else FIRST_CALLS)))


async def _wait_for_turn(lane: _Lane) -> None:
    now = time.monotonic()
    turn = lane.next_at = max(now, lane.next_at + 1 / lane.pace)
    await asyncio.sleep(turn - now)


async def _send_one(lane: _Lane, found: _Round, message: _Message) -> None:
    now = wall_clock.now()
    if message.body is None:
        lane.sent.append(_Sent(message.delivery, now, Answer(None, DeliveryFailure.EVENT_DELETED, 0)))
        return
    id_, timestamp = message.delivery.message_id, int(now.timestamp())
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "flashsale-webhooks/1",
        "webhook-id": id_,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signatures(found.secrets, id_=id_, timestamp=timestamp, body=message.body),
    }
    answer = await lane.receiver.post(headers, message.body)
    lane.sent.append(_Sent(message.delivery, now, answer))
    metrics.WEBHOOK_SECONDS.observe(answer.took_ms / 1000)
    metrics.WEBHOOK_CALLS.add(str(answer.failure or "delivered"))
    if answer.failure is None:
        lane.answered, lane.down_in_a_row = True, 0
        return
    lane.down_in_a_row += 1
    lane.stops = lane.stops or answer.status == GONE or answer.retry_after is not None


@transaction.atomic
def _note(webhook: UUID, sent: Sequence[_Sent]) -> bool:
    """Notes what became of the messages; whether the lane may go on."""
    locked = Webhook.objects.select_for_update(of=("self",)).select_related("channel__campaign")
    row = locked.filter(pk=webhook).first()
    if row is None or not sent:
        return False
    now = wall_clock.now()
    failed = [one for one in sent if one.answer.failure not in {None, DeliveryFailure.EVENT_DELETED}]
    done = [one for one in sent if one.answer.failure is None]
    _count(row, now, failed=len(failed), done=len(done))
    waits = [one.answer.retry_after for one in failed if one.answer.retry_after is not None]
    if waits:
        row.paused_until = max(now + max(waits), row.paused_until or now)
    if any(one.answer.status == GONE for one in failed):
        row.off, row.off_at = WebhookOff.GONE, now
    elif row.failing_since is not None and now - row.failing_since >= GIVE_UP_AFTER:
        row.off, row.off_at = WebhookOff.FAILING, now
    _note_deliveries(row, sent, now)
    row.save(update_fields=["failures", "failing_since", "paused_until", "off", "off_at"])
    if row.off_at == now:
        log.error("a webhook was switched off", webhook=str(webhook), channel=row.channel_id, why=str(row.off))
        facts = {"webhook": str(webhook), "why": str(row.off)}
        campaign = row.channel.campaign
        Record.write("webhook_off", by="clock", campaign=campaign, subject=row.channel, facts=facts)
    return not row.off and row.paused_until is None


def _count(row: Webhook, now: datetime, *, failed: int, done: int) -> None:
    """Counts the rounds in which a receiver took nothing. After it works again, all that was put off is due now."""
    if done:
        if row.failures > 2:
            row.deliveries.filter(state=DeliveryState.DUE, due_at__gt=now).update(due_at=now)
        row.failures, row.failing_since, row.paused_until = 0, None, None
    elif failed:
        row.failures += 1
        row.failing_since = row.failing_since or now
        row.paused_until = now + pause_after(row.failures, random.random())  # noqa: S311 - spreads tries


def _erased(row: Webhook, sent: Sequence[_Sent]) -> set[int]:
    """The deliveries whose answer is not kept: the person of the order, or the campaign, was erased meanwhile.

    The message may have gone out before the erasure, with data of the person that the receiver sends back. Both sides
    lock the deliveries first: so an erasure is seen here, or it removes what is noted here.
    """
    deliveries = [one.delivery for one in sent]
    list(Delivery.objects.select_for_update().filter(pk__in=[one.pk for one in deliveries]).order_by("pk"))
    if Campaign.objects.filter(pk=row.channel.campaign_id).exclude(erased_at=None).exists():
        return {one.pk for one in deliveries}
    gone = erased_since(min((one.at for one in sent), default=wall_clock.now()) - LEASE)
    return {one.pk for one in deliveries if one.subject in gone}


def _note_deliveries(row: Webhook, sent: Sequence[_Sent], now: datetime) -> None:
    columns: dict[str, list[Any]] = {
        name: [] for name in ("id", "state", "due_at", "attempts", "tried_at", "took_ms", "status", "failure", "answer")
    }
    erased = _erased(row, sent)
    for delivery, at, answer in sent:
        attempts = delivery.attempts + 1
        state, due_at = DeliveryState.DELIVERED, now
        if answer.failure is not None:
            put_off = retry_delay(attempts, random.random())  # noqa: S311 - spreads tries
            due_at = now + max(put_off, answer.retry_after or put_off)
            over = answer.failure is DeliveryFailure.EVENT_DELETED or _gives_up(row, delivery, now)
            state = DeliveryState.GIVEN_UP if over else DeliveryState.DUE
        values = (
            delivery.pk, str(state), due_at, attempts, at, answer.took_ms, answer.status, str(answer.failure or ""),
            "" if delivery.pk in erased else answer.text,
        )  # fmt: skip
        for column, value in zip(columns.values(), values, strict=True):
            column.append(value)
    update(Delivery, "id", columns)


def _gives_up(row: Webhook, delivery: Delivery, now: datetime) -> bool:
    """Whether a delivery ends. If the receiver takes nothing at all, the webhook ends, and its deliveries wait."""
    works = row.failing_since is None or row.failing_since > delivery.give_up_at - GIVE_UP_AFTER / 2
    return not row.off and works and now >= delivery.give_up_at


def _release(webhook: UUID, lease: datetime) -> None:
    Webhook.objects.filter(pk=webhook, leased_until=lease).update(leased_until=None)
