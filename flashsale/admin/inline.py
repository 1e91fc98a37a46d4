"""Base classes for rows of another table on a row's page."""

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest


class LabelledFormSet(forms.BaseInlineFormSet):
    """Gives every field an accessible name: in a table, only the head of the column shows one."""

    def add_fields(self, form: forms.ModelForm, index: int | None) -> None:
        """Adds `aria-label`, except to groups of boxes: each box has its own label."""
        super().add_fields(form, index)
        for field in form.fields.values():
            if not field.widget.is_hidden and not field.widget.use_fieldset:
                field.widget.attrs["aria-label"] = str(field.label)


class EditedInline(admin.TabularInline):
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
