"""Alarms: each web process and Celery look for troubles every few seconds; one of them at a time does it.

The rows in PostgreSQL are the state. Raising an alarm and ending it write its messages in the same transaction, so each
is told once (`alarm_messages.py`). While PostgreSQL does not answer, there are no rows. Then a note in Redis takes the
place of the alarm, and becomes a row when PostgreSQL is back.
"""

import asyncio
import logging
from collections.abc import Collection
from datetime import datetime, timedelta

from django.db import Error, InterfaceError, OperationalError, transaction
from django.db.models import QuerySet
from django.utils import timezone

from flashsale.gate import alarms as gate_alarms
from flashsale.gate.client import GateDown
from flashsale.life import alarm_messages
from flashsale.life.advisory_lock import advisory_lock
from flashsale.life.alarm_conditions import Conditions, conditions
from flashsale.life.alarm_list import ALARMS
from flashsale.life.db_threads import run_in_alarm_thread, run_in_message_thread
from flashsale.models import Alarm, AlarmMessage
from flashsale.models.sale import moment, ms

log = logging.getLogger(__name__)

LOOK_S = 10.0
# A look that takes longer waits for a PostgreSQL that hangs.
ANSWER_S = 15.0
TELL_S = 60
# "alrm" in ASCII.
ALARM_LOCK = int.from_bytes(b"alrm")
KEPT = timedelta(days=90)
# An alarm that cannot be judged any more, such as about a sale that is over, ends after this time.
UNKNOWN_MAX = timedelta(days=1)
BOOKS_DOWN = "books_down"


def open_alarms() -> "QuerySet[Alarm]":
    """The alarms that are raised and have not ended, the oldest first."""
    return Alarm.objects.filter(raised_at__isnull=False, ended_at=None).order_by("raised_at", "pk")


def look() -> None:
    """Finds troubles, raises alarms and ends them. Safe to repeat and to run in parallel. Raises django.db.Error."""
    with advisory_lock(ALARM_LOCK, 0, wait=False) as acquired:
        if acquired:
            found = conditions()
            _apply(found, timezone.now())


@transaction.atomic
def _apply(found: Conditions, now: datetime) -> None:
    """Brings the rows to what was found."""
    rows = {(row.code, row.subject): row for row in Alarm.objects.select_for_update().filter(ended_at=None)}
    for (code, subject), facts in found.found.items():
        row = rows.get((code, subject)) or Alarm(code=code, subject=subject, noticed_at=now)
        row.facts, row.seen_at = dict(facts), now
        is_new = row.raised_at is None and now - row.noticed_at >= ALARMS[code].after
        row.raised_at = now if is_new else row.raised_at
        row.save()
        if is_new:
            _write_messages(row, AlarmMessage.What.RAISED, now)
            log.error("alarm %s: %s", row, ALARMS[code].sentence(row.facts))
    for row in rows.values():
        if (row.code, row.subject) in found.found:
            continue
        if row.code not in ALARMS or found.is_gone(row.code, row.subject) or now - row.seen_at > UNKNOWN_MAX:
            _end(row, now)
    Alarm.objects.filter(ended_at__lt=now - KEPT).delete()


def _end(row: Alarm, now: datetime) -> None:
    """Ends an alarm whose trouble has been gone for long enough. One that was not raised yet is deleted."""
    if row.raised_at is None:
        row.delete()
        return
    kind = ALARMS.get(row.code)
    if kind is None or now - row.seen_at >= kind.calm:
        row.ended_at = now
        row.save(update_fields=["ended_at"])
        _write_messages(row, AlarmMessage.What.ENDED, now)
        log.warning("alarm %s has ended", row)


def _write_messages(row: Alarm, what: AlarmMessage.What, now: datetime, told: Collection[str] = ()) -> None:
    AlarmMessage.objects.bulk_create(
        AlarmMessage(
            alarm=row, what=what, way=way, due_at=None if way in told else now, sent_at=now if way in told else None
        )
        for way in alarm_messages.ways()
    )


