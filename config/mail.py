"""The mail service of FLASHSALE_MAIL_SERVICE: django-anymail sends through its API instead of SMTP."""

import json
import re
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from django.core.exceptions import ImproperlyConfigured

# With it, the service may report what became of a letter (flashsale/web/api/letter_reports.py).
WEBHOOK_OPTION = "WEBHOOK_SECRET"


def service_settings(service: str, options: str) -> Mapping[str, Any]:
    """Django's settings for this service of django-anymail; none for "". `options` is the JSON of its setting ANYMAIL.

    Raises ImproperlyConfigured, which says what to do.
    """
    if not service:
        return {}
    if find_spec("anymail") is None:
        raise ImproperlyConfigured(
            "FLASHSALE_MAIL_SERVICE is set, and the package django-anymail is not installed. Install it "
            "(pip install django-anymail), or unset FLASHSALE_MAIL_SERVICE to send by EMAIL_URL."
        )
    if not re.fullmatch(r"[a-z][a-z0-9_]*", service) or find_spec(f"anymail.backends.{service}") is None:
        raise ImproperlyConfigured(
            f"FLASHSALE_MAIL_SERVICE is {service!r}, which django-anymail does not have. "
            "Write a name as it has them, such as brevo, postmark, mailgun or amazon_ses."
        )
    try:
        found = json.loads(options or "{}")
    except ValueError:
        found = None
    if not isinstance(found, dict):
        # Without the value, which holds the key of the service.
        raise ImproperlyConfigured(
            'FLASHSALE_MAIL_SERVICE_SETTINGS is not a JSON object. Write one such as {"BREVO_API_KEY": "..."}.'
        )
    if WEBHOOK_OPTION in found and not re.fullmatch(r"[^:\s]+:\S{16,}", str(found[WEBHOOK_OPTION])):
        raise ImproperlyConfigured(
            f"{WEBHOOK_OPTION} in FLASHSALE_MAIL_SERVICE_SETTINGS must be a name and a password of 16 characters or "
            'more, with a colon between them, such as the value of: echo "mails:$(openssl rand -hex 16)".'
        )
    return {"EMAIL_BACKEND": f"anymail.backends.{service}.EmailBackend", "ANYMAIL": found}
