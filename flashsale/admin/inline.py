"""Rows of another table on a row's page."""

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest


class LabelledFormSet(forms.BaseInlineFormSet):
    """Names every field for those who do not see the head of its column."""

    def add_fields(self, form: forms.ModelForm, index: int | None) -> None:
        """Groups of boxes have a label each."""
        super().add_fields(form, index)
        for field in form.fields.values():
            if not field.widget.is_hidden and not field.widget.use_fieldset:
                field.widget.attrs["aria-label"] = str(field.label)


class EditedInline(admin.TabularInline):
    """Rows that are entered here."""

    formset = LabelledFormSet
    extra = 0


class ReadOnlyInline(admin.TabularInline):
    """Rows of another table, to look at."""

    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        """Never."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        """Never."""
        return False
