"""The fields of a rule set of the first generation, and what is typed into them."""

from collections.abc import Iterator
from itertools import combinations
from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from flashsale.admin.rule_set_fields import lazy_text, number_field, only_in_the_set, told_as
from flashsale.life.rule_set_text import KIND_LABELS, MARK_LABELS
from flashsale.rules.review.rule_set import (
    COUNT_MAX,
    DEFAULT_RULE_SET,
    PAIRED,
    SCORE_MAX,
    InvalidRuleSet,
    Kind,
    Mark,
    RuleSet,
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


def _scale_fields(name: str, base: RuleSet) -> Iterator[tuple[str, Any]]:
    label, title = SCALES[name]
    values, defaults = getattr(base, name), getattr(DEFAULT_RULE_SET, name)
    for at in range(len(values) + MORE_SIZES):
        count = at + FIRST_SIZE
        value = values[at] if at < len(values) else None
        default = defaults[at] if at < len(defaults) else None
        text = lazy_text(lambda label=label, count=count: str(label) % {"count": count})  # type: ignore[misc]
        told = told_as(title) if at < len(values) else gettext_lazy("Empty: as the field before.")
        yield (
            f"{name}_{count}",
            number_field(text, "", SCORE_MAX, value=value, default=default, told=told, required=at == 0),
        )


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
        told: Any = only_in_the_set()
        if name == "marks":
            told = told_as(label)
        elif name == "besides":
            told = told_as(lazy_text(lambda label=label: str(told_in_common) % {"what": label}))  # type: ignore[misc]
        value, default = getattr(base, name).get(word), getattr(DEFAULT_RULE_SET, name).get(word)
        yield (
            f"{name}_{word.value}",
            number_field(label, meaning, most, value=value, default=default, told=told, required=required),
        )


def _pairs(base: RuleSet) -> list[tuple[str, str]]:
    """All possible pairs. The pairs of the set before come first, so a form without a change gives the same set."""
    known = [(one.value, other.value) for one, other in base.together]
    seen = {frozenset(pair) for pair in known}
    return known + [pair for pair in combinations(PAIRED, 2) if frozenset(pair) not in seen]


def fields(base: RuleSet) -> dict[str, list[tuple[str, Any]]]:
    """The fields by the part of the page, beginning with the numbers of `base`."""
    labels = {**KIND_LABELS, **MARK_LABELS}
    numbers = [
        (
            name,
            number_field(
                label, meaning, most, value=getattr(base, name), default=getattr(DEFAULT_RULE_SET, name),
                told=only_in_the_set(),
            ),
        )
        for name, (label, meaning, most) in NUMBERS.items()
    ]  # fmt: skip
    pairs = forms.MultipleChoiceField(
        label=gettext_lazy("pairs"),
        choices=[
            (f"{one}+{other}", lazy_text(lambda one=one, other=other: f"{labels[one]} + {labels[other]}"))  # type: ignore[misc]
            for one, other in _pairs(base)
        ],
        initial=[f"{one.value}+{other.value}" for one, other in base.together],
        widget=forms.CheckboxSelectMultiple,
        help_text=told_as(gettext_lazy("Neighbours share these, so only both together link")),
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


def typed(data: dict[str, Any], base: RuleSet) -> dict[str, Any]:
    """What the fields say, as JSON data. Raises InvalidRuleSet."""
    found: dict[str, Any] = {name: data[name] for name in NUMBERS}
    for name in SCALES:
        values = [data[field] for field, _field in _scale_fields(name, base)]
        while values and values[-1] is None:
            values.pop()
        if None in values:
            raise InvalidRuleSet(f"{name}: no field may be empty before a filled one")
        found[name] = values
    for name, (words, _labels, _meaning, _most) in WORDS.items():
        numbers = {word.value: data[f"{name}_{word.value}"] for word in words}
        found[name] = {word: number for word, number in numbers.items() if number is not None}
    chosen = set(data["together"])
    found["together"] = [list(pair) for pair in _pairs(base) if "+".join(pair) in chosen]
    return found


def flat(rules: RuleSet) -> dict[str, str]:
    """The numbers of a set, by their names in words. Two sets are compared by them."""
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
