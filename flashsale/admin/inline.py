"""Base classes for rows of another table on a row's page."""

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest

ROWS_MAX = 100


class LabelledFormSet(forms.BaseInlineFormSet):
    """Gives every field an accessible name: in a table, only the head of the column shows one."""

    def add_fields(self, form: forms.ModelForm, index: int | None) -> None:
        """Adds `aria-label`, except to groups of boxes: each box has its own label."""
        super().add_fields(form, index)
        for field in form.fields.values():
            if not field.widget.is_hidden and not field.widget.use_fieldset:
                field.widget.attrs["aria-label"] = str(field.label)


class BoundedRows:
    """At most ROWS_MAX rows in a form. Django reads 2,000, and shows them again after an error for longer than 10 s."""

    def get_formset(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        """Django's formset with that bound."""
        bounds = {"max_num": ROWS_MAX, "absolute_max": ROWS_MAX}
        return super().get_formset(request, obj, **{**bounds, **kwargs})  # type: ignore[misc]


class EditedInline(BoundedRows, admin.TabularInline):
    """Rows that the page can add and change."""

    formset = LabelledFormSet
    extra = 0


class ReadOnlyInline(admin.TabularInline):
    """Rows that the page only shows."""

    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        """Always False."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        """Always False."""
        return False
