"""Partner keys: which channel an Authorization header belongs to, and what the key may do.

A process reads all active keys from PostgreSQL (the books) at most every 5 s and keeps them in memory. So a wrong key
costs no query, however many an attacker tries. A revoked key works for at most 5 s. While PostgreSQL does not answer,
no admin can revoke a key, so the last keys stay valid for another minute. A request waits at most 1 s for PostgreSQL:
after a failure it is not queried again for 5 s, and never while an earlier query still runs.
"""

import asyncio
import math
import re
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import ClassVar
from weakref import WeakKeyDictionary

import structlog
from django.db import Error, connection

from flashsale.gate.sale_card import ChannelCard, LineCard, SaleCard
from flashsale.life import key_use
from flashsale.life.single_flight import WAIT_S, SingleFlight
from flashsale.models import PartnerKey
from flashsale.rules import wall_clock
from flashsale.rules.key_rights import KeyScope, Network, is_within, networks_in, scopes_in
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.quotas import DEFAULTS, QuotaClass, quotas_in

log = structlog.get_logger(__name__)

FRESH_S = 5.0
STALE_S = 65.0
KEY_PATTERN = re.compile(r"fs_(?:live|test)_[A-Za-z0-9_\-]{20,100}")
KEY_REQUIRED = "Send Authorization: Bearer fs_live_… with a key that is not revoked."
UNCHECKED = "Partner keys cannot be checked right now."


@dataclass(frozen=True, slots=True)
class Partner:
    """The channel that a key belongs to, and what the key may do.

    `ends_at` is in s since 1970. `sealed` is the signing secret as it is stored, "" for a key without one. `quotas` are
    those that differ from the default. `used` is False for a key that was never used when it was read. `test`: it is a
    test key, of the channel's sandbox or of a rehearsal. `sandbox`: of the channel's sandbox.
    """

    channel: int
    code: str
    campaign: int
    key: int = 0
    scopes: frozenset[KeyScope] = frozenset(KeyScope)
    networks: tuple[Network, ...] = ()
    ends_at: float = math.inf
    sealed: str = ""
    signatures_required: bool = False
    quotas: tuple[tuple[QuotaClass, int], ...] = ()
    used: bool = True
    test: bool = False
    sandbox: bool = False
    is_authenticated: ClassVar[bool] = True

    def allow(self, scope: KeyScope, address: Callable[[], str]) -> None:
        """Refuses WRONG_NETWORK for a call from elsewhere, OUT_OF_SCOPE for a call that the key may not make.

        `address` gives the client's address. Most keys work from anywhere, so it is rarely asked.
        """
        if self.networks and not is_within(found := address(), self.networks):
            raise Refused(Outcome.WRONG_NETWORK, f"This request came from {found}, which is not in the key's list.")
        if scope not in self.scopes:
            raise Refused(Outcome.OUT_OF_SCOPE, f"This call needs the scope {scope}. The shop can give it to the key.")

    def channel_in(self, card: SaleCard, line: LineCard) -> ChannelCard:
        """The key's channel, if it may act for people of this line. Refuses FORBIDDEN.

        Refuses NOT_FOUND if either of the two is a test: test sales exist only for the test key of their channel, and
        live sales for no test key.
        """
        channel = card.channel_ids.get(self.channel)
        if channel is None or channel.code not in line.channels:
            if card.test or self.test:
                raise Refused(Outcome.NOT_FOUND, "There is no sale with this code.")
            raise Refused(Outcome.FORBIDDEN, "This key's channel does not lead to this line.")
        if channel.proves_by_code:
            # A shop behind our page only pays: the word of its server would be a code that was never sent.
            raise Refused(Outcome.FORBIDDEN, "People of this channel enter and reserve on our page.")
        return channel

    def own_quota(self, quota_class: QuotaClass) -> int | None:
        """The channel's own quota of this class, in calls a minute; None if it has the default."""
        return dict(self.quotas).get(quota_class) if self.quotas else None

    def quota(self, quota_class: QuotaClass) -> int:
        """Calls of this class that the channel may make in a minute."""
        return self.own_quota(quota_class) or DEFAULTS[quota_class]


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
    partner = _find(authorization)
    _write_use()
    return partner


