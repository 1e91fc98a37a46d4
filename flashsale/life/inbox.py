"""Inbox: notifications of payment providers. Each is stored and answered at once; then the provider is asked.

A notification is a hint: it may be late, repeated, out of order, or altered where the signature does not cover it. Only
what the provider answers to our own question counts.

The row is the work. A hint in Redis wakes a web process, which asks the provider (`read_hinted`). If the hint is lost
or the process dies, the sweep finds the row.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from cryptography.fernet import InvalidToken
from django.db import Error

from flashsale import metrics
from flashsale.books.batcher import Batcher
from flashsale.gate import bridge, notifications
from flashsale.gate.client import GateDown
from flashsale.life import ask_provider
from flashsale.life.db_threads import run_in_db_thread
from flashsale.life.provider_lanes import Kind, Result, work_off
from flashsale.life.refund import ask_about_refund, refunds_to_look_at
from flashsale.life.settle import settle
from flashsale.life.stray_refunds import note_second_payment
from flashsale.models import Inbox, PaymentAttempt, Refund
from flashsale.providers import payments
from flashsale.providers.payments.checked import PARTS_MAX
from flashsale.rules import wall_clock
from flashsale.rules.outcomes import Outcome, Refused
from flashsale.rules.states import StandingState

if TYPE_CHECKING:
    from django.db.models import QuerySet

log = logging.getLogger(__name__)
KEPT = timedelta(days=30)
# More than any provider names in one notification.
HINTS_MAX = 100


def references_in(*, account: str, body: bytes, headers: Mapping[str, str]) -> list[str]:
    """The references that a notification is about. Stores nothing.

    Refuses NOT_FOUND for an unknown account. Raises NotBelieved, and ValueError for an invalid body.
    """
    if account not in payments.accounts:
        raise Refused(Outcome.NOT_FOUND, "There is no payment account of this name.")
    references = list(dict.fromkeys(hint.reference for hint in payments.accounts[account].believe(body, headers)))
    if len(references) > HINTS_MAX:
        raise ValueError(f"A notification names {HINTS_MAX} payments at most.")
    return references


def store(*, account: str, references: Sequence[str], body: bytes, headers: Mapping[str, str]) -> None:
    """Stores a believed notification in one statement. The same one again is asked about again."""
    provider = payments.accounts[account]
    kept = {name: headers[name] for name in provider.headers if name in headers}
    now = wall_clock.now()
    rows = [
        Inbox(
            hash=sha256(b"\0".join([account.encode(), reference.encode(), body])).hexdigest(), account=account,
            body=Inbox.sealed(body, kept), headers={}, reference=reference[:80], seen_at=now, next_look_at=now,
        )
        for reference in references
    ]  # fmt: skip
    changed = ["seen_at", "done_at", "next_look_at"]
    Inbox.objects.bulk_create(rows, update_conflicts=True, unique_fields=["hash"], update_fields=changed)
    metrics.NOTIFICATIONS.add(account, by=len(rows))
    # Redis may be away. The sweep finds the row.
    with suppress(GateDown):
        bridge.run(notifications.hint(account))


def read_inbox() -> int:
    """Asks the providers about the notifications that are not done; returns how many are done now."""
    return bridge.run(work_off([NOTICES]))[Result.DONE]


# By account: the task of this process that reads its notifications.
_reading: dict[str, "asyncio.Task[None]"] = {}
_wanted: set[str] = set()


async def read_hinted() -> None:
    """Begins to read the notifications of the accounts that were hinted at. Raises GateDown.

    Each account has a task of its own, so that a provider that does not answer holds up no other one.
    """
    _wanted.update(await notifications.take_hints())
    for account in list(_wanted):
        if account not in _reading or _reading[account].done():
            _wanted.discard(account)
            _reading[account] = asyncio.create_task(_read(account), name=f"read the inbox of {account}")


async def _read(account: str) -> None:
    try:
        await work_off([NOTICES], accounts=[account])
    except Error as error:
        log.warning("the inbox of %s cannot be read yet: %s", account, error)
    except Exception:
        log.exception("the inbox of %s cannot be read", account)


def _due(now: datetime) -> "QuerySet[Inbox]":
    return Inbox.objects.filter(done_at=None, next_look_at__lte=now).order_by("seen_at")


class _Hinted(NamedTuple):
    """A notification, the attempt that it names, and those of its refunds that may have changed."""

    row: Inbox
    attempt: PaymentAttempt | None
    refunds: list[Refund]


def _load(rows: Sequence[Inbox]) -> list[_Hinted]:
    names = {row.reference for row in rows}
    attempts = PaymentAttempt.objects.in_bulk(names, field_name="reference")
    # A provider may name the refund alone.
    for refund in Refund.objects.filter(reference__in=names - attempts.keys()).select_related("attempt"):
        attempts[refund.reference] = refund.attempt
    refunds: dict[int, list[Refund]] = defaultdict(list)
    for refund in refunds_to_look_at().filter(attempt__in={attempt.pk for attempt in attempts.values()}):
        refunds[refund.attempt_id].append(refund)
    found = []
    for row in rows:
        attempt = attempts.get(row.reference)
        known = attempt is not None and attempt.account == row.account
        found.append(_Hinted(row, attempt if known else None, refunds[attempt.pk] if attempt and known else []))
    return found


async def _follow(hinted: _Hinted) -> None:
    """Asks the provider about the attempt that a notification names, and about its refunds."""
    row, attempt, refunds = hinted
    if attempt is None:
        log.warning("a notification of %s names the unknown reference %r", row.account, row.reference)
        await _stored.ask((row, "unknown reference"))
        return
    second = _learn_ids(row, attempt)
    settled = await settle(reference=attempt.reference, standing=await ask_provider.look(attempt))
    if second:
        await _look_at_second(attempt, second)
    for refund in refunds:
        await ask_about_refund(refund)
    await _stored.ask((row, str(settled.attempt.state)))


def _learn_ids(row: Inbox, attempt: PaymentAttempt) -> str:
    """Lets an attempt be looked at by the provider's ids in a notification: of a lost answer, or of one payment of it.

    What is found by an id must have our reference. Only then it is stored, with what the provider says. Returns the id
    of a second payment of the provider for our reference, "" if there is none.
    """
    hint = _hint_in(row)
    if hint is None:
        return ""
    if hint.provider_id and attempt.provider_id not in {"", hint.provider_id}:
        return hint.provider_id
    attempt.provider_id = attempt.provider_id or hint.provider_id
    if hint.part and hint.part not in (attempt.parts or ()):
        attempt.parts = [*(attempt.parts or ()), hint.part][-PARTS_MAX:]
    return ""


async def _look_at_second(attempt: PaymentAttempt, id_: str) -> None:
    """Asks about another payment of the provider for our reference. If it has money, people settle it.

    It was never shown to a buyer by us, so its money buys nothing, and it may be sent back only in the dashboard.
    """
    log.error("%s has a second payment at its provider: %s", attempt.reference, id_)
    asked = ask_provider.asked(attempt)._replace(provider_id=id_, parts=())
    if (await ask_provider.look_at(attempt.account, asked)).state is StandingState.PAID:
        await run_in_db_thread(note_second_payment, attempt.pk)


def _hint_in(row: Inbox) -> payments.Hint | None:
    """What a notification says that was believed when it came; None if it is not believed now. Raises ProviderDown."""
    try:
        hints = payments.account_of(row.account).believe(*row.as_it_came())
    except (payments.NotBelieved, ValueError):
        return None
    except InvalidToken:
        log.exception("a notification of %s cannot be decrypted; the provider is asked without it", row.account)
        return None
    return next((hint for hint in hints if hint.reference == row.reference), None)


def _store(done: Sequence[tuple[Inbox, str]]) -> None:
    now = wall_clock.now()
    groups: dict[tuple[str, datetime | None], list[int]] = defaultdict(list)
    for row, result in done:
        groups[result, row.next_look_at].append(row.pk)
    for (result, lease), ids in groups.items():
        # A notification that came again meanwhile has another date, and stays to be read.
        Inbox.objects.filter(pk__in=ids, next_look_at=lease).update(done_at=now, next_look_at=None, result=result)


def _store_all(done: Sequence[tuple[Inbox, str]]) -> list[None]:
    _store(done)
    return [None] * len(done)


_stored: Batcher[tuple[Inbox, str], None] = Batcher("read-notifications", _store_all)
NOTICES = Kind(_due, "account", _follow, next_of=lambda _row, now: now, load=_load)


def forget_notifications() -> int:
    """Deletes notifications that were read long ago; returns how many."""
    return Inbox.objects.filter(done_at__lt=wall_clock.now() - KEPT).delete()[0]
