"""Events: what happened, written in the transaction that makes it true. Only books/events.py writes them."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from flashsale.models.allocation import Allocation
from flashsale.models.campaign import Channel
from flashsale.models.reservation import Reservation
from flashsale.models.sale import Sale
from flashsale.models.unit import Unit


class Event(models.Model):
    """One event of a reservation (with its payments, refunds and review), of a unit, or of a sale.

    `sequence` counts the events of a reservation and of a sale from 1; for a unit it is the unit's version after the
    event. `channel` is the partner that it is for. Without one, it is for the channels of `line`, or of the whole sale.
    `data` is small and has no personal data: references of ours, counts, amounts, states and reasons of the catalogue.

    PostgreSQL does not check the foreign keys, because that costs more than the event itself. Ids are given before the
    commit, so a greater id may be committed earlier (docs/adr/0021).
    """

    id = models.BigAutoField(primary_key=True)
    type = models.CharField(_("type"), max_length=24)
    channel = models.ForeignKey(
        Channel, models.DO_NOTHING, null=True, db_constraint=False, db_index=False, related_name="events",
        verbose_name=_("channel"),
    )  # fmt: skip
    sale = models.ForeignKey(
        Sale, models.DO_NOTHING, db_constraint=False, db_index=False, related_name="events", verbose_name=_("sale")
    )
    line = models.ForeignKey(
        Allocation, models.DO_NOTHING, null=True, db_constraint=False, db_index=False, related_name="events",
        verbose_name=_("line"),
    )  # fmt: skip
    reservation = models.ForeignKey(
        Reservation, models.DO_NOTHING, null=True, db_constraint=False, db_index=False, related_name="events",
        verbose_name=_("reservation"),
    )  # fmt: skip
    unit = models.ForeignKey(
        Unit, models.DO_NOTHING, null=True, db_constraint=False, db_index=False, related_name="events",
        verbose_name=_("unit"),
    )  # fmt: skip
    sequence = models.PositiveIntegerField(_("sequence"))
    at = models.DateTimeField(_("when"))
    data = models.JSONField(_("data"))

    class Meta:
        verbose_name = _("event")
        verbose_name_plural = _("events")
        constraints = [
            models.UniqueConstraint(
                fields=["reservation", "sequence"],
                condition=Q(reservation__isnull=False),
                name="one_event_per_sequence_of_a_reservation",
            ),
            models.UniqueConstraint(
                fields=["unit", "sequence"], condition=Q(unit__isnull=False), name="one_event_per_version_of_a_unit"
            ),
            models.UniqueConstraint(
                fields=["sale", "sequence"],
                condition=Q(reservation=None, unit=None),
                name="one_event_per_sequence_of_a_sale",
            ),
            models.CheckConstraint(condition=Q(reservation=None) | Q(unit=None), name="event_of_one_object"),
        ]
        indexes = [
            # A partner reads the events of its channel, and those without a channel, in the order of their ids.
            models.Index(fields=["channel", "id"], name="events_of_a_channel"),
            # A partner asks which of its reservations have changed since a time.
            models.Index(fields=["channel", "at"], condition=Q(reservation__isnull=False), name="changes_of_a_channel"),
        ]

    def __str__(self) -> str:
        return f"{self.pk} {self.type}"
