"""The form of a rule set: a field for each number, with its meaning, its bounds, its default and what buyers read."""

import json
from collections.abc import Callable, Iterator
from itertools import combinations
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.functional import lazy
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from flashsale.life.rule_set_text import KIND_LABELS, MARK_LABELS
from flashsale.models import PublishedRuleSet
from flashsale.rules.review.rule_set import (
    COUNT_MAX,
    DEFAULT_RULE_SET,
    PAIRED,
    SCORE_MAX,
    InvalidRuleSet,
    Kind,
    Mark,
    RuleSet,
    parse_rule_set,
)

# A group has at least two people. The form offers two more sizes than the set before has.
FIRST_SIZE, MORE_SIZES = 2, 2
SCALES: dict[str, tuple[Any, Any]] = {
    "linked": (gettext_lazy("%(count)d linked people"), gettext_lazy("Points for a linked group, by its people")),
    "spread": (gettext_lazy("%(count)d addresses"), gettext_lazy("Points for a linked group, by its addresses")),
}
# Fields with one number: label, meaning, the largest value.
NUMBERS: dict[str, tuple[Any, Any, int]] = {
    "threshold": (
        gettext_lazy("threshold"),
        gettext_lazy("People look at an order with this score or a higher one."),
        SCORE_MAX,
    ),
    "inhuman_ms": (
        gettext_lazy("too fast, in ms"),
        gettext_lazy("A payment sooner after the reservation is faster than a person can pay."),
        COUNT_MAX,
    ),
    "burst_s": (
        gettext_lazy("burst, in seconds"),
        gettext_lazy("Linked people who pay within this time are a burst."),
        COUNT_MAX,
    ),
    "burst_people": (gettext_lazy("burst, people"), gettext_lazy("So many linked people are a burst."), COUNT_MAX),
    "near_address": (
        gettext_lazy("similar addresses"),
        gettext_lazy("How similar the words of two addresses must be. Their numbers must be equal."),
        SCORE_MAX,
    ),
    "near_name": (gettext_lazy("similar names"), gettext_lazy("How similar two names must be."), SCORE_MAX),
    "phone_block": (
        gettext_lazy("phone numbers in a row"),
        gettext_lazy("The largest distance from one number to the next."),
        COUNT_MAX,
    ),
    "crowd_share": (
        gettext_lazy("share of a crowd, in percent"),
        gettext_lazy("A network or a mail domain of more people than this share of all orders links no people."),
        SCORE_MAX,
    ),
    "majority": (
        gettext_lazy("majority, in percent"),
        gettext_lazy("The groups at an address become one group if so many of its orders are linked."),
        SCORE_MAX,
    ),
    "growth": (
        gettext_lazy("growth, in percent"),
        gettext_lazy("Such a group may take so many more orders at the address that nothing else links."),
        SCORE_MAX,
    ),
}


def _help(meaning: Any, most: int, default: Any, told: Any) -> Any:
    def text() -> str:
        bounds = _("0 to %(most)d; default: %(default)s.") % {"most": most, "default": default}
        return f"{meaning} {bounds} {told}".strip()

    return lazy(text, str)()


def _number(label: Any, meaning: Any, most: int, *, value: Any, default: Any, told: Any, required: bool = True) -> Any:
    return forms.IntegerField(
        label=label,
        min_value=0,
        max_value=most,
        initial=value,
        required=required,
        help_text=_help(meaning, most, "–" if default is None else default, told),
    )


def _lazy(function: Callable[[], str]) -> Any:
    return lazy(function, str)()


def _told(words: Any) -> Any:
    return _lazy(lambda: _("Buyers read: “%(words)s”.") % {"words": words})


def _only_in_the_set() -> Any:
    return gettext_lazy("Buyers read it in the published set only.")


def _scale_fields(name: str, base: RuleSet) -> Iterator[tuple[str, Any]]:
    label, title = SCALES[name]
    values, defaults = getattr(base, name), getattr(DEFAULT_RULE_SET, name)
    for at in range(len(values) + MORE_SIZES):
        count = at + FIRST_SIZE
        value = values[at] if at < len(values) else None
        default = defaults[at] if at < len(defaults) else None
        text = _lazy(lambda label=label, count=count: str(label) % {"count": count})  # type: ignore[misc]
        told = _told(title) if at < len(values) else gettext_lazy("Empty: as the field before.")
        yield f"{name}_{count}", _number(text, "", SCORE_MAX, value=value, default=default, told=told, required=at == 0)


# Fields with a number for each word: the words, their labels, the meaning, the largest value.
WORDS: dict[str, tuple[Any, Any, Any, int]] = {
    "marks": (Mark, MARK_LABELS, gettext_lazy("Points for an order with this mark."), SCORE_MAX),
    "besides": (Kind, KIND_LABELS, gettext_lazy("Points for sharing this with the group, too."), SCORE_MAX),
    "crowded": (Kind, KIND_LABELS, gettext_lazy("More people than this are a crowd, and are not linked."), COUNT_MAX),
}


def _word_fields(name: str, base: RuleSet) -> Iterator[tuple[str, Any]]:
    words, labels, meaning, most = WORDS[name]
    required = name == "marks"
    told_in_common = gettext_lazy("in common with the group: %(what)s")
    for word in words:
        label = labels[word]
        told: Any = _only_in_the_set()
        if name == "marks":
            told = _told(label)
        elif name == "besides":
            told = _told(_lazy(lambda label=label: str(told_in_common) % {"what": label}))  # type: ignore[misc]
        value, default = getattr(base, name).get(word), getattr(DEFAULT_RULE_SET, name).get(word)
        yield (
            f"{name}_{word.value}",
            _number(label, meaning, most, value=value, default=default, told=told, required=required),
        )


