"""What a member of staff has proven in this session: the second factor, and that the person is still there.

django-allauth verifies each proof and writes it into the session with its time. This file only reads them.
"""

import time
from typing import Any

from allauth.account.authentication import get_authentication_records
from allauth.core.exceptions import ReauthenticationRequired
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from django.conf import settings
from django.contrib.auth.models import User
from django.db.models import Exists, Q
from django.http import HttpRequest

from flashsale.models import StaffAccount

# Recovery codes alone are no device: they come with one, and go with the last one.
DEVICES = (Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN)
# A change of devices needs a proof in this time, also where no other page needs one.
DEVICES_PROOF_S = 600


def may_enter(request: HttpRequest) -> bool:
    """Whether the admin is open: an active member of staff, a session that still counts, and the second factor."""
    user = request.user
    if not (user.is_active and user.is_staff) or _is_over(request):
        return False
    return second_factor_proven(request) or not settings.FLASHSALE_STAFF_SECOND_FACTOR


def second_factor_proven(request: HttpRequest) -> bool:
    """Whether this session has a proof by a device or a recovery code, or by an identity provider that asks for one."""
    return any(record.get("method") in _second_factors() for record in _records(request))


def factor_of(user: Any) -> Q:
    """Whether a user has a second factor, as a condition: an authenticator app, a passkey, or a linked identity.

    A linked identity counts where its provider asks for the second factor. `user` is an id or an OuterRef.
    """
    found = Q(Exists(Authenticator.objects.filter(user=user, type__in=DEVICES)))
    if settings.FLASHSALE_OIDC_SECOND_FACTOR and settings.FLASHSALE_OIDC["url"]:
        found |= Q(Exists(SocialAccount.objects.filter(user=user)))
    return found


def has_second_factor(user: Any) -> bool:
    """Whether the user has a second factor. Then the password alone opens nothing, and adds no device."""
    return User.objects.filter(factor_of(user.pk), pk=user.pk).exists()


def may_manage_devices(request: HttpRequest) -> bool:
    """Whether the user's own devices may be seen and changed: the first one, or with a proof by a second factor."""
    user = request.user
    if not (user.is_active and user.is_staff) or _is_over(request):
        return False
    return second_factor_proven(request) or not has_second_factor(user)


def needs_identity(request: HttpRequest) -> bool:
    """Whether only a log-in by the identity provider opens the admin for this user, who has no device here."""
    devices = Authenticator.objects.filter(user_id=request.user.pk, type__in=DEVICES)
    return not second_factor_proven(request) and has_second_factor(request.user) and not devices.exists()


def is_fresh(request: HttpRequest, *, within_s: int) -> bool:
    """Whether the user has given a password or a second factor in the last `within_s` seconds; 0: always."""
    if not within_s:
        return True
    methods = {"password", *_second_factors()}
    since = time.time() - within_s
    return any(record.get("method") in methods and record.get("at", 0) > since for record in _records(request))


def demand_fresh_proof(request: HttpRequest) -> None:
    """Raises ReauthenticationRequired unless the proof is fresh. `web/fresh_proof.py` asks the person then.

    Call it before a view reads or changes anything. After the proof, the same request comes again with all its values.
    """
    if not is_fresh(request, within_s=settings.FLASHSALE_FRESH_PROOF_S):
        raise ReauthenticationRequired


def proof_s() -> int:
    """Seconds for which a proof counts as fresh where one is asked for."""
    return settings.FLASHSALE_FRESH_PROOF_S or DEVICES_PROOF_S


def _second_factors() -> tuple[str | None, ...]:
    return ("mfa", "socialaccount") if settings.FLASHSALE_OIDC_SECOND_FACTOR else ("mfa",)


def _records(request: HttpRequest) -> list[dict[str, Any]]:
    if not request.user.is_authenticated:
        return []
    found: list[dict[str, Any]] = get_authentication_records(request, request.user)
    return found


def _is_over(request: HttpRequest) -> bool:
    """Whether the user was switched off, or has lost a device, after this session began."""
    account = StaffAccount.objects.filter(user_id=request.user.pk or 0).first()
    if account is None or account.sessions_from is None:
        return False
    began = getattr(request.session, "began", None)
    return began is None or began < account.sessions_from
