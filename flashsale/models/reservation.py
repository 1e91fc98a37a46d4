"""Reservations, their units, and the traits of their buyers."""

import uuid
from typing import TYPE_CHECKING

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from flashsale.models.allocation import Allocation
from flashsale.models.campaign import Channel
from flashsale.models.sale import Sale
from flashsale.models.state_choices import choices
from flashsale.models.unit import Unit
from flashsale.rules.attached import REFERENCE_CHARS_MAX
from flashsale.rules.states import BOUGHT, AttemptState, ReservationState

if TYPE_CHECKING:
    from flashsale.models.payment import PaymentAttempt

ENDED_UNCONFIRMED = ["expired", "released", "abandoned"]


class Reservation(models.Model):
    """Units held for an identity until a deadline (ms, on the line's clock), then confirmed or given back.

    `asked` is the idempotency key of the request together with its owner; `fingerprint` is the hash of its body.
    `partner_reference` and `metadata` are what the partner attached to it (rules/attached.py).
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    # No index of their own: the indexes below begin with them.
    sale = models.ForeignKey(Sale, models.PROTECT, related_name="reservations", verbose_name=_("sale"), db_index=False)
    allocation = models.ForeignKey(
        Allocation, models.PROTECT, related_name="reservations", verbose_name=_("line"), db_index=False
    )
    channel = models.ForeignKey(
        Channel, models.PROTECT, related_name="reservations", verbose_name=_("channel"), db_index=False
    )
    index = models.PositiveIntegerField(_("index"))
    number = models.PositiveIntegerField(_("number"))
    asked = models.CharField(max_length=200, editable=False)
    fingerprint = models.CharField(max_length=64, editable=False)
    quantity = models.PositiveSmallIntegerField(_("units"))
    amount = models.PositiveBigIntegerField(_("amount"))
    epoch = models.PositiveIntegerField(editable=False)
    state = models.CharField(
        _("state"), max_length=10, default=ReservationState.HELD, choices=choices(ReservationState)
    )
    deadline_ms = models.BigIntegerField(editable=False)
    made_at = models.DateTimeField(_("reserved"))
    confirmed_at = models.DateTimeField(_("confirmed"), null=True)
    ended_at = models.DateTimeField(_("ended"), null=True)
    # How many of its events the retention has deleted, so that the next one has a new sequence.
    events_deleted = models.PositiveIntegerField(default=0, db_default=0, editable=False)
    # Not unique: a partner may use the number of one order for a hold that expired and for the next one.
    partner_reference = models.CharField(  # noqa: DJ001 - the release before writes null
        _("reference of the partner"), max_length=REFERENCE_CHARS_MAX, null=True, editable=False
    )
    metadata = models.JSONField(_("metadata of the partner"), null=True, editable=False)

    class Meta:
        verbose_name = _("reservation")
        verbose_name_plural = _("reservations")
        permissions = [("export_reservation", "Can export orders and money")]
        constraints = [
            models.UniqueConstraint(
                fields=["sale", "asked"], condition=~Q(state="abandoned"), name="one_effect_per_request"
            ),
            models.UniqueConstraint(
                fields=["allocation", "number"], condition=~Q(state="abandoned"), name="one_reservation_per_place"
            ),
            models.CheckConstraint(
                condition=Q(state="held", confirmed_at=None, ended_at=None)
                | Q(state="confirmed", confirmed_at__isnull=False, ended_at=None)
                | Q(state__in=ENDED_UNCONFIRMED, confirmed_at=None, ended_at__isnull=False)
                | Q(state="cancelled", confirmed_at__isnull=False, ended_at__isnull=False),
                name="reservation_state_with_times",
            ),
        ]
        indexes = [
            models.Index(fields=["deadline_ms"], condition=Q(state="held"), name="held_by_deadline"),
            models.Index(fields=["sale", "state"], name="reservations_by_state"),
            # A partner reads its reservations in pages, the newest first.
            models.Index(fields=["channel", "-made_at"], name="reservations_by_channel"),
            models.Index(
                fields=["channel", "partner_reference"],
                condition=Q(partner_reference__isnull=False),
                name="reservations_by_reference",
            ),
            models.Index(fields=["allocation", "index"], name="reservations_by_place"),
            # Mending asks every 10 s what has ended lately.
            models.Index(fields=["ended_at"], condition=Q(ended_at__isnull=False), name="reservations_ended"),
            models.Index(fields=["sale", "confirmed_at"], condition=Q(state="confirmed"), name="orders_by_time"),
        ]

    def __str__(self) -> str:
        return str(self.id)

    @classmethod
    def restorable(cls) -> "models.QuerySet[Reservation]":
        """Cancelled orders that an appeal may still restore: they keep their limit slots, and their refunds wait."""
        return cls.objects.filter(state=ReservationState.CANCELLED, limit_slots__isnull=False)

    @property
    def items(self) -> "list[ReservationUnit]":
        """The current units of the order. A restored order may have other units than those it began with."""
        return sorted(self.reservation_units.all(), key=lambda held: held.pk)[-self.quantity :]

    @property
    def payment(self) -> "PaymentAttempt | None":
        """The attempt that paid, else the last one; None before the buyer has tried to pay."""
        attempts = sorted(self.attempts.all(), key=lambda one: (one.state in BOUGHT, one.number))
        return attempts[-1] if attempts else None

    @property
    def do_not_ship(self) -> bool:
        """Whether the shop must wait, because the order is unpaid, ended, or under review.

        An order whose payment the provider took back counts as unpaid."""
        case = getattr(self, "case", None)
        if self.payment is not None and self.payment.state == AttemptState.REVERSED:
            return True
        return self.state != ReservationState.CONFIRMED or (case is not None and case.is_open)


class ReservationUnit(models.Model):
    """A unit in a reservation, at its price; `active` while the reservation is held or confirmed."""

    reservation = models.ForeignKey(Reservation, models.CASCADE, related_name="reservation_units")
    unit = models.ForeignKey(Unit, models.PROTECT, related_name="reservation_units", verbose_name=_("unit"))
    sku = models.CharField(_("SKU"), max_length=40)
    price = models.PositiveBigIntegerField(_("price"))
    active = models.BooleanField(default=True)

    class Meta:
        verbose_name = _("reserved unit")
        verbose_name_plural = _("reserved units")
        constraints = [
            models.UniqueConstraint(fields=["unit"], condition=Q(active=True), name="one_active_reservation_per_unit")
        ]

    def __str__(self) -> str:
        return f"{self.unit_id} in {self.reservation_id}"


class Trait(models.Model):
    """The buyer of an order on one axis, as a keyed digest. The review links orders with equal digests."""

    reservation = models.ForeignKey(Reservation, models.CASCADE, related_name="traits", db_index=False)
    axis = models.CharField(max_length=20)
    digest = models.CharField(max_length=32)

    class Meta:
        verbose_name = _("trait")
        verbose_name_plural = _("traits")
        constraints = [models.UniqueConstraint(fields=["reservation", "axis"], name="one_trait_per_axis")]
        indexes = [models.Index(fields=["axis", "digest"], name="traits_by_digest")]

    def __str__(self) -> str:
        return f"{self.axis} {self.digest[:8]}"