class _Watcher:
    """What one process knows: the look that is under way, and since when PostgreSQL has not answered."""

    def __init__(self) -> None:
        self.task: asyncio.Task[None] | None = None
        self.books_down_at: datetime | None = None
        self.told: set[str] = set()


_watcher = _Watcher()


async def watch() -> None:
    """Looks for troubles, unless another process has in this period. Tells people itself if PostgreSQL is away."""
    try:
        if _watcher.books_down_at is None and not await gate_alarms.may_look(ms=round(LOOK_S * 900)):
            return
    except GateDown as error:
        log.info("Redis does not say who looks for alarms, so this process looks: %s", error)
    if _watcher.task is None:
        _watcher.task = asyncio.create_task(run_in_alarm_thread(look))
    await asyncio.wait({_watcher.task}, timeout=ANSWER_S)
    if not _watcher.task.done():
        await _books_are_down()
        return
    task, _watcher.task = _watcher.task, None
    try:
        task.result()
    except (OperationalError, InterfaceError) as error:
        log.warning("PostgreSQL does not say which alarms there are: %s", error)
        await _books_are_down()
    else:
        await _books_are_back()


async def tell() -> None:
    """Sends the messages that are due. Raises django.db.Error."""
    await run_in_message_thread(alarm_messages.send_due)


async def _books_are_down() -> None:
    now = timezone.now()
    since = _watcher.books_down_at = _watcher.books_down_at or now
    if now - since < ALARMS[BOOKS_DOWN].after:
        return
    try:
        note = await gate_alarms.note_books_down(ms(since))
        told = set(note.ways) | _watcher.told
        since = moment(note.since)
    except GateDown:
        told = _watcher.told
    alarm = Alarm(code=BOOKS_DOWN, noticed_at=since, seen_at=now, raised_at=now)
    for way in alarm_messages.ways():
        if way not in told and await _may_tell(way):
            await _tell_of_books(way, alarm)


async def _may_tell(way: str) -> bool:
    try:
        return await gate_alarms.may_tell(way, seconds=TELL_S)
    except GateDown:
        return True  # it is better that two processes tell it than none


async def _tell_of_books(way: str, alarm: Alarm) -> None:
    id_ = f"books-{ms(alarm.noticed_at)}"
    try:
        await run_in_message_thread(
            alarm_messages.tell, way, what=AlarmMessage.What.RAISED, id_=id_, code=alarm.code, alarm=alarm
        )
    except alarm_messages.NotTold as error:
        log.warning("a message about an alarm is not accepted (%s): %s", way, error)
        return
    _watcher.told.add(way)
    try:
        await gate_alarms.note_told(way)
    except GateDown as error:
        log.info("Redis does not keep that people were told: %s", error)


async def _books_are_back() -> None:
    """Writes the alarm about PostgreSQL as a row. It ends like all others."""
    since, told = _watcher.books_down_at, set(_watcher.told)
    try:
        note = await gate_alarms.books_down()
    except GateDown:
        note = None
    if note is not None:
        since, told = moment(note.since), told | note.ways
    if since is not None and (note is not None or told):
        try:
            await run_in_alarm_thread(_write_books_down, since, told)
        except Error as error:
            log.warning("the alarm about PostgreSQL is written later: %s", error)
            return
        try:
            await gate_alarms.forget_books_down()
        except GateDown as error:
            log.info("Redis does not forget the alarm about PostgreSQL: %s", error)
            return
    _watcher.books_down_at = None
    _watcher.told.clear()


@transaction.atomic
def _write_books_down(since: datetime, told: Collection[str]) -> None:
    now = timezone.now()
    fields = {"noticed_at": since, "seen_at": now, "raised_at": now}
    row, made = Alarm.objects.get_or_create(code=BOOKS_DOWN, subject="", ended_at=None, defaults=fields)
    if made:
        _write_messages(row, AlarmMessage.What.RAISED, now, told)
