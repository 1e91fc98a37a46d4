"""Money of a reservation: attempts to pay, refunds, and what providers reported.

The drawing of the states of an attempt is in life/settle.py.
"""

import secrets
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from flashsale.models.reservation import Reservation
from flashsale.models.sealed_data import SealedData
from flashsale.models.state_choices import choices
from flashsale.rules.states import (
    ENDED_UNPAID,
    MONEY_CAME,
    OPEN_ATTEMPTS,
    UNPAID_REFUNDS,
    AttemptState,
    MoneyDoubt,
    PaymentState,
    RefundReason,
    RefundState,
)

# What every provider accepts: 32 characters of A-Z, a-z, 0-9 and the hyphen. The second form is that of the rows which
# were written before version 0020; their providers know them by it.
REFERENCE = r"^([A-Za-z0-9-]{1,32}|[0-9a-f-]{36}/[0-9]+)$"
# How each text begins that is encrypted. No body of a provider does, because bodies are JSON.
_SEALED = b"gAAAA"
# Without I, L, O and U, so that a person can read it out on the phone.
_LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_REFUND_WORDS = {
    RefundState.DUE: PaymentState.REFUND_DUE,
    RefundState.SENT: PaymentState.REFUND_DUE,
    RefundState.CONFIRMED: PaymentState.REFUNDED,
    RefundState.FAILED: PaymentState.REFUND_FAILED,
    RefundState.IMPOSSIBLE: PaymentState.REFUND_DUE,
    RefundState.TRANSFERRED: PaymentState.REFUND_DUE,
}


def new_reference(number: int, *, kind: str = "fs") -> str:
    """A reference of ours: `kind`, random letters, and a number. No other attempt or refund ever gets the same.

    It is random, so that a database which was restored from a backup never gives a provider an old reference again.
    """
    return f"{kind}-{''.join(_LETTERS[byte % 32] for byte in secrets.token_bytes(20))}-{number}"


