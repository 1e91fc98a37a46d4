"""How one-time codes are sent: to the console, by e-mail, or by a webhook that sends SMS.

The setting `FLASHSALE_CODE_SENDER` chooses one. This module stores no address and logs none.
"""

import json
import smtplib
import sys
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException
from urllib.error import URLError

from django.conf import settings
from django.core.mail import send_mail
from django.utils.translation import gettext

WEBHOOK_TIMEOUT_S = 5.0
# A phone cannot get e-mail. In a demo its messages are in the outbox under this domain, which cannot be registered.
SMS_DOMAIN = "sms.invalid"


class NotSent(Exception):
    """The message could not be handed over. The caller may try again."""


@dataclass(frozen=True, slots=True)
class Message:
    """One code to send. `axis` is phone or email; `to` is the address in clear (a phone as E.164)."""

    axis: str
    to: str
    code: str
    sale: str

    @property
    def text(self) -> str:
        """The text that the person reads, in the language of the request."""
        text = gettext("%(code)s is your code for %(sale)s. It is valid for 10 minutes. Do not give it to anyone.")
        return text % {"code": self.code, "sale": self.sale}


def send(*, message: Message) -> None:
    """Hands the message over before it returns. Raises NotSent."""
    SENDERS[settings.FLASHSALE_CODE_SENDER](message)


def _console(message: Message) -> None:
    sys.stdout.write(f"{message.axis}: {message.text}\n")


def _email(message: Message) -> None:
    to = message.to if message.axis == "email" else f"{message.to}@{SMS_DOMAIN}"
    subject = gettext("Your code: %(code)s") % {"code": message.code}
    try:
        send_mail(subject, message.text, None, [to])
    except (smtplib.SMTPException, OSError, ValueError) as error:
        raise NotSent from error


def _webhook(message: Message) -> None:
    """Sends an SMS through the operator's gateway. An e-mail is sent as usual."""
    if message.axis == "email":
        _email(message)
        return
    body = json.dumps({"to": message.to, "text": message.text}).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(settings.FLASHSALE_CODE_WEBHOOK, body, headers, method="POST")  # noqa: S310 - the operator's
    try:
        with urllib.request.urlopen(request, timeout=WEBHOOK_TIMEOUT_S) as response:  # noqa: S310 - as above
            final_url = response.url
    except (URLError, HTTPException, OSError, ValueError) as error:
        raise NotSent from error
    if final_url != request.full_url:
        # After a redirect, urllib sends a GET without the code, so no page has accepted the code.
        raise NotSent


SENDERS: dict[str, Callable[[Message], None]] = {"console": _console, "email": _email, "webhook": _webhook}
