"""Actions on rows that need a confirmation: a page says what will happen, and a second click does it.

An action calls one verb of `flashsale/life`. One page serves a single row and many rows chosen in a list.
"""

import time
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import connection
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.functional import Promise
from django.utils.text import capfirst
from django.utils.translation import gettext as _

from flashsale.admin.row_form import SEEN, RowForm, digest_of
from flashsale.gate.client import GateDown
from flashsale.life.advisory_lock import advisory_lock
from flashsale.life.staff_campaigns import is_limited
from flashsale.life.staff_session import demand_fresh_proof
from flashsale.rules.outcomes import Refused

ROWS_MAX = 100
SAMPLE_SIZE = 10
# The kind of work of the advisory lock ("acts" in ASCII), and how long a request waits for another one on the same row.
ACTION_LOCK = int.from_bytes(b"acts")
LOCK_WAIT_S = 5.0
LOCK_POLL_S = 0.05


@contextmanager
def row_lock(row: Model) -> Iterator[bool]:
    """Keeps other actions away from a row. Yields whether this request has the lock; it waits up to LOCK_WAIT_S.

    A lock of the row itself would not do: a verb such as publishing commits before it tells Redis, and so gives up each
    lock of its transactions. The verbs lock the row on their own, because doors and workers do not ask for this lock.
    """
    id_ = zlib.crc32(f"{row._meta.label_lower}:{row.pk}".encode()) >> 1  # noqa: SLF001 - fits PostgreSQL's int4
    deadline = time.monotonic() + LOCK_WAIT_S
    while True:
        with advisory_lock(ACTION_LOCK, id_, wait=False) as acquired:
            if acquired or time.monotonic() > deadline:
                yield acquired
                return
        if not connection.in_atomic_block:
            connection.close()  # other requests may use the connection while this one waits
        time.sleep(LOCK_POLL_S)


# The result of an action that was refused, and has changed nothing.
REFUSED = HttpResponse()


@dataclass(frozen=True, slots=True)
class Table:
    """A table for `table.html`. The template escapes the cells."""

    title: str
    head: Sequence[Any]
    rows: Sequence[Sequence[Any]]
    foot: Sequence[Any] = field(default=())


# The field of a form that says which preview its page showed.
PREVIEWED = "_previewed"
# The button that asks for a preview.
PREVIEW = "_preview"


@dataclass(frozen=True, slots=True)
class Preview:
    """What a filled-in form would do. With obstacles, it does nothing."""

    sentences: Sequence[str]
    tables: Sequence[Table] = ()
    obstacles: Sequence[str] = ()

    def digest(self) -> str:
        """A digest of all that the page shows."""
        tables = [[table.title, *([str(cell) for cell in row] for row in table.rows)] for table in self.tables]
        return digest_of([[str(text) for text in self.sentences], tables])


