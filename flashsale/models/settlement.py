"""Settlement: what was sold, paid and sent back in a channel, in a file for each day that is over."""

from typing import Any

from django.db import models
from django.utils.translation import gettext_lazy as _

from flashsale.models.campaign import Campaign, Channel
from flashsale.models.record import AppendOnly
from flashsale.models.sale import Sale


def _money(name: Any) -> "models.DecimalField[Any, Any]":
    return models.DecimalField(name, max_digits=20, decimal_places=2, default=0)


class SettlementDay(models.Model):
    """A day of a campaign that is over, and whose files are made.

    Its lines come from the events up to the id `upto` that happened before `ends_at`, without those of earlier days.
    All events up to the id `taken` are in a file of this day or of an earlier one.
    """

    campaign = models.ForeignKey(
        Campaign, models.PROTECT, related_name="settlement_days", verbose_name=_("campaign"), db_index=False
    )
    date = models.DateField(_("day"))
    ends_at = models.DateTimeField(_("ends"))
    upto = models.BigIntegerField(editable=False)
    taken = models.BigIntegerField(editable=False)
    made_at = models.DateTimeField(_("made"))

    class Meta:
        verbose_name = _("settled day")
        verbose_name_plural = _("settled days")
        constraints = [models.UniqueConstraint(fields=["campaign", "date"], name="one_settlement_per_day")]

    def __str__(self) -> str:
        return f"{self.campaign} {self.date}"


class Settlement(models.Model):
    """The file of a day for a sale and a channel. The hashes are SHA-256 of its bytes, in hex."""

    day = models.ForeignKey(SettlementDay, models.PROTECT, related_name="settlements", verbose_name=_("day"))
    sale = models.ForeignKey(Sale, models.PROTECT, related_name="settlements", verbose_name=_("sale"))
    channel = models.ForeignKey(
        Channel, models.PROTECT, related_name="settlements", verbose_name=_("channel"), db_index=False
    )
    # The day's own, so that a partner's list needs no join.
    date = models.DateField(_("day"))
    lines = models.PositiveIntegerField(_("lines"))
    totals = models.JSONField(_("totals"))
    csv_hash = models.CharField(max_length=64, editable=False)
    json_hash = models.CharField(max_length=64, editable=False)

    class Meta:
        verbose_name = _("settlement")
        verbose_name_plural = _("settlements")
        constraints = [
            models.UniqueConstraint(fields=["channel", "date", "sale"], name="one_settlement_per_sale_and_day")
        ]

    def __str__(self) -> str:
        return f"{self.sale.code} {self.channel.code} {self.date}"


class SettlementLine(models.Model):
    """One line of a file, which follows from one event. It is never changed, because the file never changes.

    The database itself refuses to change or delete it. Only the erasure of its campaign empties the partner's
    reference.

    What it says of the reservation and its payment is as it was when the file was made. `paid_at` is when we learned of
    the money.
    """

    event = models.BigIntegerField(primary_key=True)
    settlement = models.ForeignKey(
        Settlement, models.PROTECT, related_name="all_lines", verbose_name=_("settlement"), db_index=False
    )
    at = models.DateTimeField(_("when"))
    type = models.CharField(_("type"), max_length=24)
    line = models.CharField(_("line"), max_length=40)
    reservation = models.UUIDField(_("reservation"), db_index=True)
    partner_reference = models.CharField(_("partner's reference"), max_length=200, default="", blank=True)
    units = models.IntegerField(_("units"), default=0)
    amount = models.BigIntegerField(_("amount"), default=0)
    payment = models.CharField(_("payment"), max_length=80, default="", blank=True)
    method = models.CharField(_("method"), max_length=20, default="", blank=True)
    paid_at = models.DateTimeField(_("paid at"), null=True)
    paid = _money(_("paid"))
    refund = models.CharField(_("refund"), max_length=80, default="", blank=True)
    refunded = _money(_("refunded"))
    fee = _money(_("fee"))
    currency = models.CharField(_("currency"), max_length=3)

    class Meta:
        verbose_name = _("line of a settlement")
        verbose_name_plural = _("lines of settlements")
        indexes = [models.Index(fields=["settlement", "event"], name="lines_of_a_settlement")]
        constraints = [AppendOnly(name="settlement_lines_append_only", emptied="partner_reference")]

    def __str__(self) -> str:
        return f"{self.event} {self.type}"
