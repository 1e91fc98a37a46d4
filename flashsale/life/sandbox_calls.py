"""Calls with test keys: what they did is stored, and read by the magic identities and the checklist of the sandbox."""

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, ParamSpec, TypeVar
from uuid import UUID

from django.utils import timezone

from flashsale.life.db_threads import run_in_sandbox_thread
from flashsale.models import PaymentAttempt, Reservation, Sale, SandboxCall
from flashsale.models.sale import ms
from flashsale.rules.conformance import Call
from flashsale.rules.magic import BY_NAME, Magic
from flashsale.rules.outcomes import Outcome, Refused

# In an hour, of a test sale, or of a channel outside of its sales; and of a channel in all. Later calls are answered,
# but not stored.
CALLS_MAX, CALLS_MAX_OF_CHANNEL, CALLS_MAX_IN = 2000, 10_000, timedelta(hours=1)
OK, REPEATED = "ok", "repeated"
# The checklist judges so many calls of the last day, the newest.
JUDGED_MAX, JUDGED_FOR = 5000, timedelta(hours=24)
# Calls of test keys that wait in a process for the thread of the sandbox. One channel may have half of them, so that it
# leaves turns to the others.
WAITING_MAX = 64
WAITING_MAX_OF_CHANNEL = WAITING_MAX // 2

Args = ParamSpec("Args")
Result = TypeVar("Result")
_waiting: Counter[int] = Counter()


async def in_turn(of: int, work: Callable[Args, Result], *args: Args.args, **kwargs: Args.kwargs) -> Result:
    """Calls a function of this module in the thread of the sandbox, for the channel `of`.

    Refuses TOO_MANY_REQUESTS when many calls wait.
    """
    if _waiting[of] >= WAITING_MAX_OF_CHANNEL or _waiting.total() >= WAITING_MAX:
        raise Refused(Outcome.TOO_MANY_REQUESTS, "Too many calls of test keys at once.", 1)
    _waiting[of] += 1
    try:
        return await run_in_sandbox_thread(work, *args, **kwargs)
    finally:
        _waiting[of] -= 1
        if not _waiting[of]:
            del _waiting[of]


def note(
    *,
    channel: int,
    sale: int | None,
    verb: str,
    code: str,
    subject: str = "",
    key: str = "",
    magic: str = "",
    facts: dict[str, Any] | None = None,
) -> None:
    """Stores a call. A call that comes after CALLS_MAX others, or CALLS_MAX_OF_CHANNEL, is not stored."""
    lately = SandboxCall.objects.filter(channel=channel, at__gt=timezone.now() - CALLS_MAX_IN)
    if lately.count() < CALLS_MAX_OF_CHANNEL and lately.filter(sale=sale).count() < CALLS_MAX:
        SandboxCall.objects.create(
            channel_id=channel, sale_id=sale, verb=verb, code=code, subject=subject[:64], key=key[:128], magic=magic,
            facts=facts or {}, at=timezone.now(),
        )  # fmt: skip


def magic_of_place(*, sale: int, index: int) -> Magic | None:
    """The magic identity with which a place of a test sale was entered."""
    entered = SandboxCall.objects.filter(sale=sale, verb="enter", facts__index=index).exclude(magic="")
    name = entered.values_list("magic", flat=True).first()
    return BY_NAME.get(name) if name else None


def had_magic_answer(*, sale: int, subject: str, magic: Magic) -> bool:
    """Whether the subject has got the magic answer before, so that the next call succeeds."""
    refused = SandboxCall.objects.filter(sale=sale, verb=magic.verb, subject=subject)
    return refused.filter(magic=magic.name, code=magic.outcome.value).exists()


def sale_of(*, reservation: UUID, channel: int) -> int | None:
    """The id of the test sale of a reservation of the channel, None if the channel has no such reservation."""
    rows = Reservation.objects.filter(pk=reservation, channel=channel)
    return rows.values_list("sale", flat=True).first()


def attempt_of(*, reference: str, channel: int) -> PaymentAttempt | None:
    """A payment attempt of the channel, by our reference. None for a text that PostgreSQL could not look for."""
    if "\0" in reference:
        return None
    rows = PaymentAttempt.objects.filter(reference=reference, reservation__channel=channel)
    return rows.select_related("reservation").first()


def calls_of(*, channel: int, since_sale: str = "") -> Sequence[Call]:
    """The calls of a channel in the last day, the oldest first; those since a test sale, if `since_sale` is its code.

    Refuses NOT_FOUND for a sale that is no test sale of the channel.
    """
    since = timezone.now() - JUDGED_FOR
    if since_sale:
        sale = Sale.objects.filter(code=since_sale, campaign__channels=channel).first()
        if sale is None:
            raise Refused(Outcome.NOT_FOUND, "since_sale: your channel has no test sale with this code.")
        since = sale.published_at or sale.lobby_at
    rows = SandboxCall.objects.filter(channel=channel, at__gte=since)
    values = rows.order_by("-pk").values_list("at", "sale_id", "verb", "subject", "key", "code", "magic", "facts")
    return [Call(ms(at), *rest) for at, *rest in reversed(values[:JUDGED_MAX])]