def _pairs(base: RuleSet) -> list[tuple[str, str]]:
    """All possible pairs. Those of the set before come first in its sequence, so that no change is no new set."""
    known = [(one.value, other.value) for one, other in base.together]
    seen = {frozenset(pair) for pair in known}
    return known + [pair for pair in combinations(PAIRED, 2) if frozenset(pair) not in seen]


def _fields(base: RuleSet) -> dict[str, list[tuple[str, Any]]]:
    labels = {**KIND_LABELS, **MARK_LABELS}
    numbers = [
        (
            name,
            _number(
                label, meaning, most, value=getattr(base, name), default=getattr(DEFAULT_RULE_SET, name),
                told=_only_in_the_set(),
            ),
        )
        for name, (label, meaning, most) in NUMBERS.items()
    ]  # fmt: skip
    pairs = forms.MultipleChoiceField(
        label=gettext_lazy("pairs"),
        choices=[
            (f"{one}+{other}", _lazy(lambda one=one, other=other: f"{labels[one]} + {labels[other]}"))  # type: ignore[misc]
            for one, other in _pairs(base)
        ],
        initial=[f"{one.value}+{other.value}" for one, other in base.together],
        widget=forms.CheckboxSelectMultiple,
        help_text=_told(gettext_lazy("Neighbours share these, so only both together link")),
    )
    return {
        "numbers": numbers,
        "linked": list(_scale_fields("linked", base)),
        "spread": list(_scale_fields("spread", base)),
        **{name: list(_word_fields(name, base)) for name in WORDS},
        "together": [("together", pairs)],
    }


TITLES: dict[str, Any] = {
    "numbers": gettext_lazy("Bounds"),
    "linked": gettext_lazy("Points for a linked group, by its people"),
    "spread": gettext_lazy("Points for a linked group, by its addresses"),
    "marks": gettext_lazy("Points for one order"),
    "besides": gettext_lazy("Points for what an order shares besides"),
    "crowded": gettext_lazy("Crowds"),
    "together": gettext_lazy("Weak values that link together"),
}


class RuleSetForm(forms.ModelForm):
    """A rule set, beginning with the newest one. JSON, if there is any, counts instead of the fields."""

    base: RuleSet
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
            rules = parse_rule_set(self._typed(data) if typed is None else typed)
        except InvalidRuleSet as error:
            raise ValidationError(str(error)) from error
        known = PublishedRuleSet.objects.filter(hash=rules.content_hash()).first()
        if known is not None:
            raise ValidationError(_("Rule set %(number)d already has these rules.") % {"number": known.version})
        data["content"] = rules.published()
        return data

    def _typed(self, data: dict[str, Any]) -> dict[str, Any]:
        """What the fields say, as JSON data."""
        found: dict[str, Any] = {name: data[name] for name in NUMBERS}
        for name in SCALES:
            values = [data[field] for field, _field in _scale_fields(name, self.base)]
            while values and values[-1] is None:
                values.pop()
            if None in values:
                raise InvalidRuleSet(f"{name}: no field may be empty before a filled one")
            found[name] = values
        for name, (words, _labels, _meaning, _most) in WORDS.items():
            numbers = {word.value: data[f"{name}_{word.value}"] for word in words}
            found[name] = {word: number for word, number in numbers.items() if number is not None}
        chosen = set(data["together"])
        found["together"] = [list(pair) for pair in _pairs(self.base) if "+".join(pair) in chosen]
        return found


def form_class(base: RuleSet) -> type[RuleSetForm]:
    """The form that begins with the numbers of this set."""
    fields = {name: field for part in _fields(base).values() for name, field in part}
    return type("RuleSetForm", (RuleSetForm,), {**fields, "base": base})


def fieldsets(base: RuleSet) -> list[tuple[Any, dict[str, Any]]]:
    """The parts of the form's page."""
    parts = [(TITLES[name], {"fields": [field for field, _field in found]}) for name, found in _fields(base).items()]
    imported = (gettext_lazy("Import"), {"fields": ["content"], "classes": ["collapse"]})
    return [(None, {"fields": ["note", "trial"]}), *parts, imported]


def exported(rules: RuleSet) -> str:
    """A rule set as indented JSON, with its keys in order."""
    return json.dumps(rules.published(), indent=1, sort_keys=True) + "\n"


def flat(rules: RuleSet) -> dict[str, str]:
    """Every number of a set by its name in words, for the comparison of two sets."""
    labels: dict[str, Any] = {**KIND_LABELS, **MARK_LABELS}
    found = {str(label): str(getattr(rules, name)) for name, (label, _meaning, _most) in NUMBERS.items()}
    for name, (label, _title) in SCALES.items():
        values = getattr(rules, name)
        found |= {str(label) % {"count": at + FIRST_SIZE}: str(points) for at, points in enumerate(values)}
    for name in WORDS:
        title = str(TITLES[name])
        found |= {f"{title}: {labels[word]}": str(number) for word, number in getattr(rules, name).items()}
    title = str(TITLES["together"])
    return found | {f"{title}: {labels[one]} + {labels[other]}": _("yes") for one, other in rules.together}


def differences(before: RuleSet, after: RuleSet) -> list[list[str]]:
    """What has changed from one set to the other: name, value before, value after."""
    old, new = flat(before), flat(after)
    names = [*old, *(name for name in new if name not in old)]
    return [[name, old.get(name, "–"), new.get(name, "–")] for name in names if old.get(name) != new.get(name)]
