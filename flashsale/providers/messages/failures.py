"""Why a message could not be handed over, as one of our own words. The words of a mail server may name the address."""

import smtplib
from dataclasses import dataclass

from flashsale.rules.identity import BadValue
from flashsale.rules.states import SendingFailure

FINAL = frozenset({SendingFailure.NO_CONTACT, SendingFailure.BAD_ADDRESS, SendingFailure.REFUSED})


@dataclass(frozen=True, slots=True)
class Failure:
    """The reason, and the code of the mail server if it gave one."""

    reason: SendingFailure
    smtp_code: int | None = None

    @property
    def is_final(self) -> bool:
        """Whether another attempt would fail as well, until a person corrects something."""
        return self.reason in FINAL


def failure_of(error: BaseException) -> Failure:
    """Why sending failed.

    A mail server that refuses the recipient or the letter with 5xx does so for good. If it refuses us, as the sender or
    at the log-in, an operator can correct that, so it may pass.
    """
    match error:
        case BadValue():
            return Failure(SendingFailure.BAD_ADDRESS)
        case smtplib.SMTPRecipientsRefused():
            # A letter has one recipient.
            return _refused(next(code for code, _words in error.recipients.values()))
        case smtplib.SMTPDataError():
            return _refused(error.smtp_code)
        case smtplib.SMTPResponseException():
            later = 400 <= error.smtp_code < 500
            reason = SendingFailure.TRY_LATER if later else SendingFailure.NOT_ACCEPTED
            return Failure(reason, error.smtp_code if error.smtp_code > 0 else None)
    return Failure(_reason(error))


def _reason(error: BaseException) -> SendingFailure:
    """Of the errors without a code of SMTP. django-anymail is optional, so its classes cannot be imported here."""
    status = getattr(error, "status_code", None)
    if isinstance(status, int):
        # The HTTP API of a mail service.
        return SendingFailure.TRY_LATER if status == 429 or status >= 500 else SendingFailure.NOT_ACCEPTED
    if type(error).__name__ == "AnymailRecipientsRefused":
        return SendingFailure.REFUSED
    # OSError: a connection that ends in the middle, and smtplib's other errors.
    return SendingFailure.NO_ANSWER if isinstance(error, OSError) else SendingFailure.NOT_WRITTEN


def _refused(code: int) -> Failure:
    return Failure(SendingFailure.REFUSED if code >= 500 else SendingFailure.TRY_LATER, code)
