"""Notify: what is owed to buyers is a row, sent by whoever comes to it, in the buyer's language."""

from datetime import timedelta
from smtplib import SMTPException

from django.core.mail import EmailMessage
from django.db import connection, transaction
from django.template.loader import render_to_string
from django.utils import timezone, translation
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from flashsale.life import sealed_links
from flashsale.life.rule_set_text import KINDS, MARKS
from flashsale.models import Appeal, Case, Contact, Notice
from flashsale.rules.identity import Axis, BadValue, message_address
from flashsale.rules.reasons import cancel_reason
from flashsale.rules.states import AppealState, NoticeState, Remedy

ATTEMPTS_MAX = 8
FIRST_RETRY = timedelta(seconds=30)


def send_due(*, most: int = 100) -> int:
    """Sends what is due, at most so many; how many were handed to the mail server.

    Each notice is locked while it is sent, so that two workers never send the same one. Should we die between sending
    and noting it, it is sent again under the same Message-ID.
    """
    sent = 0
    for _attempt in range(most):
        outcome = _send_next()
        if outcome is None:
            break
        sent += outcome
    return sent


@transaction.atomic
def _send_next() -> bool | None:
    """Whether the next due notice went out; None when nothing is due."""
    due = Notice.objects.filter(state=NoticeState.DUE, due_at__lte=timezone.now()).order_by("due_at", "pk")
    if connection.features.has_select_for_update_skip_locked:
        due = due.select_for_update(skip_locked=True, of=("self",))
    notice = due.select_related("reservation__sale__campaign", "sale__campaign", "line__sale").first()
    if notice is None:
        return None
    notice.attempts += 1
    try:
        _letter(notice).send()
    except (OSError, SMTPException, ValueError, Contact.DoesNotExist) as error:
        # A value that makes no letter must not hold up the others; nobody is left to write to once the retention
        # clock has deleted the contact.
        failed = notice.attempts >= ATTEMPTS_MAX or isinstance(error, Contact.DoesNotExist)
        notice.state = NoticeState.FAILED if failed else NoticeState.DUE
        notice.due_at = timezone.now() + FIRST_RETRY * 2**notice.attempts
    else:
        notice.state, notice.sent_at = NoticeState.SENT, timezone.now()
    notice.save(update_fields=["attempts", "state", "due_at", "sent_at"])
    return notice.state == NoticeState.SENT


def _letter(notice: Notice) -> EmailMessage:
    contact = Contact.objects.get(reservation=notice.reservation_id)
    data = contact.read()
    with translation.override(contact.language), timezone.override(notice.sale.campaign.zone):
        subject, words = _words(notice)
        body = render_to_string(
            f"flashsale/letters/{notice.kind}.txt",
            {"name": data["name"], "reservation": notice.reservation, "sale": notice.sale, **words},
        )
    message_id = f"<notice-{notice.pk}-{notice.reservation_id}@flashsale>"
    return EmailMessage(subject, body, to=[_mailbox(data["email"])], headers={"Message-ID": message_id})


def _mailbox(typed: str) -> str:
    """Where the buyer's own mailbox is: a mailer that reads the domain by older rules would write to somebody else."""
    try:
        return message_address(Axis.EMAIL, typed)
    except BadValue:
        return typed


def facts_of(case: Case | None) -> list[str]:
    """The categories of a case's evidence in words: what was seen and how often, never with whom."""
    if case is None:
        return []
    shared = [
        ngettext("%(axis)s: also in %(count)d other order", "%(axis)s: also in %(count)d other orders", seen["people"])
        % {"axis": KINDS.get(seen["axis"], seen["axis"]), "count": seen["people"]}
        for seen in case.evidence.get("shared", ())
    ]
    return [*shared, *(str(MARKS.get(seen["mark"], seen["mark"])) for seen in case.evidence.get("marks", ()))]


def is_by_machine(case: Case | None) -> bool:
    """Whether a rule set pointed at the order; else a person did."""
    return case is not None and bool(case.rules_hash)


def outcome_of(appeal: Appeal) -> str:
    """What became of an appeal, as its buyer reads it; empty while it is open."""
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
    """Subject and what the letter's template needs beside the order."""
    match notice.kind:
        case Notice.Kind.INVITED:
            return _invitation(notice)
        case Notice.Kind.DECIDED:
            return _decision(notice)
    return _cancellation(notice)


def _cancellation(notice: Notice) -> tuple[str, dict[str, object]]:
    order = notice.reservation
    cancellation, language = order.cancellation, translation.get_language() or "id"
    why, case = cancel_reason(cancellation.reason), cancellation.case
    return _("Your order was cancelled: %(title)s") % {"title": why.title.in_language(language)}, {
        "title": why.title.in_language(language),
        "explanation": why.explanation.in_language(language),
        "cancelled": cancellation.at,
        "facts": facts_of(case),
        "by_machine": is_by_machine(case),
        "case": case,
        "appeal_until": cancellation.appeal_until,
        "refund_waits": order.limit_slots.exists(),
        "link": sealed_links.address(sealed_links.Kind.APPEAL, case.pk) if case else "",
    }


def _decision(notice: Notice) -> tuple[str, dict[str, object]]:
    case = notice.reservation.case
    return _("Your appeal was decided"), {
        "outcome": outcome_of(case.appeal),
        "refunded": case.appeal.remedy != Remedy.RESTORED,
        "link": sealed_links.address(sealed_links.Kind.APPEAL, case.pk),
    }


def _invitation(notice: Notice) -> tuple[str, dict[str, object]]:
    assert notice.line is not None
    return _("You are invited: %(sale)s") % {"sale": notice.sale.name}, {
        "kept": notice.line.listed_only,
        "opens": notice.line.opens_at or notice.sale.opens_at,
        "until": notice.line.ends_at,
        "link": sealed_links.address(sealed_links.Kind.INVITATION, notice.pk),
    }
