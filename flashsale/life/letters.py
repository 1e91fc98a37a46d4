"""Letters: the texts of e-mails to buyers, in the buyer's language. The HTML part is made from the text part.

So both say the same, and a text needs one translation. A line of the text that is a link becomes a button; the line
before it, up to its colon, becomes the label. The HTML part loads nothing from elsewhere.
"""

import re
from collections.abc import Iterator
from email.utils import formataddr, parseaddr

from cryptography.fernet import InvalidToken
from django.conf import settings
from django.core.exceptions import ObjectDoesNotExist
from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string
from django.utils import timezone, translation
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from flashsale.life import sealed_links
from flashsale.life.cancel import appeal_end
from flashsale.life.rule_set_text import FACT_LABELS, KIND_LABELS, MARK_LABELS
from flashsale.models import Appeal, Campaign, Case, Contact, Notice, PaymentAttempt, Refund, Reservation
from flashsale.rules import wall_clock
from flashsale.rules.identity import Axis, BadValue, message_address
from flashsale.rules.money import format_money
from flashsale.rules.reasons import cancel_reason
from flashsale.rules.states import AppealState, RefundReason, RefundState, Remedy

LINK = re.compile(r"https?://\S+")


def compose(notice: Notice) -> EmailMultiAlternatives:
    """The letter, ready to send. Raises Contact.DoesNotExist when the address is deleted or forgotten."""
    contact = Contact.objects.get(reservation=notice.reservation_id)
    data, campaign, recipient = contact.read(), notice.sale.campaign, _recipient(notice, contact)
    with translation.override(contact.language), timezone.override(campaign.zone):
        subject, words = _words(notice)
        text = render_to_string(
            f"flashsale/letters/{notice.kind}.txt",
            {"name": data["name"], "reservation": notice.reservation, "sale": notice.sale, **words},
        )
        html = _html(subject, text, campaign, _heading(notice))
    # A stranger gets no more than the short number.
    order = _number(notice) if notice.kind == Notice.Kind.ADDRESS else notice.reservation_id
    message_id = f"<{notice.kind}-{notice.pk}-{order}@flashsale>"
    letter = EmailMultiAlternatives(
        subject,
        text,
        _sender(campaign),
        [message_address(Axis.EMAIL, recipient)],
        headers={"Message-ID": message_id},
    )
    letter.attach_alternative(html, "text/html")
    return letter


def letters_of(order: Reservation) -> Iterator[tuple[Notice, str, str]]:
    """Each letter of an order with the subject and the text that it would have now; "" where it cannot be written.

    Staff read them, so their links have no tokens.
    """
    for letter in Notice.objects.filter(reservation=order).select_related("sale__campaign", "line").order_by("pk"):
        try:
            with sealed_links.without_tokens():
                message = compose(letter)
                subject, text = str(message.subject), str(message.body)
            yield letter, subject, text
        except (ObjectDoesNotExist, InvalidToken, BadValue, LookupError, AttributeError):
            # Its contact, payment or case is not there any more.
            yield letter, "", ""


def _recipient(notice: Notice, contact: Contact) -> str:
    if notice.kind != Notice.Kind.ADDRESS:
        return str(contact.read()["email"])
    former = contact.former_email(notice.about)
    if former is None:
        raise Contact.DoesNotExist
    return former


def _heading(notice: Notice) -> str:
    """The name above the letter. The name of a campaign may be a product, so a former address does not get it."""
    campaign = notice.sale.campaign
    other = notice.reservation.channel.name if notice.kind == Notice.Kind.ADDRESS else campaign.name
    return str(campaign.letter_name or other)


def _sender(campaign: Campaign) -> str:
    name, address = parseaddr(settings.DEFAULT_FROM_EMAIL)
    return formataddr((campaign.letter_name or name, campaign.letter_address or address))


def _html(subject: str, text: str, campaign: Campaign, heading: str) -> str:
    context = {
        "subject": subject,
        "name": heading,
        "colour": campaign.letter_colour,
        "paragraphs": [_lines(block) for block in re.split(r"\n\s*\n", text.strip())],
    }
    return render_to_string("flashsale/letters/letter.html", context)


def _lines(block: str) -> list[dict[str, str]]:
    """The lines of a paragraph: each has a text, and those that are links have an address."""
    lines: list[dict[str, str]] = []
    for line in block.split("\n"):
        if not LINK.fullmatch(line.strip()):
            lines.append({"text": line})
            continue
        labelled = bool(lines) and lines[-1]["text"].endswith(":") and "link" not in lines[-1]
        label = lines.pop()["text"].removesuffix(":") if labelled else line.strip()
        lines.append({"text": label, "link": line.strip()})
    return lines


def _words(notice: Notice) -> tuple[str, dict[str, object]]:
    """The subject, and the variables of the template besides the order."""
    words = {
        Notice.Kind.INVITED: _invitation,
        Notice.Kind.DECIDED: _decision,
        Notice.Kind.CANCELLED: _cancellation,
        Notice.Kind.HELD: _how_to_pay,
        Notice.Kind.CONFIRMED: _confirmation,
        Notice.Kind.EXPIRED: _end,
        Notice.Kind.REFUNDED: _money_back,
        Notice.Kind.BANK_ACCOUNT: _bank_account,
        Notice.Kind.ADDRESS: _former_address,
    }
    return words[Notice.Kind(notice.kind)](notice)


def _confirmation(notice: Notice) -> tuple[str, dict[str, object]]:
    return _("Your order is confirmed: %(number)s") % {"number": _number(notice)}, _order(notice)


