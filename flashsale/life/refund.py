"""Refund: money that is due goes back to the buyer. A refund is a request until the provider confirms it.

                 +---- an appeal restores the order ----> withdrawn
                 |
    due (waits for an appeal, then for its turn) -> sent -> confirmed
     ^           |                                   |          |
     |           +--- the provider refuses it -------+----------+ also after it was confirmed
     |           v
     +-- again - failed ---- by hand ---+     failed, but back by the dashboard -> transferred
                                        v
    due, sent -- never possible -> impossible -> transferred -> confirmed by a second person
                                        ^                              |
                                        +-- the bank sends it back ----+

    withdrawn, failed, impossible -- the provider has sent it after all -> sent, confirmed (stray_refunds.py)

While an appeal may restore the order, its refund waits. It does not wait beyond `decide_by` (refund_window.py) without
a decision of people. At that time it appears on their list (waiting_money.py).
"""

import logging
import uuid
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.db.models import Q

from flashsale.books.batcher import Batcher
from flashsale.books.events import of_refund, record
from flashsale.books.letters import add_letters_of_refunds
from flashsale.books.refunds import NewRefund, add_refunds, withdraw_refunds
from flashsale.books.rows import update
from flashsale.gate import bridge
from flashsale.life import ask_provider
from flashsale.life.address_changes import require_another_person
from flashsale.life.db_threads import run_in_db_thread
from flashsale.life.provider_lanes import AGAIN, LEASE, Kind, work_off
from flashsale.life.refund_window import refund_by
from flashsale.life.stray_refunds import count_after_all, replaced_by
from flashsale.models import Notice, PaymentAttempt, Record, Refund, Reservation
from flashsale.providers import payments
from flashsale.rules import wall_clock
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.states import AttemptState, NoticeState, RefundReason, RefundState

if TYPE_CHECKING:
    from django.db.models import QuerySet

log = logging.getLogger(__name__)
# How often we ask about a sent refund. The date of a refund that waits for people is PEOPLE after its last change.
LOOK, PEOPLE = timedelta(hours=1), timedelta(days=1)
AGAIN_MIN, AGAIN_MAX = timedelta(seconds=5), timedelta(hours=1)
# How long a confirmed refund may still fail. Providers name two months for debit cards.
MAY_FAIL_FOR = timedelta(days=90)
SWITCHED_OFF = "The person who made the transfer is switched off. Look at the statement, and reject or transfer again."
REFERENCE_MAX = 100
ASKED = (RefundState.DUE, RefundState.SENT, RefundState.CONFIRMED)
# What a provider says of money that is on its way or there.
GONE = ("sent", "confirmed")
# The provider is not asked to send these. It may do so all the same, if it was asked before.
GIVEN_UP = (RefundState.FAILED, RefundState.IMPOSSIBLE, RefundState.TRANSFERRED, RefundState.WITHDRAWN)


async def send_refunds(*, attempt: int) -> None:
    """Sends back what is due of one attempt. Safe to repeat. The sweep sends it if the provider does not answer."""
    for row in await run_in_db_thread(_claim, attempt):
        try:
            await ask_about_refund(row)
        except payments.ProviderDown as error:
            log.warning("the refund %s has to wait: %s", row.reference, error)


def refund_due() -> int:
    """Sends due refunds and looks at sent ones; returns how many.

    The provider makes one refund for one reference of ours, so a repeat sends no money twice. While an appeal may
    restore the order, its refund waits.
    """
    return bridge.run(work_off([REFUNDS])).total()


def _due(now: datetime) -> "QuerySet[Refund]":
    open_ones = Refund.objects.filter(state__in=[RefundState.DUE, RefundState.SENT], waits=False)
    due = open_ones.filter(next_look_at__lte=now).select_related("attempt").order_by("next_look_at")
    return due.prefetch_related("attempt__refunds")


@transaction.atomic
def _claim(attempt: int) -> list[Refund]:
    """Takes the due refunds of one attempt, so that the sweep does not ask at the same time."""
    now = wall_clock.now()
    # Locked, because a refund that another process settles meanwhile has no next look.
    rows = list(_due(now).filter(attempt=attempt).select_for_update(of=("self",)))
    Refund.objects.filter(pk__in=[row.pk for row in rows]).update(next_look_at=now + LEASE)
    return rows


