"""The audit trail, to look at: who did what, when and why."""

from typing import Any

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.db.models import CharField, OuterRef, Subquery, Value
from django.db.models.functions import Cast, Concat
from django.http import HttpRequest
from django.utils.translation import gettext_lazy

from flashsale.admin.case_steps import reason_title
from flashsale.admin.step import ReadOnlyAdmin
from flashsale.admin.words import local
from flashsale.models import Record
from flashsale.rules.reasons import REASONS


@admin.register(Record)
class RecordAdmin(ReadOnlyAdmin):
    """The newest first; `manage.py audit` says whether the chain holds."""

    list_display = ["position", "when", "whom", "what", "subject", "sale", "because", "facts"]
    list_display_links = ["position"]
    list_filter = ["what", "campaign", "sale"]
    list_select_related = ["campaign", "sale__campaign"]
    search_fields = ["subject__startswith", "who__startswith"]
    show_full_result_count = False
    fields = ["position", "when", "whom", "what", "campaign", "sale", "subject", "because", "facts", "previous", "hash"]

    def get_queryset(self, request: HttpRequest) -> Any:
        """With the names of the staff; the records themselves have their ids only."""
        who = Concat(Value("staff:"), Cast("pk", CharField()))
        name = get_user_model().objects.alias(who=who).filter(who=OuterRef("who")).values("username")[:1]
        return super().get_queryset(request).annotate(name=Subquery(name))

    @admin.display(description=gettext_lazy("when"), ordering="position")
    def when(self, record: Record) -> str:
        """In the campaign's zone."""
        return local(record.at, record.campaign.zone) if record.campaign else record.at.isoformat(timespec="seconds")

    @admin.display(description=gettext_lazy("who"), ordering="who")
    def whom(self, record: Record) -> str:
        """By name where the staff still has it."""
        name = getattr(record, "name", None)
        return f"{name} ({record.who})" if name else record.who

    @admin.display(description=gettext_lazy("why"))
    def because(self, record: Record) -> str:
        """A reason in words; the digest of what people wrote."""
        return reason_title(record.why) if record.why in REASONS else record.why or "–"