def _end(notice: Notice) -> tuple[str, dict[str, object]]:
    return _("Your reservation has ended: %(number)s") % {"number": _number(notice)}, _order(notice)


def _number(notice: Notice) -> str:
    """The number of the order that a person can read out, as on its page."""
    return str(notice.reservation_id)[:8]


def _order_amount(notice: Notice) -> str:
    """The amount of the whole order, which goes back when the order is cancelled."""
    return format_money(notice.reservation.amount, notice.sale.campaign.currency)


def _order(notice: Notice) -> dict[str, object]:
    """What each letter about an order shows. Its link leads to the order without a cookie."""
    order, currency = notice.reservation, notice.sale.campaign.currency
    names = dict(notice.sale.offers.values_list("sku", "name"))
    return {
        "items": [(names[item.sku], format_money(item.price, currency)) for item in order.items],
        "amount": _order_amount(notice),
        "link": sealed_links.url(sealed_links.Kind.ORDER, notice.pk),
    }


def _how_to_pay(notice: Notice) -> tuple[str, dict[str, object]]:
    attempt = PaymentAttempt.objects.get(reference=notice.about)
    shown = attempt.instructions or {}
    until = parse_datetime(shown.get("expires_at") or "") or attempt.expires_at
    subject = _("How to pay for your order: %(number)s") % {"number": _number(notice)}
    return subject, _order(notice) | {"steps": shown, "until": until}


def _money_back(notice: Notice) -> tuple[str, dict[str, object]]:
    refund = Refund.objects.select_related("attempt").get(reference=notice.about)
    amount = format_money(refund.amount, refund.currency)
    why = {
        RefundReason.LATE: _("Your payment came after the time to pay, and no unit was free any more."),
        RefundReason.CANCELLED: _("Your order was cancelled."),
        RefundReason.OVERPAID: _("You paid more than the price. Your order stands."),
        RefundReason.MISMATCH: _("Your payment did not have the amount of the order."),
    }[RefundReason(refund.why)]
    words = {
        "why": why,
        "back": amount,
        "reference": refund.provider_id or refund.reference,
        "is_confirmed": refund.state == RefundState.CONFIRMED,
    }
    return _("Your money goes back: %(amount)s") % {"amount": amount}, _order(notice) | words


def _bank_account(notice: Notice) -> tuple[str, dict[str, object]]:
    refund = Refund.objects.select_related("attempt").get(reference=notice.about)
    amount = format_money(refund.amount, refund.currency)
    link = sealed_links.url(sealed_links.Kind.BANK_ACCOUNT, refund.pk)
    return _("Where may we send your money? %(amount)s") % {"amount": amount}, {"back": amount, "link": link}


def _former_address(notice: Notice) -> tuple[str, dict[str, object]]:
    number, contact = _number(notice), parseaddr(_sender(notice.sale.campaign))[1]
    subject = _("The e-mail address of order %(number)s was changed") % {"number": number}
    changed = parse_datetime(notice.about)
    return subject, {"number": number, "changed": changed, "shop": _heading(notice), "contact": contact}


def _cancellation(notice: Notice) -> tuple[str, dict[str, object]]:
    order = notice.reservation
    cancellation, language = order.cancellation, translation.get_language() or "id"
    why, case, now = cancel_reason(cancellation.reason), cancellation.case, wall_clock.now()
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
        "back": _order_amount(notice),
        "link": sealed_links.url(sealed_links.Kind.APPEAL, case.pk) if case else "",
    }


def _decision(notice: Notice) -> tuple[str, dict[str, object]]:
    case = notice.reservation.case
    return _("Your appeal was decided"), {
        "outcome": appeal_outcome_text(case.appeal),
        "refunded": case.appeal.remedy != Remedy.RESTORED,
        "back": _order_amount(notice),
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


def evidence_texts(case: Case | None) -> list[str]:
    """The evidence of a case in words: shared axes with the number of orders, facts, marks. It names no other buyer."""
    if case is None:
        return []
    shared = [
        ngettext("%(axis)s: also in %(count)d other order", "%(axis)s: also in %(count)d other orders", entry["people"])
        % {"axis": KIND_LABELS.get(entry["axis"], entry["axis"]), "count": entry["people"]}
        for entry in case.evidence.get("shared", ())
    ]
    facts = [str(FACT_LABELS.get(entry["fact"], entry["fact"])) for entry in case.evidence.get("facts", ())]
    marks = [str(MARK_LABELS.get(entry["mark"], entry["mark"])) for entry in case.evidence.get("marks", ())]
    return [*shared, *facts, *marks]


def is_by_machine(case: Case | None) -> bool:
    """Whether a rule set flagged the order. If not, a person opened the case."""
    return case is not None and bool(case.rules_hash)


def appeal_outcome_text(appeal: Appeal) -> str:
    """The result of an appeal in words for its buyer; empty while it is open."""
    if appeal.state == AppealState.OPEN:
        return ""
    return {
        "": _("The cancellation stands. Your money goes back, and you may buy again in the next sale."),
        Remedy.RESTORED.value: _(
            "You were right. Your order is restored as it was and will be sent; your payment stands. We apologise."
        ),
        Remedy.PRIORITY.value: _(
            "You were right, and we apologise. No unit is left in the pool for you, so your money goes back, and the "
            "first units of the next sale are kept for you and others like you. We write to you as soon as it is "
            "planned."
        ),
    }[appeal.remedy]
