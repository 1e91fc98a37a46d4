"""Who a partner key belongs to: the ring of all active keys, read from the books every five seconds.

Reading all of them at once makes a wrong key cost nothing, however many are tried. A revoked key works for five seconds
at most; while the books are silent nobody can revoke one, so the last ring counts for another minute. Nobody waits for
silent books longer than a second: they are not asked again for five seconds, nor while an earlier question hangs.
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
KEY_FORM = re.compile(r"fs_(?:live|test)_[A-Za-z0-9_\-]{20,100}")
DETAIL = "Send Authorization: Bearer fs_live_… with a key that is not revoked."


@dataclass(frozen=True, slots=True)
class Partner:
    """A channel as its servers show themselves."""

    channel: int
    code: str
    campaign: int
    is_authenticated: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class _Ring:
    """All active keys by digest, and the headers that showed one of them: a call costs a look, not a hash."""

    at: float
    partners: Mapping[str, Partner]
    headers: dict[str, Partner] = field(default_factory=dict)

    @property
    def age_s(self) -> float:
        return time.monotonic() - self.at


_ring = _Ring(-STALE_S, {})
# When the books last did not answer.
_silent_at = -STALE_S
_reading = threading.Lock()
_renewals: WeakKeyDictionary[asyncio.AbstractEventLoop, SingleFlight] = WeakKeyDictionary()


def partner_of(authorization: str) -> Partner:
    """The partner behind an Authorization header; refuses UNAUTHENTICATED, NOT_READY."""
    if _ring.age_s > FRESH_S:
        if _may_ask():
            _renew()
        _refuse_stale()
    return _find(authorization)


async def partner_of_async(authorization: str) -> Partner:
    """The same for event loops: the books are asked in a thread, by one caller for all, who wait a second at most."""
    if _ring.age_s > FRESH_S:
        if _may_ask():
            renewal = _renewals.setdefault(asyncio.get_running_loop(), SingleFlight())
            with suppress(TimeoutError):
                await renewal.run(_renew_apart)
        _refuse_stale()
    return _find(authorization)


def forget() -> None:
    """The next caller reads the books."""
    global _ring, _silent_at  # one of each for the whole process
    _ring, _silent_at = _Ring(-STALE_S, {}), -STALE_S


def _may_ask() -> bool:
    """Not right after they did not answer: each caller would wait for that again."""
    return time.monotonic() - _silent_at > FRESH_S


def _refuse_stale() -> None:
    if _ring.age_s > STALE_S:
        raise Refused(Outcome.NOT_READY, "Partner keys cannot be checked right now.")


def _find(authorization: str) -> Partner:
    ring = _ring
    if known := ring.headers.get(authorization):
        return known
    scheme, _, key = authorization.partition(" ")
    key = key.strip()
    if scheme.lower() != "bearer" or not KEY_FORM.fullmatch(key):
        raise Refused(Outcome.UNAUTHENTICATED, DETAIL)
    partner = ring.partners.get(PartnerKey.digest_of(key))
    if partner is None:
        raise Refused(Outcome.UNAUTHENTICATED, DETAIL)
    if authorization == f"Bearer {key}":  # one spelling a key, so there are never more of them than keys
        ring.headers[authorization] = partner
    return partner


def _renew() -> None:
    if not _reading.acquire(timeout=WAIT_S):
        return  # another thread has been at it for long: the books hang
    try:
        if _ring.age_s > FRESH_S and _may_ask():
            _ask()
    finally:
        _reading.release()


def _ask() -> None:
    global _ring, _silent_at  # noqa: PLW0603
    # As old as the question: what was revoked while the books answered may be in the answer.
    asked_at = time.monotonic()
    try:
        _ring = _Ring(asked_at, _read())
    except Error as error:
        _silent_at = time.monotonic()
        log.warning("partner keys could not be read", error=repr(error))


async def _renew_apart() -> None:
    await asyncio.to_thread(_renew_and_close)


def _renew_and_close() -> None:
    """As :func:`_renew`, in a thread of its own, which must not keep a connection of the pool."""
    try:
        _renew()
    finally:
        connection.close()


def _read() -> dict[str, Partner]:
    rows = PartnerKey.objects.filter(revoked_at=None).values_list(
        "digest", "channel_id", "channel__code", "channel__campaign_id"
    )
    return {digest: Partner(channel, code, campaign) for digest, channel, code, campaign in rows}
