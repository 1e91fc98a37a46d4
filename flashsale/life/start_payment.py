"""Start: PostgreSQL (the books) notes that buyers begin to pay, many in one transaction, before a provider is called.

A row that is refused refuses its own request only. When the tables refuse a batch, its requests start one by one.
"""

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta

from django.db import DataError, IntegrityError, transaction
from django.db.models import Q

from flashsale.books import call_keys, orders
from flashsale.books.events import of_payment, record
from flashsale.books.reservations import RefusedByBooks, claim_slots, refusal_of
from flashsale.books.rows import insert
from flashsale.life.buyer_digests import slot_requests
from flashsale.life.judge_payment import Fresh, Known, judge
from flashsale.life.payment_request import AnsweredBefore, CallKey, Next, Started, StartRequest
from flashsale.models import Contact, PaymentAttempt, Trait
from flashsale.rules import wall_clock
from flashsale.rules.identity import Axis
from flashsale.rules.outcomes import Outcome, Refused

log = logging.getLogger(__name__)
KEEP_CONTACT = timedelta(days=90)
# How often a request is tried again whose key another process binds at the same time.
TRIES_MAX = 3

Answers = list[Started | Exception]
Calls = Mapping[call_keys.Key, call_keys.BoundCall]


def start_all(requests: Sequence[StartRequest]) -> Answers:
    """What must happen for each request, or its refusal. A reservation that comes twice is started once."""
    answers: dict[int, Started | Exception] = {}
    waiting = list(enumerate(requests))
    while waiting:
        batch, waiting = _apart(waiting)
        for (at, _), answer in zip(batch, _start_batch([request for _, request in batch]), strict=True):
            answers[at] = answer
    return [answers[at] for at in range(len(requests))]


Numbered = list[tuple[int, StartRequest]]


def _apart(waiting: Numbered) -> tuple[Numbered, Numbered]:
    """The first request of each reservation and of each key; and the others, which come after them."""
    batch: Numbered = []
    later: Numbered = []
    seen: set[object] = set()
    for at, request in waiting:
        names = {request.reservation, request.call[:2] if isinstance(request.call, CallKey) else None} - {None}
        (later if names & seen else batch).append((at, request))
        seen |= names
    return batch, later


def _start_batch(requests: Sequence[StartRequest]) -> Answers:
    try:
        return _start(requests)
    except (IntegrityError, DataError, RefusedByBooks):
        return [_start_alone(request) for request in requests]


def _start_alone(request: StartRequest) -> Started | Exception:
    refused: Exception
    for _ in range(TRIES_MAX):
        try:
            return _start([request])[0]
        except RefusedByBooks as error:
            refused = Refused(error.outcome, error.detail)
        except (IntegrityError, DataError) as error:
            refused = error
            if "one_call_per_key" in str(error):
                continue
            with suppress(IntegrityError, DataError):
                refused = Refused(refusal_of(error))
        break
    if not isinstance(refused, Refused):
        log.error("a payment of reservation %s cannot start: %r", request.reservation, refused)
    _bind_refused(request)
    return refused


def _bind_refused(request: StartRequest) -> None:
    """Binds the key of a request that the tables refused, because that took back the key, too."""
    if isinstance(request.call, CallKey) and not call_keys.bound_calls([request.call[:2]]):
        with suppress(IntegrityError):  # another process has bound it just now
            call_keys.bind_calls({request.call[:2]: (request.call.fingerprint, "")}, wall_clock.now())


def _start(requests: Sequence[StartRequest]) -> Answers:
    """Locks the reservations, judges every request, and writes what starts. A refused request keeps its key, too."""
    now = wall_clock.now()
    answers: Answers = []
    fresh: list[Fresh] = []
    with transaction.atomic():
        known, calls = _lock(requests)
        for request in requests:
            try:
                then = _answered(request, calls) or judge(request, known, now)
            except Refused as refused:
                answers.append(refused)
                continue
            if isinstance(then, Fresh):
                fresh.append(then)
                then = Started(then.row, then.attempt, Next.BEGIN)
            answers.append(then)
        if fresh:
            _write(fresh)
        _bind(requests, calls, fresh, now)
    return answers


