"""Senders of messages to people: the channels for one-time codes, by their names in FLASHSALE_CODE_SENDER."""

from collections.abc import Mapping

from django.conf import settings

from flashsale.providers.messages.base import Channel, ReportingChannel
from flashsale.providers.messages.mail import ConsoleChannel, EmailChannel, OutboxChannel
from flashsale.providers.messages.sms import FormChannel, WebhookChannel
from flashsale.providers.messages.whatsapp import WhatsAppChannel
from flashsale.rules.identity import Axis

EMAIL = EmailChannel()
WHATSAPP, SMS = WhatsAppChannel(), FormChannel()
CHANNELS: Mapping[str, Channel] = {
    channel.name: channel for channel in (WHATSAPP, SMS, WebhookChannel(), EMAIL, OutboxChannel(), ConsoleChannel())
}
# Whose reports come to /v1/codes/<name>.
REPORTING: Mapping[str, ReportingChannel] = {"whatsapp": WHATSAPP, "twilio": SMS}


def channels_to_phones() -> tuple[str, ...]:
    """The names of the channels to phones, in the order in which they are tried."""
    return tuple(name for name in settings.FLASHSALE_CODE_SENDER if name != EMAIL.name)


def channels_to(axis: Axis) -> tuple[str, ...]:
    """The names of the channels that reach a phone or a mailbox, in the order in which they are tried."""
    if axis is Axis.EMAIL:
        return (EMAIL.name,)
    return channels_to_phones()
