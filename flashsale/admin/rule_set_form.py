"""The form of a rule set: a field for each number. The fields are those of the generation of the set before."""

import json
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from flashsale.admin import rule_set_facts, rule_set_links
from flashsale.models import PublishedRuleSet
from flashsale.rules.review.fact_rules import DEFAULT_FACT_RULES, AnyRuleSet, FactRuleSet, parse_any_rule_set
from flashsale.rules.review.rule_set import DEFAULT_RULE_SET, InvalidRuleSet

# Where a new set may begin, by the generation in the address of the form.
DEFAULTS: dict[str, AnyRuleSet] = {"1": DEFAULT_RULE_SET, "2": DEFAULT_FACT_RULES}


def _of(rules: AnyRuleSet) -> Any:
    """The module with the fields of a set's generation."""
    return rule_set_facts if isinstance(rules, FactRuleSet) else rule_set_links


class RuleSetForm(forms.ModelForm):
    """A rule set, beginning with the newest one. JSON, if there is any, counts instead of the fields."""

    base: AnyRuleSet
    content = forms.JSONField(
        label=gettext_lazy("rules as JSON"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 8, "cols": 90, "spellcheck": "false"}),
        help_text=gettext_lazy("Paste an exported set here to import it. Then the fields above do not count."),
    )

    class Meta:
        model = PublishedRuleSet
        fields = ["note", "trial", "content"]

    def clean(self) -> dict[str, Any]:
        """The set in its canonical form, as `content`. Adds an error for a set that is not valid or not new."""
        data: dict[str, Any] = super().clean() or {}
        typed = data.get("content")
        if typed is None and self.errors:
            return data
        if typed is not None:
            # The fields do not count, so their errors do not either.
            for name in [name for name in self.errors if name not in {"note", "trial", "content"}]:
                del self.errors[name]
        try:
            rules = parse_any_rule_set(_of(self.base).typed(data, self.base) if typed is None else typed)
        except InvalidRuleSet as error:
            raise ValidationError(str(error)) from error
        known = PublishedRuleSet.objects.filter(hash=rules.content_hash()).first()
        if known is not None:
            raise ValidationError(_("Rule set %(number)d already has these rules.") % {"number": known.version})
        data["content"] = rules.published()
        return data


def form_class(base: AnyRuleSet) -> type[RuleSetForm]:
    """The form that begins with the numbers of this set."""
    fields = {name: field for part in _of(base).fields(base).values() for name, field in part}
    return type("RuleSetForm", (RuleSetForm,), {**fields, "base": base})


def fieldsets(base: AnyRuleSet) -> list[tuple[Any, dict[str, Any]]]:
    """The parts of the form's page."""
    parts = [
        (_of(base).TITLES[name], {"fields": [field for field, _field in found]})
        for name, found in _of(base).fields(base).items()
    ]
    imported = (gettext_lazy("Import"), {"fields": ["content"], "classes": ["collapse"]})
    other = "1" if isinstance(base, FactRuleSet) else "2"
    begin = format_html(
        '<a href="?generation={}">{}</a>',
        other,
        _("Begin with the first generation instead: single links between orders")
        if other == "1"
        else _("Begin with the second generation instead: what orders have in common, against their own sale"),
    )
    return [(None, {"fields": ["note", "trial"], "description": begin}), *parts, imported]


def exported(rules: AnyRuleSet) -> str:
    """A rule set as indented JSON, with its keys in order."""
    return json.dumps(rules.published(), indent=1, sort_keys=True) + "\n"


def differences(before: AnyRuleSet, after: AnyRuleSet) -> list[list[str]]:
    """What has changed from one set to the other: name, value before, value after."""
    old, new = _of(before).flat(before), _of(after).flat(after)
    names = [*old, *(name for name in new if name not in old)]
    return [[name, old.get(name, "–"), new.get(name, "–")] for name in names if old.get(name) != new.get(name)]
