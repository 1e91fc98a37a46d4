"""Rule sets of the review, one row each for ever: changing the rules makes another row."""

from typing import Any

from django.conf import settings
from django.db import models, transaction
from django.utils.translation import gettext_lazy as _

from flashsale.rules.review.rule_set import RULES, RuleSet, read


class RulesChanged(RuntimeError):
    """A rule set is no longer what was published under its hash: somebody wrote to the table by hand."""


class Rules(models.Model):
    """A rule set under a number. Nothing ever writes to a row again; a sale keeps the one it was published with."""

    number = models.PositiveIntegerField(_("number"), unique=True)
    content = models.JSONField(_("rules"))
    hash = models.CharField(_("fingerprint"), max_length=64, unique=True)
    note = models.CharField(_("why"), max_length=200, blank=True)
    made_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", verbose_name=_("made by")
    )
    made_at = models.DateTimeField(_("made"), auto_now_add=True)

    class Meta:
        verbose_name = _("rule set")
        verbose_name_plural = _("rule sets")
        ordering = ["-number"]

    def __str__(self) -> str:
        return f"{self.number} ({self.hash[:8]})"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Once."""
        if self.pk:
            raise RulesChanged(f"rule set {self.number} is never written again; make another one")
        super().save(*args, **kwargs)

    def read(self) -> RuleSet:
        """The rules. Raises RulesChanged when the row is not what its hash says."""
        rules = read(self.content)
        if rules.content_hash() != self.hash:
            raise RulesChanged(f"rule set {self.number} does not have the hash it was published with")
        return rules

    @classmethod
    def make(cls, rules: RuleSet, *, by: Any = None, note: str = "") -> "Rules":
        """The row of these rules: the one there is, or a new one under the next number."""
        known = cls.objects.filter(hash=rules.content_hash()).first()
        if known is not None:
            return known
        with transaction.atomic():
            # Two at once would take the same number: the second one is refused by the table and may try again.
            number = (cls.objects.aggregate(last=models.Max("number"))["last"] or 0) + 1
            return cls.objects.create(
                number=number, content=rules.published(), hash=rules.content_hash(), note=note, made_by=by
            )

    @classmethod
    def newest(cls) -> "Rules":
        """What a sale is published with unless told otherwise; a fresh installation's own rules at first."""
        return cls.objects.first() or cls.make(RULES)