def refunds_to_look_at() -> "QuerySet[Refund]":
    """Refunds that may have changed at the provider: sent ones, confirmed ones that may still fail, and given-up ones.

    A refund that failed, was replaced or was made by hand may be sent after all, if the provider was asked for it.
    """
    asked = Q(state__in=[RefundState.SENT, RefundState.CONFIRMED], transferred_by=None)
    given_up = Q(state__in=[*GIVEN_UP, RefundState.CONFIRMED], times__gt=0, astray_at=None)
    own = Refund.objects.filter(asked | given_up & ~Q(attempt__account=payments.PartnerProvider.account))
    recent = own.filter(made_at__gt=wall_clock.now() - MAY_FAIL_FOR)
    return recent.select_related("attempt").prefetch_related("attempt__refunds").order_by("pk")


async def ask_about_refund(row: Refund) -> None:
    """Asks the provider to send a refund, or how it stands, and stores the answer. Raises ProviderDown.

    If it replaces others, the provider is asked about these first. One that was sent after all counts in its place.
    """
    for older in replaced_by(row):
        if (await _ask_and_store(older)).state in GONE:
            return
    await _ask_and_store(row)


async def _ask_and_store(row: Refund) -> payments.RefundStanding:
    try:
        answer = await ask_provider.refund(row)
    except payments.ProviderDown:
        await _stored.ask((row, None))
        raise
    await _stored.ask((row, answer))
    return answer


@transaction.atomic
def _store(answers: Sequence[tuple[Refund, payments.RefundStanding | None]]) -> None:
    """Stores what the provider says about refunds, unless another process has settled them meanwhile."""
    now = wall_clock.now()
    orders = _locked_orders({row.attempt.reservation_id for row, _ in answers})
    ids = [row.pk for row, _ in answers]
    still = Refund.objects.select_for_update(of=("self",)).select_related("attempt")
    rows = still.filter(pk__in=ids, waits=False).order_by("pk").in_bulk()
    changed, moved = [], []
    for asked, answer in answers:
        row = rows.get(asked.pk)
        if row is None:
            continue
        row.attempt.reservation, was = orders[row.attempt.reservation_id], row.state
        is_new = row.state == asked.state and row.state in ASKED and row.transferred_by_id is None
        if not (_apply(row, answer, now) if is_new else _apply_after_all(row, answer, now)):
            continue
        changed.append(row)
        moved += [row] if row.state != was else []
    names = ("id", "state", "provider_id", "detail", "times", "next_look_at", "settled_at", "astray_at")
    if changed:
        update(Refund, "id", {name: [getattr(row, name) for row in changed] for name in names})
    record([of_refund(row) for row in moved], now)
    add_letters_of_refunds(moved, now)


def _locked_orders(ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, Reservation]:
    """The reservations, locked before their refunds, as everywhere. An event of a refund needs this lock."""
    return Reservation.objects.select_for_update().order_by("pk").in_bulk(list(ids))


def _store_all(answers: Sequence[tuple[Refund, payments.RefundStanding | None]]) -> list[None]:
    _store(answers)
    return [None] * len(answers)


_stored: Batcher[tuple[Refund, payments.RefundStanding | None], None] = Batcher("store-refunds", _store_all)
REFUNDS = Kind(_due, "attempt__account", ask_about_refund, next_of=lambda _row, now: now + AGAIN)


def _apply(row: Refund, answer: payments.RefundStanding | None, now: datetime) -> bool:
    """Changes the refund to what the provider says. False if that changes nothing."""
    word = answer.state if answer else "unknown"
    if row.state == RefundState.CONFIRMED and word not in {"failed", "impossible"}:
        return False
    row.times += row.state == RefundState.DUE
    if row.attempt.state == AttemptState.REVERSED and answer is not None and word not in GONE:
        # The provider has taken the money back itself, so it is not sent once more.
        row.state, row.settled_at, row.next_look_at = RefundState.WITHDRAWN, now, None
        return True
    if answer is None or word == "unknown":
        # A sent refund of which the provider knows nothing is sent again, under the same reference.
        row.state = RefundState.DUE if answer is not None else row.state
        row.next_look_at = now + min(AGAIN_MAX, AGAIN_MIN * 2 ** min(row.times, 12))
        return True
    row.provider_id, row.detail = answer.provider_id or row.provider_id, answer.why[:200]
    match word:
        case "confirmed":
            row.state, row.settled_at, row.next_look_at = RefundState.CONFIRMED, now, None
        case "sent":
            row.state, row.next_look_at = RefundState.SENT, now + LOOK
        case _:
            log.error("the refund %s of %s is %s: %s", row.reference, row.state, word, answer.why)
            row.state = RefundState.FAILED if word == "failed" else RefundState.IMPOSSIBLE
            row.settled_at, row.next_look_at = None, now + PEOPLE
    return True


