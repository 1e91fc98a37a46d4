"""Form fields for values as people write them: durations with their unit, amounts of money."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from flashsale.life.not_read_text import not_read_text
from flashsale.rules.money import format_money
from flashsale.rules.typed_values import SECOND, NotRead, format_duration, read_duration, read_money
from flashsale.rules.visible import visible


class WholeNumber(str):
    """A number that a program sent under the name of the field, in the unit of the column."""

    __slots__ = ()


class DurationInput(forms.TextInput):
    """Shows the field as NAME_text. A program may still send NAME, a number in the unit of the column.

    The two names keep a number without a unit from having two meanings.
    """

    def get_context(self, name: str, value: Any, attrs: dict[str, Any] | None) -> dict[str, Any]:
        """The input under its own name."""
        return super().get_context(f"{name}_text", value, attrs)

    def value_from_datadict(self, data: Any, files: Any, name: str) -> Any:
        """The typed text, or the number under the plain name."""
        if name in data:
            return WholeNumber(data[name])
        return super().value_from_datadict(data, files, f"{name}_text")

    def value_omitted_from_data(self, data: Any, files: Any, name: str) -> bool:
        """Whether neither name was sent."""
        return name not in data and super().value_omitted_from_data(data, files, f"{name}_text")


class DurationField(forms.Field):
    """A duration, typed and shown with its unit: 5 min. The value is a whole number of `unit_ms`.

    `most` is the longest duration and `least` the shortest, in the same unit. An empty field that is not required has
    the value `empty`.
    """

    widget = DurationInput

    def __init__(
        self, *, unit_ms: int = SECOND, least: int = 0, most: int, empty: int | None = 0, **options: Any
    ) -> None:
        super().__init__(**options)
        self.unit_ms, self.least, self.most, self.empty = unit_ms, least, most, empty

    def prepare_value(self, value: Any) -> Any:
        """A stored number becomes a text with its unit."""
        if isinstance(value, int):
            return format_duration(value * self.unit_ms, get_language() or "en")
        return value

    def to_python(self, value: Any) -> int | None:
        """The number in the unit of the column; None for an empty field."""
        if value in self.empty_values:
            return None
        if isinstance(value, int):
            return value
        typed = visible(str(value)).strip()
        if isinstance(value, WholeNumber):
            if typed.isdecimal() and typed.isascii() and len(typed) <= 15:
                return int(typed)
            raise ValidationError(_("Enter a whole number."))
        try:
            ms = read_duration(typed)
        except NotRead as error:
            raise ValidationError(not_read_text(error)) from error
        if ms % self.unit_ms:
            raise ValidationError(_("Write whole seconds."))
        return ms // self.unit_ms

    def validate(self, value: Any) -> None:
        """Raises ValidationError for a duration outside of the bounds, and says them."""
        super().validate(value)
        if value is not None and not self.least <= value <= self.most:
            language = get_language() or "en"
            bounds = {name: format_duration(getattr(self, name) * self.unit_ms, language) for name in ("least", "most")}
            raise ValidationError(_("From %(least)s to %(most)s.") % bounds)

    def clean(self, value: Any) -> Any:
        """The number; `empty` for an empty field that is not required."""
        cleaned = super().clean(value)
        return self.empty if cleaned is None and not self.required else cleaned

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Compares the durations, not their texts."""
        try:
            return bool(self.to_python(data) != self.to_python(initial))
        except ValidationError:
            return True


class MoneyField(forms.CharField):
    """An amount in whole units of `currency`, typed and shown as people write it: Rp 1.799.000."""

    currency = ""

    def prepare_value(self, value: Any) -> Any:
        """A stored amount becomes a text with its currency."""
        if not isinstance(value, int):
            return value
        shown = format_money(value, self.currency) if self.currency == "IDR" else f"{self.currency} {value:,}"
        return shown.replace("\u00a0", " ").strip()

    def to_python(self, value: Any) -> Any:
        """The amount; None for an empty field."""
        text = super().to_python(value)
        if not text:
            return None
        try:
            return read_money(visible(text), self.currency)
        except NotRead as error:
            raise ValidationError(not_read_text(error)) from error

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Compares the amounts, not their texts."""
        try:
            return bool(self.to_python(data) != initial)
        except ValidationError:
            return True
