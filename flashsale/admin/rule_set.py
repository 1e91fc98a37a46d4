"""Rule sets of the review: shown in words. A published set never changes; a new version replaces it."""

import json
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from flashsale.admin.action_page import ReadOnlyAdmin, Table
from flashsale.life.rule_set_text import describe_rules
from flashsale.life.staff_campaigns import is_limited
from flashsale.models import PublishedRuleSet, Record
from flashsale.rules.review.rule_set import InvalidRuleSet, parse_rule_set


class RuleSetForm(forms.ModelForm):
    """A rule set as JSON. The form starts with the newest set."""

    class Meta:
        model = PublishedRuleSet
        fields = ["content", "note"]
        widgets = {"content": forms.Textarea(attrs={"rows": 30, "cols": 90, "spellcheck": "false"})}
        help_texts = {"content": gettext_lazy("As it is published. Sales that are already published keep their set.")}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["initial"] = {"content": PublishedRuleSet.newest().content, **(kwargs.get("initial") or {})}
        super().__init__(*args, **kwargs)
        if "content" in self.fields:
            self.fields["content"].encoder = _IndentedJSON  # type: ignore[attr-defined]

    def clean_content(self) -> Any:
        """The set in its canonical form. Raises ValidationError for a set that is not valid or not new."""
        try:
            rules = parse_rule_set(self.cleaned_data["content"])
        except InvalidRuleSet as error:
            raise ValidationError(str(error)) from error
        known = PublishedRuleSet.objects.filter(hash=rules.content_hash()).first()
        if known is not None:
            raise ValidationError(_("Rule set %(number)d already has these rules.") % {"number": known.version})
        return rules.published()


class _IndentedJSON(json.JSONEncoder):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "indent": 1, "sort_keys": True})


@admin.register(PublishedRuleSet)
class RuleSetAdmin(ReadOnlyAdmin):
    """Rule sets, newest first. A set can be added, but not changed."""

    form = RuleSetForm
    list_display = ["version", "hash", "note", "made_by", "made_at", "sales_count"]
    panel_template = "admin/flashsale/tables_panel.html"

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Unlike other read-only rows, a user with the permission may add a set. It counts for all campaigns."""
        return request.user.has_perm("flashsale.add_publishedruleset") and not is_limited(request.user)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:  # noqa: ARG002
        """The fields of the form for a new set; version and hash for a published one."""
        return ["version", "hash", "note", "made_by", "made_at"] if obj else ["content", "note"]

    def panel(self, row: PublishedRuleSet) -> dict[str, Any]:
        """The rules in words, as the sale's page shows them."""
        return {"tables": [Table(part.title, part.head, part.rows) for part in describe_rules(row.read())]}

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:  # noqa: ARG002
        """Publishes the set under the next version."""
        made = PublishedRuleSet.make(parse_rule_set(obj.content), by=request.user, note=obj.note)
        obj.__dict__.update(made.__dict__)

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:  # noqa: ARG002
        """Records in the audit trail who published which set."""
        Record.write("rules", by=request.user, subject=obj, facts={"number": obj.version, "rules": obj.hash})

    @admin.display(description=gettext_lazy("sales"))
    def sales_count(self, row: PublishedRuleSet) -> int:
        """How many sales were published with this set."""
        return row.sales.count()
