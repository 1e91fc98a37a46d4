"""A mail service of django-anymail in place of a mail server: what is wrong is said at the start."""

import json
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from config import mail


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if django-anymail were installed, with the service brevo."""
    known = {"anymail", "anymail.backends.brevo"}
    monkeypatch.setattr(mail, "find_spec", lambda name: name if name in known else None)


@pytest.mark.usefixtures("installed")
def test_a_service_with_its_key_replaces_the_mail_server() -> None:
    assert mail.service_settings("brevo", '{"BREVO_API_KEY": "k"}') == {
        "EMAIL_BACKEND": "anymail.backends.brevo.EmailBackend",
        "ANYMAIL": {"BREVO_API_KEY": "k"},
    }
    assert mail.service_settings("brevo", "")["ANYMAIL"] == {}
    reports = {"WEBHOOK_SECRET": "mails:0123456789abcdef"}
    assert mail.service_settings("brevo", json.dumps(reports))["ANYMAIL"] == reports


def test_without_a_service_nothing_changes() -> None:
    assert mail.service_settings("", "whatever") == {}


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("service", "options", "says"),
    [
        ("brevi", "{}", "does not have"),
        ("os.path", "{}", "does not have"),
        ("brevo", "secret-key", "not a JSON object"),
        ("brevo", '["secret-key"]', "not a JSON object"),
        ("brevo", '{"WEBHOOK_SECRET": "secret-key-without-a-colon"}', "a colon between them"),
        ("brevo", '{"WEBHOOK_SECRET": "mails:secret-key"}', "16 characters or more"),
        ("brevo", '{"WEBHOOK_SECRET": ""}', "16 characters or more"),
    ],
)
def test_a_wrong_service_or_options_are_named_and_the_key_is_not_shown(service: str, options: str, says: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=says) as refused:
        mail.service_settings(service, options)
    assert "secret-key" not in str(refused.value)


def test_a_package_that_is_missing_is_named_with_what_to_do(monkeypatch: Any) -> None:
    monkeypatch.setattr(mail, "find_spec", lambda _: None)
    with pytest.raises(ImproperlyConfigured, match="pip install django-anymail"):
        mail.service_settings("brevo", "{}")
