"""Base classes for rows of another table on a row's page."""

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.options import InlineModelAdmin
from django.http import HttpRequest

# A sale has room for as many lines (`line_id_range`). Other tables need fewer.
ROWS_MAX = 255


class LabelledFormSet(forms.BaseInlineFormSet):
    """Gives every field an accessible name: in a table, only the head of the column shows one."""

    def add_fields(self, form: forms.ModelForm, index: int | None) -> None:
        """Adds `aria-label`, except to groups of boxes: each box has its own label."""
        super().add_fields(form, index)
        for field in form.fields.values():
            if not field.widget.is_hidden and not field.widget.use_fieldset:
                field.widget.attrs["aria-label"] = str(field.label)


class BoundedRows(InlineModelAdmin):
    """At most ROWS_MAX rows. Django would check and draw a thousand for a form that claims to have so many."""

    max_num = ROWS_MAX

    def get_formset(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        """Refuses a form with more rows, and draws no more."""
        return super().get_formset(request, obj, **{"absolute_max": ROWS_MAX, **kwargs})


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
