"""Accounts of staff: switch a person off at once, and reset the second factor of a person who has lost a device."""

from datetime import datetime
from typing import Any

from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from flashsale.models import CalendarLink, Record, StaffAccount


@transaction.atomic
def switch_off(*, user: User, by: Any) -> None:
    """The person cannot log in any more. All sessions and the calendar link are over for ever. Safe to repeat.

    Raises ValidationError for the own account.
    """
    _require_other(user, by, _("You cannot switch yourself off. Another superuser does it."))
    if User.objects.filter(pk=user.pk, is_active=True).update(is_active=False):
        end_sessions(user)
        CalendarLink.objects.filter(user=user).delete()
        Record.write("switch_off", by=by, subject=user)


@transaction.atomic
def switch_on(*, user: User, by: Any) -> None:
    """The person can log in again. Sessions of before stay over. Safe to repeat."""
    if User.objects.filter(pk=user.pk, is_active=False).update(is_active=True):
        Record.write("switch_on", by=by, subject=user)


@transaction.atomic
def reset_second_factor(*, user: User, by: Any) -> int:
    """Removes devices, recovery codes, linked identities and the calendar link, and ends all sessions; how many.

    The person logs in by password and adds a new device. Raises ValidationError for the own account.
    """
    _require_other(user, by, _("You cannot reset your own second factor. Another superuser does it."))
    kinds = sorted(Authenticator.objects.filter(user=user).values_list("type", flat=True))
    # A linked identity logs in, too. A stranger may have linked it.
    identities = SocialAccount.objects.filter(user=user)
    kinds += ["identity"] * identities.count()
    links = CalendarLink.objects.filter(user=user)
    kinds += ["calendar"] * links.count()
    if kinds:
        links.delete()
        Authenticator.objects.filter(user=user).delete()
        identities.delete()
        end_sessions(user)
        Record.write("reset_factor", by=by, subject=user, facts={"kinds": kinds})
    return len(kinds)


def left_after_new_password(user: User) -> list[str]:
    """What still opens the admin or the calendar after a superuser has given a new password, in words; may be empty."""
    counts = [
        (Authenticator.objects.filter(user=user).count(), _("%(count)d devices and sets of recovery codes")),
        (SocialAccount.objects.filter(user=user).count(), _("%(count)d linked identities")),
        (CalendarLink.objects.filter(user=user).count(), _("%(count)d calendar links")),
    ]
    return [text % {"count": count} for count, text in counts if count]


def end_sessions(user: User) -> datetime:
    """All sessions that the user has now are over, from their next request on. Returns the time of it."""
    now = timezone.now()
    StaffAccount.objects.update_or_create(user=user, defaults={"sessions_from": now})
    return now


def _require_other(user: User, by: Any, text: str) -> None:
    if by is not None and by.pk == user.pk:
        raise ValidationError(text)
