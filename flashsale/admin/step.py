"""Steps that people take with a row: one page says what will happen, a second click lets it happen.

A step is the door of one verb of the life. The same page serves one row and many chosen in a list.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import connection
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.functional import Promise
from django.utils.text import capfirst
from django.utils.translation import gettext as _

from flashsale.gate.client import GateDown
from flashsale.models import Campaign, Record, Sale
from flashsale.rules.outcomes import Refused

ROWS_MAX = 100
SAMPLE = 10


@dataclass(frozen=True, slots=True)
class Table:
    """A table as templates draw it; cells are escaped there."""

    title: str
    head: Sequence[Any]
    rows: Sequence[Sequence[Any]]
    foot: Sequence[Any] = field(default=())


class Step(ABC):
    """One verb of the life.

    `take` gives a sentence, or a page of its own; it raises ValidationError, Refused or GateDown.
    """

    name: str
    title: str | Promise
    permission: str
    bulk = False

    @abstractmethod
    def offered(self, row: Any) -> bool:
        """Whether the step makes sense for this row now; the life decides again when it is taken."""

    @abstractmethod
    def foretell(self, rows: Sequence[Any]) -> list[str]:
        """What will happen, in sentences."""

    def obstacles(self, rows: Sequence[Any]) -> list[str]:  # noqa: ARG002 - most steps find none
        """Why it cannot be done yet."""
        return []

    def must_open(self, rows: Sequence[Any], user: Any) -> Sequence[Any]:  # noqa: ARG002 - most steps ask for nothing
        """Rows whose pages this person has to open before."""
        return ()

    def tables(self, rows: Sequence[Any]) -> list[Table]:  # noqa: ARG002 - most steps have none
        """What the decision rests on."""
        return []

    def filled(self, rows: Sequence[Any], data: Any) -> forms.Form:  # noqa: ARG002 - some forms depend on the rows
        """The form that goes with the step."""
        return forms.Form(data)

    @abstractmethod
    def take(self, *, row: Any, request: HttpRequest, data: dict[str, Any]) -> str | HttpResponse:
        """Does it."""


class StepAdmin(admin.ModelAdmin):
    """A model's pages with its steps: buttons above a row, actions above a list."""

    steps: Sequence[Step] = ()
    panel_template = ""
    change_form_template = "admin/flashsale/row.html"

    def get_urls(self) -> list[URLPattern]:
        """A page for each step before Django's own."""
        name = self.opts.model_name
        pages = [
            path(f"{step.name}/", self.admin_site.admin_view(partial(self.step_view, step=step)),
                 name=f"flashsale_{name}_{step.name}")
            for step in self.steps
        ]  # fmt: skip
        return [*pages, *super().get_urls()]

    def step_url(self, step: Step, ids: Sequence[Any]) -> str:
        """The address of a step's page for these rows."""
        page = reverse(f"admin:flashsale_{self.opts.model_name}_{step.name}")
        return f"{page}?{urlencode([('id', str(id_)) for id_ in ids])}"

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Steps for many rows are actions of the list; nothing is deleted by the dozen."""
        actions: dict[str, Any] = super().get_actions(request)
        actions.pop("delete_selected", None)
        for step in self.steps:
            if step.bulk and request.user.has_perm(step.permission):
                actions[step.name] = (self._action(step), step.name, step.title)
        return actions

    def _action(self, step: Step) -> Callable[..., HttpResponse]:
        def act(_admin: Any, _request: HttpRequest, chosen: "QuerySet[Any]") -> HttpResponse:
            return HttpResponseRedirect(self.step_url(step, [row.pk for row in chosen[:ROWS_MAX]]))

        return act

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """The row; locked and fresh where a form is about to write all of its fields."""
        row = super().get_object(request, object_id, from_field)
        if row is not None and request.method == "POST" and connection.in_atomic_block:
            # Else a form read before a publication would write "draft" over it.
            row.refresh_from_db(from_queryset=self.model.objects.select_for_update())
        return row

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Hands buttons and panel to the template."""
        row = kwargs.get("obj")
        if row is not None:
            context["steps"] = [
                (step.title, self.step_url(step, [row.pk]))
                for step in self.steps
                if request.user.has_perm(step.permission) and step.offered(row)
            ]
            context["panel_template"] = self.panel_template
            context["panel"] = self.panel(row)
        return super().render_change_form(request, context, *args, **kwargs)

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """What forms change goes into the audit trail, as what steps do; nowhere else."""
        self._record(request, obj, "add", message)

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """The names of the fields."""
        self._record(request, obj, "change", message)

    def log_deletions(self, request: HttpRequest, queryset: Any) -> Any:
        """Drafts."""
        for row in queryset:
            self._record(request, row, "delete", [])

    @staticmethod
    def _record(request: HttpRequest, row: Any, what: str, message: Any) -> None:
        sale = row if isinstance(row, Sale) else None
        campaign = row if isinstance(row, Campaign) else row.campaign
        form = [[verb, told.get("name", ""), told.get("fields", [])] for part in message for verb, told in part.items()]
        Record.write(what, by=request.user, sale=sale, campaign=campaign, subject=row, facts={"form": form})

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:  # noqa: ARG002
        """The row's records in the audit trail."""
        records = reverse("admin:flashsale_record_changelist")
        return HttpResponseRedirect(f"{records}?{urlencode({'subject': f'{self.opts.model_name}:{object_id}'})}")

    def panel(self, row: Any) -> dict[str, Any]:  # noqa: ARG002 - most rows have none
        """What the panel above the fields shows."""
        return {}

    def step_view(self, request: HttpRequest, step: Step) -> HttpResponse:
        """The page of a step: GET foretells, POST takes it."""
        if not request.user.has_perm(step.permission):
            raise PermissionDenied
        rows = self._chosen(request)
        form = step.filled(rows, request.POST if request.method == "POST" else None)
        unopened = step.must_open([row for row in rows if step.offered(row)], request.user)
        if request.method == "POST" and not unopened and form.is_valid():
            return self._take(request, step, rows, form.cleaned_data)
        return TemplateResponse(request, "admin/flashsale/step.html", self._page(request, step, rows, form, unopened))

    def _page(
        self, request: HttpRequest, step: Step, rows: Sequence[Any], form: forms.Form, unopened: Sequence[Any]
    ) -> dict[str, Any]:
        for asked in form.fields.values():
            asked.label = capfirst(asked.label)
        offered = [row for row in rows if step.offered(row)]
        return {
            **self.admin_site.each_context(request),
            "opts": self.opts, "title": step.title, "form": form,
            "rows": rows[:SAMPLE], "unseen": max(0, len(rows) - SAMPLE),
            "back": self._back(rows), "offered": offered, "passed_over": len(rows) - len(offered),
            "foretold": step.foretell(offered) if offered else [], "tables": step.tables(offered) if offered else [],
            "obstacles": step.obstacles(offered) if offered else [_("Nothing here is in a state for this.")],
            "unopened": [(reverse(f"admin:flashsale_{self.opts.model_name}_change", args=[r.pk]), r) for r in unopened],
        }  # fmt: skip

    def _chosen(self, request: HttpRequest) -> list[Any]:
        ids = request.GET.getlist("id")
        rows = [self.get_object(request, id_) for id_ in ids[:ROWS_MAX]]
        found = [row for row in rows if row is not None and self.has_view_permission(request, row)]
        if not found:
            raise Http404
        return found

    def _take(self, request: HttpRequest, step: Step, rows: Sequence[Any], data: dict[str, Any]) -> HttpResponse:
        answers = [self._take_one(request, step, row, data) for row in rows]
        done = [answer for answer in answers if answer is not None]
        if len(rows) > 1:
            text = _("%(step)s: %(done)d of %(count)d done.") % {
                "step": step.title, "done": len(done), "count": len(rows),
            }  # fmt: skip
            messages.info(request, text)
            return HttpResponseRedirect(self._back(rows))
        answer = answers[0]
        if isinstance(answer, HttpResponse):
            return answer
        if answer is not None:
            messages.success(request, answer)
        return HttpResponseRedirect(self._back(rows))

    def _back(self, rows: Sequence[Any]) -> str:
        name = f"admin:flashsale_{self.opts.model_name}"
        return reverse(f"{name}_change", args=[rows[0].pk]) if len(rows) == 1 else reverse(f"{name}_changelist")

    def _take_one(
        self, request: HttpRequest, step: Step, row: Model, data: dict[str, Any]
    ) -> str | HttpResponse | None:
        try:
            answer = step.take(row=row, request=request, data=data)
        except ValidationError as error:
            for text in error.messages:
                messages.error(request, f"{row}: {text}")
        except Refused as refused:
            messages.error(request, f"{row}: " + _("refused (%(word)s). %(detail)s") % {
                "word": refused.outcome.value, "detail": refused.detail,
            })  # fmt: skip
        except GateDown:
            messages.error(
                request, f"{row}: " + _("The gate does not answer; whether it was done is unknown. Look again.")
            )
        else:
            return answer
        return None


class ReadOnlyAdmin(StepAdmin):
    """Rows that only the life writes."""

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002
        """Never."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        """Never: people take steps instead."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        """Never."""
        return False
