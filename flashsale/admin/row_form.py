"""Forms that change rows: a form of an old page changes nothing, and the audit trail gets old and new values."""

import hashlib
from contextlib import nullcontext
from typing import Any

from django.contrib import messages
from django.contrib.admin.utils import unquote
from django.contrib.auth import get_permission_codename
from django.db import connection, models, transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext as _

from flashsale.admin.labels import local_time, staff_name
from flashsale.admin.visible_lookups import VisibleLookups
from flashsale.models import Campaign, Record, Sale
from flashsale.models.record import record_name
from flashsale.models.row_values import State, changes_between, state_of
from flashsale.rules.trail import canonical_json

# The field of a form that says which state of the rows its page showed.
SEEN = "_seen"


def digest_of(values: Any) -> str:
    """A short digest of values as JSON, by which a page says what it showed."""
    return hashlib.sha256(canonical_json(values).encode()).hexdigest()[:32]


class RowForm(VisibleLookups):
    """Pages with a form. The form carries a digest of what it showed, and is refused when the rows have changed."""

    change_form_template = "admin/flashsale/row.html"
    # Fields that no form changes although Django calls them editable, such as the time of the last login.
    not_by_form: tuple[str, ...] = ()

    def edited_rows(self, row: Any) -> list[models.Model]:
        """The row and all other rows that its form can change, read from the database now."""
        return list(self.model._base_manager.filter(pk=row.pk))  # noqa: SLF001 - also rows that the list leaves out

    def _state(self, row: Any) -> State:
        found = state_of(self.edited_rows(row))
        return {
            name: {field: value for field, value in values.items() if field not in self.not_by_form}
            for name, values in found.items()
        }

    def _seen(self, request: HttpRequest, row: Any) -> str:
        """A digest of the values that the form shows, and of which of them it lets the user change."""
        shown = [self._state(row), list(self.get_readonly_fields(request, row)), len(self.get_inlines(request, row))]
        return digest_of(shown)

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """The row. Locks and reloads it when a form is about to save it."""
        row = super().get_object(request, object_id, from_field)
        if row is not None and request.method == "POST" and connection.in_atomic_block:
            # A form saves all fields. Without the lock, a row read before a publication would write "draft" over it.
            # No key changes, so other transactions may still write rows that refer to this one.
            row.refresh_from_db(from_queryset=self.model._base_manager.select_for_update(no_key=True))  # noqa: SLF001
        return row

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """The form. Of an old page it saves nothing, says so, and shows the present state."""
        if object_id is None:
            return super().changeform_view(request, object_id, form_url, extra_context)
        saves = request.method == "POST"
        with transaction.atomic() if saves else nullcontext():
            row = self.get_object(request, unquote(object_id)) if self._may_change(request) else None
            # Read before the form is: if the row changes in between, the form is refused rather than saved.
            seen = self._seen(request, row) if row is not None else ""
            if row is not None and saves:
                if request.POST.get(SEEN) != seen:
                    return self._refuse_old_page(request, row)
                request.state_before = self._state(row)  # type: ignore[attr-defined]
            return super().changeform_view(request, object_id, form_url, {**(extra_context or {}), "seen": seen})

    def _may_change(self, request: HttpRequest) -> bool:
        """Whether the user may change rows of this table at all. This row may be frozen."""
        return request.user.has_perm(f"{self.opts.app_label}.{get_permission_codename('change', self.opts)}")

    def _refuse_old_page(self, request: HttpRequest, row: Any) -> HttpResponse:
        text = _(
            "Nothing was saved: %(row)s is not in the state that your page showed. This is its present state. "
            "Make your change again."
        ) % {"row": row}
        self.message_user(request, f"{text} {self._last_change(row)}".strip(), messages.ERROR)
        return HttpResponseRedirect(
            reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_change", args=[row.pk])
        )

    @staticmethod
    def _last_change(row: Any) -> str:
        record = Record.objects.filter(subject=record_name(row)).select_related("campaign").first()
        if record is None:
            return ""
        at = local_time(record.at, record.campaign.zone) if record.campaign else record.at.isoformat(timespec="seconds")
        text = _("The last change: %(what)s, by %(who)s, %(time)s.")
        return text % {"what": record.what, "who": staff_name(record.who), "time": at}

    def message_user(
        self, request: HttpRequest, message: Any, level: Any = messages.INFO, *args: Any, **kw: Any
    ) -> None:
        """As Django's, but never says that something was changed after a form that changed nothing."""
        if level == messages.SUCCESS and getattr(request, "changes", None) == {}:
            message, level = _("Nothing was changed: the form has the values that were stored already."), messages.INFO
        super().message_user(request, message, level, *args, **kw)

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:  # noqa: ARG002
        """Records the values of the added rows in the audit trail, where actions are recorded too."""
        self._write_record(request, obj, "add", changes_between({}, self._state(obj)))

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """Records old and new values of what the form changed. A form that changed nothing leaves no record."""
        before = getattr(request, "state_before", None)
        if before is None:
            # Another form of Django's, such as the one that sets a password. It tells the names of the fields.
            named = [part.get("changed", {}).get("fields", []) for part in message]
            self._write_record(request, obj, "change", {"fields": sorted(name for names in named for name in names)})
            return
        changes = changes_between(before, self._state(obj))
        request.changes = changes  # type: ignore[attr-defined]
        if changes:
            self._write_record(request, obj, "change", changes)

    def log_deletions(self, request: HttpRequest, queryset: Any) -> Any:
        """Records the values of each row that is about to be deleted."""
        for row in queryset:
            self._write_record(request, row, "delete", changes_between(self._state(row), {}))

    @staticmethod
    def _write_record(request: HttpRequest, row: Any, what: str, facts: dict[str, Any]) -> None:
        sale = row if isinstance(row, Sale) else None
        campaign = row if isinstance(row, Campaign) else getattr(row, "campaign", None)
        with transaction.atomic():
            Record.write(what, by=request.user, sale=sale, campaign=campaign, subject=row, facts=facts)

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:  # noqa: ARG002
        """Redirects to the row's records in the audit trail."""
        records = reverse("admin:flashsale_record_changelist")
        return HttpResponseRedirect(f"{records}?subject={self.opts.model_name}:{object_id}")
