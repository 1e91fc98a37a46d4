"""Senders of messages to people: the senders for one-time codes, by their names in FLASHSALE_CODE_SENDER."""

from collections.abc import Mapping

from django.conf import settings

from flashsale.providers.messages.base import ReportingSender, Sender
from flashsale.providers.messages.mail import ConsoleSender, EmailSender, OutboxSender
from flashsale.providers.messages.sms import FormSender, WebhookSender
from flashsale.providers.messages.whatsapp import WhatsAppSender
from flashsale.rules.identity import Axis

EMAIL = EmailSender()
WHATSAPP, SMS = WhatsAppSender(), FormSender()
SENDERS: Mapping[str, Sender] = {
    sender.name: sender for sender in (WHATSAPP, SMS, WebhookSender(), EMAIL, OutboxSender(), ConsoleSender())
}
# Whose reports come to /v1/codes/<name>.
REPORTING: Mapping[str, ReportingSender] = {"whatsapp": WHATSAPP, "twilio": SMS}


def senders_to_phones() -> tuple[str, ...]:
    """The names of the senders to phones, in the order in which they are tried."""
    return tuple(name for name in settings.FLASHSALE_CODE_SENDER if name != EMAIL.name)


def senders_to(axis: Axis) -> tuple[str, ...]:
    """The names of the senders that reach a phone or a mailbox, in the order in which they are tried."""
    if axis is Axis.EMAIL:
        return (EMAIL.name,)
    return senders_to_phones()