def _apply_after_all(row: Refund, answer: payments.RefundStanding | None, now: datetime) -> bool:
    """The provider has sent a refund that it was not expected to send any more. False if it has not."""
    own = row.state == RefundState.CONFIRMED and row.transferred_by_id is None
    known = row.state in {RefundState.DUE, RefundState.SENT} or row.astray_at is not None or own
    if answer is None or answer.state not in GONE or known or row.attempt.account == payments.PartnerProvider.account:
        return False
    row.times = max(row.times, 1)
    becomes = RefundState.CONFIRMED if answer.state == "confirmed" else RefundState.SENT
    if count_after_all(row, becomes, now):
        row.provider_id, row.detail = answer.provider_id or row.provider_id, answer.why[:200]
        is_confirmed = becomes == RefundState.CONFIRMED
        row.settled_at, row.next_look_at = (now, None) if is_confirmed else (None, now + LOOK)
    return True


@transaction.atomic
def refund_again(*, reservation: uuid.UUID, by: Any = None) -> bool:
    """Makes a new refund due in the place of each that failed. Returns False when none could be made.

    It has a reference of its own, because a provider gives the old answer again for the old one. Refunds of too much
    money are made one after the other for an attempt, so that each replaces one of the same amount. The others stay
    failed, and the same call makes them later.
    """
    now = wall_clock.now()
    order = Reservation.objects.select_for_update(of=("self",)).select_related("sale").get(pk=reservation)
    failed = Refund.objects.filter(attempt__reservation=reservation, state=RefundState.FAILED)
    again: dict[tuple[int, str], tuple[int, NewRefund]] = {}
    unsent = Refund.objects.filter(attempt__reservation=reservation, state=RefundState.DUE, times=0)
    taken = set(unsent.values_list("attempt", "why"))
    for row in failed.select_related("attempt").order_by("pk"):
        row.attempt.reservation = order
        if (row.attempt_id, row.why) not in taken | again.keys():
            new = NewRefund(row.attempt, RefundReason(row.why), row.amount, row.refund_by)
            again[row.attempt_id, row.why] = (row.pk, new)
    if not again:
        return False
    withdraw_refunds(failed.filter(pk__in=[pk for pk, _ in again.values()]), now)
    add_refunds([new for _, new in again.values()], now)
    Record.write("refund_again", by=by, sale=order.sale, subject=order)
    return True


@transaction.atomic
def send_before_appeal(*, refund: int, by: Any) -> bool:
    """Lets a refund wait no longer for an appeal, because the provider soon refunds no more. False if it did not wait.

    The appeal goes on. If the buyer wins it, they get the first unit of the next sale in place of the order.
    """
    row = _locked(refund)
    if not row.waits:
        return False
    row.waits, row.next_look_at = False, wall_clock.now()
    row.save(update_fields=["waits", "next_look_at"])
    _record("refund_early", row, by)
    return True


@transaction.atomic
def send_by_hand(*, refund: int, by: Any) -> bool:
    """Notes that a failed refund is transferred by hand. False if it has not failed."""
    row = _locked(refund)
    if row.state != RefundState.FAILED:
        return False
    now = wall_clock.now()
    row.state, row.next_look_at = RefundState.IMPOSSIBLE, now + PEOPLE
    row.save(update_fields=["state", "next_look_at"])
    record([of_refund(row)], now)
    add_letters_of_refunds([row], now)
    _record("refund_by_hand", row, by)
    return True


