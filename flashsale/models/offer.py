"""Offers: the products of a sale and their prices."""

from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from flashsale.models.frozen import Frozen
from flashsale.models.sale import Sale


class Offer(Frozen):
    """A product in a sale, at its official price in whole units of the campaign's currency."""

    frozen_with = ("sale",)

    sale = models.ForeignKey(Sale, models.CASCADE, related_name="offers", verbose_name=_("sale"))
    sku = models.CharField(_("SKU"), max_length=40)
    name = models.CharField(_("name"), max_length=120)
    price = models.PositiveBigIntegerField(_("price"), validators=[MinValueValidator(1)])

    class Meta:
        verbose_name = _("offer")
        verbose_name_plural = _("offers")
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(fields=["sale", "sku"], name="one_offer_per_sku"),
            models.CheckConstraint(condition=Q(price__gte=1), name="offer_has_a_price"),
        ]

    def __str__(self) -> str:
        return self.sku
