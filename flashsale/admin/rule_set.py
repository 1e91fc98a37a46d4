"""Rule sets of the review: read in words, replaced by new ones, never changed."""

import json
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from flashsale.admin.step import ReadOnlyAdmin, Table
from flashsale.life.rule_set_text import in_words
from flashsale.models import PublishedRuleSet, Record
from flashsale.rules.review.rule_set import InvalidRuleSet, parse_rule_set


class RulesForm(forms.ModelForm):
    """The whole rule set as its JSON; the newest one to begin with."""

    class Meta:
        model = PublishedRuleSet
        fields = ["content", "note"]
        widgets = {"content": forms.Textarea(attrs={"rows": 30, "cols": 90, "spellcheck": "false"})}
        help_texts = {"content": gettext_lazy("As it is published. Sales that are published already keep theirs.")}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["initial"] = {"content": PublishedRuleSet.newest().content, **(kwargs.get("initial") or {})}
        super().__init__(*args, **kwargs)
        if "content" in self.fields:
            self.fields["content"].encoder = _Pretty  # type: ignore[attr-defined]

    def clean_content(self) -> Any:
        """A rule set that is new and complete."""
        try:
            rules = parse_rule_set(self.cleaned_data["content"])
        except InvalidRuleSet as error:
            raise ValidationError(str(error)) from error
        known = PublishedRuleSet.objects.filter(hash=rules.content_hash()).first()
        if known is not None:
            raise ValidationError(_("These are the rules of set %(number)d already.") % {"number": known.version})
        return rules.published()


class _Pretty(json.JSONEncoder):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "indent": 1, "sort_keys": True})


@admin.register(PublishedRuleSet)
class RulesAdmin(ReadOnlyAdmin):
    """The newest first."""

    form = RulesForm
    list_display = ["version", "hash", "note", "made_by", "made_at", "sales_count"]
    panel_template = "admin/flashsale/case_panel.html"

    def has_add_permission(self, request: HttpRequest) -> bool:
        """A new rule set is made, by whoever may."""
        return request.user.has_perm("flashsale.add_publishedruleset")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:  # noqa: ARG002
        """What is entered, or what has become of it."""
        return ["version", "hash", "note", "made_by", "made_at"] if obj else ["content", "note"]

    def panel(self, row: PublishedRuleSet) -> dict[str, Any]:
        """As the sale's page shows it."""
        return {"tables": [Table(part.title, part.head, part.rows) for part in in_words(row.read())]}

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:  # noqa: ARG002
        """Under the next version."""
        made = PublishedRuleSet.make(parse_rule_set(obj.content), by=request.user, note=obj.note)
        obj.__dict__.update(made.__dict__)

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:  # noqa: ARG002
        """Who made them stands in the audit trail."""
        Record.write("rules", by=request.user, subject=obj, facts={"number": obj.version, "rules": obj.hash})

    @admin.display(description=gettext_lazy("sales"))
    def sales_count(self, row: PublishedRuleSet) -> int:
        """How many sales were published with it."""
        return row.sales.count()