@transaction.atomic
def transferred(*, refund: int, reference: str, by: Any) -> bool:
    """Notes that a person has sent the money back, with the bank's reference. A second person confirms it.

    The person transferred it, or made the refund in the provider's dashboard, so that the provider has refused ours.
    False if the refund has not failed and does not wait for a transfer. Refuses FORBIDDEN to a person who has changed
    the buyer's e-mail address.
    """
    row = _locked(refund)
    if row.state not in {RefundState.IMPOSSIBLE, RefundState.FAILED}:
        return False
    require_another_person(row.attempt.reservation, by)
    row.state, row.provider_id, row.transferred_by = RefundState.TRANSFERRED, reference[:REFERENCE_MAX], by
    now = wall_clock.now()
    row.next_look_at, row.transferred_at = now + PEOPLE, now
    row.save(update_fields=["state", "provider_id", "transferred_by", "transferred_at", "next_look_at"])
    record([of_refund(row)], now)
    _record("transfer", row, by, reference=row.provider_id)
    return True


@transaction.atomic
def confirm_transfer(*, refund: int, by: Any, arrived: bool) -> bool:
    """A second person has seen the transfer on the account statement, or it is not there: then it is made again.

    A bank may send money back weeks after the transfer was confirmed. Then the buyer gets the letter again, and may
    correct the account. False if no transfer waits. Refuses FORBIDDEN to the person who made the transfer and to a
    person who has changed the buyer's e-mail address, and to everybody while the person who made the transfer is
    switched off.
    """
    row = _locked(refund)
    came_back = row.state == RefundState.CONFIRMED and row.transferred_by_id is not None and not arrived
    if row.state != RefundState.TRANSFERRED and not came_back:
        return False
    if row.transferred_by_id == by.pk:
        raise Refused(Outcome.FORBIDDEN, "Another person has to confirm the transfer.")
    if arrived:
        require_another_person(row.attempt.reservation, by)
        if row.transferred_by and not row.transferred_by.is_active:
            raise Refused(Outcome.FORBIDDEN, SWITCHED_OFF)
    now = wall_clock.now()
    if arrived:
        row.state, row.confirmed_by, row.settled_at, row.next_look_at = RefundState.CONFIRMED, by, now, None
    else:
        row.state, row.transferred_by, row.transferred_at = RefundState.IMPOSSIBLE, None, None
        row.provider_id, row.next_look_at = "", now + PEOPLE
        row.confirmed_by, row.settled_at = None, None
    fields = ["state", "confirmed_by", "settled_at", "next_look_at", "transferred_by", "transferred_at", "provider_id"]
    row.save(update_fields=fields)
    record([of_refund(row)], now)
    add_letters_of_refunds([row], now)
    if came_back:
        again = {"state": NoticeState.DUE, "due_at": now, "attempts": 0, "sent_at": None}
        Notice.objects.filter(kind=Notice.Kind.BANK_ACCOUNT, about=row.reference).update(**again)
    _record("confirm_transfer" if arrived else "reject_transfer", row, by)
    return True


def _locked(refund: int) -> Refund:
    """The refund, locked after its reservation."""
    _locked_orders(Refund.objects.filter(pk=refund).values_list("attempt__reservation", flat=True))
    rows = Refund.objects.select_for_update(of=("self",)).select_related("attempt__reservation__sale")
    return rows.get(pk=refund)


def _record(what: str, row: Refund, by: Any, **facts: Any) -> None:
    order = row.attempt.reservation
    Record.write(what, by=by, sale=order.sale, subject=order, facts={"refund": row.reference, **facts})


@transaction.atomic
def partner_refunded(*, reservation: uuid.UUID, channel: int, refund: str, reference: str) -> None:
    """Notes a partner's word that it has refunded its buyer. Safe to repeat: the first reference stays.

    Refuses NOT_FOUND, MALFORMED (the partner's reference), and NOT_CANCELLABLE while an appeal may restore the order.
    """
    if not payments.PartnerProvider.is_reference(reference):
        raise Refused(Outcome.MALFORMED, "reference: 1 to 100 visible ASCII characters.")
    now = wall_clock.now()
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
    if row.waits:
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
    rows = [NewRefund(row, RefundReason.MISMATCH, row.paid, refund_by(row)) for row in unsent if row.paid]
    add_refunds(rows, wall_clock.now())
    if rows:
        order = Reservation.objects.select_related("sale").get(pk=reservation)
        Record.write("send_back", by=by, sale=order.sale, subject=order)
    return bool(rows)
