"""Reads the settings of the month view."""

import re
from datetime import time

from django.core.exceptions import ImproperlyConfigured

Hours = tuple[time, time]


def hours(text: str) -> Hours | None:
    """The first and the last hour of FLASHSALE_PLAN_HOURS, such as 08:00-22:00; None for an empty setting.

    Raises ImproperlyConfigured for another form.
    """
    if not text.strip():
        return None
    found = re.fullmatch(r"([01][0-9]|2[0-3]):([0-5][0-9])-([01][0-9]|2[0-3]):([0-5][0-9])", text.strip())
    if found is None:
        raise ImproperlyConfigured(f"FLASHSALE_PLAN_HOURS is {text!r}. Write two times such as 08:00-22:00.")
    first, last = time(int(found[1]), int(found[2])), time(int(found[3]), int(found[4]))
    if first >= last:
        raise ImproperlyConfigured(f"FLASHSALE_PLAN_HOURS is {text!r}: the first time must be before the last.")
    return first, last
