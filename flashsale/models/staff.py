"""What the product knows about staff beyond Django's user: their campaigns, and since when sessions count."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from flashsale.models.campaign import Campaign


class StaffCampaign(models.Model):
    """A user is limited to this campaign, and to the others that the user has such a row for. No row: all campaigns.

    A campaign that a user is limited to cannot be deleted, because a user without any row left could see all.
    """

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="staff_campaigns", verbose_name=_("user")
    )
    campaign = models.ForeignKey(Campaign, models.PROTECT, related_name="+", verbose_name=_("campaign"))

    class Meta:
        verbose_name = _("campaign of a user")
        verbose_name_plural = _("campaigns of a user")
        constraints = [models.UniqueConstraint(fields=["user", "campaign"], name="staff_campaign_once")]

    def __str__(self) -> str:
        return str(self.campaign)


class StaffAccount(models.Model):
    """Sessions of the user that began before `sessions_from` are over, wherever they are stored."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, models.CASCADE, primary_key=True, related_name="staff_account", verbose_name=_("user")
    )
    sessions_from = models.DateTimeField(_("sessions count from"), null=True)

    class Meta:
        verbose_name = _("account of staff")
        verbose_name_plural = _("accounts of staff")

    def __str__(self) -> str:
        return f"staff:{self.user_id}"
