"""How django-allauth behaves for staff: no sign-up, sealed secrets, our fresh proofs, a record of each change."""

import io
from typing import Any

import segno
from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.internal.flows.login import record_authentication
from allauth.core import context
from allauth.mfa import signals
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.signals import social_account_added, social_account_removed
from django.db import transaction
from django.dispatch import receiver
from django.http import HttpRequest

from flashsale.life import staff_session
from flashsale.models import Contact, Record

# Messages of django-allauth that say what the page shows anyway.
QUIET = {"account/messages/logged_in.txt", "account/messages/logged_out.txt"}


class AccountAdapter(DefaultAccountAdapter):
    """Log-in of users that a superuser has made."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:  # noqa: ARG002
        """Always False: a superuser makes users."""
        return False

    def is_reauthentication_required(self, *, app: str, **kwargs: Any) -> bool:  # noqa: ARG002
        """Whether a change of devices or of linked accounts needs a proof first."""
        return not staff_session.is_fresh(context.request, within_s=staff_session.proof_s())

    def get_reauthentication_methods(self, user: Any) -> list[dict[str, Any]]:  # noqa: ARG002
        """None of django-allauth's pages: `fresh_proof.py` asks."""
        return []

    def add_message(self, request: HttpRequest, level: int, *args: Any, **kwargs: Any) -> None:
        """As django-allauth's, without those that only say "you have signed in"."""
        if not {*args[:1], kwargs.get("message_template")} & QUIET:
            super().add_message(request, level, *args, **kwargs)


class IdentityAdapter(DefaultSocialAccountAdapter):
    """Log-in by an identity provider. Only an account that its owner has linked logs in; an e-mail links nothing."""

    def is_open_for_signup(self, request: HttpRequest, sociallogin: Any) -> bool:  # noqa: ARG002
        """Always False: a superuser makes users."""
        return False

    def can_authenticate_by_email(self, login: Any, email: str) -> bool:  # noqa: ARG002
        """Always False: an identity provider may say any e-mail, also one that is not verified."""
        return False


class DeviceAdapter(DefaultMFAAdapter):
    """Second factors. Their secrets are sealed with FLASHSALE_CONTACT_KEY, so a reader of the database has no codes."""

    def encrypt(self, text: str) -> str:
        """The sealed secret."""
        return Contact.encrypt({"secret": text})

    def decrypt(self, encrypted_text: str) -> str:
        """The secret."""
        return str(Contact(sealed=encrypted_text).read()["secret"])

    def build_totp_svg(self, url: str) -> str:
        """The QR code as SVG without inline styles, which the page's policy would refuse."""
        out = io.BytesIO()
        segno.make(url, micro=False).save(
            out, kind="svg", scale=5, border=4, xmldecl=False, svgns=True, dark="#000", light="#fff"
        )
        return out.getvalue().decode()


def _note(what: str, request: HttpRequest | None, user: Any, kind: str) -> None:
    with transaction.atomic():
        actor = request.user if request is not None and request.user.is_authenticated else user
        Record.write(what, by=actor, subject=f"user:{user.pk}", facts={"kind": kind})


@receiver(signals.authenticator_added)
def _added(request: HttpRequest, user: Any, authenticator: Authenticator, **_: Any) -> None:
    """The person has just used the device, so the session counts as proven by it."""
    _note("add_factor", request, user, authenticator.type)
    if authenticator.type in staff_session.DEVICES:
        record_authentication(request, user, "mfa", id=authenticator.pk, type=authenticator.type)


@receiver(signals.authenticator_removed)
def _removed(request: HttpRequest, user: Any, authenticator: Authenticator, **_: Any) -> None:
    _note("remove_factor", request, user, authenticator.type)


@receiver(signals.authenticator_reset)
def _renewed(request: HttpRequest, user: Any, authenticator: Authenticator, **_: Any) -> None:
    _note("renew_factor", request, user, authenticator.type)


@receiver(social_account_added)
def _linked(request: HttpRequest, sociallogin: Any, **_: Any) -> None:
    _note("link_identity", request, sociallogin.account.user, sociallogin.account.provider)


@receiver(social_account_removed)
def _unlinked(request: HttpRequest, socialaccount: Any, **_: Any) -> None:
    _note("unlink_identity", request, socialaccount.user, socialaccount.provider)
