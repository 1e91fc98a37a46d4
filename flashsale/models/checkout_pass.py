"""How many passes to another shop's checkout a reservation has got, and which of them was redeemed."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from flashsale.models.reservation import Reservation


class CheckoutPass(models.Model):
    """One row for each reservation with a pass, so that no table grows with the passes.

    Passes of a reservation have the numbers 1, 2, 3… Only the newest one can be redeemed, and only once: `issued` is
    its number, `redeemed` the number of the last one that was. `call` is the id of the ApiCall that redeemed it, so
    that the same request gets the same answer.
    """

    reservation = models.OneToOneField(
        Reservation, models.CASCADE, primary_key=True, related_name="checkout_pass", verbose_name=_("reservation")
    )
    issued = models.PositiveIntegerField(default=0)
    redeemed = models.PositiveIntegerField(default=0)
    redeemed_at = models.DateTimeField(_("redeemed"), null=True)
    call = models.BigIntegerField(null=True)

    class Meta:
        verbose_name = _("pass")
        verbose_name_plural = _("passes")
        constraints = [
            models.CheckConstraint(condition=models.Q(redeemed__lte=models.F("issued")), name="only_passes_redeemed"),
        ]

    def __str__(self) -> str:
        return f"{self.reservation_id}.{self.issued}"
