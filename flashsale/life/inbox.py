"""Inbox: notifications of payment providers. Each is stored and answered at once; then the provider is asked.

A notification is a hint: it may be late, repeated, out of order, or altered where the signature does not cover it. Only
what the provider answers to our own question counts.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from datetime import timedelta
from hashlib import sha256

from django.db import Error
from django.utils import timezone

from flashsale.gate import bridge
from flashsale.gate.client import GateDown
from flashsale.life import ask_provider
from flashsale.life.db_threads import run_in_db_thread
from flashsale.life.settle import settle
from flashsale.models import Inbox, PaymentAttempt
from flashsale.providers import payments
from flashsale.rules.outcomes import Outcome, Refused

log = logging.getLogger(__name__)
KEPT = timedelta(days=30)


def provider_of(account: str) -> payments.PaymentProvider:
    """The provider of an account; refuses NOT_FOUND."""
    if account not in payments.accounts:
        raise Refused(Outcome.NOT_FOUND, "There is no payment account of this name.")
    return payments.accounts[account]


def receive(*, account: str, body: bytes, headers: Mapping[str, str]) -> list[str]:
    """Stores a notification, and returns the references that it is about. The same one again is asked about again.

    Refuses NOT_FOUND for an unknown account. Raises NotBelieved, and ValueError for an invalid body.
    """
    provider = provider_of(account)
    hints = provider.believe(body, headers)
    kept = {name: headers[name] for name in provider.headers if name in headers}
    now = timezone.now()
    for hint in hints:
        name = sha256(b"\0".join([account.encode(), hint.reference.encode(), body])).hexdigest()
        Inbox.objects.update_or_create(
            hash=name,
            defaults={"seen_at": now, "done_at": None},
            create_defaults={
                "account": account, "body": body, "headers": kept, "reference": hint.reference[:80], "seen_at": now,
            },
        )  # fmt: skip
    return [hint.reference for hint in hints]


def read_inbox(*, references: Sequence[str] = (), most: int = 100) -> int:
    """Asks the providers about the notifications that are not done; returns how many are done now."""
    rows = Inbox.objects.filter(done_at=None).order_by("seen_at")
    chosen = list(rows.filter(reference__in=references) if references else rows[:most])
    return bridge.run(_read(chosen))


async def _read(rows: Sequence[Inbox]) -> int:
    if not rows:
        return 0
    attempts = await run_in_db_thread(
        PaymentAttempt.objects.in_bulk, [row.reference for row in rows], field_name="reference"
    )
    results = await asyncio.gather(*(_follow(row, attempts.get(row.reference)) for row in rows))
    done = [(row, result) for row, result in zip(rows, results, strict=True) if result]
    await run_in_db_thread(_store, done)
    return len(done)


async def _follow(row: Inbox, attempt: PaymentAttempt | None) -> str:
    """The state of the attempt after a look at the provider; "" if it cannot be settled yet."""
    if attempt is None or attempt.account != row.account:
        return "unknown reference"
    id_ = _id_in(row)
    if id_ and not attempt.provider_id:
        # The answer of its first call was lost. What is found by this id must have our reference; then it is stored.
        attempt.provider_id = id_
    elif id_ and id_ != attempt.provider_id:
        log.error("%s has a second payment at its provider: %s", attempt.reference, id_)
    try:
        standing = await ask_provider.look(attempt)
        settled = await settle(reference=attempt.reference, standing=standing)
    except (payments.ProviderDown, GateDown, Refused, Error) as error:
        log.warning("could not settle %s yet: %s", attempt.reference, error)
        return ""
    return str(settled.attempt.state)


def _id_in(row: Inbox) -> str:
    """The provider's id in a notification that was believed when it came; "" if it has none or is not believed now."""
    try:
        hints = provider_of(row.account).believe(bytes(row.body), row.headers)
    except (payments.NotBelieved, ValueError, Refused):
        return ""
    return next((hint.provider_id for hint in hints if hint.reference == row.reference), "")


def _store(done: Sequence[tuple[Inbox, str]]) -> None:
    now = timezone.now()
    for row, result in done:
        # A notification that came again meanwhile stays to be read.
        Inbox.objects.filter(pk=row.pk, seen_at=row.seen_at).update(done_at=now, result=result)


def forget_notifications() -> int:
    """Deletes notifications that were read long ago; returns how many."""
    return Inbox.objects.filter(done_at__lt=timezone.now() - KEPT).delete()[0]
