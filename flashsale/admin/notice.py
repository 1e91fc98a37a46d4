"""Notices to buyers, to look at: they go out by themselves."""

from django.contrib import admin
from django.utils.translation import gettext_lazy

from flashsale.admin.step import ReadOnlyAdmin
from flashsale.admin.words import local, state
from flashsale.models import Notice


@admin.register(Notice)
class NoticeAdmin(ReadOnlyAdmin):
    """Messages owed to buyers."""

    list_display = ["which", "kind", "sale", "state_word", "due", "attempts", "sent"]
    list_filter = ["state", "kind", "sale"]
    list_select_related = ["sale__campaign"]
    search_fields = ["reservation__id__startswith"]
    show_full_result_count = False
    ordering = ["-due_at", "-pk"]
    fields = ["which", "kind", "sale", "state_word", "due", "attempts", "sent"]

    @admin.display(description=gettext_lazy("reservation"))
    def which(self, notice: Notice) -> str:
        """Its number."""
        return str(notice.reservation_id)

    @admin.display(description=gettext_lazy("state"), ordering="state")
    def state_word(self, notice: Notice) -> str:
        """In the reader's language."""
        return state(notice.state)

    @admin.display(description=gettext_lazy("due"), ordering="due_at")
    def due(self, notice: Notice) -> str:
        """In the campaign's zone."""
        return local(notice.due_at, notice.sale.campaign.zone)

    @admin.display(description=gettext_lazy("sent"), ordering="sent_at")
    def sent(self, notice: Notice) -> str:
        """In the campaign's zone."""
        return local(notice.sent_at, notice.sale.campaign.zone)
