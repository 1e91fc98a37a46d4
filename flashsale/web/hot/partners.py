"""Partner keys: which channel an Authorization header belongs to.

A process reads all active keys from PostgreSQL (the books) at most every 5 s and keeps them in memory. So a wrong key
costs no query, however many an attacker tries. A revoked key works for at most 5 s. While PostgreSQL does not answer,
no admin can revoke a key, so the last keys stay valid for another minute. A request waits at most 1 s for PostgreSQL:
after a failure it is not queried again for 5 s, and never while an earlier query still runs.
"""

import asyncio
import re
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import ClassVar
from weakref import WeakKeyDictionary

import structlog
from django.db import Error, connection

from flashsale.life.single_flight import WAIT_S, SingleFlight
from flashsale.models import PartnerKey
from flashsale.rules.outcomes import Outcome, Refused

log = structlog.get_logger(__name__)

FRESH_S = 5.0
STALE_S = 65.0
KEY_PATTERN = re.compile(r"fs_(?:live|test)_[A-Za-z0-9_\-]{20,100}")
KEY_REQUIRED = "Send Authorization: Bearer fs_live_… with a key that is not revoked."


@dataclass(frozen=True, slots=True)
class Partner:
    """The channel that a key belongs to. `test`: a test key, of the channel's sandbox."""

    channel: int
    code: str
    campaign: int
    test: bool = False
    is_authenticated: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class _KeyCache:
    """All active keys by digest. `headers` has the headers that were valid before, so that they need no hash again."""

    read_at: float
    partners: Mapping[str, Partner]
    headers: dict[str, Partner] = field(default_factory=dict)

    @property
    def age_s(self) -> float:
        return time.monotonic() - self.read_at


_cache = _KeyCache(-STALE_S, {})
# When PostgreSQL last did not answer.
_failed_at = -STALE_S
_read_lock = threading.Lock()
_renewals: WeakKeyDictionary[asyncio.AbstractEventLoop, SingleFlight] = WeakKeyDictionary()


def partner_of(authorization: str) -> Partner:
    """The partner of an Authorization header; refuses UNAUTHENTICATED, NOT_READY."""
    if _cache.age_s > FRESH_S:
        if _may_read():
            _renew()
        _refuse_stale()
    return _find(authorization)


async def partner_of_async(authorization: str) -> Partner:
    """As :func:`partner_of`, for event loops. One caller reads in a thread; the others wait for it, 1 s at most."""
    if _cache.age_s > FRESH_S:
        if _may_read():
            renewal = _renewals.setdefault(asyncio.get_running_loop(), SingleFlight())
            with suppress(TimeoutError):
                await renewal.run(_renew_in_thread)
        _refuse_stale()
    return _find(authorization)


def forget_keys() -> None:
    """Empties the cache, so that the next caller reads the keys again."""
    global _cache, _failed_at  # one of each in a process
    _cache, _failed_at = _KeyCache(-STALE_S, {}), -STALE_S


def _may_read() -> bool:
    # After a failure callers do not try again at once, because each of them would wait for PostgreSQL again.
    return time.monotonic() - _failed_at > FRESH_S


def _refuse_stale() -> None:
    if _cache.age_s > STALE_S:
        raise Refused(Outcome.NOT_READY, "Partner keys cannot be checked right now.")


def _find(authorization: str) -> Partner:
    cache = _cache
    if partner := cache.headers.get(authorization):
        return partner
    scheme, _, key = authorization.partition(" ")
    key = key.strip()
    if scheme.lower() != "bearer" or not KEY_PATTERN.fullmatch(key):
        raise Refused(Outcome.UNAUTHENTICATED, KEY_REQUIRED)
    found = cache.partners.get(PartnerKey.digest_of(key))
    if found is None:
        raise Refused(Outcome.UNAUTHENTICATED, KEY_REQUIRED)
    if authorization == f"Bearer {key}":  # only this spelling, so that there are at most as many headers as keys
        cache.headers[authorization] = found
    return found


def _renew() -> None:
    if not _read_lock.acquire(timeout=WAIT_S):
        return  # another thread still waits for PostgreSQL
    try:
        if _cache.age_s > FRESH_S and _may_read():
            _replace_cache()
    finally:
        _read_lock.release()


def _replace_cache() -> None:
    global _cache, _failed_at  # noqa: PLW0603
    # The age counts from before the query, because the result may hold a key that was revoked while the query ran.
    queried_at = time.monotonic()
    try:
        _cache = _KeyCache(queried_at, _active_keys())
    except Error as error:
        _failed_at = time.monotonic()
        log.warning("partner keys could not be read", error=repr(error))


async def _renew_in_thread() -> None:
    await asyncio.to_thread(_renew_and_close)


def _renew_and_close() -> None:
    # This thread must not keep a database connection of the pool.
    try:
        _renew()
    finally:
        connection.close()


def _active_keys() -> dict[str, Partner]:
    rows = PartnerKey.objects.filter(revoked_at=None).values_list(
        "digest", "channel_id", "channel__code", "channel__campaign_id", "channel__campaign__sandbox_of"
    )
    return {
        digest: Partner(channel, code, campaign, test=sandbox_of is not None)
        for digest, channel, code, campaign, sandbox_of in rows
    }
