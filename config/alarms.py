"""Reads the settings of the messages about alarms. Says what is wrong with them before a server starts."""

import binascii
from base64 import b64decode
from collections.abc import Sequence
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.core.validators import validate_email

PREFIX, SECRET_BYTES_MIN = "whsec_", 24


def addresses(texts: Sequence[str]) -> list[str]:
    """The mailboxes of FLASHSALE_ALARM_MAILS. Raises ImproperlyConfigured for a text that is no mailbox."""
    for text in texts:
        try:
            validate_email(text)
        except ValidationError:
            raise ImproperlyConfigured(
                f"FLASHSALE_ALARM_MAILS has {text!r}, which is no e-mail address. Write addresses with commas between."
            ) from None
    return list(texts)


def secret_for(url: str, secret: str) -> str:
    """The secret that signs the messages to FLASHSALE_ALARM_WEBHOOK. Raises ImproperlyConfigured."""
    if not url:
        return secret
    if urlsplit(url).scheme not in {"http", "https"}:
        raise ImproperlyConfigured("FLASHSALE_ALARM_WEBHOOK is no address. Write one that begins with https://.")
    try:
        is_long = len(b64decode(secret.removeprefix(PREFIX), validate=True)) >= SECRET_BYTES_MIN
    except (binascii.Error, ValueError):
        is_long = False
    if not (secret.startswith(PREFIX) and is_long):
        raise ImproperlyConfigured(
            "FLASHSALE_ALARM_WEBHOOK is set, and FLASHSALE_ALARM_SECRET is not whsec_ with base64 of 24 bytes or more. "
            'Set it to the output of: echo "whsec_$(openssl rand -base64 32)".'
        )
    return secret