class Action(ABC):
    """One verb of `flashsale/life` with its confirmation page.

    `name` is part of the URL. `title` is the text of the button. `bulk` adds the action to the list of rows.
    `needs_proof` asks the person for a fresh proof before the page and before the action. `is_global`: what it makes or
    changes counts for all campaigns, so a user who is limited to some may not do it.
    """

    name: str
    title: str | Promise
    permission: str
    bulk = False
    needs_proof = False
    is_global = False
    # Whether `preview` shows what follows from the filled-in form before the action is performed.
    has_preview = False

    def may(self, user: Any) -> bool:
        """Whether the user has the right to do it."""
        return user.has_perm(self.permission) and not (self.is_global and is_limited(user))

    @abstractmethod
    def is_available(self, row: Any) -> bool:
        """Whether the action is possible for this row. The page offers it only then, and performs it only then."""

    @abstractmethod
    def consequences(self, rows: Sequence[Any]) -> list[str]:
        """Sentences that say what will happen."""

    def button_text(self, rows: Sequence[Any]) -> str | Promise:  # noqa: ARG002 - most buttons say the title
        """The text of the button that performs the action."""
        return self.title

    def obstacles(self, rows: Sequence[Any]) -> list[str]:  # noqa: ARG002 - most actions have none
        """Sentences that say why the action is not possible yet. With one or more, the page shows no form."""
        return []

    def rows_to_open_first(self, rows: Sequence[Any], user: Any) -> Sequence[Any]:  # noqa: ARG002 - most need none
        """Rows whose pages the user has to open before the action is possible."""
        return ()

    def tables(self, rows: Sequence[Any]) -> list[Table]:  # noqa: ARG002 - most actions have none
        """Tables with the facts that the user needs for the decision."""
        return []

    def next_steps(self, rows: Sequence[Any], user: Any) -> list[tuple[str, str]]:  # noqa: ARG002 - most have none
        """Links to the actions that usually follow what the page shows: title and address."""
        return []

    def note_readings(self, rows: Sequence[Any], user: Any) -> None:  # noqa: B027 - most pages show nothing about buyers
        """Writes a record of what the page is about to show about buyers."""

    def build_form(self, rows: Sequence[Any], data: Any) -> forms.Form:  # noqa: ARG002 - some forms depend on the rows
        """The form of the confirmation page; bound if `data` is not None."""
        return forms.Form(data)

    def form_for(self, user: Any, rows: Sequence[Any], data: Any) -> forms.Form:  # noqa: ARG002 - most need no user
        """As `build_form`, where the choices depend on the user's campaigns."""
        return self.build_form(rows, data)

    def posted(self, request: HttpRequest) -> Any:
        """What the form reads: the posted values. An action with a file adds its content."""
        return request.POST

    def preview(self, rows: Sequence[Any], data: dict[str, Any], user: Any) -> Preview:  # noqa: ARG002
        """What the filled-in form would do; only for an action with `has_preview`."""
        return Preview([])

    def shown_values(self, row: Any) -> Any:  # noqa: ARG002 - most decide by the state alone
        """The values of the row that the page shows, as JSON. If they have changed since, the action does nothing."""
        return None

    @abstractmethod
    def perform(self, *, row: Any, request: HttpRequest, data: dict[str, Any]) -> str | HttpResponse:
        """Performs the action on one row. Returns a message, or the page to show instead.

        Raises ValidationError, Refused or GateDown.
        """


