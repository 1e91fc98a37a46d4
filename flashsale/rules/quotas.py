"""Quotas: how many calls of each class a partner's channel may make in a minute.

Each class has a count of its own, so reading never uses up paying.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

WINDOW_S = 60
QUOTA_MAX = 10_000_000
# Staff hear of a channel that has used this part of a quota.
ALARM_PERCENT = 80


class QuotaClass(StrEnum):
    """A class of calls that are counted together."""

    ENTER = "enter"
    LOOK = "look"
    RESERVE = "reserve"
    PAY = "pay"
    READ = "read"
    WRITE = "write"


# The first three are the twenty thousand a second that the door has always let through.
DEFAULTS: Mapping[QuotaClass, int] = MappingProxyType(
    {
        QuotaClass.ENTER: 1_200_000,
        QuotaClass.LOOK: 1_200_000,
        QuotaClass.RESERVE: 1_200_000,
        QuotaClass.PAY: 120_000,
        QuotaClass.READ: 6_000,
        QuotaClass.WRITE: 60_000,
    }
)


def quotas_in(text: str) -> dict[QuotaClass, int]:
    """The quotas of a list such as "look:6000, read:600"; the others have their default. Raises ValueError."""
    found: dict[QuotaClass, int] = {}
    for part in (part for piece in text.split(",") if (part := piece.strip())):
        name, colon, number = part.partition(":")
        quota_class = QuotaClass(name.strip())
        digits = number.strip()
        if not colon or quota_class in found or not (digits.isascii() and digits.isdigit()):
            raise ValueError(part)
        if not 1 <= int(digits) <= QUOTA_MAX:
            raise ValueError(part)
        found[quota_class] = int(digits)
    return found


def alarm_at(quota: int) -> int:
    """The number of calls at which staff are told: ALARM_PERCENT of the quota, rounded up."""
    return -(-quota * ALARM_PERCENT // 100)
