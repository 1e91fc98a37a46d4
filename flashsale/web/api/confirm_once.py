"""Confirm of partners: one effect and one answer for each Idempotency-Key, read and stored for many at once.

The hot door and the REST view both call it. Its answers, and what belongs to a key, are those of web/idempotency.py.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import Prefetch, QuerySet

from flashsale.books.batcher import Batcher
from flashsale.books.call_keys import BoundCall, bound_calls, store_answers
from flashsale.life.confirm import confirm_with_text
from flashsale.life.db_threads import run_in_db_thread
from flashsale.life.payment_request import AnsweredBefore, CallKey
from flashsale.life.payment_turn import seconds_until
from flashsale.models import ApiCall, Reservation, ReservationUnit
from flashsale.rules.outcomes import RETRYABLE, Outcome, Refused
from flashsale.rules.states import ReservationState
from flashsale.web.api import serializers
from flashsale.web.api.reservation_document import as_text, order_text, reservation_document
from flashsale.web.idempotency import store_refusal, stored_answer


class Answer(NamedTuple):
    """The JSON text of a reservation, and how to send it."""

    text: str
    status: int = 200
    replayed: bool = False
    retry_after_s: int | None = None

    @property
    def headers(self) -> dict[str, str]:
        """The headers that belong to it."""
        retry = {} if self.retry_after_s is None else {"Retry-After": str(self.retry_after_s)}
        return retry | ({"Idempotency-Replayed": "true"} if self.replayed else {})


async def confirm_once(*, reservation: UUID, call: CallKey, values: Mapping[str, Any]) -> Answer:
    """Confirms a reservation of the key's channel, once. Refuses as `confirm` does, and KEY_REUSED.

    `confirm` binds the key to the request, takes the payment, confirms the order and stores the answer under the key.
    If the process dies before the order is confirmed, the same request finds the attempt that it started, and nothing
    more is charged. An order that another request has confirmed is read, and its answer is stored in a commit of its
    own. Of two requests at the same time, the first one is stored and both return it. Nothing is stored while the buyer
    still has to pay.
    """
    try:
        confirmed = await confirm_with_text(
            reservation=reservation, channel=call.channel, call=call, text=order_text, **values
        )
    except AnsweredBefore as before:
        return Answer(stored_answer(before.answer, before.refused), replayed=True)
    except Refused as refused:
        if refused.outcome in RETRYABLE:
            raise
        await run_in_db_thread(_store_refusal, call, refused)
        raise
    return Answer(confirmed.text) if confirmed.text else await _answering.ask((call, reservation))


def own_reservations() -> QuerySet[Reservation]:
    """Reservations with all rows that their document shows."""
    rows = Reservation.objects.exclude(state=ReservationState.ABANDONED)
    units = ReservationUnit.objects.select_related("unit").only("reservation_id", "sku", "price", "unit__serial")
    rows = rows.select_related(
        "sale__campaign", "allocation", "channel", "cancellation", "case__appeal"
    ).prefetch_related(Prefetch("reservation_units", units), "attempts__refunds")
    return rows.only(*serializers.RESERVATION_COLUMNS)


def _store_refusal(call: CallKey, refused: Refused) -> None:
    """Stores a refusal if a charge was tried. Raises the stored one if another request has stored an answer before."""
    row = ApiCall.objects.filter(channel=call.channel, key=call.key).first()
    if row and row.fingerprint == call.fingerprint and not store_refusal(row, refused):
        stored_answer(row.answer or "", row.refused)


def _answer_all(items: Sequence[tuple[CallKey, UUID]]) -> "list[Answer | Exception]":
    """The answers of these calls, stored where they are final."""
    rows = {row.pk: row for row in own_reservations().filter(pk__in={id_ for _, id_ in items})}
    texts = {pk: as_text(reservation_document(row)) for pk, row in rows.items()}
    keys = [call[:2] for call, _ in items]
    before = bound_calls(keys)
    fresh = {
        key: texts[id_]
        for key, (_, id_) in zip(keys, items, strict=True)
        if key in before and before[key].answer is None and id_ in rows and rows[id_].state != ReservationState.HELD
    }
    # A key that another process has answered meanwhile keeps that answer.
    stored = store_answers(fresh)
    now = before | (bound_calls(fresh.keys() - stored) if fresh.keys() - stored else {})
    answers: list[Answer | Exception] = []
    for key, (_, id_) in zip(keys, items, strict=True):
        if id_ not in rows:
            answers.append(Refused(Outcome.NOT_FOUND, "There is no reservation with this id."))
        elif key in now and now[key].answer is not None:
            answers.append(_stored(now[key]))
        else:
            answers.append(_answer(rows[id_], texts[id_]))
    return answers


def _stored(call: BoundCall) -> Answer | Exception:
    try:
        return Answer(stored_answer(call.answer or "", call.refused), replayed=True)
    except Refused as refused:
        return refused


def _answer(row: Reservation, text: str) -> Answer:
    wait = seconds_until(row.payment)
    return Answer(text, 202, retry_after_s=wait) if wait else Answer(text)


_answering: Batcher[tuple[CallKey, UUID], Answer] = Batcher("confirm-answers", _answer_all)
