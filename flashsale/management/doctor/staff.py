"""Staff: second factor, fresh proofs, two people who publish, roles."""

from django.conf import settings
from django.contrib.auth.models import User
from django.db import DatabaseError
from django.db.models import OuterRef

from flashsale.life.staff_session import factor_of
from flashsale.management.commands.roles import missing_permissions
from flashsale.management.doctor.check import Check


def staff() -> list[Check]:
    """One check for each of the four. Outside of production the first three may be off."""
    production = bool(settings.FLASHSALE_SIGNS_OF_PRODUCTION) and not settings.FLASHSALE_DEMO
    factor, fresh_s = settings.FLASHSALE_STAFF_SECOND_FACTOR, settings.FLASHSALE_FRESH_PROOF_S
    units = settings.FLASHSALE_TWO_PEOPLE_UNITS
    return [
        _second_factor(factor or not production),
        Check(
            "fresh proof",
            bool(fresh_s) or not production,
            f"after {fresh_s} s" if fresh_s else "off",
            "on in production",
            "set FLASHSALE_FRESH_PROOF_S=600",
        ),
        Check(
            "two people publish",
            bool(units) or not production,
            f"above {units} units" if units else "off",
            "on in production",
            "set FLASHSALE_TWO_PEOPLE_UNITS",
        ),
        _roles(),
    ]


def _second_factor(ok: bool) -> Check:
    found = "on" if settings.FLASHSALE_STAFF_SECOND_FACTOR else "off"
    try:
        people = User.objects.filter(is_staff=True, is_active=True)
        without = people.exclude(factor_of(OuterRef("pk"))).count()
    except DatabaseError:
        without = 0
    if without:
        found += f"; {without} of staff have no device yet"
    return Check("second factor", ok, found, "on in production", "set FLASHSALE_STAFF_SECOND_FACTOR=on")


def _roles() -> Check:
    expected, fix = "each role has its permissions", "python manage.py roles"
    try:
        missing = missing_permissions()
    except DatabaseError:
        return Check("roles", False, "no answer", expected, "set DATABASE_URL, then: python manage.py migrate")
    found = "; ".join(f"{role} lacks {len(names)}" for role, names in missing.items())
    return Check("roles", not missing, found or "all", expected, fix)