class PaymentAttempt(models.Model):
    """One attempt to pay for a reservation, under a reference of ours. It is committed before the provider is called.

    `amount` is what we ask, in whole units of the currency; `paid` is what came, in `paid_currency` ("" for the same).
    `next_look_at` is when to ask the provider again. `instructions` are what the buyer needs to pay (see
    providers/payments/base.py); they are deleted when the attempt ends.

    `parts` are the provider's ids of the payments that `paid` is the sum of, where it has such ids. `doubt` is what
    people have to settle with the provider, since `doubt_at`; "" if there is nothing.
    """

    reservation = models.ForeignKey(Reservation, models.PROTECT, related_name="attempts")
    number = models.PositiveIntegerField(_("number"))
    reference = models.CharField(_("reference"), max_length=80, unique=True)
    account = models.CharField(_("account"), max_length=20)
    method = models.CharField(_("method"), max_length=20)
    amount = models.PositiveBigIntegerField(_("amount"))
    currency = models.CharField(_("currency"), max_length=3)
    state = models.CharField(_("state"), max_length=16, default=AttemptState.ASKED, choices=choices(AttemptState))
    expires_at = models.DateTimeField(_("expires"), null=True)
    provider_id = models.CharField(_("provider's id"), max_length=120, default="", blank=True)
    instructions = models.JSONField(_("instructions"), null=True)
    paid = models.DecimalField(_("paid"), max_digits=20, decimal_places=2, null=True)
    paid_currency = models.CharField(_("currency that came"), max_length=3, default="", db_default="", blank=True)
    fee = models.DecimalField(_("fee"), max_digits=20, decimal_places=2, null=True)
    # When the provider may be called, for an attempt that waits because the provider takes no more calls now.
    turn_at = models.DateTimeField(_("turn"), null=True)
    next_look_at = models.DateTimeField(_("next look"), null=True)
    made_at = models.DateTimeField(_("started"))
    settled_at = models.DateTimeField(_("settled"), null=True)
    parts = models.JSONField(_("provider's ids of its payments"), null=True)
    doubt = models.CharField(
        _("what people settle"), max_length=16, default="", db_default="", blank=True, choices=choices(MoneyDoubt)
    )
    doubt_at = models.DateTimeField(_("people settle it since"), null=True)

    class Meta:
        verbose_name = _("payment attempt")
        verbose_name_plural = _("payment attempts")
        constraints = [
            models.UniqueConstraint(fields=["reservation", "number"], name="one_attempt_per_number"),
            models.UniqueConstraint(
                fields=["reservation"], condition=Q(state__in=OPEN_ATTEMPTS), name="one_open_attempt_per_reservation"
            ),
            models.UniqueConstraint(
                fields=["reservation"], condition=Q(state=AttemptState.PAID), name="one_paid_attempt_per_reservation"
            ),
            models.UniqueConstraint(
                fields=["account", "provider_id"],
                condition=Q(account="partner") & ~Q(state__in=ENDED_UNPAID),
                name="one_order_per_partner_reference",
            ),
            models.CheckConstraint(condition=Q(reference__regex=REFERENCE), name="reference_fits_every_provider"),
            models.CheckConstraint(
                condition=Q(state__in=OPEN_ATTEMPTS, settled_at=None, paid=None, next_look_at__isnull=False)
                | Q(state=AttemptState.MISMATCH, settled_at__isnull=False, paid__isnull=False)
                & Q(next_look_at__isnull=False)
                | Q(
                    state__in=[state for state in MONEY_CAME if state != AttemptState.MISMATCH],
                    settled_at__isnull=False,
                    paid__isnull=False,
                )
                | Q(state__in=ENDED_UNPAID, settled_at__isnull=False, paid=None),
                name="attempt_state_with_times",
            ),
            models.CheckConstraint(
                condition=~Q(state=AttemptState.PAID) | Q(paid__gte=F("amount")), name="paid_in_full"
            ),
            models.CheckConstraint(
                condition=Q(doubt="", doubt_at=None) | ~Q(doubt="") & Q(doubt_at__isnull=False),
                name="doubt_with_its_date",
            ),
        ]
        indexes = [
            models.Index(fields=["next_look_at"], condition=Q(next_look_at__isnull=False), name="attempts_to_look_at")
        ]

    def __str__(self) -> str:
        return self.reference

    @property
    def is_open(self) -> bool:
        """Whether the provider may still take money for it."""
        return self.state in OPEN_ATTEMPTS

    @property
    def refund(self) -> "Refund | None":
        """The refund of what the attempt paid; None when no money has to go back. Too much money is not counted."""
        return self.refund_among(self.refunds.all())

    @staticmethod
    def refund_among(refunds: "Iterable[Refund]") -> "Refund | None":
        """As `refund`, for callers that have the refunds of the attempt already."""
        own = (row for row in refunds if row.state != RefundState.WITHDRAWN)
        found = [row for row in own if row.why != RefundReason.OVERPAID]
        return max(found, key=lambda row: row.pk) if found else None

    @property
    def payment_state(self) -> PaymentState:
        """One word for the attempt and its refund."""
        return self.state_with(self.refund if self.state in MONEY_CAME else None)

    def state_with(self, refund: "Refund | None") -> PaymentState:
        """As `payment_state`, for callers that have the refund already."""
        if self.is_open:
            return PaymentState.PREPARING if self.turn_at else PaymentState.STARTED
        if self.state in ENDED_UNPAID:
            return PaymentState.DECLINED
        if refund is not None:
            return _REFUND_WORDS[RefundState(refund.state)]
        return PaymentState.REFUND_DUE if self.state == AttemptState.LATE else PaymentState(self.state)

    @property
    def refund_reference(self) -> str:
        """The provider's name for the refund, "" before it is sent."""
        return self.refund.provider_id if self.refund else ""


