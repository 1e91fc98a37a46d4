"""The accounts of the demo payment provider, in place of a bank's."""

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from flashsale.models.state_choices import choices
from flashsale.rules.states import Charge


class DemoCharge(models.Model):
    """A reference that the demo provider was asked to charge. Its first answer stays, whatever a repeat asks for."""

    reference = models.CharField(_("reference"), max_length=80, unique=True)
    state = models.CharField(_("state"), max_length=8, choices=choices(Charge))
    amount = models.DecimalField(_("amount"), max_digits=20, decimal_places=2, default=0)
    currency = models.CharField(_("currency"), max_length=3, default="")
    # The bank's name for the card that paid.
    fingerprint = models.CharField(max_length=64, default="", db_default="", blank=True, editable=False)
    # The magic instrument of a test sale (providers/payments/sandbox.py).
    magic = models.CharField(max_length=20, default="", db_default="", blank=True, editable=False)
    refunded = models.BooleanField(_("refunded"), default=False)

    class Meta:
        verbose_name = _("demo charge")
        verbose_name_plural = _("demo charges")
        constraints = [
            models.CheckConstraint(condition=Q(refunded=False) | Q(state="paid"), name="only_what_was_paid_is_refunded")
        ]

    def __str__(self) -> str:
        return self.reference
