"""Notify: sends the due notices to buyers by e-mail, in the buyer's language. Any worker may send any notice.

A letter that is not delivered is kept with its reason. One that may still go out is tried again, for about three days;
one that a mailbox refuses for good waits for a person (`notify_again`). The time to appeal begins when the letter about
the cancellation is handed to the mail server.
"""

import time
from datetime import datetime, timedelta

import structlog
from django.core import mail
from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend
from django.db import Error, connection, transaction
from django.db.models import Exists, OuterRef, QuerySet

from flashsale import metrics
from flashsale.books.idle_limit import allow_long_idle
from flashsale.books.letters import MONEY_ON_ITS_WAY
from flashsale.books.other_writers import OtherWriters
from flashsale.life.cancel import appeal_end
from flashsale.life.forget_contacts import forget_unneeded
from flashsale.life.former_address import forget_former_email
from flashsale.life.letters import compose
from flashsale.models import Cancellation, Contact, Notice, PaymentAttempt, Refund, Restriction
from flashsale.providers.messages.failures import Failure, failure_of
from flashsale.rules import wall_clock
from flashsale.rules.states import OPEN_ATTEMPTS, NoticeState, RefundState, ReservationState, SendingFailure

log = structlog.get_logger(__name__)

ATTEMPTS_MAX = 20
FIRST_RETRY = timedelta(seconds=30)
LONGEST_RETRY = timedelta(hours=6)
# No letter begins after this time, because Celery ends the task after a minute, in the middle of a letter if need be.
SEND_FOR_S = 20.0
# A conversation with the mail server carries so many letters. Many servers end longer ones.
LETTERS_EACH = 50
SERVICE_ID_MAX = 200


def send_due(*, most: int = 1000) -> int:
    """Sends due notices, at most `most`; returns how many were handed to the mail server.

    Each notice is locked while it is sent, so that two workers never send the same one. If the process dies after the
    mail server has accepted a letter and before that is committed, its answer is lost: the letter is sent again with
    the same Message-ID. That is the only case in which a letter goes out twice, and none is ever lost.
    """
    _drop_paid()
    sent, until, others = 0, time.monotonic() + SEND_FOR_S, OtherWriters()
    server = mail.get_connection()
    try:
        for at in range(1, most + 1):
            outcome = _send_next(server)
            if outcome is None or time.monotonic() > until:
                return sent + bool(outcome)
            sent += outcome
            if at % LETTERS_EACH == 0:
                server.close()
            others.let_in()
    finally:
        server.close()
    return sent


@transaction.atomic
def _drop_paid() -> None:
    """Drops the letters about how to pay for what is paid or over. Many people pay before their letter is due."""
    due = _due().filter(kind=Notice.Kind.HELD).exclude(reservation__state=ReservationState.HELD)
    Notice.objects.filter(pk__in=list(due.values_list("pk", flat=True))).update(state=NoticeState.DROPPED)


def _due() -> "QuerySet[Notice]":
    """Due notices that no other worker has locked. They become locked."""
    due = Notice.objects.filter(state=NoticeState.DUE, due_at__lte=wall_clock.now()).order_by("due_at", "pk")
    # Nothing is sent to a person who has asked for that. The letters wait, and go out if the restriction is lifted.
    due = due.exclude(Exists(Restriction.objects.filter(reservation=OuterRef("reservation"))))
    if connection.features.has_select_for_update_skip_locked:
        due = due.select_for_update(skip_locked=True, of=("self",))
    return due


@transaction.atomic
def _send_next(server: BaseEmailBackend) -> bool | None:
    """Whether the next due notice was sent; None when no notice is due."""
    # A slow mail server takes several times its time-out, because each step of the conversation has its own.
    allow_long_idle()
    with_order = ("reservation__sale__campaign", "reservation__channel", "sale__campaign", "line__sale")
    notice = _due().select_related(*with_order).first()
    if notice is None:
        return None
    if not _is_true(notice):
        notice.state = NoticeState.DROPPED
        notice.save(update_fields=["state"])
        metrics.LETTERS.add(notice.kind, "dropped")
        _forget_contact(notice)
        return False
    notice.service_id = ""
    failure = _hand_over(notice, server)
    notice.attempts += 1
    now = wall_clock.now()
    if failure is None:
        notice.state, notice.sent_at, notice.failure, notice.smtp_code = NoticeState.SENT, now, "", None
    else:
        _note_failure(notice, failure, now)
    notice.save(update_fields=["attempts", "state", "due_at", "sent_at", "failure", "smtp_code", "service_id"])
    metrics.LETTERS.add(notice.kind, "later" if notice.state == NoticeState.DUE else str(notice.state))
    if failure is None:
        begin_time_to_appeal(notice, now)
    _forget_contact(notice)
    return failure is None


