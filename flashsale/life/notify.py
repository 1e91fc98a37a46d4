"""Notify: sends the due notices to buyers by e-mail, in the buyer's language. Any worker may send any notice.

A letter that is not delivered is kept with its reason. One that may still go out is tried again, for about three days;
one that a mailbox refuses for good waits for a person (`notify_again`). The time to appeal begins when the letter about
the cancellation is handed to the mail server.
"""

import time
from datetime import datetime, timedelta

import structlog
from cryptography.fernet import InvalidToken
from django.core.exceptions import ObjectDoesNotExist
from django.core.mail import EmailMessage
from django.db import connection, transaction
from django.template.loader import render_to_string
from django.utils import timezone, translation
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from flashsale.books.idle_limit import allow_long_idle
from flashsale.life import sealed_links
from flashsale.life.cancel import appeal_end
from flashsale.life.rule_set_text import KIND_LABELS, MARK_LABELS
from flashsale.models import Appeal, Cancellation, Case, Contact, Notice
from flashsale.providers.messages.failures import Failure, failure_of
from flashsale.rules.identity import Axis, message_address
from flashsale.rules.reasons import cancel_reason
from flashsale.rules.states import AppealState, NoticeState, Remedy, SendingFailure

log = structlog.get_logger(__name__)

ATTEMPTS_MAX = 20
FIRST_RETRY = timedelta(seconds=30)
LONGEST_RETRY = timedelta(hours=6)
# No letter begins after this time, because Celery ends the task after a minute, in the middle of a letter if need be.
SEND_FOR_S = 20.0
# Errors of a row that cannot become a letter. Errors of PostgreSQL are not among them: they end the task.
_CANNOT_WRITE = (OSError, ValueError, LookupError, TypeError, AttributeError, ObjectDoesNotExist, InvalidToken)


def send_due(*, most: int = 100) -> int:
    """Sends due notices, at most `most`; returns how many were handed to the mail server.

    Each notice is locked while it is sent, so that two workers never send the same one. If the process dies after
    sending and before the commit, the notice is sent again with the same Message-ID: at most a duplicate, never a loss.
    """
    sent, until = 0, time.monotonic() + SEND_FOR_S
    for _attempt in range(most):
        outcome = _send_next()
        if outcome is None:
            break
        sent += outcome
        if time.monotonic() > until:
            break
    return sent


@transaction.atomic
def _send_next() -> bool | None:
    """Whether the next due notice was sent; None when no notice is due."""
    # A slow mail server takes several times its time-out, because each step of the conversation has its own.
    allow_long_idle()
    due = Notice.objects.filter(state=NoticeState.DUE, due_at__lte=timezone.now()).order_by("due_at", "pk")
    if connection.features.has_select_for_update_skip_locked:
        due = due.select_for_update(skip_locked=True, of=("self",))
    notice = due.select_related("reservation__sale__campaign", "sale__campaign", "line__sale").first()
    if notice is None:
        return None
    failure = _hand_over(notice)
    notice.attempts += 1
    now = timezone.now()
    if failure is None:
        notice.state, notice.sent_at, notice.failure, notice.smtp_code = NoticeState.SENT, now, "", None
    else:
        _note_failure(notice, failure, now)
    notice.save(update_fields=["attempts", "state", "due_at", "sent_at", "failure", "smtp_code"])
    if failure is None:
        begin_time_to_appeal(notice, now)
    return failure is None


def _hand_over(notice: Notice) -> Failure | None:
    """Hands the letter to the mail server; None when it was accepted.

    A notice that cannot become a letter must not block the others, so each error of the row counts as a failure.
    """
    try:
        _compose(notice).send()
    except Contact.DoesNotExist:
        # Its retention clock has deleted the address.
        return Failure(SendingFailure.NO_CONTACT)
    except _CANNOT_WRITE as error:
        return failure_of(error)
    return None


def _note_failure(notice: Notice, failure: Failure, now: datetime) -> None:
    failed = failure.is_final or notice.attempts >= ATTEMPTS_MAX
    notice.state = NoticeState.FAILED if failed else NoticeState.DUE
    notice.failure, notice.smtp_code = failure.reason, failure.smtp_code
    notice.due_at = now + min(FIRST_RETRY * 2**notice.attempts, LONGEST_RETRY)
    # Without the error's text, which may name the address.
    facts = {"failure": failure.reason.value, "smtp_code": failure.smtp_code, "attempts": notice.attempts}
    (log.error if failed else log.warning)(
        "a letter failed" if failed else "a letter is tried again later",
        notice=notice.pk,
        kind=notice.kind,
        reservation=str(notice.reservation_id),
        **facts,
    )


