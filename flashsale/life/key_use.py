"""When partners' keys were last used: noted in memory by a request, and written to PostgreSQL about once a minute.

People read these times, and a rotation asks whether a new key was ever used. So the first use of a key is written
before its request goes on. A process that dies loses its last notes of other uses.

The doors write their notes with their ticks. A process that only serves Django has no ticks, so its requests write.
"""

import asyncio
import math
import time
from contextlib import suppress
from datetime import timedelta

from django.db import Error
from django.db.models import Q
from django.utils import timezone

from flashsale.life.db_threads import run_in_db_thread
from flashsale.life.single_flight import WAIT_S
from flashsale.models import PartnerKey

STORE_S = 2.0
WRITTEN_EVERY = timedelta(minutes=1)
# A process notes a key again after this time. Other processes may have written its use in the meantime.
NOTED_EVERY_S = 30.0

_used: set[int] = set()
# When this process last wrote the use of a key (time.monotonic).
_written: dict[int, float] = {}
# Keys whose first use is being written.
_beginning: set[int] = set()


def note(key: int) -> None:
    """Notes that a key, by its id, is used now."""
    if time.monotonic() - _written.get(key, -math.inf) >= NOTED_EVERY_S:
        _used.add(key)


async def store() -> None:
    """Writes the notes since the last call. Raises django.db.Error, and keeps the notes then."""
    if _used:
        await run_in_db_thread(store_now)


def store_now() -> None:
    """As :func:`store`, in this thread."""
    keys, now = set(_used), timezone.now()
    if not keys:
        return
    long_ago = Q(last_used_at=None) | Q(last_used_at__lt=now - WRITTEN_EVERY)
    PartnerKey.objects.filter(long_ago, pk__in=keys).update(last_used_at=now)
    _written.update(dict.fromkeys(keys, time.monotonic()))
    _used.difference_update(keys)


async def store_first(key: int) -> None:
    """Writes the first use of a key, and waits up to WAIT_S for it. Keeps the note if PostgreSQL does not answer."""
    if key not in _used or key in _beginning:
        return
    _beginning.add(key)
    try:
        with suppress(Error, TimeoutError):
            async with asyncio.timeout(WAIT_S):
                await run_in_db_thread(store_now)
    finally:
        _beginning.discard(key)
