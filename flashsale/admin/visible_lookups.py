"""What a list can be filtered by: only what it shows.

Django lets every reader of a list filter by every field of its model, also by fields that no page shows. The answer
"one row" or "no row" to `?secret__regex=^..[0-7]` tells a hidden value bit by bit. So a lookup is refused here, unless
the list itself makes links with it.
"""

from collections.abc import Callable, Sequence
from typing import Any

from django.contrib import admin
from django.contrib.admin.exceptions import DisallowedModelAdminLookup, DisallowedModelAdminToField
from django.contrib.admin.options import TO_FIELD_VAR
from django.contrib.admin.utils import get_fields_from_path
from django.contrib.admin.views.main import ERROR_FLAG, IGNORED_PARAMS, PAGE_VAR
from django.db import models
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.cache import add_never_cache_headers
from django.utils.translation import gettext as _

from flashsale.life.staff_campaigns import PATHS, is_limited, rows_of

# Rows whose names need other rows.
NAMED_BY = {"flashsale.reviewrun": ("sale", "rules")}


class CampaignsOfUser(admin.RelatedFieldListFilter):
    """Django's filter by another row. It names only the rows of the user's campaigns."""

    def field_choices(self, field: Any, request: HttpRequest, model_admin: Any) -> Any:
        """The choices, by one query."""
        ordering = self.field_admin_ordering(field, request, model_admin)
        model = field.related_model
        rows = rows_of(model._default_manager.all(), request.user)  # noqa: SLF001
        rows = rows.select_related(*NAMED_BY.get(model._meta.label_lower, ()))  # noqa: SLF001
        return [(row.pk, str(row)) for row in rows.order_by(*ordering)]


admin.FieldListFilter.register(lambda field: bool(field.remote_field), CampaignsOfUser, take_priority=True)

# Parameters of a list's address that are not lookups.
NO_LOOKUPS = {*IGNORED_PARAMS, PAGE_VAR, ERROR_FLAG}


def _is_own(path: Any) -> bool:
    """Whether an entry of `list_filter` is a class of ours, and not the path of a field."""
    return isinstance(path, type) and issubclass(path, admin.SimpleListFilter)


class VisibleLookups(admin.ModelAdmin):
    """Refuses every lookup that is not made by a filter of the list, or named in `link_lookups`."""

    # Lookups in links of our own pages, besides those of `list_filter`.
    link_lookups: tuple[str, ...] = ()

    def get_queryset(self, request: HttpRequest) -> Any:
        """The rows of the user's campaigns. Lists, pages, searches and actions all begin here."""
        return rows_of(super().get_queryset(request), request.user)

    def get_field_queryset(self, db: str | None, db_field: Any, request: HttpRequest) -> Any:
        """The rows that a form can choose: those of the user's campaigns."""
        found = super().get_field_queryset(db, db_field, request)
        limited = is_limited(request.user) and db_field.remote_field.model._meta.app_label == "flashsale"  # noqa: SLF001
        if not limited:
            return found
        return rows_of(db_field.remote_field.model._default_manager.all() if found is None else found, request.user)  # noqa: SLF001

    def has_add_permission(self, request: HttpRequest, *args: Any) -> bool:
        """False for a limited user where a new row belongs to all campaigns, or is a campaign."""
        return super().has_add_permission(request, *args) and not (self._is_global() and is_limited(request.user))

    def _is_global(self) -> bool:
        return not PATHS.get(self.opts.label_lower)

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Whether the list itself makes links with this lookup. PostgreSQL has no text with a NUL in it."""
        if "\0" in value:
            return False
        filters = (self._filter_lookups(path) for path in self.get_list_filter(request))
        return lookup in self.link_lookups or any(lookup in made for made in filters)

    def _filter_lookups(self, path: Any) -> set[str]:
        """The lookups in the links of Django's filter for this field, or of a filter of ours."""
        if _is_own(path):
            return {path.parameter_name}
        field: Any = get_fields_from_path(self.model, path)[-1]
        if field.is_relation:
            target = field.path_infos[-1].target_fields[0]
            return {f"{path}__{target.name}__exact", f"{path}__isnull"}
        if isinstance(field, models.BooleanField) or field.flatchoices:
            return {f"{path}__exact", f"{path}__isnull"}
        return {path, f"{path}__isnull"}

    def to_field_allowed(self, request: HttpRequest, to_field: str) -> bool:  # noqa: ARG002
        """Only the primary key leads to a row. Django also accepts other fields that a foreign key may refer to."""
        return to_field == self.opts.pk.name

    def get_search_fields(self, request: HttpRequest) -> Any:
        """None for Django's view that completes typed text, because no form of ours uses it."""
        match = request.resolver_match
        return () if match and match.url_name == "autocomplete" else super().get_search_fields(request)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The list, or a page that says why it cannot be filtered or chosen from in this way."""
        view = super().changelist_view
        return self._or_refusal(request, lambda: view(request, extra_context))

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """The form, or a page that says that only the primary key leads to a row."""
        view = super().changeform_view
        return self._or_refusal(request, lambda: view(request, object_id, form_url, extra_context))

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The page before a deletion, or a page that says that only the primary key leads to a row."""
        view = super().delete_view
        return self._or_refusal(request, lambda: view(request, object_id, extra_context))

    def _or_refusal(self, request: HttpRequest, view: Callable[[], HttpResponse]) -> HttpResponse:
        try:
            return view()
        except DisallowedModelAdminLookup:
            return self._refusal(request, self._lookup_text(request))
        except DisallowedModelAdminToField:
            return self._refusal(request, self._to_field_text(request))

    def _lookup_text(self, request: HttpRequest) -> str:
        asked = [name for name in request.GET if name not in NO_LOOKUPS]
        values = {name: "".join(request.GET.getlist(name)) for name in asked}
        refused = [name for name in asked if not self.lookup_allowed(name, values[name], request)]
        paths: Sequence[Any] = self.get_list_filter(request)
        names = [str(self._filter_name(path)) for path in paths]
        text = _("This list cannot be filtered by %(lookup)s.") % {"lookup": ", ".join(refused)}
        if not names:
            return text
        return text + " " + _("It can be filtered by: %(names)s.") % {"names": ", ".join(names)}

    def _filter_name(self, path: Any) -> Any:
        return path.title if _is_own(path) else get_fields_from_path(self.model, path)[-1].verbose_name

    @staticmethod
    def _to_field_text(request: HttpRequest) -> str:
        field = request.POST.get(TO_FIELD_VAR, request.GET.get(TO_FIELD_VAR, ""))
        return _("A row of this list cannot be chosen by %(field)s.") % {"field": field}

    def _refusal(self, request: HttpRequest, text: str) -> HttpResponse:
        context = {**self.admin_site.each_context(request), "opts": self.opts, "title": _("Not possible"), "text": text}
        response = TemplateResponse(request, "admin/flashsale/refused.html", context, status=400)
        add_never_cache_headers(response)
        return response
