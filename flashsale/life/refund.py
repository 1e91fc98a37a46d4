"""Refund: money that is due goes back to the buyer. A refund is a request until the provider confirms it."""

import asyncio
import logging
import uuid
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from flashsale.books.events import of_refund, record
from flashsale.books.letters import add_letters_of_refunds
from flashsale.books.refunds import add_refunds
from flashsale.gate import bridge
from flashsale.life import ask_provider
from flashsale.life.db_threads import run_in_db_thread
from flashsale.models import PaymentAttempt, Record, Refund, Reservation
from flashsale.providers import payments
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.states import AttemptState, RefundReason, RefundState

log = logging.getLogger(__name__)
# A sent refund is looked at so often. A failed one waits so long for a person before it stands on their list as late.
LOOK, PEOPLE = timedelta(hours=1), timedelta(days=1)
AGAIN_MIN, AGAIN_MAX = timedelta(seconds=5), timedelta(hours=1)


async def send_refunds(*, attempt: int) -> None:
    """Sends back what is due of one attempt. Safe to repeat. The sweep sends it if the provider does not answer."""
    await _send(await run_in_db_thread(lambda: list(_due(timezone.now()).filter(attempt=attempt))))


def refund_due(*, most: int = 100) -> int:
    """Sends due refunds and looks at sent ones, at most `most`; returns how many.

    The provider makes one refund for one reference of ours, so a repeat sends no money twice. While an appeal may
    restore the order, its refund waits.
    """
    # Those that the provider cannot take yet come later each time, so they do not block the others.
    due = list(_due(timezone.now()).order_by("next_look_at")[:most])
    bridge.run(_send(due))
    return len(due)


def _due(now: Any) -> "QuerySet[Refund]":
    open_ones = Refund.objects.filter(state__in=[RefundState.DUE, RefundState.SENT], next_look_at__lte=now)
    waits = Q(why=RefundReason.CANCELLED, attempt__reservation__in=Reservation.restorable())
    return open_ones.exclude(waits).select_related("attempt")


async def _send(due: Iterable[Refund]) -> None:
    answers = await asyncio.gather(*map(_ask, due))
    if done := [(row, answer) for row, answer in zip(due, answers, strict=True)]:
        await run_in_db_thread(_store, done)


async def _ask(row: Refund) -> payments.RefundStanding | None:
    try:
        return await ask_provider.refund(row)
    except payments.ProviderDown as error:
        log.warning("the refund %s has to wait: %s", row.reference, error)
        return None


@transaction.atomic
def _store(answers: list[tuple[Refund, payments.RefundStanding | None]]) -> None:
    """Stores what the provider says about refunds, unless another process has settled them meanwhile."""
    now, changed = timezone.now(), []
    orders = _locked_orders({row.attempt.reservation_id for row, _ in answers})
    still = (
        Refund.objects.select_for_update(of=("self",))
        .select_related("attempt")
        .filter(pk__in=[row.pk for row, _ in answers], state__in=[RefundState.DUE, RefundState.SENT])
    )
    rows = still.order_by("pk").in_bulk()
    for asked, answer in answers:
        if row := rows.get(asked.pk):
            was, row.attempt.reservation = row.state, orders[row.attempt.reservation_id]
            _apply(row, answer, now)
            row.save(update_fields=["state", "provider_id", "detail", "times", "next_look_at", "settled_at"])
            changed += [row] if row.state != was else []
    record([of_refund(row) for row in changed], now)
    add_letters_of_refunds(changed, now)


def _locked_orders(ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, Reservation]:
    """The reservations, locked before their refunds, as everywhere. An event of a refund needs this lock."""
    return Reservation.objects.select_for_update().order_by("pk").in_bulk(list(ids))


def _apply(row: Refund, answer: payments.RefundStanding | None, now: Any) -> None:
    row.times += row.state == RefundState.DUE
    if answer is None or answer.state == "unknown":
        row.next_look_at = now + min(AGAIN_MAX, AGAIN_MIN * 2 ** min(row.times, 12))
        return
    row.provider_id, row.detail = answer.provider_id or row.provider_id, answer.why[:200]
    match answer.state:
        case "confirmed":
            row.state, row.settled_at, row.next_look_at = RefundState.CONFIRMED, now, None
        case "sent":
            row.state, row.next_look_at = RefundState.SENT, now + LOOK
        case _:
            log.warning("the refund %s failed: %s", row.reference, answer.why)
            row.state, row.next_look_at = RefundState.FAILED, now + PEOPLE


@transaction.atomic
def refund_again(*, reservation: uuid.UUID, by: Any = None) -> bool:
    """Makes failed refunds due again. Returns False when none had failed."""
    now = timezone.now()
    order = Reservation.objects.select_for_update(of=("self",)).select_related("sale").get(pk=reservation)
    failed = Refund.objects.select_for_update(of=("self",)).select_related("attempt__reservation")
    again = list(failed.filter(attempt__reservation=reservation, state=RefundState.FAILED).order_by("pk"))
    if not again:
        return False
    for row in again:
        row.state, row.next_look_at = RefundState.DUE, now
        row.save(update_fields=["state", "next_look_at"])
    record([of_refund(row) for row in again], now)
    Record.write("refund_again", by=by, sale=order.sale, subject=order)
    return True


@transaction.atomic
def partner_refunded(*, reservation: uuid.UUID, channel: int, refund: str, reference: str) -> None:
    """Notes a partner's word that it has refunded its buyer. Safe to repeat: the first reference stays.

    Refuses NOT_FOUND, MALFORMED (the partner's reference), and NOT_CANCELLABLE while an appeal may restore the order.
    """
    if not payments.PartnerProvider.is_reference(reference):
        raise Refused(Outcome.MALFORMED, "reference: 1 to 100 visible ASCII characters.")
    now = timezone.now()
    _locked_orders([reservation])
    own = Refund.objects.select_related("attempt__reservation").filter(
        attempt__reservation=reservation,
        attempt__reservation__channel=channel,
        attempt__account=payments.PartnerProvider.account,
    )
    row = own.select_for_update(of=("self",)).filter(reference=refund).exclude(state=RefundState.WITHDRAWN).first()
    if row is None:
        raise Refused(Outcome.NOT_FOUND, "There is no refund of yours with this reference.")
    if row.state == RefundState.CONFIRMED:
        return
    if row.why == RefundReason.CANCELLED and Reservation.restorable().filter(pk=reservation).exists():
        raise Refused(Outcome.NOT_CANCELLABLE, "An appeal may still restore the order: do not refund it yet.")
    row.state, row.provider_id, row.next_look_at, row.settled_at = (
        RefundState.CONFIRMED,
        reference,
        None,
        now,
    )
    row.save(update_fields=["state", "provider_id", "next_look_at", "settled_at"])
    record([of_refund(row)], now)
    add_letters_of_refunds([row], now)


@transaction.atomic
def send_mismatch_back(*, reservation: uuid.UUID, by: Any = None) -> bool:
    """Makes the refund of money that is not what we asked for due; False when there is none."""
    _locked_orders([reservation])
    found = PaymentAttempt.objects.select_for_update().filter(reservation=reservation, state=AttemptState.MISMATCH)
    unsent = (row for row in found.prefetch_related("refunds") if row.refund is None)
    rows = [(row, RefundReason.MISMATCH, row.paid) for row in unsent if row.paid]
    add_refunds(rows, timezone.now())
    if rows:
        order = Reservation.objects.select_related("sale").get(pk=reservation)
        Record.write("send_back", by=by, sale=order.sale, subject=order)
    return bool(rows)
