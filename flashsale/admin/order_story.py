"""The whole story of one order in the order of time: the line, the money, the letters, the review, and who did what.

It has no personal data. Of what members of staff did it shows the records of the audit trail.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Q
from django.urls import reverse
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from flashsale.admin.labels import failure_text, local_time, staff_name, state_label
from flashsale.gate import bridge, inspect
from flashsale.gate.client import GateDown
from flashsale.gate.sale_card import SaleCard
from flashsale.life.sale_card import card_of
from flashsale.models import Case, Delivery, Inbox, Move, Notice, PaymentAttempt, Record, Refund, Reservation
from flashsale.models.sale import moment
from flashsale.rules.money import format_money
from flashsale.rules.reasons import REASONS, cancel_reason
from flashsale.rules.states import NoticeState


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happened. `link` leads to the row's own page. `kind` is the word of its group."""

    at: datetime
    kind: str
    what: str
    detail: str = ""
    link: str = ""


def story(order: Reservation) -> list[Step]:
    """All that is known of the order, the oldest first. Works without Redis, which alone knows when it was called."""
    parts = (_line, _order, _payments, _notifications, _letters, _review, _webhooks, _records)
    return sorted((step for part in parts for step in part(order)), key=lambda step: step.at)


def shown(steps: list[Step], order: Reservation) -> list[tuple[str, Step]]:
    """The steps with their times in the campaign's zone."""
    return [(local_time(step.at, order.sale.campaign.zone), step) for step in steps]


def _page(model: str, pk: Any) -> str:
    return reverse(f"admin:flashsale_{model}_change", args=[pk])


def _line(order: Reservation) -> Iterator[Step]:
    try:
        called = bridge.run(_called_at(card_of(order.sale), order))
    except GateDown:
        return
    if called is not None:
        yield Step(moment(called), _("line"), _("number %(number)d was called") % {"number": order.number})


async def _called_at(card: SaleCard, order: Reservation) -> int | None:
    line = card.line_of_allocation(order.allocation_id)
    return next((at for last, at in await inspect.waves(card, line) if last >= order.number), None)


def _order(order: Reservation) -> Iterator[Step]:
    kind, zone = _("order"), order.sale.campaign.zone
    money = format_money(order.amount, order.sale.campaign.currency)
    held = _("%(units)d for %(money)s, held until %(time)s") % {
        "units": order.quantity, "money": money, "time": local_time(moment(order.deadline_ms), zone),
    }  # fmt: skip
    yield Step(order.made_at, kind, _("reserved"), held)
    if order.confirmed_at:
        yield Step(order.confirmed_at, kind, state_label("confirmed"))
    if order.ended_at:
        yield Step(order.ended_at, kind, state_label(order.state))
    used = getattr(order, "checkout_pass", None)
    if used is not None and used.redeemed_at:
        yield Step(used.redeemed_at, kind, _("the shop took the pass to its checkout"))
    for row in Move.objects.filter(cancellation__reservation=order).select_related("target__sale", "unit"):
        where = f"{row.unit} → {row.target.sale.name} – {row.target.code}"
        yield Step(row.at, kind, _("moved to a follow-up sale"), where, _page("unit", row.unit_id))


def _payments(order: Reservation) -> Iterator[Step]:
    kind = _("money")
    for row in PaymentAttempt.objects.filter(reservation=order):
        asked = f"{format_money(row.amount, row.currency)}, {row.method}, {row.account}: {row.reference}"
        yield Step(row.made_at, kind, _("payment started"), asked, _page("paymentattempt", row.pk))
        if row.settled_at:
            came = "" if row.paid is None else format_money(row.paid, row.paid_currency or row.currency)
            detail = " ".join(part for part in (came, row.reference) if part)
            yield Step(row.settled_at, kind, state_label(row.state), detail, _page("paymentattempt", row.pk))
        if row.doubt_at:
            detail = row.reference
            yield Step(row.doubt_at, kind, state_label(row.doubt), detail, _page("paymentattempt", row.pk))
    for back in Refund.objects.filter(attempt__reservation=order).select_related("attempt"):
        yield from _refund_steps(back, kind)


def _refund_steps(row: Refund, kind: str) -> Iterator[Step]:
    page, money = _page("refund", row.pk), format_money(row.amount, row.currency)
    yield Step(row.made_at, kind, _("refund due"), f"{money}, {state_label(row.why)}: {row.reference}", page)
    if row.transferred_at:
        yield Step(row.transferred_at, kind, state_label("transferred"), row.reference, page)
    if row.settled_at:
        yield Step(row.settled_at, kind, _("refund: %(state)s") % {"state": state_label(row.state)}, money, page)


