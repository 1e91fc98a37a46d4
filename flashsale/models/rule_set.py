"""Rule sets of the review. A row never changes: a change of the rules makes another row."""

from typing import Any

from django.conf import settings
from django.db import models, transaction
from django.utils.translation import gettext_lazy as _

from flashsale.rules.review.fact_rules import DEFAULT_FACT_RULES, AnyRuleSet, parse_any_rule_set


class RuleSetChanged(RuntimeError):
    """The content of a rule set does not match its hash, because a person changed the table by hand."""


class PublishedRuleSet(models.Model):
    """A rule set under a version. A row is never written again, so a sale keeps the rules it was published with."""

    version = models.PositiveIntegerField(_("version"), unique=True)
    content = models.JSONField(_("rules"))
    hash = models.CharField(_("fingerprint"), max_length=64, unique=True)
    note = models.CharField(_("why"), max_length=200, blank=True)
    made_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", verbose_name=_("made by")
    )
    made_at = models.DateTimeField(_("made"), auto_now_add=True)
    # The only field that changes: a set is tried on sales that are over, before sales that are published take it.
    trial = models.BooleanField(
        _("only to try out"),
        default=False,
        db_default=False,
        help_text=_("Sales that are published do not take this set, until somebody chooses to use it."),
    )

    class Meta:
        verbose_name = _("rule set")
        verbose_name_plural = _("rule sets")
        ordering = ["-version"]

    def __str__(self) -> str:
        return f"{self.version} ({self.hash[:8]})"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Inserts the row. Raises RuleSetChanged for a row that is stored already."""
        if self.pk:
            raise RuleSetChanged(f"rule set {self.version} is never written again; make another one")
        super().save(*args, **kwargs)

    def read(self) -> AnyRuleSet:
        """The rules. Raises RuleSetChanged when the content does not match the hash."""
        rules = parse_any_rule_set(self.content)
        if rules.content_hash() != self.hash:
            raise RuleSetChanged(f"rule set {self.version} does not have the hash it was published with")
        return rules

    @classmethod
    def make(cls, rules: AnyRuleSet, *, by: Any = None, note: str = "", trial: bool = False) -> "PublishedRuleSet":
        """The row of these rules: the stored one, or a new one under the next version."""
        known = cls.objects.filter(hash=rules.content_hash()).first()
        if known is not None:
            return known
        with transaction.atomic():
            # Two processes at once take the same version. The table refuses the second one, which may try again.
            version = (cls.objects.aggregate(last=models.Max("version"))["last"] or 0) + 1
            return cls.objects.create(
                version=version,
                content=rules.published(),
                hash=rules.content_hash(),
                note=note,
                made_by=by,
                trial=trial,
            )

    @classmethod
    def newest(cls) -> "PublishedRuleSet":
        """The default for a sale that is published: the newest rule set that is not only to try out.

        A new installation makes one here.
        """
        return cls.objects.filter(trial=False).first() or cls.make(DEFAULT_FACT_RULES)