class Refund(models.Model):
    """Money that goes back: a request under a reference of ours, until the provider confirms it.

    `times` says how often it was sent. `next_look_at` is when the next step is due: to send it, or to ask the provider;
    for one that waits for people it is when a person must have seen to it. `refund_by` is until when the provider sends
    the money back, None: without a limit. `waits` is true while an appeal may restore the order: then nothing is sent.
    By hand, one person transfers the money (`transferred_by`, `transferred_at`), and another one confirms that
    (`confirmed_by`). `astray_at` is when the provider said that it has sent this money although another refund or a
    transfer replaces it: then people settle it (see `PaymentAttempt.doubt`).
    """

    attempt = models.ForeignKey(PaymentAttempt, models.PROTECT, related_name="refunds", verbose_name=_("attempt"))
    reference = models.CharField(_("reference"), max_length=80, unique=True)
    amount = models.DecimalField(_("amount"), max_digits=20, decimal_places=2)
    why = models.CharField(_("reason"), max_length=16, choices=choices(RefundReason))
    state = models.CharField(_("state"), max_length=16, default=RefundState.DUE, choices=choices(RefundState))
    provider_id = models.CharField(_("provider's id"), max_length=120, default="", blank=True)
    detail = models.CharField(_("detail"), max_length=200, default="", blank=True)
    next_look_at = models.DateTimeField(_("next look"), null=True)
    refund_by = models.DateTimeField(_("possible until"), null=True)
    waits = models.BooleanField(_("waits for the appeal"), default=False)
    times = models.PositiveIntegerField(_("times sent"), default=0)
    made_at = models.DateTimeField(_("made"))
    settled_at = models.DateTimeField(_("settled"), null=True)
    transferred_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", verbose_name=_("transferred by")
    )
    # None for transfers that were made before version 0029.
    transferred_at = models.DateTimeField(_("transferred"), null=True)
    confirmed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", verbose_name=_("confirmed by")
    )
    # "" for refunds that were made before version 0030: the currency that came.
    sent_currency = models.CharField(_("currency"), max_length=3, default="", db_default="", blank=True)
    astray_at = models.DateTimeField(_("sent although replaced"), null=True)

    class Meta:
        verbose_name = _("refund")
        verbose_name_plural = _("refunds")
        permissions = [("settle_refund", "Can settle refunds, transfers by hand and doubts about money")]
        constraints = [
            models.UniqueConstraint(
                fields=["attempt", "why"],
                # Too much money may come again after what came before was sent back.
                condition=~Q(state=RefundState.WITHDRAWN)
                & (~Q(why=RefundReason.OVERPAID) | Q(state=RefundState.DUE, times=0)),
                name="one_refund_per_attempt_and_reason",
            ),
            models.CheckConstraint(condition=Q(amount__gt=0), name="refund_of_something"),
            models.CheckConstraint(
                condition=Q(state__in=UNPAID_REFUNDS, next_look_at__isnull=False, settled_at=None)
                | Q(
                    state__in=[RefundState.CONFIRMED, RefundState.WITHDRAWN],
                    next_look_at=None,
                    settled_at__isnull=False,
                ),
                name="refund_state_with_times",
            ),
            models.CheckConstraint(condition=Q(waits=False) | Q(state=RefundState.DUE), name="only_a_due_refund_waits"),
            models.CheckConstraint(
                condition=Q(confirmed_by=None)
                | Q(state=RefundState.CONFIRMED, transferred_by__isnull=False) & ~Q(confirmed_by=F("transferred_by")),
                name="two_people_transfer",
            ),
            models.CheckConstraint(
                condition=~Q(state=RefundState.TRANSFERRED) | Q(transferred_by__isnull=False, provider_id__gt=""),
                name="a_transfer_with_its_person",
            ),
        ]
        indexes = [
            models.Index(fields=["next_look_at"], condition=Q(next_look_at__isnull=False), name="refunds_to_look_at")
        ]

    def __str__(self) -> str:
        return self.reference

    @property
    def currency(self) -> str:
        """The currency of the amount: the one that came when the refund was made."""
        return self.sent_currency or self.attempt.paid_currency or self.attempt.currency


class Inbox(models.Model):
    """A notification of a provider as it came. It is a hint: the provider is asked, and only its answer counts.

    `body` has what came, encrypted: a body may name the payer, and a header may have the secret by which we believe a
    provider. Rows of earlier releases have both as they came.
    """

    account = models.CharField(_("account"), max_length=20)
    body = models.BinaryField(_("body"))
    headers = models.JSONField(_("headers"))
    hash = models.CharField(_("hash"), max_length=64, unique=True)
    reference = models.CharField(_("reference"), max_length=80, default="", blank=True)
    seen_at = models.DateTimeField(_("seen"))
    next_look_at = models.DateTimeField(_("next look"), null=True)
    done_at = models.DateTimeField(_("done"), null=True)
    result = models.CharField(_("result"), max_length=200, default="", blank=True)

    class Meta:
        verbose_name = _("notification of a provider")
        verbose_name_plural = _("notifications of providers")
        constraints = [
            models.CheckConstraint(
                condition=Q(done_at=None, next_look_at__isnull=False) | Q(done_at__isnull=False, next_look_at=None),
                name="notification_with_its_next_look",
            )
        ]
        indexes = [models.Index(fields=["next_look_at"], condition=Q(done_at=None), name="notifications_to_read")]

    def __str__(self) -> str:
        return f"{self.account} {self.hash[:8]}"

    @staticmethod
    def sealed(body: bytes, headers: Mapping[str, str]) -> bytes:
        """The `body` of a row: what came, encrypted with the contact key."""
        return SealedData.encrypt({"body": b64encode(body).decode(), "headers": dict(headers)}).encode()

    def as_it_came(self) -> tuple[bytes, Mapping[str, str]]:
        """Body and headers. Raises InvalidToken when they were encrypted with another key."""
        stored = bytes(self.body)
        if not stored.startswith(_SEALED):
            return stored, self.headers
        kept = SealedData.decrypt(stored.decode())
        return b64decode(kept["body"]), kept["headers"]
