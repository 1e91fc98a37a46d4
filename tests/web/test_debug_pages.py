"""Debug pages show no secret, whatever its name and its spelling."""

import logging
from base64 import b64encode
from html import unescape
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings as configured
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory
from django.urls import path
from django.views.debug import SafeExceptionReporterFilter, technical_500_response

from flashsale.web.debug_pages import HIDDEN

pytestmark = pytest.mark.django_db
WORD = "p%40ss-word"  # in a URL; the password is p@ss-word
PROVIDER_KEY = "Mid-server-made-up-77"
URL = f"rediss://user:{WORD}@gate.example:6380/0"


def broken(request: HttpRequest) -> HttpResponse:
    """A view that has all secrets in its variables, under harmless names."""
    one = configured.FLASHSALE_PEPPER
    two = {"nested": [configured.FLASHSALE_CONTACT_KEY.hex(), ("x", configured.FLASHSALE_TOKEN_KEYS)]}
    three = f"in the middle {configured.SECRET_KEY} of a text"
    four = b64encode(configured.FLASHSALE_RECEIPT_KEY)
    five, six = URL, "postgres://flashsale:hunter-22@books/flashsale"
    seven = f"Basic {b64encode(f'{PROVIDER_KEY}:'.encode()).decode()} {PROVIDER_KEY}"
    raise RuntimeError(f"{URL} {one.hex()} {len((two, three, four, five, six, seven))}")


urlpatterns = [path("broken", broken)]


def secret_texts() -> list[str]:
    keys = [
        configured.FLASHSALE_PEPPER,
        configured.FLASHSALE_CONTACT_KEY,
        configured.FLASHSALE_RECEIPT_KEY,
        *configured.FLASHSALE_TOKEN_KEYS.values(),
    ]
    spelled = [text for key in keys for text in (key.hex(), repr(key)[2:-1], b64encode(key).decode())]
    spelled += [PROVIDER_KEY, b64encode(f"{PROVIDER_KEY}:".encode()).decode()]
    return [
        *spelled,
        configured.SECRET_KEY,
        WORD,
        "p@ss-word",
        "hunter-22",
        "sms-gateway-9",
        "mail-word-7",
        "brevo-key-5",
    ]


@pytest.fixture
def debugging(settings: Any) -> None:
    settings.DEBUG = True
    settings.ROOT_URLCONF = "tests.web.test_debug_pages"
    settings.REDIS_URL = settings.BROKER_URL = settings.LIMITS_URL = settings.CELERY_BROKER_URL = URL
    settings.DATABASES["default"]["PASSWORD"] = "hunter-22"
    settings.FLASHSALE_CODE_WEBHOOK = "https://sms.example/sms-gateway-9"
    settings.EMAIL_HOST_PASSWORD = "mail-word-7"
    settings.ANYMAIL = {"BREVO_API_KEY": "brevo-key-5"}
    settings.FLASHSALE_PAYMENT_KEYS = {"midtrans": (PROVIDER_KEY,)}


@pytest.mark.usefixtures("debugging")
@pytest.mark.parametrize("accept", ["text/html", "text/plain"])
def test_the_debug_page_of_an_error_shows_no_secret(accept: str) -> None:
    client = Client(raise_request_exception=False, headers={"accept": accept}, PEPPER=configured.FLASHSALE_PEPPER.hex())
    client.cookies["fs_place_1"] = "a-place-token"
    answer = client.get("/broken", DATABASE_URL="postgres://flashsale:hunter-22@books/flashsale")
    assert answer.status_code == 500
    page = unescape(answer.content.decode())
    assert "RuntimeError" in page
    assert "FLASHSALE_HOSTS" in page or "ALLOWED_HOSTS" in page, "the page still has the settings"
    assert HIDDEN in page
    assert [text for text in [*secret_texts(), "a-place-token"] if text in page] == []


@pytest.mark.usefixtures("debugging")
def test_django_alone_shows_the_pepper(settings: Any) -> None:
    """The control: with Django's own reporter the same page has the pepper."""
    settings.DEFAULT_EXCEPTION_REPORTER = "django.views.debug.ExceptionReporter"
    request = RequestFactory().get("/broken")
    request.exception_reporter_filter = SafeExceptionReporterFilter()
    try:
        broken(request)
    except RuntimeError as error:
        page = technical_500_response(request, type(error), error, error.__traceback__).content.decode()
    assert configured.FLASHSALE_PEPPER.hex() in page
    assert WORD in page


@pytest.mark.usefixtures("debugging")
def test_the_password_of_a_form_is_hidden_while_debugging(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.ROOT_URLCONF = "config.urls"

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("no log-in today")

    monkeypatch.setattr("flashsale.web.login.limits.enforce", fail)
    typed = uuid4().hex  # the page quotes the lines of this function, too
    sent = {"username": "admin", "password": typed}
    answer = Client(raise_request_exception=False).post("/admin/login/", sent)
    assert answer.status_code == 500
    assert typed not in answer.content.decode()


def test_the_answer_to_an_error_without_debugging_has_no_detail(settings: Any, caplog: Any) -> None:
    settings.ROOT_URLCONF = "tests.web.test_debug_pages"
    caplog.set_level(logging.CRITICAL)
    answer = Client(raise_request_exception=False).get("/broken")
    assert answer.status_code == 500
    assert [text for text in secret_texts() if text in answer.content.decode()] == []
