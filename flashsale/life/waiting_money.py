"""Waiting money: every payment, refund and notification that is not final, by what must be done next, and by whom.

No money rests in a state without a next action and a date. Each row that is not final belongs to exactly one action.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from django.db.models import Exists, OuterRef, Q
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from flashsale.life.forget_contacts import is_undecided
from flashsale.life.judge_standing import PEOPLE
from flashsale.life.next_look import LATE_FOR
from flashsale.life.staff_campaigns import rows_of
from flashsale.models import Inbox, PaymentAttempt, Refund
from flashsale.providers import payments
from flashsale.rules.states import (
    ENDED_UNPAID,
    OPEN_ATTEMPTS,
    AttemptState,
    MoneyDoubt,
    RefundState,
    ReservationState,
)

if TYPE_CHECKING:
    from django.db.models import QuerySet

# A provider takes 14 working days at most to send money back. A refund that it does not take is tried TRIES times, for
# more than an hour, before it stands on the list of people.
SENT_FOR, TRIES = timedelta(days=20), 10
# After this time without a bank account, staff ask the buyer in another way.
NO_ANSWER = timedelta(days=7)


class Who(StrEnum):
    """Who does the next step."""

    REVIEWER = "reviewer"
    SECOND = "second"
    PARTNER = "partner"
    BUYER = "buyer"
    MACHINE = "machine"


WHO_LABELS: dict[Who, Promise] = {
    Who.REVIEWER: _("a reviewer"),
    Who.SECOND: _("a second reviewer"),
    Who.PARTNER: _("the partner"),
    Who.BUYER: _("the buyer"),
    Who.MACHINE: _("the system, by itself"),
}


@dataclass(frozen=True, slots=True)
class WaitingFor:
    """One next action. `rows` are those that wait for it, at the time `now`; `until` is a row's date for it."""

    name: str
    title: Promise
    who: Who
    rows: Callable[[datetime], "QuerySet[Any]"]
    until: Callable[[Any], datetime] = lambda row: row.next_look_at
    order: str = "next_look_at"

    def waiting(self, now: datetime, *, by: Any = None) -> "QuerySet[Any]":
        """The rows of the user's campaigns that wait, those with the nearest date first."""
        return rows_of(self.rows(now), by).order_by(self.order, "pk")


def _of_live_sales(rows: "QuerySet[Any]", prefix: str = "") -> "QuerySet[Any]":
    """Without those of test sales. Their money is at an account of their own, or a partner says that it has it."""
    of_a_test = {f"{prefix}reservation__sale__campaign__sandbox_of__isnull": False}
    account = f"{prefix}account"
    rows = rows.exclude(**{account: payments.sandbox.account})
    return rows.exclude(**{account: payments.PartnerProvider.account}, **of_a_test)


def _attempts(*conditions: Q, **fields: Any) -> "QuerySet[PaymentAttempt]":
    # What people have to settle first stands under its doubt.
    rows = _of_live_sales(PaymentAttempt.objects.filter(*conditions, doubt="", **fields))
    return rows.select_related("reservation__sale__campaign")


def _refunds(*conditions: Q, **fields: Any) -> "QuerySet[Refund]":
    related = "attempt__reservation__sale__campaign"
    rows = _of_live_sales(Refund.objects.filter(*conditions, **fields), "attempt__")
    return rows.select_related(related, "attempt__reservation__channel")


def _taken_back(_now: datetime) -> "QuerySet[PaymentAttempt]":
    """Orders whose money is gone. Other money of the same order may be gone, too, but the order does not need it."""
    paid = PaymentAttempt.objects.filter(reservation=OuterRef("reservation"), state=AttemptState.PAID)
    reversed_ones = _attempts(state=AttemptState.REVERSED, reservation__state=ReservationState.CONFIRMED)
    return reversed_ones.filter(~Exists(paid))


def _over_for_long(now: datetime) -> Q:
    return Q(expires_at__lte=now - LATE_FOR)


