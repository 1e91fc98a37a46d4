"""Reservations and what hangs on them: units, claims on the limit, traits, contact data, payment."""

import json
import uuid
from base64 import urlsafe_b64encode
from datetime import datetime
from typing import Any

from cryptography.fernet import Fernet
from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from flashsale.models.allocation import Allocation
from flashsale.models.campaign import Campaign, Channel
from flashsale.models.sale import Sale
from flashsale.models.unit import Unit
from flashsale.rules.states import PaymentState, ReservationState

ENDED_UNCONFIRMED = ["expired", "released", "abandoned"]


class Reservation(models.Model):
    """Units held for an identity until a deadline (ms, on the line's clock), then confirmed or given back."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    sale = models.ForeignKey(Sale, models.PROTECT, related_name="reservations", verbose_name=_("sale"))
    allocation = models.ForeignKey(Allocation, models.PROTECT, related_name="reservations", verbose_name=_("line"))
    channel = models.ForeignKey(Channel, models.PROTECT, related_name="reservations", verbose_name=_("channel"))
    index = models.PositiveIntegerField(_("index"))
    number = models.PositiveIntegerField(_("number"))
    asked = models.CharField(max_length=200, editable=False)
    fingerprint = models.CharField(max_length=64, editable=False)
    quantity = models.PositiveSmallIntegerField(_("units"))
    amount = models.PositiveBigIntegerField(_("amount"))
    epoch = models.PositiveIntegerField(editable=False)
    state = models.CharField(_("state"), max_length=10, default=ReservationState.HELD)
    deadline_ms = models.BigIntegerField(editable=False)
    made_at = models.DateTimeField(_("reserved"))
    confirmed_at = models.DateTimeField(_("confirmed"), null=True)
    ended_at = models.DateTimeField(_("ended"), null=True)

    class Meta:
        verbose_name = _("reservation")
        verbose_name_plural = _("reservations")
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
        ]

    def __str__(self) -> str:
        return str(self.id)

    @classmethod
    def contestable(cls) -> "models.QuerySet[Reservation]":
        """Cancelled orders that an appeal may still restore: their limit is kept, and their refunds wait."""
        return cls.objects.filter(state=ReservationState.CANCELLED, claims__isnull=False)

    @property
    def items(self) -> "list[Holding]":
        """What the order is about: an order that was restored may have other units than those it began with."""
        return sorted(self.holdings.all(), key=lambda held: held.pk)[-self.quantity :]

    @property
    def do_not_ship(self) -> bool:
        """Whether the shop must wait: not paid for, ended, or under review."""
        case = getattr(self, "case", None)
        return self.state != ReservationState.CONFIRMED or (case is not None and case.is_open)


class Holding(models.Model):
    """A unit in a reservation, at its price; `active` while the reservation is held or confirmed."""

    reservation = models.ForeignKey(Reservation, models.CASCADE, related_name="holdings")
    unit = models.ForeignKey(Unit, models.PROTECT, related_name="holdings", verbose_name=_("unit"))
    sku = models.CharField(_("SKU"), max_length=40)
    price = models.PositiveBigIntegerField(_("price"))
    active = models.BooleanField(default=True)

    class Meta:
        verbose_name = _("holding")
        verbose_name_plural = _("holdings")
        constraints = [
            models.UniqueConstraint(fields=["unit"], condition=Q(active=True), name="one_active_reservation_per_unit")
        ]

    def __str__(self) -> str:
        return f"{self.unit_id} in {self.reservation_id}"


class Claim(models.Model):
    """One slot of an identity's limit on one axis: the table has no room for one purchase too many."""

    scope = models.CharField(max_length=24)
    axis = models.CharField(max_length=20)
    digest = models.CharField(max_length=32)
    slot = models.PositiveSmallIntegerField()
    limit = models.PositiveSmallIntegerField()
    reservation = models.ForeignKey(Reservation, models.CASCADE, related_name="claims")

    class Meta:
        verbose_name = _("claim")
        verbose_name_plural = _("claims")
        constraints = [
            models.UniqueConstraint(fields=["scope", "axis", "digest", "slot"], name="one_claim_per_slot"),
            models.CheckConstraint(condition=Q(slot__gte=1, slot__lte=models.F("limit")), name="claim_within_limit"),
        ]

    def __str__(self) -> str:
        return f"{self.scope} {self.axis} {self.slot}/{self.limit}"

    @staticmethod
    def campaign_scope(campaign: int) -> str:
        """The scope of a campaign's limit."""
        return f"campaign:{campaign}"

    @staticmethod
    def sale_scope(sale: int) -> str:
        """The scope of a sale's own, lower limit."""
        return f"sale:{sale}"