def _notifications(order: Reservation) -> Iterator[Step]:
    attempts = PaymentAttempt.objects.filter(reservation=order).values("reference")
    refunds = Refund.objects.filter(attempt__reservation=order).values("reference")
    for row in Inbox.objects.filter(Q(reference__in=attempts) | Q(reference__in=refunds)):
        result = row.result or (_("not read yet") if row.done_at is None else "")
        yield Step(row.seen_at, _("money"), _("the provider sent a notification"), result)


def _letters(order: Reservation) -> Iterator[Step]:
    for row in order.notices.all():
        at = row.sent_at or row.due_at
        detail = " – ".join(part for part in (state_label(row.state), failure_text(row)) if part)
        if row.state == NoticeState.DUE and row.attempts:
            detail += " – " + _("%(count)d attempts") % {"count": row.attempts}
        name = _("letter: %(kind)s") % {"kind": row.get_kind_display()}
        yield Step(at, _("letter"), name, detail, _page("notice", row.pk))


def _review(order: Reservation) -> Iterator[Step]:
    kind, language = _("review"), get_language() or "id"
    case: Case | None = getattr(order, "case", None)
    cancellation = getattr(order, "cancellation", None)
    if cancellation:
        title = cancel_reason(cancellation.reason).title.in_language(language)
        yield Step(cancellation.at, kind, state_label("cancelled"), title)
    if case is None:
        return
    page = _page("case", case.pk)
    yield Step(case.opened_at, kind, _("case opened"), _("score %(score)d") % {"score": case.score}, page)
    if case.proposed_at:
        yield Step(case.proposed_at, kind, state_label("proposed"), str(case.proposed_by), page)
    if case.decided_at:
        yield Step(case.decided_at, kind, _("case decided"), f"{state_label(case.state)}, {case.decided_by}", page)
    appeal = getattr(case, "appeal", None)
    if appeal:
        yield Step(appeal.received_at, kind, _("appeal received"), "", _page("appeal", appeal.pk))
        if appeal.decided_at:
            word = state_label(appeal.remedy or appeal.state)
            yield Step(appeal.decided_at, kind, _("appeal decided"), word, _page("appeal", appeal.pk))


def _webhooks(order: Reservation) -> Iterator[Step]:
    for row in Delivery.objects.filter(subject=str(order.pk)).select_related("webhook"):
        detail = f"{state_label(row.state)}, {row.webhook.url}" + (f" ({row.status})" if row.status else "")
        name = _("the partner was told: %(type)s") % {"type": row.type}
        yield Step(row.tried_at or row.made_at, _("partner"), name, detail, _page("webhook", row.webhook_id))


def _records(order: Reservation) -> Iterator[Step]:
    letters = [f"notice:{pk}" for pk in Notice.objects.filter(reservation=order).values_list("pk", flat=True)]
    names = [f"reservation:{order.pk}", *letters]
    words = _record_words()
    for row in Record.objects.filter(subject__in=names).order_by("position"):
        reason = cancel_reason(row.why).title.in_language(get_language() or "id") if row.why in REASONS else ""
        detail = ", ".join(part for part in (staff_name(row.who), reason) if part)
        yield Step(row.at, _("staff"), words.get(row.what, row.what), detail, _page("record", row.position))


def _record_words() -> dict[str, str]:
    """What the words of the trail mean."""
    return {
        "read_contact": _("read the contact"), "read_account": _("read the bank account"),
        "read_evidence": _("read the evidence"), "search": _("searched"), "open_case": _("opened a case"),
        "propose": _("proposed to cancel"), "approve": _("approved the cancellation"),
        "dismiss": _("dismissed the case"), "cancel": _("cancelled"), "appeal": _("noted an appeal"),
        "waive": _("gave the appeal up"), "refund_again": _("tried the refund again"),
        "send_back": _("sent the money back"), "refund_early": _("sent the refund before the appeal"),
        "refund_by_hand": _("chose to transfer by hand"), "transfer": _("transferred by hand"),
        "confirm_transfer": _("confirmed the transfer"), "reject_transfer": _("did not find the transfer"),
        "settle_doubt": _("settled it with the provider"), "give_account": _("gave a bank account"),
        "send_again": _("sent the letter again"), "correct_address": _("corrected the address"),
        "told": _("told the buyer in another way"), "look_now": _("asked the provider"),
        "correct_contact": _("corrected the contact"),
    }  # fmt: skip
