"""Notify: what is owed to buyers is a row, sent by whoever comes to it, in the buyer's language."""

from datetime import timedelta
from smtplib import SMTPException
from typing import Any

from django.core.mail import EmailMessage
from django.db import connection, transaction
from django.template.loader import render_to_string
from django.utils import timezone, translation
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from flashsale.models import Contact, Notice
from flashsale.rules.reasons import reason
from flashsale.rules.states import NoticeState

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
    notice = due.select_related("reservation__sale__campaign", "sale").first()
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
    with translation.override(contact.language):
        subject, words = _words(notice)
        body = render_to_string(
            f"flashsale/letters/{notice.kind}.txt",
            {"name": data["name"], "reservation": notice.reservation, "sale": notice.sale, **words},
        )
    message_id = f"<notice-{notice.pk}-{notice.reservation_id}@flashsale>"
    return EmailMessage(subject, body, to=[data["email"]], headers={"Message-ID": message_id})


def _fact(shared: dict[str, Any]) -> str:
    """One category of the evidence: what is shared and with how many, never with whom."""
    names = {
        "phone": _("phone number"), "email": _("e-mail address"), "payment": _("payment instrument"),
        "account": _("account"), "national_id": _("identity number"), "address": _("delivery address"),
        "device": _("device"),
    }  # fmt: skip
    words = {"axis": names[shared["axis"]], "count": shared["people"]}
    return (
        ngettext("%(axis)s: also in %(count)d other order", "%(axis)s: also in %(count)d other orders", words["count"])
        % words
    )


def _words(notice: Notice) -> tuple[str, dict[str, object]]:
    """Subject and what the letter's template needs beside the order."""
    zone = notice.sale.campaign.zone
    if notice.kind == Notice.Kind.INVITED:
        channel = notice.reservation.channel
        line = notice.sale.allocations.filter(reallocations__source=notice.reservation.sale).first()
        entry = line.channels.exclude(entry_url="").first() if line else None
        return _("You are invited: %(sale)s") % {"sale": notice.sale.name}, {
            "opens_at": notice.sale.opens_at.astimezone(zone), "link": entry.entry_url if entry else channel.entry_url,
        }  # fmt: skip
    cancellation = notice.reservation.cancellation
    why, language = reason(cancellation.reason), translation.get_language() or "id"
    case = cancellation.case
    return _("Your order was cancelled: %(title)s") % {"title": why.title.in_language(language)}, {
        "title": why.title.in_language(language),
        "explanation": why.explanation.in_language(language),
        "facts": [_fact(shared) for shared in case.evidence.get("shared", [])] if case else [],
        "by_machine": case is not None and case.rules_version != "by hand",
        "rules_version": case.rules_version if case else "",
        "appeal_until": cancellation.appeal_until.astimezone(zone) if cancellation.appeal_until else None,
        "currency": notice.sale.campaign.currency,
        "amount": notice.reservation.amount,
    }
