"""Rule sets of the review: shown in words. A published set never changes; a new version replaces it."""

from collections.abc import Sequence
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Count
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from flashsale.admin import rule_set_form
from flashsale.admin.action_page import Action, ReadOnlyAdmin, Table
from flashsale.life import review, rule_set_use
from flashsale.life.rule_set_text import describe_rules
from flashsale.life.staff_campaigns import is_limited, rows_of
from flashsale.models import PublishedRuleSet, Record, Sale
from flashsale.rules.review.rule_set import parse_rule_set
from flashsale.rules.states import SaleState


class TrySaleForm(forms.Form):
    """The choice of a sale that is over."""

    sale = forms.ModelChoiceField(label=gettext_lazy("sale"), queryset=Sale.objects.none(), empty_label=None)


class TryOnSale(Action):
    """Scores the orders of a sale that is over by this set. It opens no case."""

    permission = "flashsale.add_reviewrun"
    name = "try"
    title = gettext_lazy("Try it on a sale that is over")

    def is_available(self, row: PublishedRuleSet) -> bool:  # noqa: ARG002
        """Always."""
        return True

    def consequences(self, rows: Sequence[PublishedRuleSet]) -> list[str]:  # noqa: ARG002
        """No case is opened."""
        return [_("The orders are scored, and you see how many the rules flag. No case is opened.")]

    def build_form(self, rows: Sequence[PublishedRuleSet], data: Any) -> forms.Form:  # noqa: ARG002
        """The sales that are over, the newest first."""
        form = TrySaleForm(data)
        over = Sale.objects.filter(closes_at__lt=timezone.now(), campaign__sandbox_of=None)
        form.fields["sale"].queryset = over.exclude(state=SaleState.DRAFT).order_by("-opens_at")  # type: ignore[attr-defined]
        return form

    def form_for(self, user: Any, rows: Sequence[PublishedRuleSet], data: Any) -> forms.Form:
        """As `build_form`, with the sales of the user's campaigns only."""
        form = super().form_for(user, rows, data)
        if "sale" in form.fields:
            field: Any = form.fields["sale"]
            field.queryset = rows_of(field.queryset, user)
        return form

    def perform(self, *, row: PublishedRuleSet, request: HttpRequest, data: dict[str, Any]) -> str | HttpResponse:
        """Starts the dry run and leads to it."""
        run = review.start_dry_run(sale=data["sale"], rules=row, by=request.user)
        return HttpResponseRedirect(reverse("admin:flashsale_reviewrun_change", args=[run.pk]))


class UseFromNow(Action):
    """only to try out → the set of sales that are published from now on."""

    permission = "flashsale.add_publishedruleset"
    name = "use"
    needs_proof = True
    is_global = True
    title = gettext_lazy("Use it from now on")

    def is_available(self, row: PublishedRuleSet) -> bool:
        """For a set that is only to try out."""
        return row.trial

    def obstacles(self, rows: Sequence[PublishedRuleSet]) -> list[str]:
        """A newer set is in use already."""
        newest = PublishedRuleSet.newest()
        if newest.version > rows[0].version:
            text = _("Set %(number)d is newer and in use. Export this set, and import it as a new one.")
            return [text % {"number": newest.version}]
        return []

    def consequences(self, rows: Sequence[PublishedRuleSet]) -> list[str]:  # noqa: ARG002
        """Which sales take it."""
        return [_("Sales that are published from now on take this set. Sales that are published keep theirs.")]

    def perform(self, *, row: PublishedRuleSet, request: HttpRequest, data: dict[str, Any]) -> str:  # noqa: ARG002
        """Uses the set."""
        rule_set_use.use_from_now(rules=row, by=request.user)
        return _("Sales that are published from now on take this set.")


@admin.register(PublishedRuleSet)
class RuleSetAdmin(ReadOnlyAdmin):
    """Rule sets, newest first. A set can be added, but not changed."""

    list_display = ["version", "hash", "note", "trial", "made_by", "made_at", "sales_count"]
    list_filter = ["trial"]
    list_select_related = ["made_by"]
    row_actions = (TryOnSale(), UseFromNow())
    panel_template = "admin/flashsale/rule_set_panel.html"

    def get_queryset(self, request: HttpRequest) -> Any:
        """Adds how many sales each set has."""
        return super().get_queryset(request).annotate(used=Count("sales"))

    def get_urls(self) -> list[URLPattern]:
        """Adds the export of a set."""
        view = self.admin_site.admin_view(self.export_view)
        return [path("<int:pk>/json/", view, name="flashsale_publishedruleset_json"), *super().get_urls()]

    def export_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The set as a JSON file."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        row = self.get_queryset(request).filter(pk=pk).first()
        if row is None:
            raise Http404
        response = HttpResponse(rule_set_form.exported(row.read()), content_type="application/json")
        response["Content-Disposition"] = f'attachment; filename="rule-set-{row.version}.json"'
        return response

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Unlike other read-only rows, a user with the permission may add a set. It counts for all campaigns."""
        return request.user.has_perm("flashsale.add_publishedruleset") and not is_limited(request.user)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        """The form of a new set begins with the newest one, also if that one is only to try out."""
        if obj is None:
            kwargs["form"] = rule_set_form.form_class(self._base())
        return super().get_form(request, obj, change, **kwargs)

    @staticmethod
    def _base() -> Any:
        return (PublishedRuleSet.objects.first() or PublishedRuleSet.newest()).read()

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:  # noqa: ARG002
        """The parts of the form for a new set; version and hash for a published one."""
        if obj is None:
            return rule_set_form.fieldsets(self._base())
        return [(None, {"fields": ["version", "hash", "note", "trial", "made_by", "made_at"]})]

    def panel(self, row: PublishedRuleSet) -> dict[str, Any]:
        """What is new in this version, then the rules in words, as the sale's page shows them."""
        rules = row.read()
        tables = [Table(part.title, part.head, part.rows) for part in describe_rules(rules)]
        before = PublishedRuleSet.objects.filter(version__lt=row.version).first()
        if before is not None:
            title = _("Changes since version %(number)d") % {"number": before.version}
            head = [_("what"), _("before"), _("now")]
            tables.insert(0, Table(title, head, rule_set_form.differences(before.read(), rules)))
        return {"tables": tables, "export": reverse("admin:flashsale_publishedruleset_json", args=[row.pk])}

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:  # noqa: ARG002
        """Publishes the set under the next version."""
        rules = parse_rule_set(form.cleaned_data["content"])
        made = PublishedRuleSet.make(rules, by=request.user, note=obj.note, trial=obj.trial)
        obj.__dict__.update(made.__dict__)

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:  # noqa: ARG002
        """Records in the audit trail who published which set."""
        facts = {"number": obj.version, "rules": obj.hash, **({"trial": 1} if obj.trial else {})}
        Record.write("rules", by=request.user, subject=obj, facts=facts)

    @admin.display(description=gettext_lazy("sales"), ordering="used")
    def sales_count(self, row: PublishedRuleSet) -> int:
        """How many sales were published with this set."""
        return int(getattr(row, "used", 0))
