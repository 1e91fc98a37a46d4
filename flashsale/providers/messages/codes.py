"""How one-time codes go out: to the console, by e-mail, or to a web hook that sends SMS.

`FLASHSALE_CODE_SENDER` names the way. Nothing here keeps an address, and nothing writes one into a log.
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
# A phone cannot get mail: in a demo its messages stand in the outbox under this domain, which can belong to nobody.
SMS_DOMAIN = "sms.invalid"


class NotSent(Exception):
    """The message could not be handed over; the same may be asked again."""


@dataclass(frozen=True, slots=True)
class Message:
    """One code on its way. `axis` is phone or email, `to` the address in clear (a phone as E.164)."""

    axis: str
    to: str
    code: str
    sale: str

    @property
    def text(self) -> str:
        """What the person reads, in the language of the request."""
        told = gettext("%(code)s is your code for %(sale)s. It is valid for 10 minutes. Give it to nobody.")
        return told % {"code": self.code, "sale": self.sale}


def send(*, message: Message) -> None:
    """Hands the message over before it returns; raises NotSent."""
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
    """SMS by the operator's gateway; e-mail still goes as mail."""
    if message.axis == "email":
        _email(message)
        return
    body = json.dumps({"to": message.to, "text": message.text}).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(settings.FLASHSALE_CODE_WEBHOOK, body, headers, method="POST")  # noqa: S310 - the operator's
    try:
        with urllib.request.urlopen(request, timeout=WEBHOOK_TIMEOUT_S) as answer:  # noqa: S310 - as above
            taken_by = answer.url
    except (URLError, HTTPException, OSError, ValueError) as error:
        raise NotSent from error
    if taken_by != request.full_url:
        # A page that it sent us on to, with a GET, has taken no code.
        raise NotSent


SENDERS: dict[str, Callable[[Message], None]] = {"console": _console, "email": _email, "webhook": _webhook}