def _forget_contact(notice: Notice) -> None:
    """A person who bought nothing may have waited for this letter only. A former address is needed for one letter."""
    forget_former_email(notice)
    if notice.reservation.confirmed_at is None:
        forget_unneeded(reservation=notice.reservation_id)


def _is_true(notice: Notice) -> bool:
    """Whether a letter about an order still says how things are. The other kinds stay true.

    Letters of test sales are never sent."""
    order = notice.reservation
    if order.sale.campaign.is_test:
        return False  # a test sale writes to no person
    match notice.kind:
        case Notice.Kind.HELD:
            asked = PaymentAttempt.objects.filter(reference=notice.about, state__in=OPEN_ATTEMPTS)
            true = order.state == ReservationState.HELD and asked.exists()
        case Notice.Kind.CONFIRMED | Notice.Kind.EXPIRED:
            true = order.state == notice.kind
        case Notice.Kind.REFUNDED:
            true = Refund.objects.filter(reference=notice.about, state__in=MONEY_ON_ITS_WAY).exists()
        case Notice.Kind.BANK_ACCOUNT:
            return Refund.objects.filter(reference=notice.about, state=RefundState.IMPOSSIBLE).exists()
        case Notice.Kind.ADDRESS:
            true = True
        case _:
            return True
    return true and order.channel.order_letters


def _hand_over(notice: Notice, server: BaseEmailBackend) -> Failure | None:
    """Hands the letter to the mail server; None when it was accepted.

    A notice that cannot become a letter must not block the others, so each error counts as a failure, also those of
    backends for a mail service. Errors of PostgreSQL do not: they end the task.
    """
    try:
        letter = compose(notice)
        server.open()
        letter.connection = server
        letter.send()
        notice.service_id = _service_id(letter)
    except Contact.DoesNotExist:
        # Its retention clock has deleted the address.
        return Failure(SendingFailure.NO_CONTACT)
    except Error:
        raise
    except Exception as error:  # noqa: BLE001 - see above
        server.close()
        return failure_of(error)
    return None


def _service_id(letter: EmailMessage) -> str:
    """The name that a mail service of django-anymail gave to the letter; "" without such a service."""
    found = getattr(getattr(letter, "anymail_status", None), "message_id", None)
    return found if isinstance(found, str) and len(found) <= SERVICE_ID_MAX else ""


def _note_failure(notice: Notice, failure: Failure, now: datetime) -> None:
    failed = failure.is_final or notice.attempts >= ATTEMPTS_MAX
    notice.state = failed_state(notice) if failed else NoticeState.DUE
    notice.failure, notice.smtp_code = failure.reason, failure.smtp_code
    notice.due_at = now + min(FIRST_RETRY * 2**notice.attempts, LONGEST_RETRY)
    # Without the error's text, which may name the address.
    facts = {"failure": failure.reason.value, "smtp_code": failure.smtp_code, "attempts": notice.attempts}
    (log.error if notice.state == NoticeState.FAILED else log.warning)(
        "a letter failed" if failed else "a letter is tried again later",
        notice=notice.pk,
        kind=notice.kind,
        reservation=str(notice.reservation_id),
        **facts,
    )


def failed_state(notice: Notice) -> NoticeState:
    """The state of a letter that does not arrive. No person has to act on one to a former address."""
    return NoticeState.DROPPED if notice.kind == Notice.Kind.ADDRESS else NoticeState.FAILED


def stop_time_to_appeal(notice: Notice, now: datetime) -> None:
    """The buyer was not told of the cancellation after all: a time to appeal that still runs waits for the letter."""
    if notice.kind == Notice.Kind.CANCELLED:
        running = Cancellation.objects.filter(reservation=notice.reservation_id, case__isnull=False, case__appeal=None)
        running.filter(appeal_until__gte=now).update(appeal_until=None)


def begin_time_to_appeal(notice: Notice, now: datetime) -> None:
    """The buyer was told of the cancellation, so the time to appeal begins.

    It begins once. A letter that is sent again moves it only if `stop_time_to_appeal` has stopped it.
    """
    if notice.kind == Notice.Kind.CANCELLED:
        waiting = Cancellation.objects.filter(reservation=notice.reservation_id, case__isnull=False, appeal_until=None)
        waiting.update(appeal_until=appeal_end(notice.sale, now))
