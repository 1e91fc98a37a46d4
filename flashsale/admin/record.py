"""The audit trail, read only: who did what, when and why."""

from typing import Any

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.db.models import CharField, OuterRef, Subquery, Value
from django.db.models.functions import Cast, Concat
from django.http import HttpRequest
from django.utils.translation import gettext_lazy

from flashsale.admin.action_page import ReadOnlyAdmin
from flashsale.admin.case_actions import reason_title
from flashsale.admin.labels import local_time
from flashsale.admin.list_filters import PeriodFilter
from flashsale.models import Record
from flashsale.rules.reasons import REASONS


@admin.register(Record)
class RecordAdmin(ReadOnlyAdmin):
    """Records, newest first. `manage.py audit` checks the chain of hashes."""

    list_display = ["position", "when", "actor", "what", "subject", "sale", "reason", "facts"]
    list_display_links = ["position"]
    list_per_page = 50
    list_filter = ["what", PeriodFilter.of("at"), "campaign", "sale"]
    list_select_related = ["campaign", "sale__campaign"]
    # The history of a row is the list of its records.
    link_lookups = ("subject",)
    search_fields = ["subject__startswith", "who__startswith"]
    show_full_result_count = False
    fields = ["position", "when", "actor", "what", "campaign", "sale", "subject", "reason", "facts", "previous", "hash"]

    def get_queryset(self, request: HttpRequest) -> Any:
        """Adds the user names of the staff, because a record has only the id of its actor."""
        actor = Concat(Value("staff:"), Cast("pk", CharField()))
        name = get_user_model().objects.alias(who=actor).filter(who=OuterRef("who")).values("username")[:1]
        return super().get_queryset(request).annotate(name=Subquery(name))

    @admin.display(description=gettext_lazy("when"), ordering="position")
    def when(self, record: Record) -> str:
        """In the campaign's zone; in UTC for a record without a campaign."""
        if record.campaign is None:
            return record.at.isoformat(timespec="seconds")
        return local_time(record.at, record.campaign.zone)

    @admin.display(description=gettext_lazy("who"), ordering="who")
    def actor(self, record: Record) -> str:
        """The user name and the id; the id alone if the user was deleted or the actor is not staff."""
        name = getattr(record, "name", None)
        return f"{name} ({record.who})" if name else record.who

    @admin.display(description=gettext_lazy("why"))
    def reason(self, record: Record) -> str:
        """The title of a reason of the catalogue; for a text that a person wrote, its digest."""
        return reason_title(record.why) if record.why in REASONS else record.why or "–"
