"""What is wrong now, as far as the monitor, the tables and Redis tell. It measures nothing itself and changes nothing.

A condition that cannot be judged, for example because Redis does not answer, is neither there nor gone. Its alarm stays
as it is.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Q
from django.utils import timezone

from flashsale.gate import bridge, inspect
from flashsale.gate.client import GateDown
from flashsale.life import monitor, samples
from flashsale.life.draw import waiting_ends_ms
from flashsale.life.sale_control import RUNNING
from flashsale.life.waiting_money import TRIES
from flashsale.models import Case, Inbox, Notice, PaymentAttempt, Refund, Sale, Webhook
from flashsale.models.sale import moment, ms
from flashsale.providers import beacon, payments
from flashsale.rules.lottery import BEACON_DELAY_S, VERSION_2
from flashsale.rules.states import (
    OPEN_ATTEMPTS,
    AttemptState,
    CaseState,
    NoticeState,
    RefundState,
    SendingFailure,
    WebhookOff,
)

# A task of Celery may take 90 s, and a single worker finishes none meanwhile.
WORKER_S, BEAT_S, MONITOR_S = 120, 60, 60
# Mending sends within ten seconds what Redis did not get.
BEHIND_S = 20
# A relay has a round within a second or two, and each server asks once a second.
BEACON_LATE = timedelta(seconds=30)
# The tree of a million entries is committed within ten seconds.
FREEZE_LATE, FREEZE_LEAD_MAX = timedelta(seconds=30), timedelta(days=1)
DOOR_MS, FRESH = 1000, timedelta(seconds=30)
OVERDUE = timedelta(minutes=10)
LETTER_LATE, LETTER_TRIES = timedelta(minutes=15), 3
REVIEW_NEAR = timedelta(days=2)
# Not the fault of a mailbox.
OF_THE_SERVER = (SendingFailure.NOT_ACCEPTED, SendingFailure.NO_ANSWER)

Key = tuple[str, str]


@dataclass(slots=True)
class Conditions:
    """`found` has the facts of each trouble by code and subject. `unknown` are codes that cannot be judged now.

    `known_sales` are the subjects for which the monitor has an answer about the promises.
    """

    found: dict[Key, Mapping[str, Any]] = field(default_factory=dict)
    unknown: set[str] = field(default_factory=set)
    known_sales: set[str] = field(default_factory=set)

    def is_gone(self, code: str, subject: str) -> bool:
        """Whether the trouble is not there any more. False if that cannot be judged."""
        if code == "promise_broken" and subject not in self.known_sales:
            return False
        return code not in self.unknown and (code, subject) not in self.found


def conditions() -> Conditions:
    """All troubles now. Raises django.db.Error."""
    now, result = timezone.now(), Conditions()
    _of_the_monitor(result)
    for part in (_doors, _beacons, _payments, _refunds, _letters, _webhooks, _reviews):
        result.found.update(part(now))
    try:
        words = bridge.run(inspect.server_trouble())
    except GateDown:
        result.unknown.add("gate_disk")
    else:
        if words:
            result.found["gate_disk", ""] = {"words": ", ".join(words)}
    return result


def _of_the_monitor(result: Conditions) -> None:
    seen = monitor.latest()
    for sale in seen.sales.values():
        subject = f"sale:{sale.sale}"
        result.known_sales.add(subject)
        if sale.broken:
            titles = sorted({f"{one.promise} {one.title}" if one.promise else one.title for one in sale.broken})
            result.found["promise_broken", subject] = {"sale": sale.code, "titles": ", ".join(titles)}
        for code, seconds in (("gate_behind", sale.gate_behind_s), ("books_behind", sale.books_behind_s)):
            if seconds > BEHIND_S:
                result.found[code, subject] = {"sale": sale.code, "seconds": round(seconds)}
    if not seen.gate_answers:
        result.found["gate_down", ""] = {}
        # The signs of life are in Redis.
        result.unknown |= {"worker_silent", "beat_silent", "monitor_silent"}
        return
    signs = seen.ages_s
    for code, names, limit in (
        ("worker_silent", ("worker",), WORKER_S),
        ("beat_silent", ("beat",), BEAT_S),
        ("monitor_silent", ("sampler", "monitor"), MONITOR_S),
    ):
        if code == "monitor_silent" and {("worker_silent", ""), ("beat_silent", "")} & set(result.found):
            # Celery runs the monitor, so one cause is one alarm.
            names = ("sampler",)  # noqa: PLW2901
        # No sign at all: since Redis was started, or longer.
        oldest = max((float("inf") if (age := signs.get(name)) is None else age) for name in names)
        if oldest > limit:
            result.found[code, ""] = {"seconds": limit if oldest == float("inf") else round(oldest)}


def _doors(now: datetime) -> Iterator[tuple[Key, Mapping[str, Any]]]:
    for sale in samples.running_sales(now):
        sample = samples.latest(sale)
        if sample and now - sample.at < FRESH and (sample.door_p95_ms or 0) > DOOR_MS:
            yield ("door_slow", f"sale:{sale.pk}"), {"sale": sale.code, "ms": sample.door_p95_ms}


def _beacons(now: datetime) -> Iterator[tuple[Key, Mapping[str, Any]]]:
    """Sales whose entries or public randomness are late.

    Both can be late when the settings name another chain than the sale has declared.
    """
    near = Sale.objects.filter(draw_version=VERSION_2, entries_frozen_at=None, state__in=RUNNING)
    for sale in near.filter(opens_at__lt=now + FREEZE_LEAD_MAX):
        if now - sale.freezes_at > FREEZE_LATE:
            late = {"sale": sale.code, "seconds": round((now - sale.freezes_at).total_seconds())}
            yield ("freeze_late", f"sale:{sale.pk}"), late
    frozen = Sale.objects.filter(entries_frozen_at__isnull=False, frozen_at=None, state__in=RUNNING)
    for sale in frozen.exclude(beacon_chain=""):
        assert sale.entries_frozen_at is not None, "the query asks for it"
        round_ = sale.beacon_round or 0
        known = beacon.chain_of(sale.beacon_chain)
        if known:
            due = moment(1000 * known.time_of(round_))
        else:
            due = sale.entries_frozen_at + timedelta(seconds=BEACON_DELAY_S)
        if now - due > BEACON_LATE:
            ends = moment(waiting_ends_ms(ms(sale.opens_at), sale.beacon_chain, round_))
            facts = {"sale": sale.code, "round": round_, "minutes": max(0, round((ends - now).total_seconds() / 60))}
            yield ("beacon_late", f"sale:{sale.pk}"), facts


def _per_account(code: str, counts: Mapping[str, int]) -> Iterator[tuple[Key, Mapping[str, Any]]]:
    for account, count in counts.items():
        yield (code, account), {"account": account, "count": count}


def _payments(now: datetime) -> Iterator[tuple[Key, Mapping[str, Any]]]:
    late = now - OVERDUE
    attempts = PaymentAttempt.objects.filter(state__in=OPEN_ATTEMPTS, doubt="", next_look_at__lte=late)
    unread = Inbox.objects.filter(done_at=None, next_look_at__lte=late)
    counts: dict[str, int] = {}
    for rows in (attempts, unread):
        known = rows.filter(account__in=_accounts()).order_by().values_list("account")
        for account, count in known.annotate(Count("pk")):
            counts[account] = counts.get(account, 0) + count
    yield from _per_account("payments_stuck", counts)


def _refunds(now: datetime) -> Iterator[tuple[Key, Mapping[str, Any]]]:
    stuck = Refund.objects.filter(
        Q(next_look_at__lte=now - OVERDUE) | Q(times__gte=TRIES),
        state=RefundState.DUE,
        waits=False,
        attempt__account__in=_accounts(),
    )
    counts = dict(stuck.order_by().values_list("attempt__account").annotate(Count("pk")))
    yield from _per_account("refunds_stuck", counts)


def _accounts() -> list[str]:
    """The accounts of the settings. Rows of others wait for people, and stand on the list of money that waits."""
    return [name for name in payments.accounts if name != payments.sandbox.account]


def _letters(now: datetime) -> Iterator[tuple[Key, Mapping[str, Any]]]:
    due = Notice.objects.filter(state=NoticeState.DUE, sale__campaign__sandbox_of=None)
    waiting = Q(due_at__lte=now - LETTER_LATE) | Q(attempts__gte=LETTER_TRIES, failure__in=OF_THE_SERVER)
    if count := due.filter(waiting).count():
        yield ("letters_failing", ""), {"count": count}


def _webhooks(_now: datetime) -> Iterator[tuple[Key, Mapping[str, Any]]]:
    for row in Webhook.objects.filter(off__in=[WebhookOff.GONE, WebhookOff.FAILING]).select_related("channel"):
        yield ("webhook_off", f"webhook:{row.pk}"), {"channel": row.channel.name, "why": str(row.off)}


def _reviews(now: datetime) -> Iterator[tuple[Key, Mapping[str, Any]]]:
    """Cases and appeals that must be decided soon, because the provider sends no money back later."""
    undecided = Case.objects.filter(state__in=[CaseState.OPEN, CaseState.PROPOSED])
    count = Refund.objects.filter(waits=True, next_look_at__lte=now).count()
    for account, method, within in _windows():
        began = now - within + REVIEW_NEAR
        count += undecided.filter(
            reservation__attempts__state=AttemptState.PAID,
            reservation__attempts__account=account,
            reservation__attempts__method=method,
            reservation__attempts__made_at__lte=began,
            reservation__attempts__made_at__gt=now - within,
        ).count()
    if count:
        yield ("review_near", ""), {"count": count}


def _windows() -> Iterator[tuple[str, str, timedelta]]:
    """The methods whose refunds are possible for some days only, with their account."""
    for name in _accounts():
        for method in payments.accounts[name].methods():
            if method.refund_within is not None:
                yield name, method.name, method.refund_within