def begin_time_to_appeal(notice: Notice, now: datetime) -> None:
    """The buyer was told of the cancellation, so the time to appeal begins.

    It begins once. A letter that is sent again moves it only if `notify_again` has stopped it.
    """
    if notice.kind == Notice.Kind.CANCELLED:
        waiting = Cancellation.objects.filter(reservation=notice.reservation_id, case__isnull=False, appeal_until=None)
        waiting.update(appeal_until=appeal_end(notice.sale, now))


def _compose(notice: Notice) -> EmailMessage:
    contact = Contact.objects.get(reservation=notice.reservation_id)
    data = contact.read()
    with translation.override(contact.language), timezone.override(notice.sale.campaign.zone):
        subject, words = _words(notice)
        body = render_to_string(
            f"flashsale/letters/{notice.kind}.txt",
            {"name": data["name"], "reservation": notice.reservation, "sale": notice.sale, **words},
        )
    message_id = f"<notice-{notice.pk}-{notice.reservation_id}@flashsale>"
    address = message_address(Axis.EMAIL, data["email"])
    return EmailMessage(subject, body, to=[address], headers={"Message-ID": message_id})


def evidence_texts(case: Case | None) -> list[str]:
    """The evidence of a case in words: shared axes with the number of orders, and marks. It names no other buyer."""
    if case is None:
        return []
    shared = [
        ngettext("%(axis)s: also in %(count)d other order", "%(axis)s: also in %(count)d other orders", entry["people"])
        % {"axis": KIND_LABELS.get(entry["axis"], entry["axis"]), "count": entry["people"]}
        for entry in case.evidence.get("shared", ())
    ]
    return [*shared, *(str(MARK_LABELS.get(entry["mark"], entry["mark"])) for entry in case.evidence.get("marks", ()))]


def is_by_machine(case: Case | None) -> bool:
    """Whether a rule set flagged the order. If not, a person opened the case."""
    return case is not None and bool(case.rules_hash)


def appeal_outcome_text(appeal: Appeal) -> str:
    """The result of an appeal in words for its buyer; empty while it is open."""
    if appeal.state == AppealState.OPEN:
        return ""
    return {
        "": _(
            "The cancellation stands. Your money goes back the way you paid, and you may buy again in the next sale."
        ),
        Remedy.RESTORED.value: _(
            "You were right. Your order is restored as it was and will be sent; your payment stands. We apologise."
        ),
        Remedy.PRIORITY.value: _(
            "You were right, and we apologise. No unit is left in the pool for you, so your money goes back, and the "
            "first units of the next sale are kept for you and others like you. We write to you as soon as it is "
            "planned."
        ),
    }[appeal.remedy]


def _words(notice: Notice) -> tuple[str, dict[str, object]]:
    """The subject, and the variables of the template besides the order."""
    match notice.kind:
        case Notice.Kind.INVITED:
            return _invitation(notice)
        case Notice.Kind.DECIDED:
            return _decision(notice)
    return _cancellation(notice)


def _cancellation(notice: Notice) -> tuple[str, dict[str, object]]:
    order = notice.reservation
    cancellation, language = order.cancellation, translation.get_language() or "id"
    why, case, now = cancel_reason(cancellation.reason), cancellation.case, timezone.now()
    until = cancellation.appeal_until or appeal_end(order.sale, now)
    has_time = cancellation.has_time_to_appeal(now)
    return _("Your order was cancelled: %(title)s") % {"title": why.title.in_language(language)}, {
        "title": why.title.in_language(language),
        "explanation": why.explanation.in_language(language),
        "cancelled": cancellation.at,
        "facts": evidence_texts(case),
        "by_machine": is_by_machine(case),
        "case": case,
        "appeal_until": until if has_time else None,
        "refund_waits": has_time and order.limit_slots.exists(),
        "link": sealed_links.url(sealed_links.Kind.APPEAL, case.pk) if case else "",
    }


def _decision(notice: Notice) -> tuple[str, dict[str, object]]:
    case = notice.reservation.case
    return _("Your appeal was decided"), {
        "outcome": appeal_outcome_text(case.appeal),
        "refunded": case.appeal.remedy != Remedy.RESTORED,
        "link": sealed_links.url(sealed_links.Kind.APPEAL, case.pk),
    }


def _invitation(notice: Notice) -> tuple[str, dict[str, object]]:
    assert notice.line is not None
    return _("You are invited: %(sale)s") % {"sale": notice.sale.name}, {
        "kept": notice.line.listed_only,
        "opens": notice.line.opens_at or notice.sale.opens_at,
        "until": notice.line.ends_at,
        "link": sealed_links.url(sealed_links.Kind.INVITATION, notice.pk),
    }