async def partner_of_async(authorization: str) -> Partner:
    """As :func:`partner_of`, for event loops. One caller reads in a thread; the others wait for it, 1 s at most."""
    if _cache.age_s > FRESH_S:
        if _may_read():
            renewal = _renewals.setdefault(asyncio.get_running_loop(), SingleFlight())
            with suppress(TimeoutError):
                await renewal.run(_renew_in_thread)
        _refuse_stale()
    partner = _find(authorization)
    if not partner.used:
        await key_use.store_first(partner.key)
    return partner


def forget_keys() -> None:
    """Empties the cache, so that the next caller reads the keys again."""
    global _cache, _failed_at  # one of each in a process
    _cache, _failed_at = _KeyCache(-STALE_S, {}), -STALE_S


def _write_use() -> None:
    global _failed_at  # noqa: PLW0603
    if not _may_read():
        return
    try:
        key_use.store_now()
    except Error as error:
        _failed_at = time.monotonic()
        log.warning("the use of partner keys could not be written", error=repr(error))


def _may_read() -> bool:
    # After a failure callers do not try again at once, because each of them would wait for PostgreSQL again.
    return time.monotonic() - _failed_at > FRESH_S


def _refuse_stale() -> None:
    if _cache.age_s > STALE_S:
        raise Refused(Outcome.NOT_READY, UNCHECKED)


def _find(authorization: str) -> Partner:
    partner = _lookup(authorization)
    if partner.ends_at <= wall_clock.now_s():
        ended = datetime.fromtimestamp(partner.ends_at, UTC).isoformat(timespec="seconds")
        raise Refused(
            Outcome.KEY_EXPIRED, f"It ended at {ended}. Use the key that replaces it, or ask the shop for one."
        )
    key_use.note(partner.key)
    return partner


def _lookup(authorization: str) -> Partner:
    cache = _cache
    if partner := cache.headers.get(authorization):
        return partner
    scheme, _, key = authorization.partition(" ")
    key = key.strip()
    if scheme.lower() != "bearer" or not KEY_PATTERN.fullmatch(key):
        raise Refused(Outcome.UNAUTHENTICATED, KEY_REQUIRED)
    found = cache.partners.get(PartnerKey.digest_of(key))
    if found is None:
        if cache.age_s > FRESH_S:  # PostgreSQL does not answer, and the key may be a new one
            raise Refused(Outcome.NOT_READY, UNCHECKED)
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
    """All keys that are not revoked, also those that have ended: their callers hear why they are refused."""
    rows = PartnerKey.objects.filter(revoked_at=None).select_related("channel__campaign")
    columns = ("digest", "scopes", "networks", "expires_at", "sealed", "last_used_at", "channel")
    of_channel = ("code", "campaign_id", "signatures_required", "quotas")
    found = {}
    of_campaign = ("channel__campaign__sandbox_of", "channel__campaign__code")
    for row in rows.only(*columns, *of_campaign, *(f"channel__{name}" for name in of_channel)):
        try:
            found[row.digest] = _partner(row)
        except ValueError:  # written by something else than our forms; other keys must go on
            log.exception("the rights of a partner key cannot be read, so it is refused", key=row.pk)
    return found


def _partner(row: PartnerKey) -> Partner:
    return Partner(
        channel=row.channel_id,
        code=row.channel.code,
        campaign=row.channel.campaign_id,
        key=row.pk,
        scopes=_scopes(row.scopes),
        networks=_networks(row.networks),
        ends_at=row.expires_at.timestamp() if row.expires_at else math.inf,
        sealed=row.sealed,
        signatures_required=row.channel.signatures_required,
        quotas=tuple(quotas_in(row.channel.quotas).items()),
        used=row.last_used_at is not None,
        test=row.channel.campaign.is_test,
        sandbox=row.channel.campaign.is_test and not row.channel.campaign.is_rehearsal,
    )


# The texts of many keys are the same, and they are read every five seconds.
_scopes = lru_cache(maxsize=64)(scopes_in)
_networks = lru_cache(maxsize=1024)(networks_in)
