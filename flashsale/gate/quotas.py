"""How many calls partners' channels make at the hot door: counted in memory, shared through Redis once a second.

A call of Redis for each request would cost more than counting is worth. So a quota is not exact: processes of the door
learn of one another's calls a second later, and a channel may exceed its quota by what they let through in that second.
The counts of a process that dies are lost with its last second. The REST API counts exactly (web/limits.py).
"""

from typing import NamedTuple

import structlog

from flashsale.gate.client import gate
from flashsale.gate.keys import QUOTA_ALARMS, quota_window_key
from flashsale.rules import wall_clock
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.quotas import WINDOW_S, QuotaClass, alarm_at

log = structlog.get_logger(__name__)

WINDOW_KEPT_S = 3 * WINDOW_S
ALARM_KEPT_S = 24 * 3600


class QuotaUsage(NamedTuple):
    """What a channel has used of a quota in this minute, this call included; `resets_in_s` seconds are left of it."""

    quota_class: QuotaClass
    quota: int
    used: int
    resets_in_s: int

    @property
    def remaining(self) -> int:
        """Calls that are left."""
        return max(0, self.quota - self.used)

    @property
    def exceeded(self) -> bool:
        """Whether this call is above the quota."""
        return self.used > self.quota

    def refuse_if_exceeded(self) -> None:
        """Refuses TOO_MANY_REQUESTS if this call is above the quota."""
        if self.exceeded:
            detail = f"{self.quota} calls of the class {self.quota_class} are allowed in a minute."
            raise Refused(Outcome.TOO_MANY_REQUESTS, detail, self.resets_in_s)


class QuotaAlarm(NamedTuple):
    """A channel (by its id) that had used most of a quota; `at_ms` is ms since 1970."""

    channel: int
    quota_class: str
    at_ms: int
    used: int
    quota: int


class _Window:
    """The calls of a channel and class in a minute: those that Redis told us of, and ours since then."""

    __slots__ = ("fresh", "minute", "quota", "shared")

    def __init__(self, minute: int) -> None:
        self.minute = minute
        self.shared = self.fresh = self.quota = 0


_windows: dict[tuple[int, QuotaClass], _Window] = {}


def take(*, channel: int, quota_class: QuotaClass, quota: int) -> QuotaUsage:
    """Counts one call of a channel. A call above the quota is not counted; the caller refuses it."""
    now = wall_clock.now_s()
    minute = int(now) // WINDOW_S
    window = _windows.get((channel, quota_class))
    if window is None or window.minute != minute:
        window = _windows[channel, quota_class] = _Window(minute)
    window.quota = quota
    used = window.shared + window.fresh + 1
    if used <= quota:
        window.fresh += 1
    return QuotaUsage(quota_class, quota, used, WINDOW_S - int(now) % WINDOW_S)


async def flush() -> None:
    """Adds the counts since the last call to those in Redis, and learns those of other processes. Raises GateDown.

    Counts that were being written are not written again, because they may have arrived.
    """
    pending = []
    for (channel, quota_class), window in list(_windows.items()):
        if window.fresh:
            pending.append((channel, quota_class, window, window.fresh))
            window.shared, window.fresh = window.shared + window.fresh, 0
    if not pending:
        return
    pipe = gate().redis.pipeline(transaction=False)
    for channel, quota_class, window, calls in pending:
        pipe.hincrby(quota_window_key(window.minute), f"{channel} {quota_class}", calls)
    for minute in {window.minute for _, _, window, _ in pending}:
        pipe.expire(quota_window_key(minute), WINDOW_KEPT_S)
    totals = await pipe.execute()
    for (channel, quota_class, window, calls), total in zip(pending, totals, strict=False):
        window.shared = int(total)
        # Redis adds one count after the other, so exactly one process sees that the alarm's number is reached.
        if int(total) - calls < alarm_at(window.quota) <= int(total):
            await raise_alarm(channel=channel, quota_class=quota_class, used=int(total), quota=window.quota)


async def raise_alarm(*, channel: int, quota_class: QuotaClass, used: int, quota: int) -> None:
    """Tells staff that a channel has used most of a quota: in the log, and on the first page of the admin."""
    log.warning(
        "a channel has used most of a quota", channel=channel, quota_class=quota_class.value, used=used, quota=quota
    )
    alarm = f"{wall_clock.now_ms()} {used} {quota}"
    pipe = gate().redis.pipeline(transaction=False)
    pipe.hset(QUOTA_ALARMS, f"{channel} {quota_class}", alarm)
    pipe.expire(QUOTA_ALARMS, ALARM_KEPT_S)
    await pipe.execute()


async def alarms() -> list[QuotaAlarm]:
    """The last alarm of each channel and class in the last day, the newest first. Raises GateDown."""
    found = []
    for name, value in (await gate().redis.hgetall(QUOTA_ALARMS)).items():
        channel, quota_class = name.decode().split()
        at_ms, used, quota = map(int, value.split())
        if at_ms > (wall_clock.now_s() - ALARM_KEPT_S) * 1000:
            found.append(QuotaAlarm(int(channel), quota_class, at_ms, used, quota))
    return sorted(found, key=lambda alarm: alarm.at_ms, reverse=True)