def _known(prefix: str = "") -> Q:
    """Rows of the accounts that the settings have. No provider can be asked about those of others."""
    return Q(**{f"{prefix}account__in": list(payments.accounts)})


def _doubt(doubt: MoneyDoubt, title: Promise) -> WaitingFor:
    """A doubt about money that people settle."""
    return WaitingFor(
        f"doubt-{doubt.value}",
        title,
        Who.REVIEWER,
        lambda _now: _of_live_sales(PaymentAttempt.objects.filter(doubt=doubt)).select_related(
            "reservation__sale__campaign"
        ),
        lambda row: row.doubt_at + PEOPLE,
        "doubt_at",
    )


OF_PARTNERS = Q(attempt__account=payments.PartnerProvider.account)
# The actions of people come first.
ACTIONS = (
    _doubt(
        MoneyDoubt.REVERSED,
        _(
            "The provider took the money back, and a refund of it may be on the way: stop the refund at the "
            "provider, or claim the money"
        ),
    ),
    _doubt(
        MoneyDoubt.REFUND,
        _("The provider has sent money back twice, or that was not due: claim it from the provider or the buyer"),
    ),
    _doubt(
        MoneyDoubt.CURRENCY,
        _("The provider names another currency than before: ask it what it has"),
    ),
    _doubt(
        MoneyDoubt.SECOND,
        _("The provider has a second payment under the same reference: send it back in the provider's dashboard"),
    ),
    WaitingFor(
        "account-gone",
        _("The settings have no payment account of this name any more: add it again, so that the provider is asked"),
        Who.REVIEWER,
        lambda _now: _attempts(
            ~_known(), Q(state__in=OPEN_ATTEMPTS) | Q(state__in=ENDED_UNPAID, next_look_at__isnull=False)
        ),
        lambda row: row.expires_at or row.next_look_at,
    ),
    WaitingFor(
        "refund-account-gone",
        _("A refund waits, and the settings have no payment account of this name any more: add it again"),
        Who.REVIEWER,
        lambda _now: _refunds(~_known("attempt__"), state__in=[RefundState.DUE, RefundState.SENT], waits=False),
        lambda row: row.refund_by or row.next_look_at,
    ),
    WaitingFor(
        "notice-account-gone",
        _("A notification waits, and the settings have no payment account of this name any more: add it again"),
        Who.REVIEWER,
        lambda _now: Inbox.objects.filter(~_known(), done_at=None),
    ),
    WaitingFor(
        "decide",
        _("The appeal is not decided, and the provider soon refunds no more: send the refund now, or go on waiting"),
        Who.REVIEWER,
        lambda now: _refunds(waits=True, next_look_at__lte=now),
        lambda row: row.refund_by or row.next_look_at,
    ),
    WaitingFor(
        "failed",
        _("The provider has refused the refund: try it again, or transfer the money by hand"),
        Who.REVIEWER,
        lambda _now: _refunds(state=RefundState.FAILED),
    ),
    WaitingFor(
        "transfer",
        _("The provider cannot send the money back: transfer it by hand"),
        Who.REVIEWER,
        lambda _now: _refunds(state=RefundState.IMPOSSIBLE, bank_account__isnull=False),
    ),
    WaitingFor(
        "no-account",
        _("The buyer has given no bank account for a week: ask them in another way"),
        Who.REVIEWER,
        lambda now: _refunds(state=RefundState.IMPOSSIBLE, bank_account=None, next_look_at__lte=now - NO_ANSWER),
    ),
    WaitingFor(
        "confirm-transfer",
        _("The money was transferred by hand: confirm it by the account statement"),
        Who.SECOND,
        lambda _now: _refunds(state=RefundState.TRANSFERRED),
    ),
    WaitingFor(
        "mismatch",
        _("Another amount or currency came: send it back, or ask the buyer"),
        Who.REVIEWER,
        lambda _now: _attempts(is_undecided()),
    ),
    WaitingFor(
        "reversed",
        _("The provider took the money back: cancel the order, or settle it with the buyer"),
        Who.REVIEWER,
        _taken_back,
        lambda row: row.next_look_at or row.settled_at,
    ),
    WaitingFor(
        "not-taken",
        _("The provider does not take the refund: see why, or transfer the money by hand"),
        Who.REVIEWER,
        lambda _now: _refunds(_known("attempt__"), state=RefundState.DUE, waits=False, times__gte=TRIES),
        lambda row: row.refund_by or row.made_at + SENT_FOR,
    ),
    WaitingFor(
        "not-confirmed",
        _("The provider has not confirmed the refund in time: ask it"),
        Who.REVIEWER,
        lambda now: _refunds(~OF_PARTNERS, _known("attempt__"), state=RefundState.SENT, made_at__lte=now - SENT_FOR),
        lambda row: row.made_at + SENT_FOR,
    ),
    WaitingFor(
        "still-open",
        _("The provider has kept the payment open for a day after its end: ask it"),
        Who.REVIEWER,
        lambda now: _attempts(_over_for_long(now), _known(), state__in=OPEN_ATTEMPTS),
    ),
    WaitingFor(
        "partner",
        _("The partner has to refund its buyer: remind it after this date"),
        Who.PARTNER,
        lambda _now: _refunds(OF_PARTNERS, state=RefundState.SENT),
        lambda row: row.refund_by or row.made_at + SENT_FOR,
    ),
    WaitingFor(
        "appeal",
        _("The refund waits, because an appeal may restore the order"),
        Who.REVIEWER,
        lambda now: _refunds(waits=True, next_look_at__gt=now),
    ),
    WaitingFor(
        "account",
        _("Waits for the buyer's bank account"),
        Who.BUYER,
        lambda now: _refunds(state=RefundState.IMPOSSIBLE, bank_account=None, next_look_at__gt=now - NO_ANSWER),
        lambda row: row.next_look_at + NO_ANSWER,
    ),
    WaitingFor(
        "pay",
        _("The buyer has not paid yet; the system asks the provider"),
        Who.BUYER,
        lambda now: _attempts(~_over_for_long(now) | Q(expires_at=None), _known(), state__in=OPEN_ATTEMPTS),
        lambda row: row.expires_at or row.next_look_at,
    ),
    WaitingFor(
        "send",
        _("The system sends the refund"),
        Who.MACHINE,
        lambda _now: _refunds(_known("attempt__"), state=RefundState.DUE, waits=False, times__lt=TRIES),
    ),
    WaitingFor(
        "confirm",
        _("The provider has not confirmed the refund yet; the system asks it"),
        Who.MACHINE,
        lambda now: _refunds(~OF_PARTNERS, _known("attempt__"), state=RefundState.SENT, made_at__gt=now - SENT_FOR),
    ),
    WaitingFor(
        "late-money",
        _("The payment ended without money; the system asks the provider whether money came late"),
        Who.MACHINE,
        lambda _now: _attempts(_known(), state__in=ENDED_UNPAID, next_look_at__isnull=False),
    ),
    WaitingFor(
        "read",
        _("A notification was stored; the system asks the provider"),
        Who.MACHINE,
        lambda _now: Inbox.objects.filter(_known(), done_at=None),
    ),
)


def missing_accounts() -> dict[str, int]:
    """The payment accounts that the settings do not have, each with how many rows wait for it."""
    now, counts = timezone.now(), Counter[str]()
    for action in ACTIONS:
        if action.name.endswith("account-gone"):
            rows = action.rows(now).order_by()
            field = "attempt__account" if rows.model is Refund else "account"
            counts.update(rows.values_list(field, flat=True))
    return dict(sorted(counts.items()))


def people_wait(now: datetime, *, by: Any = None) -> list[tuple[WaitingFor, int]]:
    """The actions of people and of partners, each with how many rows of the user's campaigns wait for it."""
    own = (action for action in ACTIONS if action.who in {Who.REVIEWER, Who.SECOND, Who.PARTNER})
    return [(action, rows_of(action.rows(now), by).count()) for action in own]
