"""Confirm: the buyer pays for the held units, and the order becomes theirs.

PostgreSQL (the books) decides first; Redis (the gate) learns the result afterwards. Both steps in PostgreSQL, *start*
and *settle*, are done for many buyers in one transaction. The states of an attempt are drawn in `settle.py`.
"""

import logging
import uuid
from collections.abc import Callable
from typing import NamedTuple

from flashsale.books.batcher import Batcher
from flashsale.life import ask_provider
from flashsale.life.judge_payment import DECLINED, has_ended
from flashsale.life.payment_request import Buyer, CallKey, Next, PaymentChoice, Started, StartRequest
from flashsale.life.refund import send_refunds
from flashsale.life.settle import Order, Reply, Settled, settle
from flashsale.life.start_payment import start_all
from flashsale.models import PaymentAttempt, Reservation
from flashsale.providers import payments
from flashsale.rules import wall_clock
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.states import AttemptState, ReservationState

__all__ = ["Buyer", "PaymentChoice", "confirm", "confirm_with_text"]

log = logging.getLogger(__name__)
_starting: Batcher[StartRequest, Started] = Batcher("start-payments", start_all)


class Confirmed(NamedTuple):
    """A reservation, and the text of its answer. "": the caller must read the reservation and make the text."""

    row: Reservation
    text: str = ""


async def confirm(
    *,
    reservation: uuid.UUID,
    channel: int,
    buyer: Buyer,
    payment_choice: PaymentChoice,
    call: CallKey | int | None = None,
) -> Reservation:
    """Takes the payment and confirms the reservation: see `confirm_with_text`."""
    confirmed = await _confirm(StartRequest(reservation, channel, buyer, payment_choice, call), None)
    return confirmed.row


async def confirm_with_text(
    *,
    reservation: uuid.UUID,
    channel: int,
    buyer: Buyer,
    payment_choice: PaymentChoice,
    call: CallKey,
    text: Callable[[Order], str],
) -> Confirmed:
    """Takes the payment and confirms the reservation. The same call again gives the same answer and charges nothing.

    `call` is the caller's Idempotency-Key; for `confirm`, it may be the id of its ApiCall. A call starts one payment
    attempt at most: when that attempt is over without an order, every repeat of the call is PAYMENT_DECLINED, and
    another key tries again. With the key itself, it raises AnsweredBefore where the key has an answer, and refuses
    KEY_REUSED where it belongs to another request. `text` makes the answer. The answer of a confirmed order is stored
    under the key in the same commit.

    If the buyer still has to pay elsewhere (in the app of their bank), the reservation stays held until the provider
    calls back (`inbox.py`). The same holds while the provider takes no more calls: the attempt has its turn later
    (`PaymentAttempt.turn_at`), and the same call asks again.
    Refuses NOT_FOUND (also for another channel's reservation), EXPIRED, NOT_HELD (also for a partner's payment when
    another one has confirmed the order), MALFORMED (method), WRONG_PRICE,
    WRONG_IDENTITY, BAD_IDENTITY, LIMIT_REACHED (on an axis that is first known now), PAYMENT_DECLINED, UNKNOWN (the
    provider does not answer), PAYMENT_STUCK (the settings have no account of this name any more).

    0. If an attempt is under way with another method, or with other values on an axis that is first known now, the
       provider closes it first. If its money has arrived already, the order is confirmed with that money. If the
       process dies after this step, a retry finds the attempt closed.
    1. PostgreSQL stores the buyer, that a payment starts under a reference of ours, and that this call started it. If
       the process dies after this step, a retry uses the same reference.
    2. The provider charges the reference. If the process dies here, a retry charges nothing, and the sweep asks the
       provider for the result (30 s after the start, and again: `next_look.py`).
    3. PostgreSQL confirms the order, or the money goes back; then Redis learns the result: see `settle`.
    """
    request = StartRequest(reservation, channel, buyer, payment_choice, call)
    return await _confirm(request, Reply((call.channel, call.key), text))


async def _confirm(request: StartRequest, reply: Reply | None) -> Confirmed:
    started = await _starting.ask(request)
    if started.then is Next.CLOSE:
        await _end_attempt(started, "The earlier payment has to be closed first. Send the same request again.")
        started = await _starting.ask(request)
    match started.then:
        case Next.CLOSE:
            raise Refused(Outcome.UNKNOWN, "Another payment has begun meanwhile. Send the same request again.")
        case Next.NOTHING:
            return Confirmed(started.row)
        case Next.END:
            return await _result(
                await _end_attempt(started, "It is not known yet whether it is paid. Send the same request again.")
            )
    attempt = started.attempt
    assert attempt is not None, "a payment that begins has an attempt"
    try:
        standing = await ask_provider.begin(attempt, request.payment_choice.instrument)
    except payments.NoAccount as error:
        raise _stuck(attempt) from error
    except payments.ProviderDown as error:
        raise Refused(
            Outcome.UNKNOWN, "It is not known yet whether it is paid. Send the same request again."
        ) from error
    if standing is None:
        return Confirmed(started.row)
    return await _result(
        await settle(reference=attempt.reference, standing=standing, owner=request.reservation, reply=reply)
    )


async def _end_attempt(started: Started, detail: str) -> Settled:
    """Ends the attempt under way at the provider. If its money had arrived already, that money counts."""
    assert started.attempt is not None, "only an attempt can be closed"
    try:
        standing = await ask_provider.close(started.attempt)
    except payments.NoAccount as error:
        raise _stuck(started.attempt) from error
    except payments.ProviderDown as error:
        raise Refused(Outcome.UNKNOWN, detail) from error
    return await settle(reference=started.attempt.reference, standing=standing)


def _stuck(attempt: PaymentAttempt) -> Refused:
    """The refusal while no provider can be asked. No other payment begins, because this one may have its money."""
    detail = (
        f"The payment under way is at the account {attempt.account!r}, which is not in the shop's settings any more."
    )
    return Refused(Outcome.PAYMENT_STUCK, detail)


async def _result(settled: Settled) -> Confirmed:
    """The reservation after an answer: confirmed, or held while the buyer pays elsewhere.

    Refuses PAYMENT_DECLINED while the units stay held, and EXPIRED when the hold has ended.
    """
    row, attempt = settled.row, settled.attempt
    if row.state == ReservationState.CONFIRMED or (attempt.is_open and not has_ended(row, wall_clock.now())):
        await _send_back(attempt)
        return Confirmed(row, settled.text)
    if row.state == ReservationState.HELD and not has_ended(row, wall_clock.now()):
        raise Refused(Outcome.PAYMENT_DECLINED, DECLINED)
    await _send_back(attempt)
    own = attempt.account == payments.PartnerProvider.account
    refund = "refund your buyer" if own else "what was paid is refunded"
    raise Refused(Outcome.EXPIRED, f"The hold had ended; {refund}.")


async def _send_back(attempt: PaymentAttempt) -> None:
    """Sends late money back before the caller gets the answer; the sweep does it if the provider does not answer."""
    if attempt.state == AttemptState.LATE:
        await send_refunds(attempt=attempt.pk)
