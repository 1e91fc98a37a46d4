"""The result of one check of `manage.py doctor`."""

from dataclasses import dataclass, replace

from django.conf import settings


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check. `fix` is the command, or the advice, that solves a problem."""

    name: str
    ok: bool
    found: str
    expected: str
    fix: str = ""


def in_production(check: Check) -> Check:
    """The same check; on a machine of one's own a problem of production is only mentioned."""
    if check.ok or settings.FLASHSALE_SIGNS_OF_PRODUCTION:
        return check
    return replace(check, ok=True, found=f"{check.found}\n(a problem in production only)")