def _answered(request: StartRequest, calls: Calls) -> AnsweredBefore | None:
    """The answer that an earlier request with this key got. Refuses KEY_REUSED for a key of another request."""
    call = calls.get(request.call[:2]) if isinstance(request.call, CallKey) else None
    if call is None or not isinstance(request.call, CallKey):
        return None
    if call.fingerprint != request.call.fingerprint:
        raise Refused(Outcome.KEY_REUSED)
    return None if call.answer is None else AnsweredBefore(call.answer, call.refused)


def _lock(requests: Sequence[StartRequest]) -> tuple[Known, Calls]:
    """What PostgreSQL has of the reservations, and of the calls.

    The calls are read under the locks, because another request with the same key may start an attempt before that.
    """
    rows = orders.lock_reservations({request.reservation for request in requests})
    calls = call_keys.bound_calls([one.call[:2] for one in requests if isinstance(one.call, CallKey)])
    begun: dict[CallKey | int | None, str] = {
        one.call: calls[one.call[:2]].attempt
        for one in requests
        if isinstance(one.call, CallKey) and one.call[:2] in calls
    }
    begun.update(call_keys.attempts_begun([one.call for one in requests if isinstance(one.call, int)]).items())
    units, places = orders.units_of(rows)
    known = Known(
        rows=rows,
        attempts=orders.attempts_of(rows),
        slots=orders.slots_of(rows),
        calls=begun,
        places=places,
        skus={id_: [unit.unit_sku for unit in own if unit.active] for id_, own in units.items()},
    )
    return known, calls


def _bind(requests: Sequence[StartRequest], calls: Calls, fresh: Sequence[Fresh], now: datetime) -> None:
    """Binds each new key to its request, and notes the attempt that a call starts."""
    started = {one.request.reservation: one.attempt.reference for one in fresh}
    new, known, ids = {}, {}, {}
    for request in requests:
        attempt = started.get(request.reservation, "")
        if isinstance(request.call, int) and attempt:
            ids[request.call] = attempt
        elif isinstance(request.call, CallKey) and request.call[:2] not in calls:
            new[request.call[:2]] = (request.call.fingerprint, attempt)
        elif isinstance(request.call, CallKey) and attempt:
            known[request.call[:2]] = attempt
    call_keys.note_attempts(known, ids)
    call_keys.bind_calls(new, now)


def _write(fresh: Sequence[Fresh]) -> None:
    """Stores buyers and attempts, so that any process that learns of a payment can confirm its order.

    A retry during the payment may correct contact data and soft axes: the last values count. Only the instrument stays
    the first one, because the provider charges the first one whatever the retry names.
    """
    if again := [one.row.pk for one in fresh if one.had_attempts]:
        under_way = [one.row.pk for one in fresh if not one.is_new]
        charged = Q(reservation__in=under_way, axis=Axis.PAYMENT)
        Trait.objects.filter(reservation__in=again).exclude(charged).delete()
        Contact.objects.filter(reservation__in=again).delete()
    claim_slots([(one.row.pk, slot, one.row.quantity) for one in fresh for slot in slot_requests(one.row, one.late)])
    traits = [
        (one.row.pk, str(axis), digest.hex())
        for one in fresh
        for axis, digest in one.digested.traits.items()
        if one.is_new or axis is not Axis.PAYMENT
    ]
    if traits:
        names = ("reservation_id", "axis", "digest")
        insert(Trait, dict(zip(names, zip(*traits, strict=True), strict=True)))
    insert(
        Contact,
        {
            "reservation_id": [one.row.pk for one in fresh],
            "sealed": [one.digested.sealed for one in fresh],
            "language": [one.request.buyer.language for one in fresh],
            "keep_until": [one.row.sale.closes_at + KEEP_CONTACT for one in fresh],
        },
    )
    # Sorted, because two batches may name the same payments of a partner and must not deadlock.
    attempts = sorted((one.attempt for one in fresh if one.is_new), key=lambda attempt: attempt.provider_id)
    if attempts:
        fields = (
            "reservation_id", "number", "reference", "account", "method", "amount", "currency", "state", "expires_at",
            "provider_id", "next_look_at", "made_at",
        )  # fmt: skip
        insert(PaymentAttempt, {name: [getattr(attempt, name) for attempt in attempts] for name in fields})
        record([of_payment(attempt) for attempt in attempts], attempts[0].made_at)