class Unpaid(models.Model):
    """By what somebody was known who let a hold expire unpaid; whoever has two gets no third in the campaign.

    Also what claims to take again if the money arrives after all.
    """

    campaign = models.ForeignKey(Campaign, models.CASCADE, related_name="unpaid")
    reservation = models.ForeignKey(Reservation, models.CASCADE, related_name="unpaid")
    axis = models.CharField(max_length=20)
    digest = models.CharField(max_length=32)

    class Meta:
        verbose_name = _("unpaid hold")
        verbose_name_plural = _("unpaid holds")
        constraints = [models.UniqueConstraint(fields=["reservation", "axis"], name="unpaid_once_per_axis")]

    def __str__(self) -> str:
        return f"{self.axis} {self.digest[:8]}"


class Trait(models.Model):
    """What a confirmed order is known by on one axis, as a keyed digest: the review links orders by it."""

    reservation = models.ForeignKey(Reservation, models.CASCADE, related_name="traits")
    axis = models.CharField(max_length=20)
    digest = models.CharField(max_length=32)

    class Meta:
        verbose_name = _("trait")
        verbose_name_plural = _("traits")
        constraints = [models.UniqueConstraint(fields=["reservation", "axis"], name="one_trait_per_axis")]
        indexes = [models.Index(fields=["axis", "digest"], name="traits_by_digest")]

    def __str__(self) -> str:
        return f"{self.axis} {self.digest[:8]}"


def _vault() -> Fernet:
    return Fernet(urlsafe_b64encode(settings.FLASHSALE_CONTACT_KEY))


class Contact(models.Model):
    """Name, address, phone, e-mail of a buyer: encrypted by a key outside the database, with a retention clock."""

    reservation = models.OneToOneField(Reservation, models.CASCADE, related_name="contact")
    sealed = models.TextField(editable=False)
    language = models.CharField(_("language"), max_length=2, default="id")
    keep_until = models.DateTimeField(_("keep until"))

    class Meta:
        verbose_name = _("contact")
        verbose_name_plural = _("contacts")

    def __str__(self) -> str:
        return str(self.reservation_id)

    @classmethod
    def seal(cls, reservation: Reservation, data: dict[str, str], language: str, keep_until: datetime) -> "Contact":
        """An unsaved contact with `data` encrypted."""
        sealed = _vault().encrypt(json.dumps(data).encode()).decode()
        return cls(reservation=reservation, sealed=sealed, language=language, keep_until=keep_until)

    def read(self) -> dict[str, Any]:
        """The data in clear."""
        return dict(json.loads(_vault().decrypt(self.sealed.encode())))

    def add(self, **more: str) -> None:
        """Keeps something more that the buyer told us, as long and as secret as the rest."""
        self.sealed = _vault().encrypt(json.dumps(self.read() | more).encode()).decode()
        self.save(update_fields=["sealed"])


class Payment(models.Model):
    """The money of a reservation. `reference` is ours and unique, so that no retry can charge twice."""

    reservation = models.OneToOneField(Reservation, models.PROTECT, related_name="payment")
    reference = models.CharField(_("reference"), max_length=80, unique=True)
    provider = models.CharField(_("provider"), max_length=20)
    method = models.CharField(_("method"), max_length=20)
    amount = models.PositiveBigIntegerField(_("amount"))
    state = models.CharField(_("state"), max_length=16, default=PaymentState.STARTED)
    started_at = models.DateTimeField(_("started"))
    settled_at = models.DateTimeField(_("settled"), null=True)
    refund_reference = models.CharField(_("refund reference"), max_length=80, blank=True)

    class Meta:
        verbose_name = _("payment")
        verbose_name_plural = _("payments")
        constraints = [
            models.CheckConstraint(
                condition=Q(state="started", settled_at=None) | (~Q(state="started") & Q(settled_at__isnull=False)),
                name="payment_state_with_time",
            ),
            models.CheckConstraint(
                condition=~Q(state="refunded") | ~Q(refund_reference=""), name="refund_has_a_reference"
            ),
        ]

    def __str__(self) -> str:
        return self.reference
