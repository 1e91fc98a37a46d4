"""Fields of the forms of rule sets: each has its meaning, its bounds, its default and what buyers read."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.utils.functional import lazy
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy


def _help(meaning: Any, most: int, default: Any, told: Any) -> Any:
    def text() -> str:
        bounds = _("0 to %(most)d; default: %(default)s.") % {"most": most, "default": default}
        return f"{meaning} {bounds} {told}".strip()

    return lazy(text, str)()


def number_field(
    label: Any, meaning: Any, most: int, *, value: Any, default: Any, told: Any, required: bool = True
) -> Any:
    """A field for a whole number from 0. Its help has the meaning, the bounds, the default and what buyers read."""
    return forms.IntegerField(
        label=label,
        min_value=0,
        max_value=most,
        initial=value,
        required=required,
        help_text=_help(meaning, most, "–" if default is None else default, told),
    )


def lazy_text(function: Callable[[], str]) -> Any:
    """A text that is made when it is shown, in the reader's language."""
    return lazy(function, str)()


def told_as(words: Any) -> Any:
    """A sentence with the words that buyers read."""
    return lazy_text(lambda: _("Buyers read: “%(words)s”.") % {"words": words})


def only_in_the_set() -> Any:
    """The sentence for a number that no letter names."""
    return gettext_lazy("Buyers read it in the published set only.")
