"""Codes by e-mail, and the two senders of a demo: a mail in its outbox, and a line on the console."""

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor

from django.core.mail import send_mail

from flashsale.providers.messages.base import Message, NotSent
from flashsale.providers.messages.failures import failure_of

# A demo's outbox shows messages to phones under this domain, which cannot be registered.
SMS_DOMAIN = "sms.invalid"
# Django sends mails with blocking calls, so they have threads of their own.
THREADS = 8
_threads = ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="mail")


class EmailSender:
    """Codes to mailboxes through the mail server of EMAIL_URL."""

    name, label, pace, at_once, lease_s, reports = "email", "e-mail", 0.0, THREADS, 40.0, False

    async def send(self, message: Message) -> str:
        """Hands the mail to the mail server."""
        await asyncio.get_running_loop().run_in_executor(_threads, self._send, message)
        return ""

    def _send(self, message: Message) -> None:
        try:
            send_mail(message.subject, message.text, None, [self.address(message)])
        except Exception as error:  # each backend has errors of its own
            failure = failure_of(error)
            raise NotSent(failure.reason.value, may_pass=not failure.is_final) from error

    def address(self, message: Message) -> str:
        """The mailbox that the mail goes to."""
        return message.to


class OutboxSender(EmailSender):
    """The demo's phones: their codes are mails in the outbox."""

    name, label = "outbox", "SMS"

    def address(self, message: Message) -> str:
        """A mailbox with the number, which does not exist."""
        return f"{message.to}@{SMS_DOMAIN}"


class ConsoleSender:
    """The terminal of a developer."""

    name, label, pace, at_once, lease_s, reports = "console", "SMS", 0.0, 1, 10.0, False

    async def send(self, message: Message) -> str:
        """Writes the text."""
        sys.stdout.write(f"{message.axis}: {message.text}\n")
        return ""
