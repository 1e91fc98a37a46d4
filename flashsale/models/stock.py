"""How many new units of an offer an allocation gets."""

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from flashsale.models.allocation import Allocation
from flashsale.models.frozen import Frozen
from flashsale.models.offer import Offer
from flashsale.models.sale import UNITS_MAX


class Stock(Frozen):
    """How many new units of an offer an allocation gets at publication."""

    frozen_with = ("allocation", "sale")

    allocation = models.ForeignKey(Allocation, models.CASCADE, related_name="stock", verbose_name=_("allocation"))
    offer = models.ForeignKey(Offer, models.CASCADE, related_name="stock", verbose_name=_("offer"))
    quantity = models.PositiveIntegerField(
        _("units"),
        validators=[MaxValueValidator(UNITS_MAX)],
        help_text=_("0 where all units come from cancelled orders."),
    )

    class Meta:
        verbose_name = _("stock")
        verbose_name_plural = _("stock")
        constraints = [models.UniqueConstraint(fields=["allocation", "offer"], name="one_stock_per_offer")]

    def __str__(self) -> str:
        return f"{self.offer}: {self.quantity}"

    def clean(self) -> None:
        """Raises ValidationError if the offer belongs to another sale than the allocation."""
        super().clean()
        if self.offer_id and self.allocation_id and self.offer.sale_id != self.allocation.sale_id:
            raise ValidationError({"offer": _("This offer belongs to another sale.")})
