"""Log-in by an identity provider: only an account that its owner has linked logs in, never one with the same e-mail."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from allauth.socialaccount.models import SocialAccount, SocialToken
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from config import staff
from flashsale.models import Record
from tests.admin.forms import form_values
from tests.admin.identity_provider import IdentityProvider, identity_provider

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]
PASSWORD = "kopi-susu-17"
BEGIN = "/admin/account/identity/oidc/login/"


@pytest.fixture
def provider(settings: Any) -> Iterator[IdentityProvider]:
    with identity_provider() as server:
        oidc = {"url": server.url, "name": "Kantor", "client_id": "flashsale", "secret": "s3cret-of-the-shop"}
        settings.FLASHSALE_OIDC = oidc
        for name, value in staff.allauth_settings(local=True, oidc=oidc).items():
            setattr(settings, name, value)
        yield server


@pytest.fixture
def sri(make_user: Any) -> User:
    make_user("sri", "scheduler")
    user = User.objects.get(username="sri")
    user.email = "sri@shop.example"
    user.set_password(PASSWORD)
    user.save()
    return user


def walk(client: Client, query: str = "") -> Any:
    """Goes to the provider and comes back with its answer."""
    going = client.post(BEGIN + query)
    assert going.status_code == 200, going.status_code
    target = urlsplit(going["Refresh"].removeprefix("0; url="))
    sent = parse_qs(target.query)
    assert sent["code_challenge_method"] == ["S256"]
    return client.get(f"{BEGIN}return/", {"code": "c", "state": sent["state"][0]}, follow=True)


def browser() -> Client:
    return Client(headers={"accept-language": "en"})


def test_the_same_e_mail_links_nothing_and_makes_no_user(provider: IdentityProvider, sri: User) -> None:
    provider.person = {"sub": "stranger", "email": "sri@shop.example", "email_verified": True, "name": "sri",
                       "preferred_username": "sri"}  # fmt: skip
    client = browser()
    assert b"Log in with Kantor" in client.get("/admin/login/").content
    page = walk(client)
    assert b"This account is not linked" in page.content
    assert client.get("/admin/").status_code == 302
    assert (User.objects.count(), SocialAccount.objects.count()) == (1, 0)


def test_an_account_is_linked_after_a_proof_and_then_logs_in(
    provider: IdentityProvider, sri: User, settings: Any
) -> None:
    settings.FLASHSALE_FRESH_PROOF_S = 600
    provider.person = {"sub": "17", "email": "other@mail.example"}
    client = browser()
    client.force_login(sri)
    asked = client.post(f"{BEGIN}?process=connect")
    assert (asked.status_code, SocialAccount.objects.count()) == (403, 0)
    going = client.post(f"{BEGIN}?process=connect", {**form_values(asked), "_proof_password": PASSWORD})
    assert going["Refresh"].startswith(f"0; url={provider.url}/authorize?")
    walk(client, "?process=connect")
    account = SocialAccount.objects.get()
    assert (account.user, account.uid, SocialToken.objects.count()) == (sri, "17", 0)
    assert Record.objects.filter(what="link_identity", subject=f"user:{sri.pk}").count() == 1
    other = browser()
    walk(other)
    assert other.get("/admin/").status_code == 200
    # The answer of the provider belongs to the browser that has asked.
    assert browser().get(f"{BEGIN}return/", {"code": "c", "state": "guessed"}).status_code in {200, 302, 401}
    sri.is_active = False
    sri.save()
    out = browser()
    walk(out)
    assert out.get("/admin/").status_code == 302


def test_an_account_of_somebody_else_cannot_be_linked_twice(
    provider: IdentityProvider, sri: User, make_user: Any
) -> None:
    make_user("budi", "reviewer")
    SocialAccount.objects.create(user=User.objects.get(username="budi"), provider="oidc", uid="17")
    provider.person = {"sub": "17"}
    client = browser()
    client.post("/admin/login/", {"username": "sri", "password": PASSWORD, "next": "/admin/"})
    walk(client, "?process=connect")
    assert SocialAccount.objects.get().user.username == "budi"
    assert client.get(BEGIN + "?process=redirect").status_code == 400
    assert browser().get(BEGIN + "?process=connect").status_code == 302


def test_the_second_factor_is_asked_for_unless_the_provider_asks(
    provider: IdentityProvider, sri: User, settings: Any
) -> None:
    settings.FLASHSALE_STAFF_SECOND_FACTOR = True
    SocialAccount.objects.create(user=sri, provider="oidc", uid="17")
    provider.person = {"sub": "17"}
    client = browser()
    page = walk(client)
    assert page.redirect_chain[-1][0] == reverse("mfa_index")
    assert client.get("/admin/flashsale/sale/").status_code == 302
    settings.FLASHSALE_OIDC_SECOND_FACTOR = True
    trusted = browser()
    walk(trusted)
    assert trusted.get("/admin/flashsale/sale/").status_code == 200
    TOTP.activate(sri, generate_totp_secret())
    settings.FLASHSALE_OIDC_SECOND_FACTOR = False
    again = browser()
    assert walk(again).redirect_chain[-1][0] == reverse("mfa_authenticate")
    assert again.get("/admin/").status_code == 302


def test_where_the_provider_asks_for_the_second_factor_the_password_alone_neither_enters_nor_adds_a_device(
    provider: IdentityProvider, sri: User, settings: Any
) -> None:
    settings.FLASHSALE_STAFF_SECOND_FACTOR = True
    SocialAccount.objects.create(user=sri, provider="oidc", uid="17")
    stranger = {"username": "sri", "password": PASSWORD, "next": "/admin/"}
    # The control: where the provider does not ask, the first device is added after a log-in by password.
    client = browser()
    assert client.post("/admin/login/", stranger, follow=True).redirect_chain[-1][0] == reverse("mfa_index")
    settings.FLASHSALE_OIDC_SECOND_FACTOR = True
    client = browser()
    client.post("/admin/login/", stranger)
    for address in ("mfa_index", "mfa_activate_totp", "mfa_add_webauthn"):
        assert client.get(reverse(address)).status_code == 302, address
    page = client.get("/admin/", follow=True)
    assert "The password alone does not open the admin. Log in with Kantor." in page.content.decode()
    provider.person = {"sub": "17"}
    own = browser()
    walk(own)
    assert own.get(reverse("mfa_index")).status_code == 200
    # A setting that names no provider leaves no way in but the password.
    settings.FLASHSALE_OIDC = settings.FLASHSALE_OIDC | {"url": ""}
    client = browser()
    assert client.post("/admin/login/", stranger, follow=True).redirect_chain[-1][0] == reverse("mfa_index")
    assert not Authenticator.objects.exists()


def test_without_settings_there_is_no_provider(sri: User) -> None:
    assert b"Log in with" not in browser().get("/admin/login/").content
    assert browser().post(BEGIN).status_code == 404
