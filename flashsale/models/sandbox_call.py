"""What a test key did in a test sale. The checklist of the sandbox and the magic identities read it."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from flashsale.models.campaign import Channel
from flashsale.models.sale import Sale


class SandboxCall(models.Model):
    """One call with a test key, or one reading of the status of a test sale.

    `subject` is what the call was about: the hash of an identity (enter), the index of a place (look, reserve), or a
    reservation. `code` is "ok", "repeated", or the code of the refusal. `magic` is the name of the magic identity that
    the call used. `facts` are what the checklist compares. There is no personal data.
    """

    channel = models.ForeignKey(Channel, models.CASCADE, related_name="sandbox_calls", db_index=False)
    sale = models.ForeignKey(Sale, models.CASCADE, null=True, related_name="sandbox_calls", db_index=False)
    verb = models.CharField(_("call"), max_length=20)
    subject = models.CharField(max_length=64, blank=True, default="")
    key = models.CharField(max_length=128, blank=True, default="")
    code = models.CharField(_("answer"), max_length=40)
    magic = models.CharField(max_length=40, blank=True, default="")
    facts = models.JSONField(default=dict)
    at = models.DateTimeField(_("when"))

    class Meta:
        verbose_name = _("call in a test sale")
        verbose_name_plural = _("calls in test sales")
        indexes = [
            models.Index(fields=["channel", "at"], name="sandbox_calls_by_time"),
            models.Index(fields=["sale", "verb", "subject"], name="sandbox_calls_by_subject"),
        ]

    def __str__(self) -> str:
        return f"{self.verb}: {self.code}"
