"""Debug pages and error reports without secrets: hidden by the names of variables, and by the values themselves.

Django hides settings by their names only, and shows all variables of a function while FLASHSALE_DEBUG is on.
"""

import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import ItemsView, Iterator
from functools import lru_cache
from html import escape
from types import FrameType
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from django.conf import settings
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.views.debug import ExceptionReporter, SafeExceptionReporterFilter

HIDDEN = SafeExceptionReporterFilter.cleansed_substitute
# A password of fewer characters would hide ordinary words too. In a URL it is hidden all the same.
SHORTEST = 6


class SecretsFilter(SafeExceptionReporterFilter):
    """Hides what has the name of a secret, and what contains a secret; also while FLASHSALE_DEBUG is on."""

    hidden_settings = re.compile(
        "API|AUTH|TOKEN|KEY|SECRET|PASS|SIGNATURE|HTTP_COOKIE|PEPPER|SALT|WEBHOOK|SMS_FORM|CODE_MAC|EMAIL_URL|DATABASE_URL",
        flags=re.IGNORECASE,
    )

    def is_active(self, request: HttpRequest | None) -> bool:  # noqa: ARG002
        """Always: Django would show passwords of forms while FLASHSALE_DEBUG is on."""
        return True

    def cleanse_setting(self, key: Any, value: Any) -> Any:
        """Hides a value by its name, in dictionaries too, or because it contains a secret."""
        cleansed = super().cleanse_setting(key, value)
        return HIDDEN if _has_secret(cleansed) else cleansed

    def get_safe_cookies(self, request: HttpRequest) -> dict[str, Any]:
        """Hides all cookies, because places, proofs and sessions are in them."""
        return dict.fromkeys(getattr(request, "COOKIES", {}), HIDDEN)

    def get_traceback_frame_variables(self, request: HttpRequest, tb_frame: FrameType) -> ItemsView[str, Any]:
        """The variables of a function, without secrets."""
        shown = super().get_traceback_frame_variables(request, tb_frame)
        return {name: self.cleanse_setting(name, value) for name, value in shown}.items()


class Reporter(ExceptionReporter):
    """Django's reporter. It searches the finished page for secrets once more: the message of an error can have one."""

    def get_traceback_html(self) -> SafeString:
        """The page."""
        return _without_secrets(super().get_traceback_html())

    def get_traceback_text(self) -> SafeString:
        """The page as text."""
        return _without_secrets(super().get_traceback_text())


def _has_secret(value: Any) -> bool:
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - the page says itself that this value cannot be shown
        return False
    return any(secret in text for secret in _secret_texts())


def _without_secrets(page: str) -> SafeString:
    text = str(page)
    for secret in _secret_texts():
        text = text.replace(secret, HIDDEN).replace(escape(secret), HIDDEN)
    return SafeString(text)


def _secret_texts() -> tuple[str, ...]:
    urls = (settings.REDIS_URL, settings.BROKER_URL, settings.LIMITS_URL)
    passwords = [settings.EMAIL_HOST_PASSWORD, *(config.get("PASSWORD") for config in settings.DATABASES.values())]
    passwords += [unquote(urlsplit(url).password or "") for url in urls]
    keys = (settings.FLASHSALE_PEPPER, settings.FLASHSALE_CONTACT_KEY, settings.FLASHSALE_RECEIPT_KEY)
    provider_keys = [key for keys in settings.FLASHSALE_PAYMENT_KEYS.values() for key in keys]
    # Providers get a key as the user of HTTP's Basic scheme.
    provider_keys += [b64encode(f"{key}:".encode()).decode() for key in provider_keys]
    service = getattr(settings, "ANYMAIL", {}).values()
    texts = (settings.SECRET_KEY, *_code_keys(), *passwords, *provider_keys, *service)
    return _forms((*keys, *settings.FLASHSALE_TOKEN_KEYS.values()), tuple(str(text or "") for text in texts))


def _code_keys() -> tuple[str, ...]:
    """The keys of the gateways for one-time codes. Those of a form stand among other values."""
    values = [value for _name, value in parse_qsl(settings.FLASHSALE_SMS_FORM) if "{" not in value]
    whatsapp = (settings.FLASHSALE_WHATSAPP_TOKEN, settings.FLASHSALE_WHATSAPP_SECRET)
    return (
        settings.FLASHSALE_CODE_WEBHOOK, settings.FLASHSALE_SMS_FORM, settings.FLASHSALE_SMS_PASSWORD,
        settings.FLASHSALE_WHATSAPP_VERIFY_TOKEN, *whatsapp, *values,
    )  # fmt: skip


@lru_cache(maxsize=4)
def _forms(keys: tuple[bytes, ...], texts: tuple[str, ...]) -> tuple[str, ...]:
    """All spellings of the secrets, the longest first."""

    def spellings() -> Iterator[str]:
        for key in keys:
            yield from (key.hex(), key.hex().upper(), repr(key)[2:-1])
            yield from (encode(key).decode().rstrip("=") for encode in (b64encode, urlsafe_b64encode))
        for text in texts:
            yield from (text, quote(text, safe=""), repr(text)[1:-1])

    in_urls = {f":{quote(text, safe='')}@" for text in texts if text}
    return tuple(sorted(in_urls | {text for text in spellings() if len(text) >= SHORTEST}, key=len, reverse=True))
