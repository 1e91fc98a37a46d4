"""Keys that make a call safe to repeat: the same key gets the first answer."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NamedTuple

from simulation.gateways.payments import Answer, Call

KEYS_MAX = 100_000


class _Kept(NamedTuple):
    """The call that works on a key, and its answer when there is one."""

    until: datetime
    call: Call
    answer: Answer | None


class Keys:
    """The keys of one gateway, each kept for `life` after its first call."""

    def __init__(self, life: timedelta, in_progress: Answer) -> None:
        self._life = life
        self._in_progress = in_progress
        self._kept: dict[str, _Kept] = {}

    def before(self, key: str, call: Call, now: datetime) -> Answer | None:
        """The answer that this key got, whatever the body says now; None for its first call."""
        kept = self._kept.get(key)
        if kept is not None and kept.until > now:
            return kept.answer or self._in_progress
        if len(self._kept) >= KEYS_MAX:
            self._kept = {name: kept for name, kept in self._kept.items() if kept.until > now}
        self._kept[key] = _Kept(now + self._life, call, None)
        return None

    def after(self, key: str, call: Call, answer: Answer, succeeded: Callable[[Answer], bool]) -> None:
        """Keeps the answer of the first call if it succeeded, else forgets the key."""
        kept = self._kept.get(key)
        if kept is None or kept.call is not call:
            return
        if succeeded(answer):
            self._kept[key] = kept._replace(answer=answer)
        else:
            del self._kept[key]