class ActionAdmin(RowForm):
    """The pages of a model with `row_actions`: buttons above a row, entries in the list's action menu."""

    row_actions: Sequence[Action] = ()
    panel_template = ""

    def get_urls(self) -> list[URLPattern]:
        """Adds a page for each action. They come first, because Django's own pattern takes every path."""
        name = self.opts.model_name
        pages = [
            path(
                f"{action.name}/",
                self.admin_site.admin_view(partial(self.action_view, action=action)),
                name=f"flashsale_{name}_{action.name}",
            )
            for action in self.row_actions
        ]
        return [*pages, *super().get_urls()]

    def action_url(self, action: Action, ids: Sequence[Any]) -> str:
        """The address of the action's page for the rows with these ids."""
        page = reverse(f"admin:flashsale_{self.opts.model_name}_{action.name}")
        return f"{page}?{urlencode([('id', str(id_)) for id_ in ids])}"

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """The list's actions: those of `row_actions` with `bulk`. Deleting many rows at once is not possible."""
        actions: dict[str, Any] = super().get_actions(request)
        actions.pop("delete_selected", None)
        for action in self.row_actions:
            if action.bulk and action.may(request.user):
                actions[action.name] = (self._list_action(action), action.name, action.title)
        return actions

    def _list_action(self, action: Action) -> Callable[..., HttpResponse]:
        def redirect(_admin: Any, _request: HttpRequest, selected: "QuerySet[Any]") -> HttpResponse:
            return HttpResponseRedirect(self.action_url(action, [row.pk for row in selected[:ROWS_MAX]]))

        return redirect

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Adds the action buttons and the panel to the template's context."""
        row = kwargs.get("obj")
        if context["errors"]:
            row = self._show_stored(context["adminform"].form, row)
        if row is not None:
            context["row_actions"] = [
                (action.title, self.action_url(action, [row.pk]))
                for action in self.row_actions
                if action.may(request.user) and action.is_available(row)
            ]
            context["panel_template"] = self.panel_template
            context["panel"] = self.panel(row)
        return super().render_change_form(request, context, *args, **kwargs)

    def _show_stored(self, form: forms.ModelForm, row: Any) -> Any:
        """Computes the read-only columns of a refused form from the row as it is stored. Returns that row.

        Django has written the typed values into the form's own row, and a column may fail on a value that is not
        possible. The fields themselves show what was typed.
        """
        stored = self.model._default_manager.filter(pk=row.pk).first() if row is not None else None  # noqa: SLF001
        form.instance = stored or self.model()
        return stored

    def panel(self, row: Any) -> dict[str, Any]:  # noqa: ARG002 - most models have none
        """The context of `panel_template`, which is shown above the fields."""
        return {}

    def action_view(self, request: HttpRequest, action: Action) -> HttpResponse:
        """The action's page. GET shows the consequences and the form; POST performs the action."""
        if not action.may(request.user):
            raise PermissionDenied
        if action.needs_proof:
            demand_fresh_proof(request)
        rows = self._selected_rows(request)
        if len(rows) > 1 and not action.bulk:
            # Its page tells what happens to one row, so another one would change unseen.
            text = _("%(action)s is possible for one row at a time.")
            self.message_user(request, text % {"action": action.title}, messages.ERROR)
            return HttpResponseRedirect(self._back_url(request, rows))
        form = action.form_for(request.user, rows, action.posted(request) if request.method == "POST" else None)
        for form_field in form.fields.values():
            # Before the form is checked, because a field that was checked keeps the label that it had then.
            form_field.label = capfirst(form_field.label)
        unopened = action.rows_to_open_first([row for row in rows if action.is_available(row)], request.user)
        preview = None
        if request.method == "POST" and not unopened and form.is_valid():
            # Of a row that does not allow the action there is nothing to show: `_perform` says so.
            if action.has_preview and all(action.is_available(row) for row in rows):
                preview = action.preview(rows, form.cleaned_data, request.user)
            if preview is None or _was_seen(preview, request):
                done = self._perform(request, action, rows, form.cleaned_data)
                if done is not REFUSED:
                    return done
                # The form keeps what was typed. The facts on the page are those of now.
                rows, preview = self._selected_rows(request), None
        context = {
            **self._page_context(request, action, rows, form, unopened), "preview": preview, "previewed": PREVIEWED,
            "has_preview": action.has_preview,
        }  # fmt: skip
        return TemplateResponse(request, "admin/flashsale/action.html", context)

    def _page_context(
        self, request: HttpRequest, action: Action, rows: Sequence[Any], form: forms.Form, unopened: Sequence[Any]
    ) -> dict[str, Any]:
        available = [row for row in rows if action.is_available(row)]
        action.note_readings(available, request.user)
        # Before the rest, so that a change in between is noticed rather than missed.
        seen = [(_seen_name(row), digest_of(action.shown_values(row))) for row in available]
        return {
            "seen": seen,
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": action.title,
            "form": form,
            "rows": rows[:SAMPLE_SIZE],
            "not_shown": max(0, len(rows) - SAMPLE_SIZE),
            "back": self._back_url(request, rows),
            "available": available,
            "unavailable": len(rows) - len(available),
            "consequences": action.consequences(available) if available else [],
            "tables": action.tables(available) if available else [],
            "button": action.button_text(available),
            "next_steps": action.next_steps(available, request.user) if available else [],
            "obstacles": action.obstacles(available)
            if available
            else [_("None of these rows is in a state that allows this.")],
            "unopened": [
                (reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_change", args=[r.pk]), r)
                for r in unopened
            ],
        }

    def _selected_rows(self, request: HttpRequest) -> list[Any]:
        ids = request.GET.getlist("id")
        rows = [self.get_object(request, id_) for id_ in ids[:ROWS_MAX]]
        found = [row for row in rows if row is not None and self.has_view_permission(request, row)]
        if not found:
            raise Http404
        return found

    def _perform(self, request: HttpRequest, action: Action, rows: Sequence[Any], data: dict[str, Any]) -> HttpResponse:
        """Where the user goes, or REFUSED if the page should stay, because the user has typed something."""
        results = [self._perform_on_row(request, action, row, data) for row in rows]
        if len(rows) > 1:
            done = sum(result is not None and result is not REFUSED for result in results)
            text = _("%(action)s: %(done)d of %(count)d done.")
            messages.info(request, text % {"action": action.title, "done": done, "count": len(rows)})
            return HttpResponseRedirect(self._back_url(request, rows))
        result = results[0]
        if result is REFUSED and not (data and self._allows(request, action, rows[0])):
            result = None
        if isinstance(result, HttpResponse):
            return result
        if result is not None:
            messages.success(request, result)
        return HttpResponseRedirect(self._back_url(request, rows))

    def _allows(self, request: HttpRequest, action: Action, row: Model) -> bool:
        fresh = self.get_queryset(request).filter(pk=row.pk).first()
        return fresh is not None and action.is_available(fresh)

    def _back_url(self, request: HttpRequest, rows: Sequence[Any]) -> str:  # noqa: ARG002 - a page may name another one
        """Where the user goes after the action."""
        name = f"admin:{self.opts.app_label}_{self.opts.model_name}"
        return reverse(f"{name}_change", args=[rows[0].pk]) if len(rows) == 1 else reverse(f"{name}_changelist")

    def _perform_on_row(
        self, request: HttpRequest, action: Action, row: Model, data: dict[str, Any]
    ) -> str | HttpResponse | None:
        """The result. After a refusal, which becomes a message, REFUSED; None if Redis does not answer.

        This is the one place that performs an action. It asks again whether the action is possible, under a lock,
        because the page may be old, and because a request needs no page.
        """
        try:
            with row_lock(row) as acquired:
                fresh = self._row_for(request, action, row, acquired=acquired)
                return action.perform(row=fresh, request=request, data=data)
        except ValidationError as error:
            for text in error.messages:
                messages.error(request, f"{row}: {text}")
            return REFUSED
        except Refused as refused:
            text = _("refused (%(word)s). %(detail)s")
            detail = {"word": refused.outcome.value, "detail": refused.detail}
            messages.error(request, f"{row}: {text % detail}")
            return REFUSED
        except GateDown:
            text = _(
                "Redis (the gate) does not answer, so it is not known whether this was done. Look at the row again."
            )
            messages.error(request, f"{row}: {text}")
        return None

    def _row_for(self, request: HttpRequest, action: Action, row: Model, *, acquired: bool) -> Model:
        """The row as it is now. Raises ValidationError unless the action is possible and this request has the lock."""
        if not acquired:
            raise ValidationError(_("not done, because another request is changing it right now. Look at it again."))
        fresh: Model | None = self.get_queryset(request).filter(pk=row.pk).first()
        if fresh is None or not action.is_available(fresh):
            raise ValidationError(_("not done, because its present state does not allow this. Nothing was changed."))
        shown = action.shown_values(fresh)
        if shown is not None and request.POST.get(_seen_name(fresh)) != digest_of(shown):
            raise ValidationError(
                _("not done, because it is not as your page showed it. Open the page again, look, and decide again.")
            )
        return fresh


def _was_seen(preview: Preview, request: HttpRequest) -> bool:
    """Whether the page showed exactly this preview, and the user did not ask for another one."""
    asked = PREVIEW in request.POST or preview.obstacles
    return not asked and request.POST.get(PREVIEWED) == preview.digest()


def _seen_name(row: Model) -> str:
    return f"{SEEN}-{row.pk}"


class ReadOnlyAdmin(ActionAdmin):
    """Pages of rows that only `flashsale/life` writes: no forms, but actions."""

    def _may_change(self, request: HttpRequest) -> bool:  # noqa: ARG002
        return False

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002
        """Always False."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        """Always False: `row_actions` are the only way to change a row."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        """Always False."""
        return False
