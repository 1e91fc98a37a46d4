"""When partners' keys were last used: noted in memory by a request, written to PostgreSQL at most once a minute.

People read these times, and a rotation asks whether a new key was ever used. A process that dies loses its last notes.
"""

from datetime import timedelta

from django.db.models import Q
from django.utils import timezone

from flashsale.life.db_threads import run_in_db_thread
from flashsale.models import PartnerKey

STORE_S = 2.0
WRITTEN_EVERY = timedelta(minutes=1)

_used: set[int] = set()


def note(key: int) -> None:
    """Notes that a key, by its id, is used now."""
    _used.add(key)


async def store() -> None:
    """Writes the notes since the last call. Raises django.db.Error, and keeps the notes then."""
    if _used:
        await run_in_db_thread(store_now)


def store_now() -> None:
    """As :func:`store`, in this thread."""
    keys, now = set(_used), timezone.now()
    long_ago = Q(last_used_at=None) | Q(last_used_at__lt=now - WRITTEN_EVERY)
    PartnerKey.objects.filter(long_ago, pk__in=keys).update(last_used_at=now)
    _used.difference_update(keys)
