"""Import of slots, offers, stock and lists from a table (CSV): the page says what would change before it changes."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html_join
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from flashsale.admin.action_page import Action, Preview, Table
from flashsale.life.apply_plan import Applied
from flashsale.life.import_rows import KINDS, apply_table, bad_file_text
from flashsale.models import Campaign, Sale
from flashsale.rules.csv_lines import for_spreadsheets
from flashsale.rules.csv_rows import BadFile, text_of
from flashsale.rules.states import SaleState

# What a form takes. A larger list is for manage.py plan.
BYTES_MAX, ROWS_MAX = 150_000, 10_000
SHOWN_MAX = 200
# How long a click may take, in seconds.
APPLY_S = 20.0


class ImportForm(forms.Form):
    """A file, or its text. The page keeps the text, so that the second click needs no file."""

    file = forms.FileField(label=gettext_lazy("file"), required=False)
    content = forms.CharField(
        label=gettext_lazy("or the table itself"), required=False, strip=False, max_length=BYTES_MAX,
        widget=forms.Textarea(attrs={"rows": 10, "cols": 70, "spellcheck": "false"}),
    )  # fmt: skip
    guessed = forms.BooleanField(required=False, widget=forms.HiddenInput)

    def __init__(self, data: Any) -> None:
        super().__init__(data)
        templates = format_html_join(
            ", ", '<a href="{}">{}</a>',
            [(reverse("admin:flashsale_campaign_template", args=[kind.name]), kind.title) for kind in KINDS.values()],
        )  # fmt: skip
        self.fields["file"].help_text = _(
            "CSV with commas, semicolons or tabs; at most %(rows)d rows. Templates: %(links)s"
        ) % {"rows": ROWS_MAX, "links": templates}

    def clean(self) -> dict[str, Any]:
        """Raises ValidationError without a table."""
        data: dict[str, Any] = super().clean() or {}
        if fault := self.data.get("fault"):
            raise ValidationError(fault)
        if not data.get("content", "").strip() and not self.errors:
            raise ValidationError(_("Choose a file, or paste a table."))
        return data


class ImportTable(Action):
    """Fills drafts from a table. All rows or none."""

    name = "import"
    title = gettext_lazy("Import a table")
    permission = "flashsale.add_sale"
    has_preview = True

    def is_available(self, row: Campaign | Sale) -> bool:
        """For a campaign that is no sandbox, and for a draft."""
        return row.state == SaleState.DRAFT if isinstance(row, Sale) else not row.is_test

    def consequences(self, rows: Sequence[Any]) -> list[str]:  # noqa: ARG002
        """What an import does."""
        return [
            _("Slots become drafts. Offers, stock and people go into drafts. What is there already does not change."),
            _("If one row cannot be read, nothing is changed, and all such rows are named."),
        ]

    def posted(self, request: HttpRequest) -> Any:
        """The posted values. The content of a file takes the place of the text."""
        data = request.POST.copy()
        file = request.FILES.get("file")
        data.pop("fault", None)
        if file is not None:
            try:
                text, guessed = text_of(file.read(BYTES_MAX + 1), bytes_max=BYTES_MAX)
            except BadFile as error:
                data["fault"] = bad_file_text(error)
            else:
                data["content"], data["guessed"] = text, "on" if guessed else ""
        return data

    def build_form(self, rows: Sequence[Any], data: Any) -> forms.Form:  # noqa: ARG002
        """The same for every row."""
        return ImportForm(data)

    def preview(self, rows: Sequence[Any], data: dict[str, Any], user: Any) -> Preview:
        """What would change, or every row that is wrong."""
        applied = _apply(rows[0], data, user, dry_run=True)
        wrong = [f"{problem}" for problem in applied.problems]
        sentences = [*applied.notes]
        if not wrong:
            count = len(applied.changes)
            text = ngettext("%(count)d change is made.", "%(count)d changes are made.", count) % {"count": count}
            sentences.append(text if count else _("Nothing changes: everything in the table is there already."))
        table = Table(_("Changes"), [_("change")], [[text] for text in applied.changes[:SHOWN_MAX]])
        return Preview(sentences, [table] if applied.changes and not wrong else [], _shortened(wrong))

    def perform(self, *, row: Any, request: HttpRequest, data: dict[str, Any]) -> str:
        """Applies the table."""
        applied = _apply(row, data, request.user, dry_run=False)
        if applied.problems:
            raise ValidationError(_shortened([str(problem) for problem in applied.problems]))
        count = len(applied.changes)
        return ngettext("%(count)d change was made.", "%(count)d changes were made.", count) % {"count": count}


def _apply(row: Campaign | Sale, data: dict[str, Any], user: Any, *, dry_run: bool) -> Applied:
    sale = row if isinstance(row, Sale) else None
    campaign = row.campaign if isinstance(row, Sale) else row
    return apply_table(
        text=data["content"].replace("\r\n", "\n"), campaign=campaign, sale=sale, dry_run=dry_run, by=user,
        rows_max=ROWS_MAX, guessed=data["guessed"], seconds_max=APPLY_S,
    )  # fmt: skip


def _shortened(texts: list[str]) -> list[str]:
    """The first texts, and how many more there are."""
    more = len(texts) - SHOWN_MAX
    return [*texts[:SHOWN_MAX], *([_("and %(count)d more") % {"count": more}] if more > 0 else [])]


def template_view(request: HttpRequest, kind: str) -> HttpResponse:  # noqa: ARG001 - Django passes it
    """A table with its head and an example, for a spreadsheet."""
    if kind not in KINDS:
        raise Http404
    found = KINDS[kind]
    response = HttpResponse(
        for_spreadsheets(_rows(found.columns, found.example)), content_type="text/csv; charset=utf-8"
    )
    response["Content-Disposition"] = f'attachment; filename="{found.name}.csv"'
    return response


def _rows(head: Iterable[str], example: Iterable[Iterable[str]]) -> Iterator[Iterable[str]]:
    yield head
    yield from example
