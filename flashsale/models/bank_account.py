"""The bank account to which a buyer wants their money back, encrypted."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from flashsale.models.payment import Refund
from flashsale.models.sealed_data import SealedData


class BankAccount(SealedData):
    """Bank, number and holder, as the buyer of a refund gave them. They are encrypted.

    `given_at` is when the buyer gave or last changed them. `listed_at` is when they last stood on a list for transfers,
    None since the buyer has changed them.
    """

    refund = models.OneToOneField(Refund, models.CASCADE, primary_key=True, related_name="bank_account")
    given_at = models.DateTimeField(_("given"))
    listed_at = models.DateTimeField(_("on a list for transfers"), null=True)

    class Meta:
        verbose_name = _("bank account")
        verbose_name_plural = _("bank accounts")

    def __str__(self) -> str:
        return str(self.refund_id)
