"""Log-in with a second factor: nothing of the admin opens without it, and no other way in goes around it."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP, format_hotp_value, generate_totp_secret, hotp_value
from allauth.socialaccount.models import SocialAccount
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.core.cache import cache
from django.test import Client
from django.urls import NoReverseMatch, reverse

from flashsale.models import Record
from tests.admin.forms import form_values, messages_on
from tests.factories import draft_sale

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("gate")]
PASSWORD = "kopi-susu-17"
LOGIN, INDEX, DEVICES = "/admin/login/", "/admin/", "/admin/account/devices/"


@pytest.fixture(autouse=True)
def _demanded(settings: Any) -> None:
    settings.FLASHSALE_STAFF_SECOND_FACTOR = True


@pytest.fixture
def sri(make_user: Callable[..., Client]) -> User:
    """A scheduler with a password, and no device yet."""
    make_user("sri", "scheduler")
    user = User.objects.get(username="sri")
    user.set_password(PASSWORD)
    user.save()
    return user


def browser() -> Client:
    return Client(headers={"accept-language": "en"})


def send_password(client: Client, name: str = "sri", password: str = PASSWORD, to: str = INDEX) -> Any:
    return client.post(f"{LOGIN}?next={to}", {"username": name, "password": password, "next": to})


def code_of(secret: str, *, step: int = 0) -> str:
    return format_hotp_value(hotp_value(secret, int(time.time()) // 30 + step))


def give_app(user: User) -> str:
    """The secret of an authenticator app that the user has."""
    secret = generate_totp_secret()
    TOTP.activate(user, secret)
    return secret


def test_the_first_log_in_leads_to_a_device_and_nothing_else_opens_before(sri: User) -> None:
    draft_sale()
    client = browser()
    assert send_password(client).url == INDEX
    for url in (INDEX, "/admin/flashsale/sale/", "/admin/account/devices/app/remove/", "/admin/jsi18n/"):
        answer = client.get(url)
        assert answer.status_code in {302, 404}, url
        assert b"26 January" not in answer.content
    assert client.get(INDEX, follow=True).redirect_chain[-1][0] == DEVICES
    page = client.get("/admin/account/devices/app/add/")
    assert b"<svg" in page.content
    assert b"style=" not in page.content
    assert page["Cache-Control"].startswith("max-age=0")
    secret = page.context["form"].secret
    wrong = client.post("/admin/account/devices/app/add/", {"code": "000000"})
    assert wrong.status_code == 200
    assert not Authenticator.objects.exists()
    page = client.post("/admin/account/devices/app/add/", {"code": code_of(secret)}, follow=True)
    assert page.redirect_chain[-1][0] == reverse("mfa_view_recovery_codes")
    assert page.content.count(b"<code>") == 10
    # The session has proven the device, so the admin is open. The codes are not shown again.
    assert client.get("/admin/flashsale/sale/").status_code == 200
    assert client.get(reverse("mfa_view_recovery_codes")).content.count(b"<code>") == 0
    kinds = list(Record.objects.filter(subject=f"user:{sri.pk}").order_by("position").values_list("what", "facts"))
    assert sorted(kinds) == [("add_factor", '{"kind":"recovery_codes"}'), ("add_factor", '{"kind":"totp"}')]
    stored = "".join(str(row.data) for row in Authenticator.objects.all())
    assert secret not in stored


def test_a_password_alone_opens_nothing_for_a_person_with_a_device(sri: User) -> None:
    secret = give_app(sri)
    client = browser()
    sent = send_password(client, to="/admin/flashsale/sale/")
    assert sent.url == reverse("mfa_authenticate")
    before = client.cookies["sessionid"].value
    for url in (
        INDEX,
        "/admin/flashsale/sale/",
        DEVICES,
        "/admin/account/devices/app/add/",
        "/admin/account/identity/",
    ):
        assert client.get(url).status_code == 302, url
    for url in ("/admin/flashsale/sale/add/", "/admin/account/devices/app/remove/", "/admin/password_change/"):
        assert client.post(url, {"_proof_method": "POST", "_proof_password": PASSWORD}).status_code == 302, url
    page = client.get(reverse("mfa_authenticate"))
    assert b"Type the code of your authenticator app" in page.content
    assert client.post(reverse("mfa_authenticate"), {"code": "123456"}).status_code == 200
    done: Any = client.post(reverse("mfa_authenticate"), {"code": code_of(secret)})
    assert done.url == "/admin/flashsale/sale/"
    # A new cookie after the log-in: one that somebody has planted before knows nothing.
    assert client.cookies["sessionid"].value != before
    old = browser()
    old.cookies["sessionid"] = before
    assert old.get(INDEX).status_code == 302
    assert client.get(INDEX).status_code == 200
    # The same code does not work again.
    again = browser()
    send_password(again)
    assert again.post(reverse("mfa_authenticate"), {"code": code_of(secret)}).status_code == 200
    assert again.get(INDEX).status_code == 302


def test_a_recovery_code_works_once(sri: User) -> None:
    give_app(sri)
    code = RecoveryCodes.activate(sri).get_unused_codes()[0]
    for expected in (302, 200):
        client = browser()
        send_password(client)
        assert client.post(reverse("mfa_authenticate"), {"code": code}).status_code == expected
        assert client.get(INDEX).status_code == (200 if expected == 302 else 302)


def test_a_session_without_a_proof_is_closed_and_ends_at_the_log_in_page(sri: User) -> None:
    """Sessions of before the setting, and sessions that another way of log-in would make."""
    client = browser()
    client.force_login(sri)
    give_app(sri)
    assert client.get("/admin/flashsale/sale/").status_code == 302
    assert client.get(DEVICES).status_code == 302
    assert client.get(LOGIN).status_code == 200
    assert "_auth_user_id" not in client.session


def test_with_the_setting_off_a_password_logs_in_and_a_device_is_still_asked_for(sri: User, settings: Any) -> None:
    settings.FLASHSALE_STAFF_SECOND_FACTOR = False
    client = browser()
    assert send_password(client).url == INDEX
    assert client.get(INDEX).status_code == 200
    give_app(sri)
    again = browser()
    assert send_password(again).url == reverse("mfa_authenticate")
    assert again.get(INDEX).status_code == 302


def test_codes_are_limited_as_passwords_are(sri: User) -> None:
    give_app(sri)
    cache.clear()
    client = browser()
    send_password(client)
    answers = [client.post(reverse("mfa_authenticate"), {"code": "123456"}).status_code for _ in range(6)]
    assert answers == [200] * 5 + [429]
    # Another network has limits of its own, until the ceiling of the account.
    sent = [_try_from(n) for n in range(40)]
    assert 429 in sent
    assert sent.index(429) < 30


def _try_from(number: int) -> int:
    client = Client(REMOTE_ADDR=f"203.0.113.{number}")
    send_password(client)
    return client.post(reverse("mfa_authenticate"), {"code": "123456"}).status_code


def test_unknown_names_wrong_passwords_and_people_with_devices_look_the_same(sri: User) -> None:
    give_app(sri)
    pages = []
    for name, password in (("nobody", PASSWORD), ("sri", "wrong")):
        page = browser().post(LOGIN, {"username": name, "password": password, "next": INDEX})
        text = page.content.decode().replace(f'value="{name}"', "")
        pages.append((page.status_code, [str(error) for error in page.context["form"].non_field_errors()], len(text)))
    assert pages[0][:2] == pages[1][:2]
    assert not SocialAccount.objects.exists()


def test_there_is_no_sign_up_and_no_password_by_mail(sri: User) -> None:
    for name in ("account_signup", "account_reset_password", "account_email", "mfa_reauthenticate", "account_logout",
                 "account_reauthenticate", "socialaccount_signup", "mfa_download_recovery_codes"):  # fmt: skip
        with pytest.raises(NoReverseMatch):
            reverse(name)
    assert browser().get("/admin/account/identity/oidc/login/").status_code == 404


def test_a_person_who_is_switched_off_or_no_staff_gets_nowhere(sri: User) -> None:
    secret = give_app(sri)
    client = browser()
    send_password(client)
    User.objects.filter(pk=sri.pk).update(is_active=False)
    client.post(reverse("mfa_authenticate"), {"code": code_of(secret)})
    assert client.get(INDEX).status_code == 302
    User.objects.filter(pk=sri.pk).update(is_active=True, is_staff=False)
    page = send_password(browser())
    assert page.status_code == 200


def test_the_last_device_goes_only_with_a_proof_and_closes_the_admin(sri: User) -> None:
    secret = give_app(sri)
    client = browser()
    send_password(client)
    client.post(reverse("mfa_authenticate"), {"code": code_of(secret)})
    session = client.session
    for record in session["account_authentication_methods"]:
        record["at"] -= 3600
    session.save()
    asked = client.post("/admin/account/devices/app/remove/", {})
    assert asked.status_code == 403
    assert Authenticator.objects.count() == 1
    values = {**form_values(asked), "_proof_password": PASSWORD}
    assert client.post("/admin/account/devices/app/remove/", values).status_code == 302
    assert not Authenticator.objects.exists()
    assert Record.objects.filter(what="remove_factor", subject=f"user:{sri.pk}").count() == 1


def test_the_rest_api_knows_no_session(sri: User) -> None:
    client = browser()
    client.force_login(sri)
    for url in ("/v1/reservations", "/v1/events"):
        answer = client.get(url)
        assert answer.status_code == 401, url
    assert Session.objects.count() >= 1
    assert messages_on(client.get(LOGIN, follow=True)) == []
